import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { PrivacyError } from '../../errors.ts';
import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import { groupBy } from '../../group-by.ts';
import type { Logger } from '../../logger.ts';
import { databaseNow } from '../../store/database-time.ts';
import { leaseOwner } from '../../store/engine/leases.ts';
import { selectBatches } from '../../store/mirror/select-rows.ts';
import { whatIsMissing } from '../../store/privacy/guard.ts';
import {
  appendEntry,
  createJournal,
  type Journal,
  type JournalEntry,
  type JournalHash,
  lastDigest,
  readJournal,
} from '../../store/privacy/journal.ts';
import { ensurePrivacySecret, seal, unseal } from '../../store/privacy/key.ts';
import { addressMark, hashMark, type Mark, numberMark, rowMark, suppressionKey } from '../../store/privacy/marks.ts';
import { changeRows, type RowChange, vacuum } from '../../store/privacy/person-rows.ts';
import { readHashes, StoredSuppressions, type Suppressions } from '../../store/privacy/suppressions.ts';
import { withRetry } from '../../store/with-retry.ts';
import {
  Closure,
  type Counts,
  countRows,
  type ErasurePlan,
  type ErasureTarget,
  emptyPlan,
  joinPlans,
  versionsOf,
} from './closure.ts';
import { namesOfOthers, type PlanParts, search } from './plan.ts';
import { keptColumns } from './rules.ts';

/**
 * Erases a person, and keeps it so. In this order, so that a stop at any point leaves nothing half done unsaid:
 *
 *   plan ─> one transaction: erasure, hashes, epoch, line of the journal ─> quarantine, rows ─> plan again, until
 *   nothing is found ─> reports ─> search ─> done, or residue
 *
 * Behind the transaction no run writes what it prepared before. The plan is kept, encrypted, so that `resume` goes on.
 */
export interface ErasureParts {
  readonly prisma: PrismaClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly targets: readonly ErasureTarget[];
  readonly secretKey: string;
  /** The path of the journal. */
  readonly journal: string;
  /** Brings the reports up to the mirror, or computes them anew; false: another process is at it. */
  readonly refresh: (options: { readonly isFull: boolean }) => Promise<boolean>;
  /** Called behind each step. */
  readonly onStep?: (step: ErasureStep) => Promise<void>;
}

export type ErasureStep = 'recorded' | 'quarantine' | 'rows' | 'reports' | 'searched';

export interface ErasureOptions {
  readonly reason: string;
  readonly reference: string | null;
  /** Also what is created later. */
  readonly alsoFuture: boolean;
  /** Rows are deleted, where else one without personal data stays. */
  readonly deletesRows: boolean;
}

export interface ErasureReport {
  readonly erasure: string;
  readonly state: 'done' | 'residue';
  readonly matched: Counts;
  readonly erased: Counts;
  readonly residue: Counts;
  /** False: this database user may not vacuum, so the old versions of the rows stay in the files for a while. */
  readonly isVacuumed: boolean;
}

interface Erasure extends ErasureOptions {
  readonly id: string;
  readonly requestedAt: Date;
  /** The journal has it already. */
  readonly isRepeated?: boolean;
}

interface Kept {
  readonly plan: ErasurePlan;
  readonly options: ErasureOptions;
}

/** @throws PrivacyError when the erasure cannot be recorded, and nothing is changed */
export async function erasePerson(
  parts: ErasureParts,
  plan: ErasurePlan,
  options: ErasureOptions,
): Promise<ErasureReport> {
  const requestedAt = await databaseNow(parts.prisma);
  assertClock(parts.clock, requestedAt);
  const erasure = { ...options, id: randomUUID(), requestedAt };
  await record(parts, erasure, plan);
  await parts.onStep?.('recorded');
  return erase(parts, erasure, plan);
}

const CLOCKS_MS = 600_000;

/** The time decides what counts as written before the erasure, for ever. @throws PrivacyError */
function assertClock(clock: Clock, databaseTime: Date): void {
  const minutes = Math.round(Math.abs(clock.now() - databaseTime.getTime()) / 60_000);
  if (minutes * 60_000 <= CLOCKS_MS) return;
  const message = `the clocks of this machine and of the database differ by ${minutes} minutes, so it is not sure what was written before now; nothing was erased. Set them right, then repeat the command`;
  throw new PrivacyError('clocks_differ', message);
}

