import type { App } from '../src/app.ts';
import type { Logger } from '../src/logger.ts';
import { noteNextPoll, readLastChange } from '../src/store/engine/polls.ts';
import type { RunResult } from '../src/sync/run-pass.ts';
import type { QueuedRun } from './queue-backend.ts';
import { describeError } from './queue-watch.ts';
import { enqueueRun, type Queues } from './queues.ts';
import type { RunJob } from './run-job.ts';

/** What the next interval depends on. */
interface PollFacts {
  /** Since the last change that was seen, in ms. */
  readonly sinceChangeMs: number;
  /** Requests that a look costs when nothing is new. */
  readonly requests: number;
  /** Streams of the same credential whose intervals adapt. */
  readonly streams: number;
  readonly requestsPerMinute: number;
  /** The interval that this pass was asked for with, and how late it began; null: a tick asked for it. */
  readonly last: { readonly intervalMs: number; readonly lateMs: number } | null;
  /** Default: 15 seconds. */
  readonly leastMs?: number | undefined;
}

const LEAST_MS = 15_000;
/** From here on the ticks of the schedule are enough. */
export const MOST_MS = 5 * 60_000;
/** An eighth of the time since the last change: what changes every minute is seen within a quarter of that. */
const PART_OF_QUIET = 8;
/** Of the request budget, for all streams of a credential together. It limits how often passes begin, never how much one reads. */
const PART_OF_BUDGET = 0.1;

/** How long after a pass the next one begins, in ms; where it is {@link MOST_MS}, with the next tick. */
export function pollAfterMs(facts: PollFacts): number {
  const { sinceChangeMs, requests, streams, requestsPerMinute, last, leastMs = LEAST_MS } = facts;
  const affordedMs = (60_000 * requests * streams) / (requestsPerMinute * PART_OF_BUDGET);
  const wantedMs = Math.max(leastMs, sinceChangeMs / PART_OF_QUIET, affordedMs);
  // Where the lane cannot keep up, all intervals grow instead of piling up.
  const isLate = last !== null && last.lateMs > last.intervalMs / 2;
  const intervalMs = Math.round(isLate ? Math.max(wantedMs, last.intervalMs * 2) : wantedMs);
  return Math.min(intervalMs, MOST_MS);
}

interface PollingParts {
  readonly app: Pick<App, 'config' | 'streams' | 'scheduleOf' | 'database' | 'clock'>;
  readonly queues: Queues;
  readonly logger: Logger;
  readonly leastMs?: number | undefined;
}

const NEXT_TICK = 'the next pass comes with the next tick';

/** Where the budget of an account is not known: of a source of one's own. */
const CAUTIOUS_PER_MINUTE = 60;

/**
 * After a pass of a stream whose interval adapts, asks for the next one. A pass that is asked for is one job, delayed; ticks that come before it find it
 * waiting and add nothing. Where it is lost, with its queue or its process, the next tick asks instead.
 */
export class Polling {
  readonly #parts: PollingParts;
  /** By job: what follows once it is completed; before, it would count as the same run. */
  readonly #following = new Map<string, RunJob>();
  /** By stream: the fewest requests of a pass. */
  readonly #costs = new Map<string, number>();
  #counted: { readonly streams: App['streams']; readonly byCredential: ReadonlyMap<string, number> } | null = null;

  constructor(parts: PollingParts) {
    this.#parts = parts;
  }

  /** A pass ended well. */
  async note(job: QueuedRun, payload: RunJob, result: RunResult, startedAt: number): Promise<void> {
    const { app, logger, leastMs } = this.#parts;
    const { connection, stream, pass } = payload;
    if (pass !== 'incremental' || app.scheduleOf(connection, stream)?.isAdaptive !== true) return;
    try {
      const { prisma } = app.database;
      const key = { connectionId: connection, stream };
      const changedAt = await readLastChange(prisma, key);
      const now = app.clock.now();
      const name = `${connection} ${stream}`;
      const cost = Math.max(1, Math.min(result.requests, this.#costs.get(name) ?? Number.POSITIVE_INFINITY));
      this.#costs.set(name, cost);
      const { poll } = payload;
      const intervalMs = pollAfterMs({
        sinceChangeMs: changedAt === null ? Number.POSITIVE_INFINITY : now - changedAt.getTime(),
        requests: cost,
        streams: this.#streamsBeside(connection, stream),
        requestsPerMinute:
          app.config.connections.find(({ id }) => id === connection)?.requestsPerMinute ?? CAUTIOUS_PER_MINUTE,
        leastMs,
        last: poll === undefined ? null : { intervalMs: poll.intervalMs, lateMs: startedAt - poll.dueAt },
      });
      const isTick = intervalMs === MOST_MS;
      await noteNextPoll(prisma, key, { intervalMs, isTick });
      if (isTick) return;
      const next = { dueAt: now + intervalMs, intervalMs };
      this.#following.set(job.id ?? '', { connection, stream, pass, trigger: 'schedule', poll: next });
    } catch (error) {
      logger.warn({ connection, stream, reason: describeError(error) }, NEXT_TICK);
    }
  }

  /** Its job is completed: the queue takes the next one. */
  async follow(job: QueuedRun): Promise<void> {
    const next = this.#following.get(job.id ?? '');
    if (next === undefined) return;
    this.#following.delete(job.id ?? '');
    await enqueueRun(this.#parts.queues, next).catch((error: unknown) => {
      const { connection, stream } = next;
      this.#parts.logger.warn({ connection, stream, reason: describeError(error) }, NEXT_TICK);
    });
  }

  #streamsBeside(connectionId: string, stream: string): number {
    const { streams } = this.#parts.app;
    if (this.#counted?.streams !== streams) {
      const byCredential = new Map<string, number>();
      for (const { credential = '', schedule } of streams) {
        if (schedule.isAdaptive) byCredential.set(credential, (byCredential.get(credential) ?? 0) + 1);
      }
      this.#counted = { streams, byCredential };
    }
    const own = streams.find((one) => one.connectionId === connectionId && one.stream === stream);
    return this.#counted.byCredential.get(own?.credential ?? '') ?? 1;
  }
}
