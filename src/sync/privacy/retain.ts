import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { Logger } from '../../logger.ts';
import { databaseNow } from '../../store/database-time.ts';
import { leaseOwner } from '../../store/engine/leases.ts';
import { countStoredRecords } from '../../store/mirror/reproject.ts';
import { selectBatches } from '../../store/mirror/select-rows.ts';
import { addErased, readReferring } from '../../store/privacy/due-rows.ts';
import type { PrivacyGuard } from '../../store/privacy/guard.ts';
import { rowMark } from '../../store/privacy/marks.ts';
import { changeRows } from '../../store/privacy/person-rows.ts';
import { readPrivacyEpoch } from '../../store/privacy/suppressions.ts';
import type { RetentionRule } from '../../stream.ts';
import { Closure, type Counts, countRows, emptyPlan, rowsByTarget } from './closure.ts';
import { type DueBatch, type DueParts, dueRows, type RetentionTarget } from './due.ts';
import { changeGroup, removeRecords } from './erase-rows.ts';
import { findTexts, removeTexts } from './remove-texts.ts';
import { keptColumns } from './rules.ts';

/**
 * Applies the rules of retention. Rows are emptied and stay, as with `forget`: pages, repairs and retries leave an
 * emptied row alone, so nothing else has to remember it; after a restore the rule applies again. Each batch is
 * judged when it is its turn, and what refers to a row is emptied before it: a stop at any point leaves the rest due.
 */
export interface RetentionParts extends DueParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly privacy: PrivacyGuard;
  readonly rules: readonly RetentionRule[];
  /** A rule that is due for a greater share of a table is not applied, unless it is forced. */
  readonly share: number;
  /** Called behind each part of a table that was changed. */
  readonly onStep?: () => void;
}

export interface RuleReport extends RetentionRule {
  /** Rows of the stream that have been kept for long enough, of how many. */
  readonly due: number;
  readonly of: number;
  readonly isBlocked: boolean;
  /** Rows by table: what went, or would go. */
  readonly tables: Counts;
}

export interface RetentionReport {
  readonly rules: readonly RuleReport[];
  /** Persons who came back since their row was emptied: the next full sync writes it again. */
  readonly returned: number;
  /** The limit was reached before all was done. */
  readonly hasMore: boolean;
}

export interface RetentionOptions {
  readonly isDryRun?: boolean;
  readonly isForced?: boolean;
  /** Rows of all tables together; absent: no limit. */
  readonly limit?: number;
}

/** Fewer are never too many. */
const FEW = 100;

/** @throws PrivacyError while the database lacks erasures that the journal has */
export async function applyRetention(parts: RetentionParts, options: RetentionOptions = {}): Promise<RetentionReport> {
  const { isDryRun = false, isForced = false, limit = Number.POSITIVE_INFINITY } = options;
  const log = new ErasureLog(parts);
  const rules: RuleReport[] = [];
  let left = limit;
  let returned = 0;
  for (const rule of parts.rules) {
    const husks = await referredHusks(parts, rule);
    returned += await freeReturned(parts, husks, isDryRun);
    const { due, of } = await countDue(parts, rule);
    const isBlocked = !isForced && due > FEW && due > of * parts.share;
    const tables: Record<string, number> = {};
    const note = async (table: string, count: number) => {
      if (count === 0) return;
      tables[table] = (tables[table] ?? 0) + count;
      left -= count;
      if (isDryRun) return;
      await log.add(table, count);
      parts.onStep?.();
    };
    for (const batch of husks)
      await eraseBatch(parts, { ...batch, rows: batch.late, isErased: true }, { note, isDryRun });
    const isSkipped = due === 0 || (isBlocked && !isDryRun);
    for await (const batch of isSkipped ? [] : dueRows(parts, rule)) {
      if (left <= 0 && !isDryRun) break;
      if (rule.do === 'erase') await eraseBatch(parts, batch, { note, isDryRun });
      else await textsOfBatch(parts, batch, { note, isDryRun });
    }
    rules.push({ ...rule, due, of, isBlocked, tables });
  }
  if (!isDryRun) await log.end();
  return { rules, returned, hasMore: left <= 0 && !isDryRun };
}