/** Goes on with an erasure that was stopped. @throws PrivacyError when there is none of this id */
export async function resume(parts: ErasureParts, id: string): Promise<ErasureReport> {
  const row = await parts.prisma.syncErasure.findUnique({ where: { id } });
  const kept = row?.plan == null ? null : await unseal<Kept>(parts.secretKey, row.plan);
  if (row === null || kept === null) {
    const message = `there is no unfinished erasure ${id}; sync.erasures lists them all`;
    throw new PrivacyError('erasure_unfinished', message);
  }
  return erase(parts, { ...kept.options, id, requestedAt: row.requested_at }, kept.plan);
}

/** The database's secret, which is that of the journal where there is one. */
async function keyOf(parts: ErasureParts): Promise<{ key: Buffer; sealed: Buffer }> {
  const { prisma, secretKey, signal } = parts;
  const journal = await readJournal(parts.journal);
  const inJournal = journal === null ? null : await keyIn(journal, secretKey);
  const secret = await ensurePrivacySecret(prisma, secretKey, { given: inJournal, signal });
  if (inJournal !== null && !inJournal.equals(secret)) {
    const message = `the journal of erasures, ${parts.journal}, belongs to another database; let PRIVACY_JOURNAL name the right one. Nothing was changed`;
    throw new PrivacyError('journal_unusable', message);
  }
  return { key: suppressionKey(secret), sealed: await seal(secretKey, secret.toString('base64')) };
}

async function keyIn({ head }: Journal, secretKey: string): Promise<Buffer> {
  const key = await unseal<string>(secretKey, Buffer.from(head.key, 'base64'));
  return Buffer.from(key ?? '', 'base64');
}

/** Everything that keeps the person away, in one transaction, whose last step is the line of the journal. */
async function record(parts: ErasureParts, erasure: Erasure, plan: ErasurePlan): Promise<void> {
  const { prisma } = parts;
  const { key, sealed } = await keyOf(parts);
  const hashes = hashesOf(parts, { key, plan, until: erasure.alsoFuture ? null : erasure.requestedAt });
  const { id, reason, reference, requestedAt } = erasure;
  const { alsoFuture, deletesRows } = erasure;
  if (erasure.isRepeated) {
    await prisma.$transaction((tx) => suppressAll(tx, erasure.id, hashes), { timeout: RECORD_MS });
    return;
  }
  const kept: Kept = { plan, options: { reason, reference, alsoFuture, deletesRows } };
  const state = { state: 'erasing', plan: await seal(parts.secretKey, kept) };
  await prisma.$transaction(
    async (tx) => {
      const { epoch, journal_id, journal_hash } = await moveEpoch(tx);
      const journal = await openJournal(parts, { journal_id, journal_hash }, sealed);
      const row = { id, reason, reference, actor: leaseOwner, requested_at: requestedAt };
      await tx.syncErasure.upsert({ where: { id }, create: { ...row, ...state }, update: state });
      await suppressAll(tx, id, hashes);
      const concerned = { connection_id: { in: [...plan.connectionIds] } };
      await tx.syncCheckpoint.updateMany({ where: concerned, data: { privacy_epoch: epoch } });
      const at = requestedAt.toISOString();
      await note(tx, parts, journal, { erasure: id, at, reason, deletes: deletesRows, hashes });
    },
    { timeout: RECORD_MS },
  );
}

const RECORD_MS = 120_000;

/** Locks the row: of two erasures one waits here, and checkpoints that are being made are waited for. */
export const moveEpoch = (tx: Prisma.TransactionClient) =>
  tx.syncPrivacy.update({ where: { id: 1 }, data: { epoch: { increment: 1 } } });

interface KnownJournal {
  readonly journal_id: string | null;
  readonly journal_hash: string | null;
}

/** @throws PrivacyError when it is not the journal that the database knows, or is ahead of it */
async function openJournal(parts: ErasureParts, known: KnownJournal, sealedKey: Buffer): Promise<Journal> {
  const journal = await readJournal(parts.journal);
  const problem = whatIsMissing(journal, { id: 1, epoch: 0n, ...known });
  if (problem !== null) throw problem;
  return journal ?? createJournal(parts.journal, sealedKey);
}

async function note(
  tx: Prisma.TransactionClient,
  parts: ErasureParts,
  journal: Journal,
  entry: JournalEntry,
): Promise<void> {
  const journal_hash = await appendEntry(parts.journal, journal, entry);
  await tx.syncPrivacy.update({ where: { id: 1 }, data: { journal_id: journal.head.journal, journal_hash } });
}

const CHUNK = 5_000;

