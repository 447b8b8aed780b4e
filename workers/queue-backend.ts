import { setTimeout as delay } from 'node:timers/promises';
import {
  type BackendFactory,
  type IQueueBackend,
  type Job,
  type Processor,
  type Queue,
  type QueueOptions,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import { errorOf } from '../src/errors.ts';
import type { RunJob } from './run-job.ts';

export type RunQueue = Queue<RunJob, void, string>;
export type QueuedRun = Job<RunJob, void, string>;
export type RunProcessor = Processor<RunJob, void, string>;

/** The queue cannot be reached. Waiting may help. */
export class QueueUnavailableError extends errorOf('queue_unavailable') {}

/** The queue answers, and refuses what it has to do. Waiting does not help. */
export class QueueRefusedError extends errorOf('queue_refused') {}

/** Where the queues live. BullMQ's type parameters for the two are erased where a backend is made. */
export interface QueueBackend {
  readonly kind: 'redis' | 'postgres';
  readonly factory: BackendFactory;
  readonly options: Pick<QueueOptions & WorkerOptions, 'connection' | 'prefix'>;
  /** One round trip; fails at once while there is no connection. */
  ping(): Promise<void>;
  /** One human-readable line, without secrets: what went wrong, and what to do about it where that is known. */
  explain(error: unknown): string;
  /** No more reconnecting: what waits for a server that is away fails. Resolves when that has happened. */
  disconnect(): Promise<void>;
  close(): Promise<void>;
}

/** Postgres would wait for an hour, which looks like being stuck. */
const LONGEST_WAIT_SECONDS = 10;
/** BullMQ asks again at once: a server that refuses everything would be asked thousands of times a second. */
const PAUSE_MS = 1_000;

export interface RunWorkerOptions extends WorkerOptions {
  readonly longestWaitSeconds?: number | undefined;
}

export class RunWorker extends Worker<RunJob, void, string> {
  readonly #running: ReadonlySet<Promise<void>>;
  readonly #lastAnswer: { at: number };

  constructor(name: string, processor: RunProcessor, options: RunWorkerOptions, factory: BackendFactory) {
    const { longestWaitSeconds = LONGEST_WAIT_SECONDS, ...rest } = options;
    const running = new Set<Promise<void>>();
    const lastAnswer = { at: performance.now() };
    const track: RunProcessor = (job, token) => {
      const run = processor(job, token).finally(() => running.delete(run));
      running.add(run);
      return run;
    };
    const watched: BackendFactory = (...args) => watchBackend(factory(...args), { longestWaitSeconds, lastAnswer });
    super(name, track, { ...rest, drainDelay: Math.min(5, longestWaitSeconds) }, watched as never);
    this.#running = running;
    this.#lastAnswer = lastAnswer;
  }

  get activeJobs(): number {
    return this.#running.size;
  }

  get hasRoom(): boolean {
    return this.activeJobs < this.concurrency;
  }

  /** How long ago the queue last answered its question for a job. It asks only while it has room. */
  get unansweredMs(): number {
    return performance.now() - this.#lastAnswer.at;
  }

  /** Closes behind the jobs under way; `close(true)` at once. `isStuck`: its loop may never end, and is not awaited. */
  async finish(isStuck: boolean): Promise<void> {
    await this.pause(true);
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    await this.close(isStuck);
  }
}

function watchBackend(
  backend: IQueueBackend,
  { longestWaitSeconds, lastAnswer }: { readonly longestWaitSeconds: number; readonly lastAnswer: { at: number } },
): IQueueBackend {
  const ask = backend.moveToActive.bind(backend);
  backend.moveToActive = async (token, name) => {
    try {
      const answer = await ask(token, name);
      lastAnswer.at = performance.now();
      return answer;
    } catch (error) {
      if (backend.closing === undefined) await delay(PAUSE_MS);
      throw error;
    }
  };
  const value = Math.min(backend.maximumBlockTimeout ?? longestWaitSeconds, longestWaitSeconds);
  return Object.defineProperty(backend, 'maximumBlockTimeout', { value });
}
