import type { Prisma, PrismaClient, SyncAlert, SyncAlertMessage } from '../../generated/prisma/client.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { LOCKS } from '../locks.ts';
import {
  type AlertCondition,
  type AlertKey,
  type AlertKind,
  readAlertConditions,
} from '../reports/alert-conditions.ts';

export interface AlertRow extends Omit<SyncAlert, 'kind' | 'notified_at' | 'message_id'> {
  readonly kind: AlertKind;
}

export interface RoundFacts {
  readonly now: Date;
  /** Null: the first round ever. */
  readonly lastRoundAt: Date | null;
  readonly conditions: readonly AlertCondition[];
  /** What is not settled: pending, open, or over and not yet reported. */
  readonly rows: readonly AlertRow[];
}

export interface RoundResult {
  readonly upserts: readonly AlertRow[];
  readonly deletes: readonly AlertKey[];
  /** The message about some of the upserts; null: nothing to report. */
  readonly message: { readonly id: string; readonly body: unknown; readonly about: readonly AlertRow[] } | null;
}

/**
 * One look at everything, in one transaction with what it changes and the messages about it: whatever process looks,
 * and wherever it is killed, no change is reported twice or never. Null when another process looks now or has just
 * looked.
 */
export async function holdRound(
  prisma: PrismaClient,
  options: {
    readonly minGapMs: number;
    readonly channels: readonly string[];
    readonly decide: (facts: RoundFacts) => RoundResult;
  },
): Promise<RoundResult | null> {
  return prisma.$transaction(async (tx) => {
    const turn = await takeTurn(tx, options.minGapMs);
    if (turn === null) return null;
    const conditions = await readAlertConditions(tx);
    const rows = await tx.syncAlert.findMany({
      where: { OR: [{ is_seen: true }, { closed_at: null }] },
      omit: { notified_at: true, message_id: true },
    });
    const result = options.decide({ ...turn, conditions, rows: rows as AlertRow[] });
    await write(tx, result, options.channels);
    return result;
  });
}

async function takeTurn(tx: Prisma.TransactionClient, minGapMs: number) {
  const [turn] = await tx.$queryRaw<{ locked: boolean; now: Date }[]>`
    select pg_try_advisory_xact_lock(${LOCKS.alerts}::bigint) as locked, clock_timestamp() as now`;
  if (turn?.locked !== true) return null;
  const { now } = turn;
  const lastRoundAt = (await tx.syncAlertRound.findUnique({ where: { id: 1 } }))?.evaluated_at ?? null;
  if (lastRoundAt !== null && addMs(lastRoundAt, minGapMs) > now) return null;
  const round = { id: 1, evaluated_at: now };
  await tx.syncAlertRound.upsert({ where: { id: 1 }, create: round, update: round });
  return { now, lastRoundAt };
}

/** Rows in one statement: each of them has two or three parameters. */
const MOST_DELETES = 1_000;

async function write(tx: Prisma.TransactionClient, result: RoundResult, channels: readonly string[]): Promise<void> {
  const { upserts, deletes, message } = result;
  for (let from = 0; from < deletes.length; from += MOST_DELETES) {
    await tx.syncAlert.deleteMany({ where: { OR: deletes.slice(from, from + MOST_DELETES) } });
  }
  if (message !== null) {
    const { id, body } = message;
    await tx.syncAlertMessage.createMany({
      data: channels.map((channel) => ({ id, channel, body: body as Prisma.InputJsonValue })),
    });
  }
  if (upserts.length === 0) return;
  const about = new Set(message?.about);
  const rows = upserts.map((row) => ({ ...row, message_id: about.has(row) ? message?.id : null }));
  await tx.$executeRaw`
    insert into sync.alerts (connection_id, stream, kind, reason, reason_code, since, is_seen, seen_since, opened_at,
      closed_at, message_id)
    select * from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(connection_id text, stream text, kind text,
      reason text, reason_code text, since timestamptz, is_seen boolean, seen_since timestamptz, opened_at timestamptz,
      closed_at timestamptz, message_id uuid)
    on conflict (connection_id, stream, kind) do update set reason = excluded.reason,
      reason_code = excluded.reason_code, since = excluded.since, is_seen = excluded.is_seen,
      seen_since = excluded.seen_since, opened_at = excluded.opened_at,
      closed_at = excluded.closed_at, message_id = coalesce(excluded.message_id, sync.alerts.message_id),
      notified_at = case when excluded.message_id is null then sync.alerts.notified_at end`;
}

/** `attempts`: this one included. */
export type DueMessage = Pick<SyncAlertMessage, 'id' | 'body' | 'attempts' | 'created_at'>;

/**
 * Takes the oldest message of a channel that is not delivered, when it is due; no other process takes it for `leaseMs`.
 * Later ones wait for it, so that "over" never comes before "begun".
 */
export async function claimMessage(prisma: PrismaClient, channel: string, leaseMs: number): Promise<DueMessage | null> {
  const now = await databaseNow(prisma);
  const isOpen = { channel, delivered_at: null, given_up_at: null };
  const first = await prisma.syncAlertMessage.findFirst({ where: isOpen, orderBy: { number: 'asc' } });
  if (first === null || first.next_attempt_at > now) return null;
  const { id, body, created_at, attempts } = first;
  // Where another process was faster, it has counted its attempt.
  const { count } = await prisma.syncAlertMessage.updateMany({
    where: { ...isOpen, id, attempts },
    data: { attempts: attempts + 1, next_attempt_at: addMs(now, leaseMs) },
  });
  return count === 0 ? null : { id, body, attempts: attempts + 1, created_at };
}

export async function markDelivered(prisma: PrismaClient, id: string, channel: string): Promise<void> {
  const now = await databaseNow(prisma);
  await prisma.$transaction([
    prisma.syncAlertMessage.updateMany({ where: { id, channel }, data: { delivered_at: now, last_error: null } }),
    prisma.syncAlert.updateMany({ where: { message_id: id, notified_at: null }, data: { notified_at: now } }),
  ]);
}

/** `retryInMs` null: it is not tried again. */
export async function markFailed(
  prisma: PrismaClient,
  { id, channel, error, retryInMs }: { id: string; channel: string; error: string; retryInMs: number | null },
): Promise<void> {
  const now = await databaseNow(prisma);
  await prisma.syncAlertMessage.updateMany({
    where: { id, channel, delivered_at: null },
    data: {
      last_error: error,
      next_attempt_at: addMs(now, retryInMs ?? 0),
      given_up_at: retryInMs === null ? now : null,
    },
  });
}

const DAY_MS = 86_400_000;

export async function pruneAlerts(prisma: PrismaClient): Promise<void> {
  const now = await databaseNow(prisma);
  const delivered = { lt: addMs(now, -30 * DAY_MS) };
  await prisma.syncAlertMessage.deleteMany({
    where: { OR: [{ delivered_at: delivered }, { given_up_at: delivered }] },
  });
  await prisma.syncAlert.deleteMany({ where: { is_seen: false, closed_at: { lt: addMs(now, -90 * DAY_MS) } } });
}