async function suppressAll(tx: Prisma.TransactionClient, erasure_id: string, hashes: readonly JournalHash[]) {
  for (let from = 0; from < hashes.length; from += CHUNK) {
    const data = hashes.slice(from, from + CHUNK).map(({ connection, hash, kind, stream, created, until }) => ({
      ...{ connection_id: connection, erasure_id, kind, stream },
      hash: Buffer.from(hash, 'base64'),
      created_at: created === null ? null : new Date(created),
      until: until === null ? null : new Date(until),
    }));
    await tx.syncSuppression.createMany({ data, skipDuplicates: true });
  }
}

/** A row is suppressed for its own account, and for accounts of other products, which may refer to it. */
function hashesOf(
  { targets }: PlanParts,
  { key, plan, until }: { readonly key: Buffer; readonly plan: ErasurePlan; readonly until: Date | null },
): JournalHash[] {
  const schemas = new Map(targets.map(({ connectionId, stream }) => [connectionId, stream.table.schema]));
  const limit = until?.toISOString() ?? null;
  const hash = (mark: Mark) => hashMark(key, mark).toString('base64');
  const found = new Map<string, JournalHash>();
  const add = (one: JournalHash) => found.set(`${one.connection} ${one.hash}`, one);
  for (const { connectionId, stream, id, createdAt, keys } of plan.rows) {
    const others = plan.connectionIds.filter((other) => schemas.get(other) !== schemas.get(connectionId));
    for (const mark of [id, ...keys].map((one) => rowMark(stream, one))) {
      for (const connection of [connectionId, ...others]) {
        add({ connection, hash: hash(mark), kind: 'row', stream, created: createdAt, until: limit });
      }
    }
  }
  const everywhere = [
    ...plan.addresses.map((address) => ['address', addressMark(address)] as const),
    ...plan.numbers.map((number) => ['number', numberMark(number)] as const),
  ];
  for (const [kind, mark] of everywhere) {
    for (const connection of plan.connectionIds) {
      add({ connection, hash: hash(mark), kind, stream: null, created: null, until: limit });
    }
  }
  return [...found.values()];
}

/** More rounds than a page under way can need; each takes what was written before the epoch moved. */
const ROUNDS = 10;

async function erase(parts: ErasureParts, erasure: Erasure, first: ErasurePlan): Promise<ErasureReport> {
  const { prisma, targets } = parts;
  const counts: Record<string, number> = {};
  const until = erasure.alsoFuture ? null : erasure.requestedAt;
  let plan = first;
  for (let round = 1, next = plan; ; round += 1) {
    await empty(parts, next, counts);
    next = await new Closure(prisma, targets, { taken: plan, until }).find();
    if (next.rows.length + next.quarantine.length === 0 || round === ROUNDS) break;
    plan = joinPlans(plan, next);
    await record(parts, erasure, plan);
  }
  await parts.onStep?.('rows');
  await refresh(parts, false);
  await parts.onStep?.('reports');
  // Emptied before, so that reports and the feed know of it.
  const isDeleted = (name: string) => erasure.deletesRows || tableOf(targets, name)?.personal?.isDeleted === true;
  await change(parts, { rows: plan.rows.filter(({ stream }) => isDeleted(stream)) }, { change: 'delete' });
  let residue = await search(parts, plan, []);
  if (Object.keys(residue).some((table) => table.startsWith('reporting.'))) {
    // Of rows that were deleted by hand only a full refresh knows.
    await refresh(parts, true);
    residue = await search(parts, plan, []);
  }
  const tables = [...new Set(plan.rows.map(({ stream }) => stream))].flatMap((name) => tableOf(targets, name) ?? []);
  const names = tables.map(({ schema, name }) => `"${schema}"."${name}"`);
  const isVacuumed = await vacuum(prisma, [...names, 'sync.quarantine']);
  await parts.onStep?.('searched');
  const state = Object.keys(residue).length === 0 ? ('done' as const) : ('residue' as const);
  await prisma.syncErasure.update({
    where: { id: erasure.id },
    data: { state, ended_at: await databaseNow(prisma), counts, residue: { ...residue }, plan: null },
  });
  return { erasure: erasure.id, state, matched: countRows(plan), erased: counts, residue, isVacuumed };
}

const POLL_MS = 250;

/** A refresh under way has read the rows as they were: it is waited for. */
async function refresh({ refresh, clock, signal }: ErasureParts, isFull: boolean): Promise<void> {
  while (!(await refresh({ isFull }))) await clock.sleep(POLL_MS, signal);
}

