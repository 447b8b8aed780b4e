import { setTimeout as delay } from 'node:timers/promises';
import {
  type BackendFactory,
  type Job,
  type Processor,
  type Queue,
  type QueueOptions,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import type { RunJob } from './run-job.ts';

export type RunQueue = Queue<RunJob, void, string>;
export type QueuedRun = Job<RunJob, void, string>;
export type RunProcessor = Processor<RunJob, void, string>;

/**
 * Where the queues live. BullMQ's own types tell the two apart by type parameters that nothing here depends on; they are erased once, where a backend
 * is made.
 */
export interface QueueBackend {
  readonly kind: 'redis' | 'postgres';
  readonly factory: BackendFactory;
  readonly options: Pick<QueueOptions & WorkerOptions, 'connection' | 'prefix'>;
  /** One round trip; fails at once while there is no connection. */
  ping(): Promise<void>;
  /** One line for people, without secrets: what went wrong, and what to do about it where that is known. */
  explain(error: unknown): string;
  /** No more reconnecting: what waits for a server that is away fails. Resolves when that has happened. */
  disconnect(): Promise<void>;
  close(): Promise<void>;
}

/** Longer than any of its own waits, a worker that has room for a job and does not ask for one is stuck. */
const LONGEST_WAIT_MS = 10_000;
/** After a refusal BullMQ asks again at once: a server that refuses everything would be asked thousands of times a second. */
const PAUSE_MS = 1_000;

export interface RunWorkerOptions extends WorkerOptions {
  /** Between two questions of an idle worker. */
  readonly longestWaitMs?: number;
}

export class RunWorker extends Worker<RunJob, void, string> {
  readonly #longestWaitMs: number;
  #answeredAt = performance.now();

  constructor(name: string, processor: RunProcessor, options: RunWorkerOptions, factory: BackendFactory) {
    const { longestWaitMs = LONGEST_WAIT_MS, ...rest } = options;
    super(name, processor, rest, factory as never);
    this.#longestWaitMs = longestWaitMs;
  }

  /** Jobs that it works on now. */
  get activeJobs(): number {
    return this.lockManager.getActiveJobCount();
  }

  get hasRoom(): boolean {
    return this.activeJobs < this.concurrency;
  }

  /** How long ago the queue last answered its question for a job. It asks only while it has room. */
  get unansweredMs(): number {
    return performance.now() - this.#answeredAt;
  }

  /** Lets go of everything at once, also when `close` waits for a server that is away: its timers would keep the process alive. */
  async abandon(): Promise<void> {
    await this.lockManager.close();
    await this.backend.close(true);
  }

  protected override async moveToActive(token: string, name?: string) {
    try {
      const job = await super.moveToActive(token, name);
      this.#answeredAt = performance.now();
      return job;
    } catch (error) {
      if (!this.closing) await delay(PAUSE_MS);
      throw error;
    }
  }

  /** In seconds. Postgres would wait for an hour, which nobody could tell from being stuck. */
  protected override getBlockTimeout(blockUntil: number): number {
    return Math.min(super.getBlockTimeout(blockUntil), this.#longestWaitMs / 1000);
  }
}
