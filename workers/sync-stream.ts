import { DelayedError, UnrecoverableError, WaitingError } from 'bullmq';
import type { App } from '../src/app.ts';
import { DatabaseError, errorCode, isAbort, LeaseBusyError, RunCancelledError } from '../src/errors.ts';
import type { Logger } from '../src/logger.ts';
import { endOwnWaits, isOver } from '../src/store/engine/control.ts';
import { readConnectionsElsewhere } from '../src/store/engine/processes.ts';
import { databaseError, passesByWaiting } from '../src/store/faults.ts';
import { laneOf } from '../src/stream.ts';
import type { RunResult } from '../src/sync/run-pass.ts';
import { fairnessIn, sendToBack } from './fairness.ts';
import type { QueuedRun, RunProcessor } from './queue-backend.ts';
import { describeError } from './queue-watch.ts';
import { enqueueRun, type Queues } from './queues.ts';
import { parseRunJob, type RunJob, TICK } from './run-job.ts';
import { type Parking, verdictOf } from './verdict.ts';

/** Why a job came to an end without a run. */
export type SkipReason = 'not_configured' | 'elsewhere' | 'paused' | 'parked' | 'busy' | 'stopping' | 'over';

/** One job as it went, for logs, metrics and tests. */
export interface JobReport extends RunJob {
  readonly result: RunResult | null;
  readonly skipped: SkipReason | null;
}

export interface ProcessorParts {
  readonly app: Pick<App, 'findStream' | 'scheduleOf' | 'runPass' | 'database' | 'clock'>;
  readonly queues: Queues;
  readonly logger: Logger;
  readonly parking: Parking;
  /** Aborts the waits of runs under way: this process stops. */
  readonly signal: AbortSignal;
  /** How long a run works before it lets others have their turn; a minute unless told. */
  readonly sliceMs?: number;
  readonly onJob?: (report: JobReport) => void;
}

/** Longer waits for the upstream free the worker: the run ends `postponed`. */
const MAX_WAIT_IN_PLACE_MS = 5_000;

/** The processor of both lanes: a tick asks for a run, a run reads a stream. */
export function createProcessor(parts: ProcessorParts): RunProcessor {
  return async (job, token) => {
    const payload = parsePayload(job, parts.logger);
    if (job.name === TICK) return enqueueRun(parts.queues, payload);
    return observed(parts, job, payload, () => processRun(parts, payload), token);
  };
}

interface Processed {
  readonly result: RunResult | null;
  readonly skipped: SkipReason | null;
}

const skipped = (reason: SkipReason): Processed => ({ result: null, skipped: reason });

async function processRun(parts: ProcessorParts, job: RunJob): Promise<Processed> {
  const { app, queues, logger, parking, signal } = parts;
  const { connection, stream, pass } = job;
  const found = app.findStream(connection, stream);
  if (found === undefined) {
    // Another daemon of this database may have it in a configuration of its own.
    const elsewhere = await readConnectionsElsewhere(app.database.prisma);
    return skipped(elsewhere.has(connection) ? 'elsewhere' : 'not_configured');
  }
  if (job.trigger === 'manual') {
    found.connection.retryRefused?.();
    await endOwnWaits(app.database.prisma, { connectionId: connection, stream });
  }
  if (job.trigger === 'schedule' && parking.isParked(connection, app.clock.now())) return skipped('parked');
  if (signal.aborted) return skipped('stopping');
  if (await isRunOver(app, job)) return skipped('over');
  const fairness = fairnessIn(queues.lanes[laneOf(pass)], parts.sliceMs);
  const result = await app
    .runPass({ ...found, pass, signal, maxWaitMs: MAX_WAIT_IN_PLACE_MS, leaseWaitMs: 0, fairness })
    .catch((error: unknown) => {
      if (error instanceof LeaseBusyError) return 'busy' as const;
      if (error instanceof RunCancelledError) return 'paused' as const;
      if (signal.aborted && (isAbort(error) || error === signal.reason)) return 'stopping' as const;
      throw error;
    });
  if (typeof result === 'string') return skipped(result);
  if (result.outcome === 'succeeded' || result.outcome === 'partial') parking.unpark(connection);
  // What changed during the first full read is not waited for until the next tick.
  if (pass === 'backfill' && isComplete(result) && app.scheduleOf(connection, stream)?.incremental !== null) {
    await enqueueRun(queues, { connection, stream, pass: 'incremental', trigger: 'schedule' }).catch((error: unknown) =>
      logger.warn({ connection, stream, reason: describeError(error) }, 'the next tick brings what changed meanwhile'),
    );
  }
  if (verdictOf(result, job, app.clock.now()).kind === 'park') parking.park(connection, app.clock.now());
  return { result, skipped: null };
}

/** A full read that only set records aside is complete all the same. */
const isComplete = ({ outcome, error }: RunResult): boolean =>
  outcome === 'succeeded' || (outcome === 'partial' && error?.code === 'quarantined');