const tableOf = (targets: readonly ErasureTarget[], name: string) =>
  targets.find(({ stream }) => stream.name === name)?.stream.table;

/** Texts in quarantine first: their retry locks them before it writes. Then what refers to the person, the person last. */
async function empty(parts: ErasureParts, plan: ErasurePlan, counts: Record<string, number>): Promise<void> {
  const { prisma } = parts;
  const add = (table: string, count: number) => {
    if (count > 0) counts[table] = (counts[table] ?? 0) + count;
  };
  add('sync.quarantine', await removeRecords(prisma, plan));
  await parts.onStep?.('quarantine');
  await change(parts, plan, { change: 'empty', add });
}

/** Deletes the texts in quarantine, and the ids that are noted where a record looked different. Returns how many texts. */
export async function removeRecords(
  prisma: PrismaClient,
  plan: Pick<ErasurePlan, 'quarantine' | 'rows'>,
): Promise<number> {
  const ids = plan.quarantine.map(BigInt);
  const { count } = await prisma.syncQuarantine.deleteMany({ where: { id: { in: ids } } });
  const named = plan.rows.map(({ id }) => id);
  for (const row of await prisma.syncSchemaDrift.findMany({ where: { record_ids: { hasSome: named } } })) {
    const { connection_id, stream, path, kind, record_ids } = row;
    const where = { connection_id_stream_path_kind: { connection_id, stream, path, kind } };
    await prisma.syncSchemaDrift.update({
      where,
      data: { record_ids: record_ids.filter((id) => !named.includes(id)) },
    });
  }
  return count;
}

const BATCH = 500;

async function change(
  parts: ErasureParts,
  plan: Pick<ErasurePlan, 'rows'>,
  { change, add }: { readonly change: RowChange; readonly add?: (table: string, count: number) => void },
): Promise<void> {
  const { prisma, targets, clock, logger, signal } = parts;
  const isPerson = (stream: string) => tableOf(targets, stream)?.personal?.isPerson === true;
  const rows = [...plan.rows].sort((a, b) => Number(isPerson(a.stream)) - Number(isPerson(b.stream)));
  for (const [, group] of groupBy(rows, ({ connectionId, stream }) => `${connectionId} ${stream}`)) {
    const { connectionId, stream } = group[0] ?? { connectionId: '', stream: '' };
    const table = tableOf(targets, stream);
    if (table === undefined) continue;
    const kept = keptColumns(table);
    for (let from = 0; from < group.length; from += BATCH) {
      signal.throwIfAborted();
      const ids = group.slice(from, from + BATCH).map(({ id }) => id);
      const options = { connectionId, ids, change, kept };
      const work = () => changeRows(prisma, table, options);
      const { rows, versions } = await withRetry({ clock, logger, stream, signal }, work);
      add?.(stream, rows);
      add?.(versionsOf(stream), versions);
    }
  }
}

/** Ids of an account's rows that the hashes name. */
async function* namedRows(
  { prisma, targets }: PlanParts,
  isNamed: (connectionId: string, mark: Mark) => boolean,
  isErased: boolean,
) {
  for (const { connectionId, stream } of targets) {
    const batches = selectBatches<{ id: string; keys: string[] }>(prisma, stream.table, {
      select: { id: 'id', keys: { texts: stream.table.personal?.keys ?? [] } },
      where: { connection_id: connectionId, erased_at: isErased ? { not: null } : null },
      limit: CHUNK,
    });
    for await (const rows of batches) {
      for (const { id, keys } of rows) {
        if (!isNamed(connectionId, rowMark(stream.name, id))) continue;
        yield { connectionId, stream: stream.name, id, createdAt: null, keys };
      }
    }
  }
}

