import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import type { Pass } from '../../stream.ts';
import { databaseNow } from '../database-time.ts';
import { columnsOf, readStream, type StreamKey } from './streams.ts';

/*
 * The actions on streams from any machine, in Postgres only: they need no queue and no daemon.
 *
 *   pause    a mark on the stream. No run begins while it is set; those under way end with their next renewal.
 *   cancel   the runs under way are closed and their tokens are spent: nothing more of them can be written, whether
 *            their processes answer or not. Whatever runs next has a token of its own.
 *   resync   as cancel, for full syncs, and their progress is deleted in the same transaction.
 */

export interface EndedRun {
  readonly pass: Pass;
  readonly runId: bigint;
  /** False when its process had not renewed the lease in time: it is gone, or asleep. */
  readonly isAlive: boolean;
}

const ALL_PASSES: readonly Pass[] = ['backfill', 'incremental', 'reconcile', 'count', 'verify'];
const FULL_SYNCS: readonly Pass[] = ['backfill', 'reconcile'];

/**
 * No run of the stream begins any more, until `resumeStream`. `wasPaused`: nothing was changed. `running`: passes that
 * run at this moment; they end at their page within seconds.
 */
export async function pauseStream(prisma: PrismaClient, key: StreamKey) {
  const { connectionId, stream } = key;
  return prisma.$transaction(async (tx) => {
    const now = await databaseNow(tx);
    const paused = await tx.syncStream.updateMany({
      where: { ...columnsOf(key), paused_at: null },
      data: { paused_at: now, updated_at: now },
    });
    const message = `paused by a person; progress is kept, and it goes on after: leadmirror resume ${stream} --connection ${connectionId}`;
    // Runs that yielded to others would not notice it.
    await endRuns(tx, key, { passes: ALL_PASSES, code: 'paused', message, isWaitingOnly: true });
    const since = (await readStream(tx, key))?.paused_at;
    if (since == null) throw new Error(`${stream} of ${connectionId} is not registered`);
    const running = await tx.syncCheckpoint.findMany({
      where: { ...columnsOf(key), lease_until: { gt: now } },
      orderBy: { pass: 'asc' },
    });
    return { since, wasPaused: paused.count === 0, running: running.map(({ pass }) => pass as Pass) };
  });
}

/** Since when the stream had been paused; null when it was not. */
export async function resumeStream(prisma: PrismaClient, key: StreamKey): Promise<Date | null> {
  const since = (await readStream(prisma, key))?.paused_at ?? null;
  if (since === null) return null;
  const { count } = await prisma.syncStream.updateMany({
    where: { ...columnsOf(key), paused_at: since },
    data: { paused_at: null, updated_at: await databaseNow(prisma) },
  });
  return count === 1 ? since : null;
}

/** The wait that the server asked for, for one credential, with the code of its reason; null where there is none. */
export async function readServerPause(prisma: PrismaClient, credential: string | null) {
  if (credential === null) return null;
  const budget = await prisma.syncBudget.findUnique({ where: { credential } });
  const until = budget?.blocked_until ?? null;
  if (until === null || until <= (await databaseNow(prisma))) return null;
  return { until, reason: budget?.blocked_reason ?? 'it asked to wait' };
}

/** What a person who asked for a run has to know; empty when it begins at once. */
export async function whyItWaits(prisma: PrismaClient, key: StreamKey): Promise<string> {
  const pause = await readServerPause(prisma, (await readStream(prisma, key))?.credential ?? null);
  if (pause === null) return '';
  return `The server asked to wait until ${pause.until.toISOString()} (${pause.reason}): the run begins then, or at once after: leadmirror resume ${key.stream} --connection ${key.connectionId}`;
}

/** Ends a wait that the server asked for, for the whole account. Returns its end; null when there was none. */
export async function liftServerPause(prisma: PrismaClient, key: StreamKey): Promise<Date | null> {
  const credential = (await readStream(prisma, key))?.credential ?? null;
  for (;;) {
    const pause = await readServerPause(prisma, credential);
    if (credential === null || pause === null) return null;
    const { count } = await prisma.syncBudget.updateMany({
      where: { credential, blocked_until: pause.until },
      data: { blocked_until: null, blocked_reason: null, version: { increment: 1 } },
    });
    if (count === 1) return pause.until;
  }
}

/**
 * A person asks for a run now: our own waits end, for all streams of the account. An open circuit is probed at once. A
 * wait that the server asked for stays (see `liftServerPause`).
 */
export async function endManualWaits(prisma: PrismaClient, key: StreamKey): Promise<void> {
  const credential = (await readStream(prisma, key))?.credential;
  if (credential == null) return;
  const now = await databaseNow(prisma);
  await prisma.syncBudget.updateMany({
    where: { credential, opened_at: { not: null }, wake_at: { gt: now } },
    data: { wake_at: now, version: { increment: 1 } },
  });
}

export const isPaused = async (prisma: PrismaClient, key: StreamKey): Promise<boolean> =>
  ((await readStream(prisma, key))?.paused_at ?? null) !== null;

