import { setTimeout as delay } from 'node:timers/promises';
import { Queue, type Telemetry } from 'bullmq';
import pRetry from 'p-retry';
import { whileUnreachable } from '../src/app/mirror-database.ts';
import { within } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import type { Logger } from '../src/logger.ts';
import type { QueueHealth } from '../src/ops/parts.ts';
import { type Lane, laneOf } from '../src/stream.ts';
import {
  type QueueBackend,
  QueueRefusedError,
  QueueUnavailableError,
  type RunProcessor,
  type RunQueue,
  RunWorker,
  type RunWorkerOptions,
} from './queue-backend.ts';
import { createPostgresQueueBackend, migrateQueue } from './queue-postgres.ts';
import { createRedisQueueBackend, warnAboutEviction } from './queue-redis.ts';
import { describeError, QueueWatch } from './queue-watch.ts';
import { deduplicationId, QUEUE_NAMES, RUN, type RunJob } from './run-job.ts';

export { QueueRefusedError, QueueUnavailableError } from './queue-backend.ts';

type JobCounts = Readonly<Record<string, number>>;

export interface QueueOverrides {
  readonly prefix?: string;
  readonly maxConnections?: number;
  /** How long a command that cannot wait tries to reach the queue. */
  readonly reachMs?: number;
  /** How long after its last sign of life a worker's job is given to another one. */
  readonly lockMs?: number;
  /** After how long without an answer from the queue a connection, or a worker, is replaced. */
  readonly timeoutMs?: number;
  /** Makes spans of jobs; what a job starts belongs to it. */
  readonly telemetry?: Telemetry;
}

export interface CreateQueuesOptions extends QueueOverrides {
  readonly config: Pick<Config, 'redis'>;
  /** The mirror's database; the queue lives there when no Redis is configured. */
  readonly databaseUrl: string;
  readonly logger: Logger;
  /** Keep going while the queue cannot be reached: for a daemon. Without it, fails after some seconds. */
  readonly retriesConnecting?: boolean;
  readonly signal?: AbortSignal;
}

const REACH_MS = 10_000;
const FIRST_ANSWER_MS = 1_500;
const ANSWER_MS = 3_000;
const RETRY_MS = 2_000;
const LOCK_MS = 30_000;

/** @throws QueueUnavailableError, DatabaseError */
export async function createQueues(options: CreateQueuesOptions): Promise<Queues> {
  const { config, databaseUrl, logger, prefix, timeoutMs, maxConnections } = options;
  if (config.redis === null) {
    const { retriesConnecting = false, signal = new AbortController().signal } = options;
    await whileUnreachable({ logger, signal, waitForDatabase: retriesConnecting }, () => migrateQueue(databaseUrl));
  }
  const onError = (error: Error) => watch.report(error);
  const backend: QueueBackend =
    config.redis === null
      ? createPostgresQueueBackend({ databaseUrl, maxConnections, onError })
      : createRedisQueueBackend({ urls: config.redis.urls, prefix, timeoutMs, onError });
  const watch = new QueueWatch({ logger, ping: () => queues.ping() });
  const queues = new Queues(backend, watch, options);
  const signal = options.signal ? AbortSignal.any([options.signal, queues.closing]) : queues.closing;
  try {
    await reach(queues, backend, { ...options, signal });
    return queues;
  } catch (error) {
    await queues.disconnect();
    await queues.close();
    throw error;
  }
}

/**
 * One run per stream and lane: while one waits, another is not added; while one runs, a trigger by hand causes one more
 * after it.
 * @throws QueueUnavailableError for a run that was asked for by hand; commands to a Redis that is away would wait
 */
export async function enqueueRun(queues: Queues, job: RunJob): Promise<void> {
  const isManual = job.trigger === 'manual';
  const adding = queues.lanes[laneOf(job.pass)].add(RUN, job, {
    // `replace`: a postponed run is not waited for; a person asked for it now.
    deduplication: { id: deduplicationId(job), keepLastIfActive: isManual, replace: isManual },
    ...(job.poll && { delay: job.poll.intervalMs }),
    // Only failures of our own database get here; what the upstream does is a run's outcome.
    attempts: 8,
    backoff: { type: 'exponential', delay: 2_000, jitter: 0.5 },
    removeOnComplete: true,
    removeOnFail: { age: 7 * 24 * 3600, count: 100 },
  });
  await (isManual ? answerWithin(ANSWER_MS, adding) : adding);
}

export class Queues {
  readonly kind: 'redis' | 'postgres';
  readonly lanes: Record<Lane, RunQueue>;
  readonly #backend: QueueBackend;
  readonly #watch: QueueWatch;
  readonly #overrides: QueueOverrides;
  readonly #closing = new AbortController();
  #closed: Promise<void> | null = null;