const HUSKS = 1_000;

interface Referred extends Pick<DueBatch, 'target' | 'before'> {
  /** Emptied rows of persons who were in contact since. */
  readonly returned: readonly { readonly id: string }[];
  /** Emptied rows to which only old ones refer, that were mirrored later. */
  readonly late: readonly { readonly id: string }[];
}

/** Without those on the list of what must not come back: `forget` takes care of these. */
async function referredHusks(parts: RetentionParts, rule: RetentionRule): Promise<Referred[]> {
  const { prisma, targets, privacy } = parts;
  if (rule.since !== 'last_contact' || rule.do !== 'erase') return [];
  const before = await databaseNow(prisma, rule.after);
  const epoch = await readPrivacyEpoch(prisma);
  const found: Referred[] = [];
  for (const target of targets.filter(({ stream }) => stream.name === rule.stream)) {
    const { connectionId, stream } = target;
    const list = await privacy.load(connectionId, epoch);
    const newest = new Map<string, number>();
    for (const other of targets.filter((one) => one.connectionId === connectionId)) {
      const { contact, refersTo = {} } = other.stream.table.personal ?? {};
      if (contact === undefined || refersTo[contact.by] !== stream.name) continue;
      if (contact.isVisit && !parts.visitsCount) continue;
      const husks = selectBatches<{ id: string }>(prisma, stream.table, {
        select: { id: 'id' },
        where: { connection_id: connectionId, erased_at: { not: null } },
        limit: HUSKS,
      });
      for await (const some of husks) {
        const query = { connectionId, path: contact.by, at: contact.at, ids: some.map(({ id }) => id) };
        for (const { of: id, at } of await readReferring(prisma, other.stream.table, query)) {
          if (!list.has(rowMark(stream.name, id))) newest.set(id, Math.max(newest.get(id) ?? 0, at?.getTime() ?? 0));
        }
      }
    }
    const rows = [...newest].map(([id, at]) => ({ id, isBack: at >= before.getTime() }));
    found.push({
      target,
      before,
      returned: rows.filter(({ isBack }) => isBack),
      late: rows.filter(({ isBack }) => !isBack),
    });
  }
  return found;
}

/** Lets the next full sync write the rows of persons who are back. Returns how many. */
async function freeReturned(
  { prisma }: RetentionParts,
  husks: readonly Referred[],
  isDryRun: boolean,
): Promise<number> {
  let count = 0;
  for (const { target, returned } of husks) {
    const { connectionId, stream } = target;
    count += returned.length;
    const ids = returned.map(({ id }) => id);
    const options = { connectionId, ids, change: 'free' as const, kept: keptColumns(stream.table) };
    if (!isDryRun && ids.length > 0) await changeRows(prisma, stream.table, options);
  }
  return count;
}

async function countDue(parts: RetentionParts, rule: RetentionRule): Promise<{ due: number; of: number }> {
  let due = 0;
  for await (const { rows } of dueRows(parts, rule)) due += rows.length;
  let of = 0;
  for (const { connectionId, stream } of parts.targets.filter((target) => target.stream.name === rule.stream)) {
    of += await countStoredRecords(parts.prisma, { connectionId, table: stream.table });
  }
  return { due, of };
}

interface Batch extends Pick<DueBatch, 'target'> {
  readonly rows: readonly { readonly id: string }[];
  /** The rows are empty already: only what refers to them is looked for. */
  readonly isErased?: boolean;
}

