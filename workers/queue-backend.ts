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
  /** No more reconnecting: what waits for a server that is away fails. Resolves when that has happened. */
  disconnect(): Promise<void>;
  close(): Promise<void>;
}

export class RunWorker extends Worker<RunJob, void, string> {
  /** Lets go of everything at once, also when `close` waits for a server that is away: its timers would keep the process alive. */
  async abandon(): Promise<void> {
    await this.lockManager.close();
    await this.backend.close(true);
  }
}
