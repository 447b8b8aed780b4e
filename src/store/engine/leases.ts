import { hostname } from 'node:os';
import { RunCancelledError } from '../../errors.ts';
import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import type { Pass } from '../../stream.ts';
import { columnsOf, readStream, type StreamKey } from './streams.ts';

/**
 * The right to write one checkpoint: a fencing token and an expiry by the database's clock. Every taker gets a larger
 * token, and a page is only committed with the current one, so a worker that slept past its lease cannot overwrite its
 * successor.
 */
export const LEASE_MS = 10_000;
/** Renewed well before it ends, so that one slow renewal does not lose it. */
export const LEASE_RENEW_MS = 3_000;

export interface CheckpointKey extends StreamKey {
  readonly pass: Pass;
}

/** Greatest upstream change time safely stored, or another time, by list: ISO 8601 in UTC. */
export type Watermarks = Readonly<Record<string, string>>;

export interface Progress {
  readonly watermark: Watermarks | null;
  /** The server's time when each list was last read to its stop. */
  readonly walkedAt: Watermarks | null;
}

interface Checkpoint extends Progress {
  readonly cursor: unknown;
  /** The walk under way began, by the database's clock. */
  readonly startedAt: Date;
  readonly completedAt: Date | null;
}

export interface Lease extends CheckpointKey {
  readonly token: bigint;
  readonly runId: bigint;
  /** The run yielded and goes on now, under the same id. */
  readonly isContinued: boolean;
  /** Pages are written only while the checkpoint still has it: an erasure moves it. */
  readonly privacyEpoch: bigint;
  /** The configuration that was read last, by any process, had the stream. */
  readonly isConfigured: boolean;
  readonly checkpoint: Checkpoint;
  /** The database's clock when the lease was taken, and ours (`performance.now()`) at the same moment. */
  readonly databaseNow: Date;
  readonly readAt: number;
}

export const leaseOwner = `${hostname()}:${process.pid}`;

/** `previousRunId`: of the run that is taken over. */
type LeaseRow = Omit<Lease, keyof CheckpointKey | 'checkpoint' | 'readAt'> &
  Checkpoint & { readonly previousRunId: bigint | null };

/**
 * Takes the lease when it is free or has expired; null while another run has it. A run that is taken over is closed as
 * cancelled; one that yielded goes on.
 *
 * @throws RunCancelledError (`paused`) while a person keeps the stream from running
 */
export async function acquireLease(prisma: PrismaClient, key: CheckpointKey): Promise<Lease | null> {
  const { connectionId, stream, pass } = key;
  const checkpointRow = { ...columnsOf(key), pass };
  // Looked up first: making a row locks the epoch, for which an erasure waits.
  const known = await prisma.syncCheckpoint.count({ where: checkpointRow });
  if (known === 0) await prisma.syncCheckpoint.createMany({ data: [checkpointRow], skipDuplicates: true });
  const [row] = await prisma.$queryRaw<LeaseRow[]>`
    with locked as (
      select lease_until, run_id as previous_run_id, yielded_run_id is not distinct from run_id
        and run_id is not null as is_continued
      from sync.checkpoints
      where connection_id = ${connectionId} and stream = ${stream} and pass = ${pass}
      for update
    ), taken as (
      update sync.checkpoints c
      set lease_token = c.lease_token + 1,
        lease_until = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000}::float8),
        lease_owner = ${leaseOwner},
        run_id = case when locked.is_continued then c.run_id
          else nextval(pg_get_serial_sequence('sync.runs', 'id')) end,
        yielded_run_id = null,
        started_at = case when c.cursor is null or c.started_at is null then now() else c.started_at end,
        updated_at = now()
      from locked
      where c.connection_id = ${connectionId} and c.stream = ${stream} and c.pass = ${pass}
        and (locked.lease_until is null or locked.lease_until < clock_timestamp())
        and not exists (
          select 1 from sync.streams s
          where s.connection_id = ${connectionId} and s.stream = ${stream} and s.paused_at is not null
        )
      returning c.lease_token as token, c.run_id as "runId", locked.is_continued as "isContinued",
        coalesce((select s.enabled from sync.streams s
          where s.connection_id = ${connectionId} and s.stream = ${stream}), true) as "isConfigured",
        c.privacy_epoch as "privacyEpoch", c.watermark, c.walked_at as "walkedAt", c.cursor,
          c.started_at as "startedAt", c.completed_at as "completedAt",
        clock_timestamp() as "databaseNow",
        case when not locked.is_continued and (locked.lease_until is not null or exists (
          select 1 from sync.runs r where r.id = locked.previous_run_id and r.outcome is null
        )) then locked.previous_run_id end as "previousRunId"
    )
    select * from taken`;
  if (row === undefined) return assertNotPaused(prisma, key).then(() => null);
  const { token, runId, isContinued, isConfigured, privacyEpoch, databaseNow, previousRunId, ...checkpoint } = row;
  const readAt = performance.now();
  if (previousRunId !== null) await closeTakenOverRuns(prisma, key, row);
  return { ...key, token, runId, isContinued, isConfigured, privacyEpoch, databaseNow, readAt, checkpoint };
}