/** The rows of a batch and all that refers to them, by id. */
function closureOf({ prisma, targets }: RetentionParts, { target, rows, isErased = false }: Batch) {
  const { connectionId, stream } = target;
  const { schema } = stream.table;
  const connections = targets
    .filter((other) => other.connectionId === connectionId || other.stream.table.schema !== schema)
    .map((other) => other.connectionId);
  const nothing = { leads: [], links: [], requests: [], emails: [], phones: [] };
  const named = rows.map(({ id }) => ({ connectionId, stream: stream.name, id }));
  const taken = {
    ...emptyPlan([...new Set(connections)]),
    rows: isErased ? named.map((row) => ({ ...row, createdAt: null, keys: [] })) : [],
  };
  return new Closure(prisma, targets, { taken, byIdOnly: true }).select({ ...nothing, rows: named }).find();
}

interface BatchOptions {
  /** Gets what went, or would go. */
  readonly note: (table: string, count: number) => Promise<void>;
  readonly isDryRun: boolean;
}

async function eraseBatch(parts: RetentionParts, batch: Batch, { note, isDryRun }: BatchOptions): Promise<void> {
  if (batch.rows.length === 0) return;
  const plan = await closureOf(parts, batch);
  if (isDryRun) return noteAll(countRows(plan), note);
  await note('sync.quarantine', await removeRecords(parts.prisma, plan));
  const groups = rowsByTarget(parts.targets, plan.rows);
  const depth = (name: string) => depthOf(parts.targets, name);
  groups.sort((a, b) => depth(b.stream.name) - depth(a.stream.name));
  for (const group of groups) await changeGroup(parts, group, { change: 'empty', note });
}

async function noteAll(counts: Counts, note: BatchOptions['note']): Promise<void> {
  for (const [table, count] of Object.entries(counts)) await note(table, count);
}

async function textsOfBatch(parts: RetentionParts, batch: DueBatch, { note, isDryRun }: BatchOptions): Promise<void> {
  const plan = await closureOf(parts, batch);
  if (isDryRun) await noteAll(await findTexts(parts, plan), note);
  else await removeTexts(parts, batch, plan, note);
}

/** What refers to a stream is deeper than it. */
function depthOf(targets: readonly RetentionTarget[], name: string, seen: readonly string[] = []): number {
  const refersTo = targets.find(({ stream }) => stream.name === name)?.stream.table.personal?.refersTo ?? {};
  const parents = [...new Set(Object.values(refersTo))].filter((parent) => !seen.includes(parent));
  return Math.max(0, ...parents.map((parent) => 1 + depthOf(targets, parent, [...seen, name])));
}

/** The line in `sync.erasures`: begun with the first batch, and continued by the next round where one was stopped. */
class ErasureLog {
  readonly #parts: Pick<RetentionParts, 'prisma'>;
  #id: string | null = null;

  constructor(parts: Pick<RetentionParts, 'prisma'>) {
    this.#parts = parts;
  }

  async add(table: string, count: number): Promise<void> {
    const { prisma } = this.#parts;
    this.#id ??= (await this.#unfinished()) ?? (await this.#begin());
    await addErased(prisma, this.#id, { [table]: count });
  }

  async end(): Promise<void> {
    const { prisma } = this.#parts;
    const id = this.#id ?? (await this.#unfinished());
    if (id === null) return;
    const ended_at = await databaseNow(prisma);
    await prisma.syncErasure.update({ where: { id }, data: { state: 'done', ended_at } });
  }

  async #unfinished(): Promise<string | null> {
    const where = { reason: REASON, state: 'erasing' };
    return (await this.#parts.prisma.syncErasure.findFirst({ where }))?.id ?? null;
  }

  async #begin(): Promise<string> {
    const { prisma } = this.#parts;
    const id = randomUUID();
    const requested_at = await databaseNow(prisma);
    await prisma.syncErasure.create({
      data: { id, reason: REASON, actor: leaseOwner, state: 'erasing', requested_at, counts: {} },
    });
    return id;
  }
}

const REASON = 'retention';
