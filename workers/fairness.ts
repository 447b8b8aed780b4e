import { DelayedError, WaitingError } from 'bullmq';
import type { Fairness } from '../src/sync/run-pass.ts';
import type { QueuedRun, RunQueue } from './queue-backend.ts';
import { answerWithin, type Queues } from './queues.ts';

// A run occupies one of its lane's few slots. After a slice it asks the queue whether others wait, and if so, goes to
// the back of the lane.
export const SLICE_MS = 60_000;
/** A queue that is away does not hold up a page. */
const ANSWER_MS = 1_000;

export function fairnessIn(queue: RunQueue, sliceMs = SLICE_MS): Fairness {
  return {
    sliceMs,
    isWaitedFor: () => answerWithin(ANSWER_MS, isWaitedFor(queue)).catch(() => false),
  };
}

async function isWaitedFor(queue: RunQueue): Promise<boolean> {
  if ((await queue.getWaitingCount()) > 0) return true;
  // Jobs whose time has come count among the delayed until a worker asks for its next job, and all workers may be busy.
  // The queue does not report when a job that was postponed is due; not before its last run began plus the delay. To
  // yield too early only costs a look into the queue.
  const [first] = await queue.getDelayed(0, 0);
  if (first === undefined) return false;
  return Math.max(first.timestamp, first.processedOn ?? 0) + first.delay <= Date.now();
}

/**
 * The job waits again, behind all that wait now; no attempt is counted, and its deduplication is kept. In Redis a job
 * that is moved to wait is the next one, and one whose delay is over comes last; in Postgres the former is put last,
 * and the latter gets its old position back, which is the first.
 */
export async function sendToBack(queues: Pick<Queues, 'kind'>, job: QueuedRun, token: string | undefined) {
  return queues.kind === 'postgres' ? handBack(job, token) : delayJob(job, token, 1);
}

/** Back into the queue, for another process or the next start of this one. */
export async function handBack(job: QueuedRun, token: string | undefined): Promise<never> {
  await job.moveToWait(token);
  throw new WaitingError();
}

/** The same job again after a while; no attempt is counted. */
export async function delayJob(job: QueuedRun, token: string | undefined, delayMs: number): Promise<never> {
  await job.moveToDelayed(Date.now() + delayMs, token);
  throw new DelayedError();
}
