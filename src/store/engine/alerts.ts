import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import { LOCKS } from '../locks.ts';
import { type AlertCondition, type AlertKey, readAlertConditions } from '../reports/alert-conditions.ts';

/** A line of `sync.alerts`. */
export interface AlertRow extends AlertCondition {
  readonly is_seen: boolean;
  readonly seen_since: Date;
  readonly opened_at: Date | null;
  readonly closed_at: Date | null;
}

export interface RoundFacts {
  /** The database's clock. */
  readonly now: Date;
  /** Null: the first round ever. */
  readonly lastRoundAt: Date | null;
  readonly conditions: readonly AlertCondition[];
  /** What is not settled: pending, open, or over and not yet told. */
  readonly rows: readonly AlertRow[];
}

export interface RoundResult {
  readonly upserts: readonly AlertRow[];
  readonly deletes: readonly AlertKey[];
  /** To be told; null: nothing changed for people. */
  readonly message: { readonly id: string; readonly body: unknown; readonly about: readonly AlertKey[] } | null;
}

/**
 * One look at everything, in one transaction with what it changes and the messages that tell of it: whatever process looks, and wherever it is killed, no
 * change is told twice or never. Null when another process looks now or has just looked.
 */
export async function holdRound(
  prisma: PrismaClient,
  options: {
    /** Nobody looks again before then. */
    readonly minGapMs: number;
    readonly channels: readonly string[];
    readonly decide: (facts: RoundFacts) => RoundResult;
  },
): Promise<RoundResult | null> {
  return prisma.$transaction(async (tx) => {
    const turn = await takeTurn(tx, options.minGapMs);
    if (turn === null) return null;
    const conditions = await readAlertConditions(tx);
    const rows = await tx.$queryRaw<AlertRow[]>`
      select connection_id, stream, kind, reason, reason_code, since, is_seen, seen_since, opened_at, closed_at from sync.alerts
      where is_seen or closed_at is null`;
    const result = options.decide({ ...turn, conditions, rows });
    await write(tx, result, options.channels);
    return result;
  });
}

interface Turn {
  readonly now: Date;
  readonly lastRoundAt: Date | null;
}

async function takeTurn(tx: Prisma.TransactionClient, minGapMs: number): Promise<Turn | null> {
  const [lock] = await tx.$queryRaw<
    { held: boolean }[]
  >`select pg_try_advisory_xact_lock(${LOCKS.alerts}::bigint) as held`;
  if (lock?.held !== true) return null;
  // The time of the statement, not of the transaction: the round before may have ended in between.
  const [turn] = await tx.$queryRaw<{ now: Date; last: Date | null; is_due: boolean }[]>`
    select statement_timestamp() as now, max(evaluated_at) as last,
      coalesce(max(evaluated_at) <= statement_timestamp() - make_interval(secs => ${minGapMs / 1000}::float8), true) as is_due
    from sync.alert_rounds`;
  if (turn?.is_due !== true) return null;
  await tx.$executeRaw`
    insert into sync.alert_rounds (id, evaluated_at) values (1, ${turn.now})
    on conflict (id) do update set evaluated_at = excluded.evaluated_at`;
  return { now: turn.now, lastRoundAt: turn.last };
}

async function write(tx: Prisma.TransactionClient, result: RoundResult, channels: readonly string[]): Promise<void> {
  const { upserts, deletes, message } = result;
  if (deletes.length > 0) {
    await tx.$executeRaw`
      delete from sync.alerts a
      using jsonb_to_recordset(${JSON.stringify(deletes)}::jsonb) as k(connection_id text, stream text, kind text)
      where a.connection_id = k.connection_id and a.stream = k.stream and a.kind = k.kind`;
  }
  if (upserts.length > 0) {
    await tx.$executeRaw`
      insert into sync.alerts (connection_id, stream, kind, reason, reason_code, since, is_seen, seen_since, opened_at, closed_at)
      select * from jsonb_to_recordset(${JSON.stringify(upserts)}::jsonb) as r(connection_id text, stream text, kind text, reason text, reason_code text,
        since timestamptz, is_seen boolean, seen_since timestamptz, opened_at timestamptz, closed_at timestamptz)
      on conflict (connection_id, stream, kind) do update set reason = excluded.reason, reason_code = excluded.reason_code, since = excluded.since,
        is_seen = excluded.is_seen, seen_since = excluded.seen_since, opened_at = excluded.opened_at, closed_at = excluded.closed_at`;
  }
  if (message === null) return;
  const body = JSON.stringify(message.body);
  for (const channel of channels) {
    await tx.$executeRaw`
      insert into sync.alert_messages (id, channel, body) values (${message.id}::uuid, ${channel}, ${body}::jsonb)`;
  }
  await tx.$executeRaw`
    update sync.alerts a set message_id = ${message.id}::uuid, notified_at = null
    from jsonb_to_recordset(${JSON.stringify(message.about)}::jsonb) as k(connection_id text, stream text, kind text)
    where a.connection_id = k.connection_id and a.stream = k.stream and a.kind = k.kind`;
}

export interface DueMessage {
  readonly id: string;
  readonly body: unknown;
  /** This one included. */
  readonly attempts: number;
  readonly created_at: Date;
}

/**
 * Takes the oldest message of a channel that is not delivered, when it is due; nobody else takes it for `leaseMs`. Later ones wait for it, so that "over"
 * never comes before "begun".
 */
export async function claimMessage(prisma: PrismaClient, channel: string, leaseMs: number): Promise<DueMessage | null> {
  const [message] = await prisma.$queryRaw<DueMessage[]>`
    update sync.alert_messages m
    set attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => ${leaseMs / 1000}::float8)
    where m.channel = ${channel} and m.next_attempt_at <= clock_timestamp() and m.delivered_at is null and m.given_up_at is null
      and m.number = (select min(o.number) from sync.alert_messages o
        where o.channel = ${channel} and o.delivered_at is null and o.given_up_at is null)
    returning id::text, body, attempts, created_at`;
  return message ?? null;
}

export async function markDelivered(prisma: PrismaClient, id: string, channel: string): Promise<void> {
  await prisma.$transaction([
    prisma.$executeRaw`
      update sync.alert_messages set delivered_at = now(), last_error = null where id = ${id}::uuid and channel = ${channel}`,
    prisma.$executeRaw`
      update sync.alerts set notified_at = now() where message_id = ${id}::uuid and notified_at is null`,
  ]);
}

/** `retryInMs` null: it is not tried again. */
export async function markFailed(
  prisma: PrismaClient,
  { id, channel, error, retryInMs }: { id: string; channel: string; error: string; retryInMs: number | null },
): Promise<void> {
  await prisma.$executeRaw`
    update sync.alert_messages set last_error = ${error},
      next_attempt_at = clock_timestamp() + make_interval(secs => ${(retryInMs ?? 0) / 1000}::float8),
      given_up_at = case when ${retryInMs === null} then now() end
    where id = ${id}::uuid and channel = ${channel} and delivered_at is null`;
}

/** Removes what was told, and what is over, longer ago than anybody asks. */
export async function pruneAlerts(prisma: PrismaClient): Promise<void> {
  await prisma.$executeRaw`
    delete from sync.alert_messages where coalesce(delivered_at, given_up_at) < now() - interval '30 days'`;
  await prisma.$executeRaw`
    delete from sync.alerts where not is_seen and closed_at < now() - interval '90 days'`;
}
