import type { App } from '../src/app.ts';
import type { Logger } from '../src/logger.ts';
import { noteNextPoll, readLastChange, readPollDemands } from '../src/store/engine/polls.ts';
import { readDayLeft } from '../src/store/reports/budget-status.ts';
import type { RunResult } from '../src/sync/run-pass.ts';
import type { QueuedRun } from './queue-backend.ts';
import { describeError } from './queue-watch.ts';
import { enqueueRun, type Queues } from './queues.ts';
import type { RunJob } from './run-job.ts';

/** What a stream asks of the requests of its credential. */
export interface Demand {
  /** Since the last change that was seen, in ms. */
  readonly sinceChangeMs: number;
  /** Requests that a pass costs, as {@link costAfter} counts them. */
  readonly requests: number;
}

interface PollFacts extends Demand {
  /** The other streams of the credential whose intervals adapt. */
  readonly others: readonly Demand[];
  readonly requestsPerMinute: number;
  /** Requests that are left of a limited day, and for how long; null: no limit of a day. */
  readonly dayLeft?: { readonly requests: number; readonly forMs: number } | null;
  /** The interval that this pass was asked for with, and how late it began; null: a tick asked for it. */
  readonly last: { readonly intervalMs: number; readonly lateMs: number } | null;
  readonly leastMs?: number | undefined;
}

const LEAST_MS = 15_000;
/** From here on the ticks of the schedule are enough. */
export const MOST_MS = 5 * 60_000;
/** An eighth of the time since the last change: what changes every minute is seen within a quarter of that. */
const PART_OF_QUIET = 8;
/** Of the request budget, for all streams of a credential. It limits how often passes begin, not what they read. */
const PART_OF_BUDGET = 0.1;
/** What a pass that brings something reads after its first request counts this part: it is reading, not looking. */
const PART_OF_READING = 0.25;

/** From the start of a pass to that of the next, in ms; {@link MOST_MS}: with a tick. Longer where a day is limited. */
export function pollAfterMs(facts: PollFacts): number {
  const { others, requestsPerMinute, dayLeft = null, last, leastMs = LEAST_MS } = facts;
  const wantedOf = ({ sinceChangeMs }: Demand) => Math.min(MOST_MS, Math.max(leastMs, sinceChangeMs / PART_OF_QUIET));
  const wantedPerMinute = [facts, ...others].reduce((sum, one) => sum + (60_000 * one.requests) / wantedOf(one), 0);
  // Where all together want more than there is, each waits longer by the same factor: a quiet stream, which wants
  // little, takes little from a busy one. Of a limited day the polls plan with a part of what is left, so that it lasts
  // until the end where all of them have much to read.
  const dayPerMinute =
    dayLeft === null ? Number.POSITIVE_INFINITY : (dayLeft.requests * PART_OF_READING * 60_000) / dayLeft.forMs;
  const perMinute = Math.min(requestsPerMinute * PART_OF_BUDGET, dayPerMinute);
  const affordedMs = wantedOf(facts) * Math.max(1, wantedPerMinute / perMinute);
  const mostMs = dayLeft === null ? MOST_MS : Math.max(MOST_MS, dayLeft.forMs);
  // Where the lane cannot keep up, all intervals grow instead of piling up.
  const isLate = last !== null && last.lateMs > last.intervalMs / 2;
  return Math.min(mostMs, Math.round(isLate ? Math.max(affordedMs, last.intervalMs * 2) : affordedMs));
}

/**
 * What the next pass will cost, by what this one did. At most twice what was known: a pass that had much to read, or
 * asked about the server first, does not make the next ones rare.
 */
export function costAfter({ requests, hasNews }: { requests: number; hasNews: boolean }, known: number | null): number {
  const more = Math.max(0, requests - 1) * (hasNews ? PART_OF_READING : 1);
  return Math.min(1 + more, 2 * (known ?? 1));
}

interface PollingParts {
  readonly app: Pick<App, 'config' | 'findStream' | 'scheduleOf' | 'database' | 'clock'>;
  readonly queues: Queues;
  readonly logger: Logger;
  readonly leastMs?: number | undefined;
}

const NEXT_TICK = 'the next pass comes with the next tick';

/** Where the budget of an account is not known: of a source of one's own. */
const CAUTIOUS_PER_MINUTE = 60;

/**
 * After a pass of a stream whose interval adapts, asks for the next one. A pass that is asked for is one job, delayed;
 * ticks that come before it find it waiting and add nothing. Where it is lost, with its queue or its process, the next
 * tick asks instead.
 */
export class Polling {
  readonly #parts: PollingParts;
  /** By job: what follows once it is completed; before, it would count as the same run. */
  readonly #following = new Map<string, RunJob>();

  constructor(parts: PollingParts) {
    this.#parts = parts;
  }

  async note(job: QueuedRun, payload: RunJob, result: RunResult, startedAt: number): Promise<void> {
    const { app, logger, leastMs } = this.#parts;
    const { connection, stream, pass } = payload;
    if (pass !== 'incremental' || app.scheduleOf(connection, stream)?.isAdaptive !== true) return;
    try {
      const { prisma } = app.database;
      const key = { connectionId: connection, stream };
      const credential = app.findStream(connection, stream)?.connection.credential;
      const settings = app.config.connections.find(({ id }) => id === connection);
      const isDayLimited = settings?.requestsPerDay !== undefined && credential !== undefined;
      const [changedAt, { own, others }, dayLeft] = await Promise.all([
        readLastChange(prisma, key),
        readPollDemands(prisma, key, credential),
        isDayLimited ? readDayLeft(prisma, credential) : null,
      ]);
      const now = app.clock.now();
      const sinceChange = (at: Date | null) => (at === null ? Number.POSITIVE_INFINITY : now - at.getTime());
      const hasNews = result.created + result.updated + result.deleted > 0;
      const requests = costAfter({ requests: result.requests, hasNews }, own?.requests ?? null);
      const { poll } = payload;
      const intervalMs = pollAfterMs({
        ...{ sinceChangeMs: sinceChange(changedAt), requests },
        others: others.map((one) => ({ sinceChangeMs: sinceChange(one.changedAt), requests: one.requests })),
        requestsPerMinute: settings?.requestsPerMinute ?? CAUTIOUS_PER_MINUTE,
        ...{ dayLeft, leastMs },
        last: poll === undefined ? null : { intervalMs: poll.intervalMs, lateMs: startedAt - poll.dueAt },
      });
      // A tick does nothing while a pass waits: an interval that is longer than the pause between two ticks is kept to.
      const isTick = intervalMs === MOST_MS && dayLeft === null;
      await noteNextPoll(prisma, key, { intervalMs, isTick, changedAt, requests });
      if (isTick) return;
      // From start to start, but with a pause in any case.
      const delayMs = Math.round(Math.max(intervalMs / 2, startedAt + intervalMs - now));
      const next = { dueAt: now + delayMs, intervalMs: delayMs };
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
}