/** Ends the runs of a stream that are under way, or those of one pass. Progress is kept. */
export async function cancelRuns(prisma: PrismaClient, key: StreamKey, pass: Pass | null): Promise<EndedRun[]> {
  const message = 'cancelled by a person; progress is kept, and the next run goes on from it';
  const passes = pass === null ? ALL_PASSES : [pass];
  return prisma.$transaction((tx) => endRuns(tx, key, { passes, code: 'cancelled_by_person', message }));
}

/**
 * Deletes the progress of full syncs, so that the next one is a backfill from zero; rows are kept, and incremental
 * passes go on. Also for a holder whose time is up but who does not know it yet, the token is spent: it cannot write
 * its old progress back. `ended`: the full sync that was under way. `wasComplete` is false when the first full read had
 * not ended yet: it begins anew.
 */
export async function resyncStream(prisma: PrismaClient, key: StreamKey) {
  const message = 'ended by a person who asked for a full re-read from zero (leadmirror resync)';
  return prisma.$transaction(async (tx) => {
    const now = await databaseNow(tx);
    // Locks the stream before the checkpoints, as `pauseStream` does.
    await tx.syncStream.updateMany({ where: columnsOf(key), data: { updated_at: now } });
    const stream = await readStream(tx, key);
    const ended = await endRuns(tx, key, { passes: FULL_SYNCS, code: 'resync', message });
    let wasComplete = false;
    for (const pass of FULL_SYNCS) {
      const where = { ...columnsOf(key), pass };
      const [row] = await tx.syncCheckpoint.updateManyAndReturn({
        where,
        data: {
          cursor: Prisma.DbNull,
          lease_token: { increment: 1 },
          lease_until: null,
          lease_owner: null,
          updated_at: now,
        },
      });
      await tx.syncSeenId.deleteMany({ where });
      if (pass !== 'backfill') continue;
      wasComplete = (row?.completed_at ?? null) !== null;
      await tx.syncCheckpoint.updateMany({ where, data: { completed_at: null } });
    }
    const isAsked = wasComplete || (stream?.resync_asked_at ?? null) !== null;
    await tx.syncStream.updateMany({ where: columnsOf(key), data: { resync_asked_at: isAsked ? now : null } });
    return { ended, wasComplete, isPaused: (stream?.paused_at ?? null) !== null };
  });
}

/** How a run was ended by others; null when it was not, or by another run that took it over. */
export async function readCancellation(prisma: PrismaClient, runId: bigint) {
  const row = await prisma.syncRun.findUnique({ where: { id: runId } });
  if (row?.outcome !== 'cancelled' || row.error_code === null || row.error_code === 'lease_lost') return null;
  return { code: row.error_code, message: row.error_message ?? row.error_code };
}

/** Whether a run that yielded is over: another process ended it, or a person cancelled it. */
export async function isOver(prisma: PrismaClient, runId: bigint): Promise<boolean> {
  const row = await prisma.syncRun.findUnique({ where: { id: runId } });
  if (row === null) return false;
  return row.outcome === 'succeeded' || row.outcome === 'partial' || row.error_code === 'cancelled_by_person';
}

interface EndRunsOptions {
  readonly passes: readonly Pass[];
  readonly code: string;
  readonly message: string;
  readonly isWaitingOnly?: boolean;
}

/**
 * Spends the tokens of the runs under way and closes their lines: those that run, those that yielded, and those whose
 * process vanished without an error. A page that is being written is waited for, and counts; no other follows.
 */
async function endRuns(
  tx: Prisma.TransactionClient,
  { connectionId, stream }: StreamKey,
  { passes, code, message, isWaitingOnly = false }: EndRunsOptions,
): Promise<EndedRun[]> {
  return tx.$queryRaw<EndedRun[]>`
    with locked as (
      select pass, lease_owner, coalesce(lease_until > clock_timestamp(), true) as is_alive
      from sync.checkpoints
      where connection_id = ${connectionId} and stream = ${stream} and pass = any(${[...passes]}::text[])
        and (yielded_run_id = run_id or lease_until is not null and not ${isWaitingOnly})
      -- In one order, so that two people who do this at once do not wait for each other.
      order by pass for update
    ), ended as (
      update sync.checkpoints c
      set lease_token = c.lease_token + 1, lease_until = null, lease_owner = null, yielded_run_id = null,
        updated_at = now()
      from locked l where c.connection_id = ${connectionId} and c.stream = ${stream} and c.pass = l.pass
      returning c.pass, c.run_id, l.lease_owner, l.is_alive
    ), closed as (
      -- A verify has no line of its own; any other run that was not worth one yet gets it now.
      insert into sync.runs (id, connection_id, stream, pass, outcome, error_code, error_message, worker, ended_at)
      select e.run_id, ${connectionId}, ${stream}, e.pass, 'cancelled', ${code}, ${message}, e.lease_owner, now()
      from ended e where e.pass <> 'verify'
      on conflict (id) do update set outcome = excluded.outcome, error_code = excluded.error_code,
        error_message = excluded.error_message, ended_at = excluded.ended_at
      where sync.runs.outcome is null
    )
    select pass, run_id as "runId", is_alive as "isAlive" from ended order by pass`;
}