async function assertNotPaused(prisma: PrismaClient, key: CheckpointKey): Promise<void> {
  const { connectionId, stream } = key;
  if (((await readStream(prisma, key))?.paused_at ?? null) === null) return;
  const message = `${stream} of ${connectionId} is paused by a person and was skipped; it goes on after: leadmirror resume ${stream} --connection ${connectionId}`;
  throw new RunCancelledError('paused', message);
}

/** Whether the stream is paused, and whether the configuration that was read last has it. Null: the lease was lost. */
export async function renewLease(prisma: PrismaClient, lease: Lease) {
  const [renewed] = await prisma.$queryRaw<{ isPaused: boolean; isConfigured: boolean }[]>`
    with renewed as (
      update sync.checkpoints set lease_until = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000}::float8)
      where connection_id = ${lease.connectionId} and stream = ${lease.stream} and pass = ${lease.pass}
        and lease_token = ${lease.token} and lease_until is not null
      returning connection_id, stream
    )
    select s.paused_at is not null as "isPaused", coalesce(s.enabled, true) as "isConfigured"
    from renewed left join sync.streams s using (connection_id, stream)`;
  return renewed ?? null;
}

/** Whether the lease is still ours, so that only an erasure kept a page from being written: the run then goes on. */
export async function goesOnAfterErasure(prisma: PrismaClient, lease: Lease): Promise<boolean> {
  const where = { ...columnsOf(lease), pass: lease.pass, lease_token: lease.token, lease_until: { not: null } };
  const { count } = await prisma.syncCheckpoint.updateMany({ where, data: { yielded_run_id: lease.runId } });
  return count > 0;
}

/** Gives the lease back at once; harmless when it was lost. */
export async function releaseLease(prisma: PrismaClient, lease: Lease): Promise<void> {
  await prisma.syncCheckpoint.updateMany({
    where: { ...columnsOf(lease), pass: lease.pass, lease_token: lease.token },
    data: { lease_until: null, lease_owner: null },
  });
}

/**
 * All open ones, not only the last: a process that took over before may have ended too early to close them. A run that
 * gave its lease back without an end, because the database failed it, is one of them.
 */
async function closeTakenOverRuns(prisma: PrismaClient, key: CheckpointKey, taken: LeaseRow): Promise<void> {
  await prisma.syncRun.updateMany({
    where: { ...columnsOf(key), pass: key.pass, id: { lt: taken.runId }, outcome: null },
    data: {
      outcome: 'cancelled',
      ended_at: taken.databaseNow,
      error_code: 'lease_lost',
      error_message: 'the process stopped without ending the run; its work was taken over at the stored checkpoint',
    },
  });
}

const readCheckpoint = (prisma: PrismaClient, key: StreamKey, pass: Pass) =>
  prisma.syncCheckpoint.findUnique({ where: { connection_id_stream_pass: { ...columnsOf(key), pass } } });

export async function readProgress(prisma: PrismaClient, key: StreamKey, pass: Pass): Promise<Progress> {
  const row = await readCheckpoint(prisma, key, pass);
  return {
    watermark: (row?.watermark ?? null) as Watermarks | null,
    walkedAt: (row?.walked_at ?? null) as Watermarks | null,
  };
}

/** Writes the incremental pass's first watermark; one that is there already stays. */
export async function seedIncremental(prisma: PrismaClient, key: StreamKey, progress: Progress): Promise<void> {
  const data = { watermark: progress.watermark ?? Prisma.DbNull, walked_at: progress.walkedAt ?? Prisma.DbNull };
  const row = { ...columnsOf(key), pass: 'incremental' };
  const { count } = await prisma.syncCheckpoint.createMany({ data: [{ ...row, ...data }], skipDuplicates: true });
  if (count > 0) return;
  await prisma.syncCheckpoint.updateMany({ where: { ...row, watermark: { equals: Prisma.DbNull } }, data });
}

export const isBackfillComplete = async (prisma: PrismaClient, key: StreamKey): Promise<boolean> =>
  ((await readCheckpoint(prisma, key, 'backfill'))?.completed_at ?? null) !== null;
