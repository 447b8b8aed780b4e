import type { BackendFactory, Job, Processor, Queue, QueueOptions, Worker, WorkerOptions } from 'bullmq';
import type { RunJob } from './run-job.ts';

export type RunQueue = Queue<RunJob, void, string>;
export type RunWorker = Worker<RunJob, void, string>;
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
  /** Ends waits and connections at once: whatever is still open fails. */
  disconnect(): void;
  close(): Promise<void>;
}