  constructor(backend: QueueBackend, watch: QueueWatch, overrides: QueueOverrides) {
    this.kind = backend.kind;
    this.#backend = backend;
    this.#watch = watch;
    this.#overrides = overrides;
    this.lanes = { fast: this.#createQueue('fast'), bulk: this.#createQueue('bulk') };
  }

  createWorker(lane: Lane, processor: RunProcessor, concurrency: number): RunWorker {
    const { lockMs = LOCK_MS, timeoutMs } = this.#overrides;
    const options: RunWorkerOptions = {
      ...this.#backend.options,
      concurrency,
      longestWaitSeconds: timeoutMs && timeoutMs / 4_000,
      lockDuration: lockMs,
      stalledInterval: lockMs,
      // The lease and the checkpoint make it harmless to take a run over; giving it up after two crashes would not be.
      maxStalledCount: 20,
      runRetryDelay: RETRY_MS,
      telemetry: this.#overrides.telemetry,
    };
    const worker = new RunWorker(QUEUE_NAMES[lane], processor, options, this.#backend.factory);
    worker.on('error', this.#watch.report);
    return worker;
  }

  /** @throws QueueUnavailableError */
  ping(): Promise<void> {
    return this.#answer(this.#backend.ping());
  }

  /** Both lanes can be used. A queue that was refused while it was set up is replaced. @throws QueueUnavailableError */
  async prepare(): Promise<void> {
    await this.ping();
    for (const lane of ['fast', 'bulk'] satisfies Lane[]) {
      const queue = this.lanes[lane];
      const ready = queue.waitUntilReady().catch((error: unknown) => {
        if (this.lanes[lane] === queue && !this.closing.aborted) this.lanes[lane] = this.#createQueue(lane);
        void queue.close().catch(() => {});
        throw error;
      });
      await this.#answer(ready.then(() => {}));
    }
  }

  /** Jobs of both lanes in every state that BullMQ knows. @throws QueueUnavailableError */
  counts(): Promise<Readonly<Record<Lane, JobCounts>>> {
    const { fast, bulk } = this.lanes;
    const counted = this.#backend.ping().then(() => Promise.all([fast.getJobCounts(), bulk.getJobCounts()]));
    return this.#answer(counted.then(([ofFast, ofBulk]) => ({ fast: ofFast, bulk: ofBulk })));
  }

  async health(): Promise<QueueHealth> {
    const backend = this.kind;
    try {
      const { fast, bulk } = await this.counts();
      return { backend, ok: true, error: null, lanes: { fast: mainCounts(fast), bulk: mainCounts(bulk) } };
    } catch (error) {
      return { backend, ok: false, error: describeError(error), lanes: null };
    }
  }

  #answer<T>(answer: Promise<T>): Promise<T> {
    return answerWithin(ANSWER_MS, answer, this.#backend.explain);
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Gives up on a queue that is away, so that what waits for it can be closed. */
  disconnect(): Promise<void> {
    this.#closing.abort();
    this.#watch.close();
    return this.#backend.disconnect();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#watch.close();
    await Promise.allSettled([this.lanes.bulk.close(), this.lanes.fast.close()]);
    await this.#backend.close();
  }

  #createQueue(lane: Lane): RunQueue {
    const options = {
      ...this.#backend.options,
      streams: { events: { maxLen: 1_000 } },
      telemetry: this.#overrides.telemetry,
    };
    const queue: RunQueue = new Queue(QUEUE_NAMES[lane], options, this.#backend.factory as never);
    queue.on('error', this.#watch.report);
    return queue;
  }
}

function mainCounts({ waiting = 0, wait = 0, active = 0, delayed = 0, failed = 0 }: JobCounts) {
  return { waiting: waiting + wait, active, delayed, failed };
}

/** A daemon starts without its Redis and works as soon as that is there; a command has to know now. */
async function reach(
  queues: Queues,
  backend: QueueBackend,
  { logger, retriesConnecting = false, signal, reachMs = REACH_MS }: CreateQueuesOptions,
): Promise<void> {
  const check = () => queues.prepare().then(() => warnAboutEviction(backend, logger));
  const checking = pRetry(check, {
    ...{ retries: Number.POSITIVE_INFINITY, minTimeout: 100, factor: 1, signal, unref: retriesConnecting },
    maxRetryTime: retriesConnecting ? Number.POSITIVE_INFINITY : reachMs,
    shouldRetry: ({ error }) =>
      !(error instanceof QueueRefusedError) && (retriesConnecting || !refusesCredentials(error)),
  });
  checking.catch((error: unknown) => {
    if (error instanceof QueueRefusedError) logger.error(error.message);
  });
  // A refusal comes at once; a queue that is away is not waited for.
  await (retriesConnecting ? Promise.race([checking, delay(FIRST_ANSWER_MS, undefined, { ref: false })]) : checking);
}

/** Redis' codes for a wrong user or password: a command need not try again. */
const refusesCredentials = (error: unknown): boolean =>
  /^(WRONGPASS|NOAUTH|ERR invalid password)/.test(describeError((error as { cause?: unknown }).cause));

/** @throws QueueUnavailableError when it fails, or takes longer */
export async function answerWithin<T>(
  ms: number,
  answer: Promise<T>,
  explain: (error: unknown) => string = describeError,
): Promise<T> {
  try {
    return await within(ms, answer);
  } catch (cause) {
    if (cause instanceof QueueRefusedError) throw cause;
    throw new QueueUnavailableError(`the queue cannot be reached: ${explain(cause)}`, { cause });
  }
}