/** Ends the suppressions of an erasure: the next full sync writes what the upstream still has. */
export async function lift(parts: ErasureParts, id: string): Promise<{ readonly freed: number }> {
  const { prisma, targets } = parts;
  const erasure = await prisma.syncErasure.findUnique({ where: { id } });
  const mine = await prisma.syncSuppression.findMany({ where: { erasure_id: id } });
  if (erasure === null || mine.length === 0) {
    throw new PrivacyError(
      'erasure_unfinished',
      `there is no erasure ${id} that could be lifted; sync.erasures lists them all`,
    );
  }
  const { key, sealed } = await keyOf(parts);
  const hashes = new Set(
    mine.map(({ connection_id, hash }) => `${connection_id} ${Buffer.from(hash).toString('base64')}`),
  );
  const isNamed = (connectionId: string, mark: Mark) =>
    hashes.has(`${connectionId} ${hashMark(key, mark).toString('base64')}`);
  const rows = [];
  for await (const row of namedRows(parts, isNamed, true)) rows.push(row);
  await prisma.$transaction(async (tx) => {
    const { epoch, ...known } = await moveEpoch(tx);
    const journal = await openJournal(parts, known, sealed);
    await tx.syncSuppression.deleteMany({ where: { erasure_id: id } });
    await tx.syncErasure.update({ where: { id }, data: { state: 'lifted' } });
    await tx.syncCheckpoint.updateMany({ data: { privacy_epoch: epoch } });
    await note(tx, parts, journal, { lifted: id, at: (await databaseNow(tx)).toISOString() });
  });
  // What another erasure still suppresses stays as it is.
  const others = new Map<string, Suppressions>();
  for (const connectionId of new Set(targets.map((target) => target.connectionId))) {
    const parts = { connectionId, key, hashes: await readHashes(prisma, connectionId) };
    others.set(connectionId, new StoredSuppressions(prisma, parts));
  }
  const free = rows.filter(({ connectionId, stream, id }) => !others.get(connectionId)?.has(rowMark(stream, id)));
  let freed = 0;
  const add = (_: string, count: number) => {
    freed += count;
  };
  await change(parts, { rows: free }, { change: 'free', add });
  return { freed };
}

/** Repeats in a restored database what the journal has. @throws PrivacyError when the file is no journal of it */
export async function replay(parts: ErasureParts): Promise<readonly ErasureReport[]> {
  const { prisma, targets } = parts;
  const journal = await readJournal(parts.journal);
  if (journal === null) {
    const message = `there is no journal of erasures at ${parts.journal}; give the file that PRIVACY_JOURNAL named`;
    throw new PrivacyError('journal_unusable', message);
  }
  const { key } = await keyOf(parts);
  const lifted = new Set(journal.entries.flatMap((entry) => ('lifted' in entry ? [entry.lifted] : [])));
  const entries = journal.entries.flatMap((entry) => ('lifted' in entry || lifted.has(entry.erasure) ? [] : [entry]));
  await prisma.$transaction(
    async (tx) => {
      const { epoch } = await moveEpoch(tx);
      for (const { erasure: id, at, reason, hashes } of entries) {
        const row = { id, reason, actor: leaseOwner, state: 'erasing', requested_at: new Date(at) };
        await tx.syncErasure.upsert({ where: { id }, create: row, update: {} });
        await suppressAll(tx, id, hashes);
      }
      await tx.syncSuppression.deleteMany({ where: { erasure_id: { in: [...lifted] } } });
      await tx.syncCheckpoint.updateMany({ data: { privacy_epoch: epoch } });
    },
    { timeout: RECORD_MS },
  );
  const reports: ErasureReport[] = [];
  for (const [id, lines] of groupBy(entries, ({ erasure }) => erasure)) {
    const hashes = new Set(lines.flatMap((line) => line.hashes.map(({ connection, hash }) => `${connection} ${hash}`)));
    const isNamed = (connectionId: string, mark: Mark) =>
      hashes.has(`${connectionId} ${hashMark(key, mark).toString('base64')}`);
    const rows = [];
    for await (const row of namedRows(parts, isNamed, false)) rows.push(row);
    const requestedAt = new Date(lines[0]?.at ?? 0);
    const isFuture = lines.some((line) => line.hashes.some(({ until }) => until === null));
    const connectionIds = [...new Set(targets.map((target) => target.connectionId))];
    const nothing = { leads: [], links: [], requests: [], emails: [], phones: [] };
    const until = isFuture ? null : requestedAt;
    const found = await new Closure(prisma, targets, { taken: emptyPlan(connectionIds), until })
      .select({ ...nothing, rows })
      .find();
    const shared = await namesOfOthers(parts, found);
    const plan = { ...found, names: found.names.filter((name) => !shared.has(name)) };
    const { reason = 'request', deletes = false } = lines[0] ?? {};
    const options = { reason, reference: null, alsoFuture: isFuture, deletesRows: deletes };
    const erasure = { ...options, id, requestedAt, isRepeated: true };
    await record(parts, erasure, plan);
    reports.push(await erase(parts, erasure, plan));
  }
  // Only now may runs begin.
  const known = { journal_id: journal.head.journal, journal_hash: lastDigest(journal) };
  await prisma.syncPrivacy.update({ where: { id: 1 }, data: known });
  return reports;
}
