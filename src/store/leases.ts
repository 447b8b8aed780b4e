import { hostname } from 'node:os';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Pass } from '../stream.ts';

/**
 * The right to write one checkpoint: a fencing token and an expiry by the database's clock. Every taker gets a larger token, and a page is only
 * committed with the current one, so a worker that slept past its lease cannot overwrite its successor.
 */
export const LEASE_MS = 10_000;
/** Renewed well before it ends, so that one slow renewal does not lose it. */
export const LEASE_RENEW_MS = 3_000;

export interface CheckpointKey {
  readonly connectionId: string;
  readonly stream: string;
  readonly pass: Pass;
}

export interface Checkpoint {
  /** ISO 8601 by list id. */
  readonly watermark: Readonly<Record<string, string>> | null;
  /** The server's time when each list was last read to its stop: ISO 8601 by list id. */
  readonly walkedAt: Readonly<Record<string, string>> | null;
  readonly cursor: unknown;
  /** The walk under way began, by the database's clock. */
  readonly startedAt: Date;
  /** When this pass last ended complete. */
  readonly completedAt: Date | null;
}

export interface Lease extends CheckpointKey {
  readonly token: bigint;
  readonly runId: bigint;
  readonly checkpoint: Checkpoint;
  /** The database's clock when the lease was taken, and ours (`performance.now()`) at the same moment. */
  readonly databaseNow: Date;
  readonly readAt: number;
}

/** This process, for people who look at a held lease. */
export const leaseOwner = `${hostname()}:${process.pid}`;

interface LeaseRow {
  lease_token: bigint;
  run_id: bigint;
  watermark: Record<string, string> | null;
  walked_at: Record<string, string> | null;
  cursor: unknown;
  started_at: Date;
  completed_at: Date | null;
  database_now: Date;
  previous_run_id: bigint | null;
}

/** Takes the lease when it is free or has expired; null while somebody else holds it. A run that is taken over is closed as cancelled. */
export async function acquireLease(prisma: PrismaClient, key: CheckpointKey): Promise<Lease | null> {
  const { connectionId, stream, pass } = key;
  await prisma.$executeRaw`
    insert into sync.checkpoints (connection_id, stream, pass) values (${connectionId}, ${stream}, ${pass})
    on conflict do nothing`;
  const [row] = await prisma.$queryRaw<LeaseRow[]>`
    with held as (
      select lease_until, run_id as previous_run_id from sync.checkpoints
      where connection_id = ${connectionId} and stream = ${stream} and pass = ${pass}
      for update
    ), taken as (
      update sync.checkpoints c
      set lease_token = c.lease_token + 1,
        lease_until = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000}::float8),
        lease_owner = ${leaseOwner},
        run_id = nextval(pg_get_serial_sequence('sync.runs', 'id')),
        started_at = case when c.cursor is null or c.started_at is null then now() else c.started_at end,
        updated_at = now()
      from held
      where c.connection_id = ${connectionId} and c.stream = ${stream} and c.pass = ${pass}
        and (held.lease_until is null or held.lease_until < clock_timestamp())
      returning c.lease_token, c.run_id, c.watermark, c.walked_at, c.cursor, c.started_at, c.completed_at, clock_timestamp() as database_now,
        case when held.lease_until is not null or exists (
          select 1 from sync.runs r where r.id = held.previous_run_id and r.outcome is null
        ) then held.previous_run_id end as previous_run_id
    )
    select * from taken`;
  if (row === undefined) return null;
  if (row.previous_run_id !== null) await closeTakenOverRuns(prisma, key, row.run_id);
  return {
    ...key,
    token: row.lease_token,
    runId: row.run_id,
    databaseNow: row.database_now,
    readAt: performance.now(),
    checkpoint: {
      watermark: row.watermark,
      walkedAt: row.walked_at,
      cursor: row.cursor,
      startedAt: row.started_at,
      completedAt: row.completed_at,
    },
  };
}

/** False when the lease was lost. */
export async function renewLease(prisma: PrismaClient, lease: Lease): Promise<boolean> {
  const count = await prisma.$executeRaw`
    update sync.checkpoints set lease_until = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000}::float8)
    where connection_id = ${lease.connectionId} and stream = ${lease.stream} and pass = ${lease.pass}
      and lease_token = ${lease.token} and lease_until is not null`;
  return count === 1;
}

/** Gives the lease back at once; harmless when it was lost. */
export async function releaseLease(prisma: PrismaClient, lease: Lease): Promise<void> {
  await prisma.$executeRaw`
    update sync.checkpoints set lease_until = null, lease_owner = null, updated_at = now()
    where connection_id = ${lease.connectionId} and stream = ${lease.stream} and pass = ${lease.pass}
      and lease_token = ${lease.token}`;
}

/**
 * All open ones, not only the last: who took over before may have died before it came to this. A run that gave its lease back without a word, because the
 * database failed it, is one of them.
 */
async function closeTakenOverRuns(
  prisma: PrismaClient,
  { connectionId, stream, pass }: CheckpointKey,
  ownRunId: bigint,
): Promise<void> {
  await prisma.$executeRaw`
    update sync.runs set outcome = 'cancelled', ended_at = now(), error_code = 'lease_lost',
      error_message = 'the process stopped without a word; its work was taken over at the stored checkpoint'
    where connection_id = ${connectionId} and stream = ${stream} and pass = ${pass} and id < ${ownRunId} and outcome is null`;
}
