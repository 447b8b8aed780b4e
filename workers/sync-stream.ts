import { UnrecoverableError } from 'bullmq';
import type { App } from '../src/app.ts';
import { DatabaseError, isAbort, LeaseBusyError, RunCancelledError } from '../src/errors.ts';
import type { Logger } from '../src/logger.ts';
import { endManualWaits, isOver } from '../src/store/engine/control.ts';
import { readConnectionsElsewhere } from '../src/store/engine/processes.ts';
import { databaseError, passesByWaiting } from '../src/store/faults.ts';
import { laneOf } from '../src/stream.ts';
import type { RunResult } from '../src/sync/run-pass.ts';
import { delayJob, fairnessIn, handBack, sendToBack } from './fairness.ts';
import { type Cooldown, jobOutcomeOf } from './job-outcome.ts';
import type { Polling } from './polling.ts';
import type { QueuedRun, RunProcessor } from './queue-backend.ts';
import { describeError } from './queue-watch.ts';
import { enqueueRun, type Queues } from './queues.ts';
import { parseRunJob, type RunJob, TICK } from './run-job.ts';

export type SkipReason = 'not_configured' | 'elsewhere' | 'paused' | 'cooling_down' | 'busy' | 'stopping' | 'over';

export interface JobReport extends RunJob {
  readonly result: RunResult | null;
  readonly skipped: SkipReason | null;
}

export interface ProcessorParts {
  readonly app: Pick<App, 'findStream' | 'scheduleOf' | 'runPass' | 'database' | 'clock'>;
  readonly queues: Queues;
  readonly logger: Logger;
  readonly cooldown: Cooldown;
  readonly polling?: Pick<Polling, 'note'>;
  /** Aborts the waits of runs under way: this process stops. */
  readonly signal: AbortSignal;
  /** How long a run works before it yields to others; default: a minute. */
  readonly sliceMs?: number;
  readonly onJob?: (report: JobReport) => void;
}

/** Longer waits for the upstream free the worker: the run ends `postponed`. */
const MAX_WAIT_MS = 5_000;

export function createProcessor(parts: ProcessorParts): RunProcessor {
  return async (job, token) => {
    const payload = parsePayload(job, parts.logger);
    if (job.name === TICK) return enqueueRun(parts.queues, payload);
    const startedAt = parts.app.clock.now();
    const processed = await observe(parts, job, payload, token);
    const isSkipped = typeof processed === 'string';
    try {
      await (isSkipped ? leave(job, processed, token) : settle(parts, { job, payload, startedAt }, processed, token));
    } finally {
      const outcome = isSkipped ? { result: null, skipped: processed } : { result: processed, skipped: null };
      parts.onJob?.({ ...payload, ...outcome });
    }
  };
}

async function processRun(parts: ProcessorParts, job: RunJob): Promise<RunResult | SkipReason> {
  const { app, queues, logger, cooldown, signal } = parts;
  const { connection, stream, pass } = job;
  const found = app.findStream(connection, stream);
  if (found === undefined) {
    // Another daemon of this database may have it in a configuration of its own.
    const elsewhere = await readConnectionsElsewhere(app.database.prisma);
    return elsewhere.has(connection) ? 'elsewhere' : 'not_configured';
  }
  if (job.trigger === 'manual') {
    found.connection.retryRefused?.();
    await endManualWaits(app.database.prisma, { connectionId: connection, stream });
  }
  if (job.trigger === 'schedule' && cooldown.isActive(connection, app.clock.now())) return 'cooling_down';
  if (signal.aborted) return 'stopping';
  // A `sync` by hand brought the run that this job goes on with to its end, or a person cancelled it.
  if (job.continues !== undefined && (await isOver(app.database.prisma, BigInt(job.continues)))) return 'over';
  const fairness = fairnessIn(queues.lanes[laneOf(pass)], parts.sliceMs);
  const result = await app
    .runPass({
      ...found,
      pass,
      signal,
      isScheduled: job.trigger === 'schedule',
      maxWaitMs: MAX_WAIT_MS,
      leaseWaitMs: 0,
      fairness,
    })
    .catch((error: unknown) => {
      if (error instanceof LeaseBusyError) return 'busy' as const;
      if (error instanceof RunCancelledError) return 'paused' as const;
      if (signal.aborted && (isAbort(error) || error === signal.reason)) return 'stopping' as const;
      throw error;
    });
  if (typeof result === 'string') return result;
  if (result.outcome === 'succeeded' || result.outcome === 'partial') cooldown.end(connection);
  // What changed during the first full read is not waited for until the next tick.
  if (pass === 'backfill' && isComplete(result) && app.scheduleOf(connection, stream)?.incremental !== null) {
    await enqueueRun(queues, { connection, stream, pass: 'incremental', trigger: 'schedule' }).catch((error: unknown) =>
      logger.warn({ connection, stream, reason: describeError(error) }, 'the next tick brings what changed meanwhile'),
    );
  }
  return result;
}

