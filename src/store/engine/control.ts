import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import type { Pass } from '../../stream.ts';
import type { StreamKey } from './streams.ts';

/*
 * What people do to streams from any machine, in Postgres alone: no queue and no daemon has to be there.
 *
 *   pause    a mark on the stream. No run begins while it is set; those under way learn of it with their next renewal and end by themselves.
 *   cancel   the runs under way are closed here and now, and their tokens are spent: nothing more of them can be written, whether their processes answer
 *            or not. Whatever runs next has a token of its own.
 *   resync   as cancel, for full walks, and their progress is forgotten in the same transaction.
 */

/** A run that was ended from here. */
export interface EndedRun {
  readonly pass: Pass;
  readonly runId: bigint;
  /** False when its process had not been heard of for longer than a lease lasts: it is gone, or asleep. */
  readonly isAlive: boolean;
}

const ALL_PASSES: readonly Pass[] = ['backfill', 'incremental', 'reconcile', 'verify'];
const FULL_WALKS: readonly Pass[] = ['backfill', 'reconcile'];

export interface Paused {
  readonly since: Date;
  /** It was paused before; nothing was changed. */
  readonly wasPaused: boolean;
  /** Passes that run at this moment: they end at their page within seconds. */
  readonly running: readonly Pass[];
}

/** No run of the stream begins any more, until `resumeStream`. */
export async function pauseStream(prisma: PrismaClient, key: StreamKey): Promise<Paused> {
  const { connectionId, stream } = key;
  return prisma.$transaction(async (tx) => {
    const paused = await tx.$executeRaw`
      update sync.streams set paused_at = now(), updated_at = now()
      where connection_id = ${connectionId} and stream = ${stream} and paused_at is null`;
    const message = `paused by a person; progress is kept, and it goes on after: leadmirror resume ${stream} --connection ${connectionId}`;
    // Those that let others have their turn would not come to hear of it.
    await endRuns(tx, key, { passes: ALL_PASSES, code: 'paused', message, isWaitingOnly: true });
    const [row] = await tx.$queryRaw<{ since: Date; running: Pass[] }[]>`
      select s.paused_at as since, array(
        select c.pass from sync.checkpoints c
        where c.connection_id = s.connection_id and c.stream = s.stream and c.lease_until > clock_timestamp() order by 1
      ) as running
      from sync.streams s where s.connection_id = ${connectionId} and s.stream = ${stream}`;
    if (row === undefined) throw new Error(`${stream} of ${connectionId} is not registered`);
    return { since: row.since, wasPaused: paused === 0, running: row.running };
  });
}

/** Since when the stream had been paused; null when it was not. */
export async function resumeStream(prisma: PrismaClient, key: StreamKey): Promise<Date | null> {
  const { connectionId, stream } = key;
  const [row] = await prisma.$queryRaw<{ paused_at: Date }[]>`
    with held as (
      select paused_at from sync.streams
      where connection_id = ${connectionId} and stream = ${stream} and paused_at is not null for update
    )
    update sync.streams s set paused_at = null, updated_at = now()
    from held where s.connection_id = ${connectionId} and s.stream = ${stream}
    returning held.paused_at`;
  return row?.paused_at ?? null;
}

/** Ends a wait that the server asked for, for all streams of the account. Returns until when it would have lasted; null when there was none. */
export async function liftServerPause(prisma: PrismaClient, { connectionId, stream }: StreamKey): Promise<Date | null> {
  const [row] = await prisma.$queryRaw<{ until: Date }[]>`
    with held as (
      select b.credential, b.blocked_until as until from sync.budgets b join sync.streams s on s.credential = b.credential
      where s.connection_id = ${connectionId} and s.stream = ${stream} and b.blocked_until > now() for update of b
    )
    update sync.budgets b set blocked_until = null, blocked_reason = null, updated_at = now(), version = b.version + 1
    from held where b.credential = held.credential
    returning held.until`;
  return row?.until ?? null;
}

/**
 * A person asks for a run now: our own waits end, for all streams of the account. An open circuit is probed at once, and a refused credential is tried. A wait
 * that the server asked for stays (see `liftServerPause`).
 */
export async function endOwnWaits(prisma: PrismaClient, { connectionId, stream }: StreamKey): Promise<void> {
  await prisma.$executeRaw`
    update sync.budgets b set wake_at = case when b.opened_at is not null then least(b.wake_at, now()) end, refused_at = null, updated_at = now(), version = b.version + 1
    from sync.streams s
    where s.connection_id = ${connectionId} and s.stream = ${stream} and b.credential = s.credential
      and (b.opened_at is not null or b.refused_at is not null)`;
}

export async function isPaused(prisma: PrismaClient, { connectionId, stream }: StreamKey): Promise<boolean> {
  const row = await prisma.syncStream.findUnique({
    where: { connection_id_stream: { connection_id: connectionId, stream } },
    select: { paused_at: true },
  });
  return (row?.paused_at ?? null) !== null;
}

/** Ends the runs of a stream that are under way, or those of one pass. Progress is kept. */
export async function cancelRuns(prisma: PrismaClient, key: StreamKey, pass: Pass | null): Promise<EndedRun[]> {
  const message = 'cancelled by a person; progress is kept, and the next run goes on from it';
  const passes = pass === null ? ALL_PASSES : [pass];
  return prisma.$transaction((tx) => endRuns(tx, key, { passes, code: 'cancelled_by_person', message }));
}