/** The one wrapper around all runs: says how each went, and tells the queue what becomes of the job. */
async function observed(
  parts: ProcessorParts,
  job: QueuedRun,
  payload: RunJob,
  work: () => Promise<Processed>,
  token: string | undefined,
): Promise<void> {
  const { logger, app, onJob } = parts;
  const { connection, stream, pass, trigger } = payload;
  const facts = { connection, stream, pass, trigger };
  const startedAt = performance.now();
  logger.debug({ ...facts, job: job.id, queuedMs: Math.max(0, app.clock.now() - job.timestamp) }, 'run begins');
  let processed: Processed;
  try {
    processed = await work();
  } catch (error) {
    if (passesByWaiting(error)) await keepForLater(error as Error, job, token, { logger, facts });
    throw failureOf(error, logger, facts);
  }
  const { result, skipped: reason } = processed;
  const ms = Math.round(performance.now() - startedAt);
  if (result === null) logger.debug({ ...facts, reason, ms }, `run skipped: ${reason}`);
  else logResult(logger, { ...facts, ms }, result);
  try {
    if (result !== null) await settle(parts, job, payload, result, token);
    else if (reason === 'stopping') await handBack(job, token);
    else if (reason === 'elsewhere') {
      await job.moveToDelayed(Date.now() + ELSEWHERE_MS, token);
      throw new DelayedError();
    }
  } finally {
    onJob?.({ ...payload, result, skipped: reason });
  }
}

async function settle(
  { app, logger, queues }: ProcessorParts,
  job: QueuedRun,
  payload: RunJob,
  result: RunResult,
  token: string | undefined,
): Promise<void> {
  const { connection, stream, pass } = payload;
  const verdict = verdictOf(result, payload, app.clock.now());
  switch (verdict.kind) {
    case 'done':
      return;
    case 'park':
      logger.warn(
        { connection, code: result.error?.code },
        'connection left alone for 15 minutes: a person has to act',
      );
      return;
    case 'give_up':
      logger.warn({ connection, stream, pass }, 'run put off too often; the next tick goes on from the checkpoint');
      return;
    case 'yield': {
      const { postponed: _, ...rest } = payload;
      await job.updateData({ ...rest, continues: String(result.runId) });
      return sendToBack(queues, job, token);
    }
    case 'hand_back':
      return handBack(job, token);
    case 'delay':
      await job.updateData({ ...payload, postponed: verdict.postponed });
      await job.moveToDelayed(Date.now() + verdict.delayMs, token);
      throw new DelayedError();
    default:
      return verdict satisfies never;
  }
}

/** Back into the queue, for another process or the next start of this one. */
async function handBack(job: QueuedRun, token: string | undefined): Promise<never> {
  await job.moveToWait(token);
  throw new WaitingError();
}

function logResult(logger: Logger, facts: Record<string, unknown>, result: RunResult): void {
  const { runId, outcome, requests, pages, read, created, updated, unchanged, deleted, quarantined, error } = result;
  const counts = { requests, pages, read, created, updated, unchanged, deleted, quarantined };
  const line = { ...facts, run: String(runId), outcome, ...counts, ...(error && { error }) };
  const changed = created + updated + deleted + quarantined;
  if (outcome === 'failed' || outcome === 'partial') logger.warn(line, `run ${outcome}`);
  else if (error?.code === 'yielded') logger.debug(line, 'run lets others have their turn');
  else if (outcome !== 'succeeded' || changed > 0) logger.info(line, `run ${outcome}`);
  else logger.debug(line, 'run found nothing new');
}

/** While the database is away a job is not given up, however long that takes: it comes again soon, and no attempt is counted. */
async function keepForLater(
  error: Error,
  job: QueuedRun,
  token: string | undefined,
  { logger, facts }: { readonly logger: Logger; readonly facts: Record<string, unknown> },
): Promise<never> {
  logger.warn(
    { ...facts, code: errorCode(error) },
    `${error.message}; the run is tried again every ${KEPT_FOR_MS / 1000} s`,
  );
  await job.moveToDelayed(Date.now() + KEPT_FOR_MS, token);
  throw new DelayedError();
}

const KEPT_FOR_MS = 5_000;
/** A job of an account that another process knows goes back, and comes to one of them. */
const ELSEWHERE_MS = 1_000;

/** Failures of the database that stay are tried again by the queue for a while; everything else that gets here is a mistake of ours and is not. */
function failureOf(error: unknown, logger: Logger, facts: Record<string, unknown>): Error {
  if (error instanceof DatabaseError) {
    logger.warn({ ...facts, code: error.code }, `${error.message}; the run is tried again`);
    return error;
  }
  logger.error({ ...facts, err: error }, 'unexpected error: please report it');
  return new UnrecoverableError('an error that leadmirror did not foresee; its log has it');
}

/** The run that the job goes on with ended meanwhile: a `sync` by hand brought it to its end, or a person cancelled it. */
async function isRunOver({ database }: Pick<App, 'database'>, { continues }: RunJob): Promise<boolean> {
  if (continues === undefined) return false;
  return isOver(database.prisma, BigInt(continues)).catch((error: unknown) => {
    throw databaseError(error, database.place);
  });
}

function parsePayload(job: QueuedRun, logger: Logger): RunJob {
  try {
    return parseRunJob(job.data);
  } catch {
    logger.error({ job: job.id, name: job.name }, 'a job that leadmirror cannot read; it is dropped');
    throw new UnrecoverableError('payload not understood');
  }
}
