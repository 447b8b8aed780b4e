import { succeeds } from '../src/clock.ts';
import type { Logger } from '../src/logger.ts';
import type { Lane } from '../src/stream.ts';
import type { RunWorker } from './queue-backend.ts';

export interface LaneWorkerParts {
  readonly lane: Lane;
  readonly create: () => RunWorker;
  /** Rejects while the queue is away. */
  readonly ping: () => Promise<void>;
  readonly logger: Logger;
  /** How long the queue may be there without the worker having asked it for a job. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 60_000;
const CHECKS_PER_TIMEOUT = 12;

/**
 * The worker of one lane, replaced when it is stuck: the queue answers, there is room for a job, and it does not ask
 * for one. BullMQ mends its connections; it does not mend a worker that was refused while it was set up, whose loop has
 * ended, or that waits for an answer that never comes.
 */
export class LaneWorker {
  readonly #parts: LaneWorkerParts;
  readonly #timeoutMs: number;
  readonly #timer: NodeJS.Timeout;
  /** Replaced, and still at the runs that they had begun. */
  readonly #retired = new Set<RunWorker>();
  #worker: RunWorker;
  /** Since when it has been able to ask for a job, and an answer could be had. */
  #ableSince: number | null = null;
  #checkedAt = performance.now();
  #isChecking = false;
  #isStopping = false;

  constructor(parts: LaneWorkerParts) {
    this.#parts = parts;
    this.#timeoutMs = parts.timeoutMs ?? TIMEOUT_MS;
    this.#worker = parts.create();
    this.#timer = setInterval(() => void this.#check(), this.#timeoutMs / CHECKS_PER_TIMEOUT);
    this.#timer.unref();
  }

  get activeJobs(): number {
    return this.#all.reduce((sum, worker) => sum + worker.activeJobs, 0);
  }

  get #all(): RunWorker[] {
    return [this.#worker, ...this.#retired];
  }

  /** Takes no new job; does not wait for those under way. */
  async pause(): Promise<void> {
    this.#stopWatching();
    await this.#worker.pause(true);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    await Promise.all(this.#all.map((worker) => worker.finish(worker !== this.#worker)));
  }

  /** Closes everything at once, also when `close` waits for an unreachable server. */
  async abandon(): Promise<void> {
    this.#stopWatching();
    await Promise.all(this.#all.map((worker) => worker.close(true)));
  }

  #stopWatching(): void {
    this.#isStopping = true;
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    if (this.#isChecking) return;
    this.#isChecking = true;
    const isReachable = await succeeds(this.#parts.ping());
    this.#isChecking = false;
    if (this.#isStopping) return;
    const now = performance.now();
    // After a freeze of the process its worker is late too.
    const hasSlept = now - this.#checkedAt > this.#timeoutMs;
    this.#checkedAt = now;
    if (!isReachable || hasSlept || !this.#worker.hasRoom) this.#ableSince = null;
    if (!isReachable) return;
    this.#ableSince ??= now;
    if (now - this.#ableSince >= this.#timeoutMs && this.#isStuck()) this.#replace();
  }

  #isStuck(): boolean {
    const { hasRoom, unansweredMs } = this.#worker;
    return !this.#worker.isRunning() || (hasRoom && unansweredMs > this.#timeoutMs);
  }

  #replace(): void {
    const { lane, logger, create } = this.#parts;
    logger.warn({ lane }, 'a worker takes no jobs although the queue answers; it is replaced');
    const stuck = this.#worker;
    this.#worker = create();
    this.#ableSince = null;
    // Runs that it had begun go on to their end; their locks are renewed until then.
    this.#retired.add(stuck);
    void stuck
      .finish(true)
      .catch(() => {})
      .finally(() => this.#retired.delete(stuck));
  }
}