/** A full read that only quarantined records is complete. */
const isComplete = ({ outcome, error }: RunResult): boolean =>
  outcome === 'succeeded' || (outcome === 'partial' && error?.code === 'quarantined');

async function observe(parts: ProcessorParts, job: QueuedRun, payload: RunJob, token: string | undefined) {
  const { logger, app } = parts;
  const { connection, stream, pass, trigger } = payload;
  const facts = { connection, stream, pass, trigger };
  const startedAt = performance.now();
  logger.debug({ ...facts, job: job.id, queuedMs: Math.max(0, app.clock.now() - job.timestamp) }, 'run begins');
  try {
    const processed = await processRun(parts, payload);
    const ms = Math.round(performance.now() - startedAt);
    if (typeof processed !== 'string') logResult(logger, { ...facts, ms }, processed);
    else logger.debug({ ...facts, reason: processed, ms }, `run skipped: ${processed}`);
    return processed;
  } catch (thrown) {
    const error = databaseError(thrown, app.database.address);
    if (!(error instanceof DatabaseError)) {
      logger.error({ ...facts, err: error }, 'unexpected error: please report it');
      throw new UnrecoverableError('an error that leadmirror did not foresee; its log has it');
    }
    // While the database is away a job is not given up, however long that takes. Other failures of it are tried again
    // by the queue for a while.
    const isAway = passesByWaiting(error);
    const next = isAway ? `tried again every ${KEPT_FOR_MS / 1000} s` : 'tried again';
    logger.warn({ ...facts, code: error.code }, `${error.message}; the run is ${next}`);
    if (isAway) await delayJob(job, token, KEPT_FOR_MS);
    throw error;
  }
}

const KEPT_FOR_MS = 5_000;
/** A job of an account that another process knows goes back, and comes to one of them. */
const ELSEWHERE_MS = 1_000;

async function leave(job: QueuedRun, reason: SkipReason, token: string | undefined): Promise<void> {
  if (reason === 'stopping') await handBack(job, token);
  if (reason === 'elsewhere') await delayJob(job, token, ELSEWHERE_MS);
}

async function settle(
  { app, logger, queues, cooldown, polling }: ProcessorParts,
  { job, payload, startedAt }: { readonly job: QueuedRun; readonly payload: RunJob; readonly startedAt: number },
  result: RunResult,
  token: string | undefined,
): Promise<void> {
  const { connection, stream, pass } = payload;
  const jobOutcome = jobOutcomeOf(result, payload, app.clock.now());
  switch (jobOutcome.kind) {
    case 'done':
      return isComplete(result) ? polling?.note(job, payload, result, startedAt) : undefined;
    case 'cool_down':
      cooldown.start(connection, app.clock.now());
      logger.warn({ connection, code: result.error?.code }, 'connection paused for 15 minutes: action required');
      return;
    case 'give_up':
      logger.warn({ connection, stream, pass }, 'run postponed too often; the next tick goes on from the checkpoint');
      return;
    case 'yield': {
      const { postponed: _, poll: _due, ...rest } = payload;
      await job.updateData({ ...rest, continues: String(result.runId) });
      return sendToBack(queues, job, token);
    }
    case 'hand_back':
      return handBack(job, token);
    case 'delay':
      await job.updateData({ ...payload, postponed: jobOutcome.postponed });
      return delayJob(job, token, jobOutcome.delayMs);
    default:
      return jobOutcome satisfies never;
  }
}

function logResult(logger: Logger, facts: Record<string, unknown>, result: RunResult): void {
  const { runId, outcome, requests, pages, read, created, updated, unchanged, deleted, quarantined, error } = result;
  const counts = { requests, pages, read, created, updated, unchanged, deleted, quarantined };
  const line = { ...facts, run: String(runId), outcome, ...counts, ...(error && { error }) };
  const changed = created + updated + deleted + quarantined;
  if (outcome === 'failed' || outcome === 'partial') logger.warn(line, `run ${outcome}`);
  else if (error?.code === 'yielded') logger.debug(line, 'run yields to others');
  else if (outcome !== 'succeeded' || changed > 0) logger.info(line, `run ${outcome}`);
  else logger.debug(line, 'run found nothing new');
}

function parsePayload(job: QueuedRun, logger: Logger): RunJob {
  try {
    return parseRunJob(job.data);
  } catch {
    logger.error({ job: job.id, name: job.name }, 'a job that leadmirror cannot read; it is dropped');
    throw new UnrecoverableError('payload not understood');
  }
}
