import { PrivacyError } from '../../errors.ts';
import type { Prisma, SyncPrivacy } from '../../generated/prisma/client.ts';
import { leaseOwner } from '../../store/engine/leases.ts';
import { whatIsMissing } from '../../store/privacy/guard.ts';
import {
  appendEntry,
  createJournal,
  type JournalEntry,
  type JournalHash,
  readJournal,
} from '../../store/privacy/journal.ts';
import { ensurePrivacySecret, seal, unseal } from '../../store/privacy/key.ts';
import { addressMark, hashMark, type Mark, numberMark, rowMark, suppressionKey } from '../../store/privacy/marks.ts';
import type { ChangeParts } from './erase-rows.ts';
import type { ErasurePlan, ErasureTarget } from './erasure-plan.ts';

/** What an erasure leaves behind before it changes a row: its line, the hashes, the epoch and the line of the journal. */
export interface ErasureParts extends ChangeParts {
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

export interface Erasure extends ErasureOptions {
  readonly id: string;
  readonly requestedAt: Date;
  /** The journal has it already. */
  readonly isRepeated?: boolean;
}

export interface Kept {
  readonly plan: ErasurePlan;
  readonly options: ErasureOptions;
}

/** The database's secret, which is that of the journal where there is one. */
export async function keyOf(parts: ErasureParts): Promise<{ key: Buffer; sealed: Buffer }> {
  const { prisma, secretKey, signal } = parts;
  const journal = await readJournal(parts.journal);
  const opened = journal === null ? null : await unseal<string>(secretKey, Buffer.from(journal.head.key, 'base64'));
  const inJournal = journal === null ? null : Buffer.from(opened ?? '', 'base64');
  const secret = await ensurePrivacySecret(prisma, secretKey, { given: inJournal, signal });
  if (inJournal !== null && !inJournal.equals(secret)) {
    const message = `the journal of erasures, ${parts.journal}, belongs to another database; let PRIVACY_JOURNAL name the right one. Nothing was changed`;
    throw new PrivacyError('journal_unusable', message);
  }
  return { key: suppressionKey(secret), sealed: await seal(secretKey, secret.toString('base64')) };
}

/** Everything that keeps the person away, in one transaction, whose last step is the line of the journal. */
export async function record(parts: ErasureParts, erasure: Erasure, plan: ErasurePlan): Promise<void> {
  const { prisma } = parts;
  const { key, sealed } = await keyOf(parts);
  const { id, requestedAt, isRepeated, ...options } = erasure;
  const { reason, reference, alsoFuture, deletesRows: deletes } = options;
  const hashes = hashesOf(parts.targets, { key, plan, until: alsoFuture ? null : requestedAt });
  if (isRepeated) {
    await prisma.$transaction((tx) => suppressAll(tx, id, hashes), { timeout: RECORD_MS });
    return;
  }
  const kept: Kept = { plan, options };
  const state = { state: 'erasing', plan: await seal(parts.secretKey, kept) };
  await prisma.$transaction(
    async (tx) => {
      const known = await moveEpoch(tx, plan.connectionIds);
      const row = { id, reason, reference, actor: leaseOwner, requested_at: requestedAt };
      await tx.syncErasure.upsert({ where: { id }, create: { ...row, ...state }, update: state });
      await suppressAll(tx, id, hashes);
      const entry = { erasure: id, at: requestedAt.toISOString(), reason, deletes, hashes };
      await note(tx, parts, { known, sealed, entry });
    },
    { timeout: RECORD_MS },
  );
}

export const RECORD_MS = 120_000;

/**
 * Behind its transaction no run of these accounts writes what it prepared before. Locks the row: of two erasures one
 * waits here, and checkpoints that are being made are waited for.
 */
export async function moveEpoch(tx: Prisma.TransactionClient, connectionIds?: readonly string[]): Promise<SyncPrivacy> {
  const moved = await tx.syncPrivacy.update({ where: { id: 1 }, data: { epoch: { increment: 1 } } });
  const where = connectionIds === undefined ? {} : { connection_id: { in: [...connectionIds] } };
  await tx.syncCheckpoint.updateMany({ where, data: { privacy_epoch: moved.epoch } });
  return moved;
}

interface Noted {
  readonly known: SyncPrivacy;
  /** The key, for a journal that begins with this. */
  readonly sealed: Buffer;
  readonly entry: JournalEntry;
}

/** The last step of a transaction. @throws PrivacyError when it is not the journal that the database knows, or is ahead of it */
export async function note(
  tx: Prisma.TransactionClient,
  { journal: path }: ErasureParts,
  { known, sealed, entry }: Noted,
): Promise<void> {
  const read = await readJournal(path);
  const problem = whatIsMissing(read, known);
  if (problem !== null) throw problem;
  const journal = read ?? (await createJournal(path, sealed));
  const journal_hash = await appendEntry(path, journal, entry);
  await tx.syncPrivacy.update({ where: { id: 1 }, data: { journal_id: journal.head.journal, journal_hash } });
}

const CHUNK = 5_000;

export async function suppressAll(tx: Prisma.TransactionClient, erasure_id: string, hashes: readonly JournalHash[]) {
  for (let from = 0; from < hashes.length; from += CHUNK) {
    const data = hashes.slice(from, from + CHUNK).map(({ connection, hash, kind, stream, created, until }) => ({
      connection_id: connection,
      erasure_id,
      kind,
      stream,
      hash: Buffer.from(hash, 'base64'),
      created_at: created === null ? null : new Date(created),
      until: until === null ? null : new Date(until),
    }));
    await tx.syncSuppression.createMany({ data, skipDuplicates: true });
  }
}

/** A row is suppressed for its own account, and for accounts of other products, which may refer to it. */
function hashesOf(
  targets: readonly ErasureTarget[],
  { key, plan, until }: { readonly key: Buffer; readonly plan: ErasurePlan; readonly until: Date | null },
): JournalHash[] {
  const schemas = new Map(targets.map(({ connectionId, stream }) => [connectionId, stream.table.schema]));
  const found = new Map<string, JournalHash>();
  type Known = Pick<JournalHash, 'kind' | 'stream' | 'created'>;
  const add = (mark: Mark, connections: readonly string[], known: Known) => {
    const hash = hashMark(key, mark).toString('base64');
    for (const connection of connections) {
      found.set(`${connection} ${hash}`, { connection, hash, ...known, until: until?.toISOString() ?? null });
    }
  };
  for (const { connectionId, stream, id, createdAt: created, keys } of plan.rows) {
    const others = plan.connectionIds.filter((other) => schemas.get(other) !== schemas.get(connectionId));
    for (const one of [id, ...keys]) {
      add(rowMark(stream, one), [connectionId, ...others], { kind: 'row', stream, created });
    }
  }
  const anywhere = { stream: null, created: null };
  for (const address of plan.addresses) add(addressMark(address), plan.connectionIds, { kind: 'address', ...anywhere });
  for (const number of plan.numbers) add(numberMark(number), plan.connectionIds, { kind: 'number', ...anywhere });
  return [...found.values()];
}
