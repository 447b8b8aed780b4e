import type { Clock } from '../../clock.ts';
import { PrivacyError } from '../../errors.ts';
import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import type { Logger } from '../../logger.ts';
import { leaseOwner } from '../../store/engine/leases.ts';
import { whatIsMissing } from '../../store/privacy/guard.ts';
import {
  appendEntry,
  createJournal,
  type Journal,
  type JournalEntry,
  type JournalHash,
  readJournal,
} from '../../store/privacy/journal.ts';
import { ensurePrivacySecret, seal, unseal } from '../../store/privacy/key.ts';
import { addressMark, hashMark, type Mark, numberMark, rowMark, suppressionKey } from '../../store/privacy/marks.ts';
import type { ErasurePlan, ErasureTarget } from './closure.ts';
import type { PlanParts } from './plan.ts';

/** What an erasure leaves behind before it changes a row: its line, the hashes, the epoch and the line of the journal. */
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
export async function record(parts: ErasureParts, erasure: Erasure, plan: ErasurePlan): Promise<void> {
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

export const RECORD_MS = 120_000;

/** Locks the row: of two erasures one waits here, and checkpoints that are being made are waited for. */
export const moveEpoch = (tx: Prisma.TransactionClient) =>
  tx.syncPrivacy.update({ where: { id: 1 }, data: { epoch: { increment: 1 } } });

interface KnownJournal {
  readonly journal_id: string | null;
  readonly journal_hash: string | null;
}

/** @throws PrivacyError when it is not the journal that the database knows, or is ahead of it */
export async function openJournal(parts: ErasureParts, known: KnownJournal, sealedKey: Buffer): Promise<Journal> {
  const journal = await readJournal(parts.journal);
  const problem = whatIsMissing(journal, { id: 1, epoch: 0n, ...known });
  if (problem !== null) throw problem;
  return journal ?? createJournal(parts.journal, sealedKey);
}

export async function note(
  tx: Prisma.TransactionClient,
  parts: ErasureParts,
  journal: Journal,
  entry: JournalEntry,
): Promise<void> {
  const journal_hash = await appendEntry(parts.journal, journal, entry);
  await tx.syncPrivacy.update({ where: { id: 1 }, data: { journal_id: journal.head.journal, journal_hash } });
}

const CHUNK = 5_000;

export async function suppressAll(tx: Prisma.TransactionClient, erasure_id: string, hashes: readonly JournalHash[]) {
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