export interface Resynced {
  /** The full walk that was under way. */
  readonly ended: readonly EndedRun[];
  /** False when the first full read had not ended yet: it begins anew. */
  readonly wasComplete: boolean;
  readonly isPaused: boolean;
}

/**
 * Forgets how far full walks are, so that the next one is a backfill from zero; rows are kept, and incremental passes go on. Also for a holder whose time is
 * up but who does not know it yet, the token is spent: it cannot write its old progress back.
 */
export async function resyncStream(prisma: PrismaClient, key: StreamKey): Promise<Resynced> {
  const { connectionId, stream } = key;
  const message = 'ended by a person who asked for a full re-read from zero (leadmirror resync)';
  return prisma.$transaction(async (tx) => {
    // Before the checkpoints, as `pauseStream` takes them.
    await tx.$queryRaw`
      select 1 as locked from sync.streams where connection_id = ${connectionId} and stream = ${stream} for update`;
    const ended = await endRuns(tx, key, { passes: FULL_WALKS, code: 'resync', message });
    const before = await tx.$queryRaw<{ completed_at: Date | null }[]>`
      select completed_at from sync.checkpoints
      where connection_id = ${connectionId} and stream = ${stream} and pass = 'backfill' for update`;
    await tx.$executeRaw`
      update sync.checkpoints
      set cursor = null, completed_at = case when pass = 'backfill' then null else completed_at end,
        lease_token = lease_token + 1, lease_until = null, lease_owner = null, updated_at = now()
      where connection_id = ${connectionId} and stream = ${stream} and pass = any(${[...FULL_WALKS]}::text[])`;
    await tx.$executeRaw`
      delete from sync.seen_ids
      where connection_id = ${connectionId} and stream = ${stream} and pass = any(${[...FULL_WALKS]}::text[])`;
    const wasComplete = (before[0]?.completed_at ?? null) !== null;
    const [row] = await tx.$queryRaw<{ is_paused: boolean }[]>`
      update sync.streams
      set resync_asked_at = case when ${wasComplete} or resync_asked_at is not null then now() end, updated_at = now()
      where connection_id = ${connectionId} and stream = ${stream}
      returning paused_at is not null as is_paused`;
    return { ended, wasComplete, isPaused: row?.is_paused ?? false };
  });
}

/** How a run was ended by others; null when it was not, or by another run that took it over. */
export async function readCancellation(
  prisma: PrismaClient,
  runId: bigint,
): Promise<{ readonly code: string; readonly message: string } | null> {
  const row = await prisma.syncRun.findUnique({
    where: { id: runId },
    select: { outcome: true, error_code: true, error_message: true },
  });
  if (row?.outcome !== 'cancelled' || row.error_code === null || row.error_code === 'lease_lost') return null;
  return { code: row.error_code, message: row.error_message ?? row.error_code };
}

/** Whether a run that let others have their turn is over: somebody else brought it to its end, or a person cancelled it. */
export async function isOver(prisma: PrismaClient, runId: bigint): Promise<boolean> {
  const row = await prisma.syncRun.findUnique({ where: { id: runId }, select: { outcome: true, error_code: true } });
  if (row === null) return false;
  return row.outcome === 'succeeded' || row.outcome === 'partial' || row.error_code === 'cancelled_by_person';
}

interface Ending {
  readonly passes: readonly Pass[];
  readonly code: string;
  readonly message: string;
  /** Only runs that let others have their turn. */
  readonly isWaitingOnly?: boolean;
}

/**
 * Spends the tokens of the runs under way and closes their lines: those that run, those that let others have their turn, and those whose process vanished
 * without a word. A page that is being written is waited for, and counts; no other follows.
 */
async function endRuns(
  tx: Prisma.TransactionClient,
  { connectionId, stream }: StreamKey,
  { passes, code, message, isWaitingOnly = false }: Ending,
): Promise<EndedRun[]> {
  const rows = await tx.$queryRaw<{ pass: Pass; run_id: bigint; is_alive: boolean }[]>`
    with held as (
      select pass, lease_owner, coalesce(lease_until > clock_timestamp(), true) as is_alive
      from sync.checkpoints
      where connection_id = ${connectionId} and stream = ${stream} and pass = any(${[...passes]}::text[])
        and (yielded_run_id = run_id or lease_until is not null and not ${isWaitingOnly})
      -- In one order, so that two people who do this at once do not wait for each other.
      order by pass for update
    ), ended as (
      update sync.checkpoints c
      set lease_token = c.lease_token + 1, lease_until = null, lease_owner = null, yielded_run_id = null, updated_at = now()
      from held h where c.connection_id = ${connectionId} and c.stream = ${stream} and c.pass = h.pass
      returning c.pass, c.run_id, h.lease_owner, h.is_alive
    ), closed as (
      -- A verify has no line of its own; any other run that was not worth one yet gets it now.
      insert into sync.runs (id, connection_id, stream, pass, outcome, error_code, error_message, worker, ended_at)
      select e.run_id, ${connectionId}, ${stream}, e.pass, 'cancelled', ${code}, ${message}, e.lease_owner, now()
      from ended e where e.pass <> 'verify'
      on conflict (id) do update set outcome = excluded.outcome, error_code = excluded.error_code,
        error_message = excluded.error_message, ended_at = excluded.ended_at
      where sync.runs.outcome is null
    )
    select pass, run_id, is_alive from ended order by pass`;
  return rows.map(({ pass, run_id, is_alive }) => ({ pass, runId: run_id, isAlive: is_alive }));
}
