import {
  DatabaseError,
  errorCode,
  isAbort,
  LeadmirrorError,
  LeaseLostError,
  RateLimitedError,
  RunCancelledError,
} from '../errors.ts';
import { readCancellation } from '../store/engine/control.ts';
import { releaseLease } from '../store/engine/leases.ts';
import { endRun, noCounts, type RunCounts, readCounts } from '../store/engine/runs.ts';
import { forgetCapabilities } from '../store/engine/streams.ts';
import { isBackfillComplete, readProgress, seedIncremental } from '../store/engine/watermarks.ts';
import { databaseError } from '../store/faults.ts';
import { countSeenIds, forgetSeenIds } from '../store/mirror/seen-ids.ts';
import type { List, Outcome, Pass } from '../stream.ts';
import { decodeCursor, type PassCursor } from './cursor.ts';
import { keepLease, takeLease } from './lease-keeper.ts';
import { planLists } from './plan-lists.ts';
import { reconcile } from './reconcile.ts';
import { type Ending, type PassJob, type PassParts, Run } from './run.ts';
import { walkLists } from './walk-lists.ts';
import { advanceWatermark, seedWatermark, type Watermarks } from './watermark.ts';

export type { Fairness, PassJob, PassParts } from './run.ts';

/**
 * One call is one run of one pass of one stream: lease → lists → pages → rows → upsert + checkpoint → end.
 *
 * Whatever stops it (a crash, a refusal, a stop signal), the checkpoint holds the last page that was written, and the next run goes on from there.
 */
export interface RunResult extends RunCounts {
  readonly runId: bigint;
  readonly connection: string;
  readonly stream: string;
  readonly pass: Pass;
  readonly outcome: Outcome;
  readonly watermark: Watermarks | null;
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** For `postponed`: how long to stay away. */
  readonly retryInMs: number | null;
  /** What this call counted; of a run that goes on after others had their turn, the rest was counted before. */
  readonly slice: RunCounts;
}

/**
 * @throws LeaseBusyError when another process runs this pass; RunCancelledError when the stream is paused; DatabaseError when the mirror's database cannot
 * be used. Everything else ends up in the result.
 */
export async function runPass(parts: PassParts, job: PassJob): Promise<RunResult> {
  const { prisma, clock } = parts;
  const key = { connectionId: job.connection.id, stream: job.stream.name, pass: job.pass };
  const leased = takeLease(parts, key, { waitMs: job.leaseWaitMs, signal: job.signal });
  const lease = await leased.catch((error) => {
    throw databaseError(error, parts.databasePlace);
  });
  const keeper = keepLease(parts, lease);
  const startedAt = clock.now();
  try {
    const before = lease.isContinued ? await readCounts(prisma, lease.runId) : noCounts();
    const run = new Run(parts, job, lease, { signal: AbortSignal.any([job.signal, keeper.ended]), counts: before });
    const ending = await execute(run).catch((error) => endingFor(run, error));
    return await close(run, ending, before);
  } catch (error) {
    throw databaseError(error, parts.databasePlace);
  } finally {
    keeper.stop();
    await releaseLease(prisma, lease).catch(() => {});
    parts.logger.debug({ run: String(lease.runId), ms: clock.now() - startedAt }, 'run closed');
  }
}

async function execute(run: Run): Promise<Ending> {
  const { connection, stream, pass } = run.job;
  const waiting = await whatToWaitFor(run);
  if (waiting !== null) return waiting;
  // Sign-in and role check belong to the connection, not to this stream's count of requests.
  await connection.open({ ...run.fetch, lane: 'fast', onRequest: () => {} });
  const lists = await planLists(run);
  if (pass === 'backfill') await seedWatermarks(run, lists);
  const from = await findPlace(run, lists);
  if (run.findsDeletions && stream.deletions !== undefined) {
    return reconcile(run, { lists, deletions: stream.deletions, from });
  }
  const ending = await walkLists(run, lists, { from, afterwards: null });
  if (ending === null) throw new Error(`${stream.name} has no list`);
  const isWhole = ending.error === null || ending.error.code === 'quarantined';
  if (isWhole && remembers(lists)) await forgetSeenIds(run.parts.prisma, run.lease);
  return ending;
}

/** An incremental pass needs the watermark that a backfill seeds; a reconcile does not overtake an unfinished backfill. */
async function whatToWaitFor(run: Run): Promise<Ending | null> {
  const { pass, stream } = run.job;
  if (pass === 'backfill') return null;
  const isReady =
    pass === 'incremental'
      ? run.lease.checkpoint.watermark !== null
      : await isBackfillComplete(run.parts.prisma, run.lease);
  if (isReady) return null;
  const message = `the ${pass} pass waits for the first full read (backfill) of ${stream.name}`;
  return run.ending('postponed', { code: 'backfill_first', message });
}

/** One question per list, before the first full read: changes made while it runs are then found by the incremental passes. */
async function seedWatermarks(run: Run, lists: readonly List[]): Promise<void> {
  const { prisma } = run.parts;
  if ((await readProgress(prisma, run.lease, 'incremental')).watermark !== null) return;
  let watermark: Watermarks = {};
  let walkedAt: Watermarks = {};
  for (const list of lists) {
    if (list.fetchNewestChange === undefined) continue;
    const { newest, serverTime } = await list.fetchNewestChange(run.fetch);
    watermark = advanceWatermark(watermark, list.id, seedWatermark(newest, serverTime));
    // What is there now is read by the full walk that follows.
    walkedAt = advanceWatermark(walkedAt, list.id, serverTime);
  }
  await seedIncremental(prisma, run.lease, { watermark, walkedAt });
}

const remembers = (lists: readonly List[]): boolean => lists.some(({ walk }) => walk.memory === 'walk');

/** Where to go on, or null for the beginning. What an unsorted walk met must be as the cursor says; otherwise (a restored backup) it begins anew. */
async function findPlace(run: Run, lists: readonly List[]): Promise<PassCursor | null> {
  const { prisma } = run.parts;
  const cursor = decodeCursor(run.lease.checkpoint.cursor);
  if (!remembers(lists) && !run.findsDeletions) return cursor;
  const name = cursor?.listId.replace(/^again\./, '');
  const walk = lists.find(({ id }) => id === name)?.walk;
  const isSame = walk === undefined ? cursor?.kind === 'suspects' : walk.kind === cursor?.kind;
  if (cursor !== null && isSame) {
    const expected = walk?.memorized?.(cursor.walk);
    if (expected === undefined || expected === (await countSeenIds(prisma, run.lease, cursor.listId))) return cursor;
  }
  await forgetSeenIds(prisma, run.lease);
  return null;
}

/** What an error means for the run. A database that cannot be used leaves nothing to be written: that is thrown on. */
async function endingFor(run: Run, error: unknown): Promise<Ending> {
  const { signal } = run.fetch;
  const { databasePlace, logger, prisma } = run.parts;
  const cause = signal.aborted && isAbort(error) ? signal.reason : error;
  if (cause instanceof LeaseLostError) {
    const told = (await readCancellation(prisma, run.lease.runId)) ?? { code: cause.code, message: cause.message };
    return { ...run.ending('cancelled', told), isRecorded: true };
  }
  if (cause instanceof RunCancelledError) {
    return run.ending('cancelled', { code: cause.code, message: cause.message });
  }
  if (isAbort(cause) || (signal.aborted && cause === signal.reason)) {
    return run.ending('cancelled', { code: 'stopped', message: 'stopped; the next run goes on from the checkpoint' });
  }
  const wrapped = databaseError(cause, databasePlace);
  if (wrapped instanceof DatabaseError) {
    if (wrapped.code !== 'database_mismatch') throw wrapped;
    // The database works, so the run can be recorded; trying the same again is useless.
    logger.error({ stream: run.job.stream.name, code: wrapped.code }, wrapped.message);
    return run.ending('failed', { code: wrapped.code, message: wrapped.message });
  }
  if (cause instanceof RateLimitedError) {
    return run.ending('postponed', { code: cause.code, message: cause.message }, cause.waitMs);
  }
  if (!(cause instanceof LeadmirrorError)) {
    logger.error({ err: cause, stream: run.job.stream.name }, 'unexpected error: please report it');
    return run.ending('failed', { code: 'bug', message: 'an error that leadmirror did not foresee; its log has it' });
  }
  if (PROVEN_OTHERWISE.has(cause.code)) {
    await forgetCapabilities(prisma, { connectionId: run.lease.connectionId, stream: run.job.stream.name });
  }
  return run.ending('failed', { code: errorCode(cause), message: cause.message });
}

/** Answers that contradict what was learnt about the server: it is asked again the next time. */
const PROVEN_OTHERWISE: ReadonlySet<string> = new Set([
  'window_ignored',
  'not_found',
  'not_permitted',
  'bad_parameter',
]);

async function close(run: Run, ending: Ending, before: RunCounts): Promise<RunResult> {
  const { lease, counts, startedAt } = run;
  if (!ending.isRecorded) await endRun(run.parts.prisma, lease, startedAt, counts, ending);
  const { outcome, error, retryInMs } = ending;
  return {
    ...counts,
    runId: lease.runId,
    connection: lease.connectionId,
    stream: lease.stream,
    pass: lease.pass,
    outcome,
    error,
    retryInMs,
    watermark: run.watermark,
    startedAt,
    endedAt: new Date(run.parts.clock.now()),
    slice: countsSince(before, counts),
  };
}

function countsSince(before: RunCounts, now: RunCounts): RunCounts {
  const since = noCounts();
  for (const name of Object.keys(since) as (keyof RunCounts)[]) since[name] = now[name] - before[name];
  return since;
}
