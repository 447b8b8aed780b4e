import { describe, expect, it } from '@jest/globals';
import { createLocalBudget, type RequestBudget, spacingMs } from '../../src/http/budget.ts';
import type { Lane } from '../../src/stream.ts';
import fc from '../helpers/property.ts';

/** Callers of both lanes over one budget, on a clock of their own: nothing here waits. */
interface Caller {
  readonly lane: Lane;
  /** How long its requests take. */
  readonly latencyMs: number;
  readonly maxWaitMs: number;
  /** Between the end of a request and the next one, besides. */
  readonly pauseMs: number;
  readonly fromMs: number;
}

interface Sent {
  readonly lane: Lane;
  readonly at: number;
}

async function simulate(limit: number, callers: readonly Caller[], untilMs: number): Promise<Sent[]> {
  let now = 0;
  const budget = createLocalBudget(limit, { now: () => now, sleep: async () => {} });
  const due = callers.map(({ fromMs }) => fromMs);
  const sent: Sent[] = [];
  for (;;) {
    const caller = due.indexOf(Math.min(...due));
    now = due[caller] ?? Number.POSITIVE_INFINITY;
    if (now >= untilMs) return sent.filter(({ at }) => at < untilMs).sort((one, other) => one.at - other.at);
    due[caller] = await next(budget, now, callers[caller] as Caller, (at, lane) => sent.push({ at, lane }));
  }
}

/** One turn of a caller; when it comes again. */
async function next(
  budget: RequestBudget,
  now: number,
  { lane, maxWaitMs, latencyMs, pauseMs }: Caller,
  send: (at: number, lane: Lane) => void,
): Promise<number> {
  const { granted, waitMs } = await budget.take(maxWaitMs, lane);
  if (!granted) return now + Math.max(1, waitMs);
  send(now + waitMs, lane);
  return now + waitMs + latencyMs + pauseMs;
}

/** The largest number of requests in any window of one minute. */
function busiestMinute(sent: readonly Sent[]): number {
  let first = 0;
  let most = 0;
  for (const [index, { at }] of sent.entries()) {
    while (at - (sent[first]?.at ?? at) >= 60_000) first += 1;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

const callersOf = (lane: Lane, count: number, facts: Partial<Caller> = {}): Caller[] =>
  Array.from({ length: count }, (_, index) => ({
    lane,
    latencyMs: 100 + 7 * index,
    maxWaitMs: 5_000,
    pauseMs: 0,
    fromMs: 0,
    ...facts,
  }));

const MINUTES = 6;
const UNTIL = MINUTES * 60_000;
const of = (lane: Lane, sent: readonly Sent[]) => sent.filter((one) => one.lane === lane && one.at >= 60_000);
const rate = (sent: readonly Sent[]) => sent.filter(({ at }) => at >= 60_000).length / (MINUTES - 1);

describe('two lanes over one budget', () => {
  it.each([
    ['bulk alone', 0, 6],
    ['fast alone', 6, 0],
    ['one fast among much bulk', 1, 24],
    ['one bulk among much fast', 24, 1],
    ['as many of both', 8, 8],
  ])('use nearly all of it, and never more: %s', async (_name, fast, bulk) => {
    const sent = await simulate(200, [...callersOf('fast', fast), ...callersOf('bulk', bulk)], UNTIL);
    expect(busiestMinute(sent)).toBeLessThanOrEqual(200);
    expect(rate(sent)).toBeGreaterThanOrEqual(0.97 * 200);
  });

  it.each([1, 2, 5, 24])('leave the fast one a fifth at least, %d fast callers among 24 of bulk', async (count) => {
    const sent = await simulate(200, [...callersOf('fast', count), ...callersOf('bulk', 24)], UNTIL);
    const share = of('fast', sent).length / (MINUTES - 1) / 195;
    expect(share).toBeGreaterThanOrEqual(0.2);
    expect(of('bulk', sent).length / (MINUTES - 1)).toBeLessThanOrEqual(0.8 * 195 + 1);
  });

  it.each([10_000, 3_000, 1_500])('lose nothing to a fast caller who comes every %d ms', async (pauseMs) => {
    const callers = [...callersOf('fast', 1, { pauseMs }), ...callersOf('bulk', 12)];
    const sent = await simulate(200, callers, UNTIL);
    expect(busiestMinute(sent)).toBeLessThanOrEqual(200);
    expect(rate(sent)).toBeGreaterThanOrEqual(0.97 * 200);
  });

  it('never starve bulk, however many fast callers there are', async () => {
    const sent = await simulate(200, [...callersOf('fast', 40), ...callersOf('bulk', 1)], UNTIL);
    const bulk = of('bulk', sent).map(({ at }) => at);
    const gaps = bulk.slice(1).map((at, index) => at - (bulk[index] ?? Number.NaN));
    expect(bulk.length / (MINUTES - 1)).toBeGreaterThan(10);
    expect(Math.max(...gaps)).toBeLessThan(15_000);
  });

  it('let a fast caller pass a queue of bulk', async () => {
    const callers = [...callersOf('fast', 1, { fromMs: 60_000, pauseMs: 4_000 }), ...callersOf('bulk', 24)];
    const sent = await simulate(200, callers, UNTIL);
    const fast = of('fast', sent).map(({ at }) => at);
    const waits = fast.slice(1).map((at, index) => at - (fast[index] ?? Number.NaN) - 4_100);
    // Four seconds and the request itself are its own; what is left is what it waited. In one line it would be the queue of 24, seven seconds.
    expect(Math.max(...waits)).toBeLessThanOrEqual(5 * spacingMs(200) + 1);
  });

  it('never let more than the limit through in any rolling minute, whoever asks when', async () => {
    const caller = fc.record({
      lane: fc.constantFrom<Lane>('fast', 'bulk'),
      latencyMs: fc.integer({ min: 0, max: 3_000 }),
      maxWaitMs: fc.constantFrom(0, 500, 5_000, 120_000),
      pauseMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 70_000 })),
      fromMs: fc.integer({ min: 0, max: 90_000 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 9, max: 240 })),
        fc.array(caller, { minLength: 1, maxLength: 14 }),
        async (limit, callers) => {
          const sent = await simulate(limit, callers, 4 * 60_000);
          expect(busiestMinute(sent)).toBeLessThanOrEqual(limit);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('share as promised, whoever else is there', async () => {
    const latency = fc.integer({ min: 0, max: 700 });
    const counts = fc.record({ fast: fc.integer({ min: 1, max: 12 }), bulk: fc.integer({ min: 4, max: 12 }), latency });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 120, max: 240 }),
        counts,
        async (limit, { fast, bulk, latency: latencyMs }) => {
          const callers = [...callersOf('fast', fast, { latencyMs }), ...callersOf('bulk', bulk, { latencyMs })];
          const sent = await simulate(limit, callers, UNTIL);
          expect(busiestMinute(sent)).toBeLessThanOrEqual(limit);
          const allowance = limit - 5;
          expect(rate(sent)).toBeGreaterThanOrEqual(0.985 * allowance);
          expect(of('fast', sent).length / (MINUTES - 1)).toBeGreaterThanOrEqual(0.2 * allowance - 1);
          // More callers than slots within what they wait: which of a lane gets them is chance, that the lane does is not.
          expect(of('bulk', sent).length / (MINUTES - 1)).toBeGreaterThanOrEqual(0.1 * allowance);
        },
      ),
      { numRuns: 25 },
    );
  });
});
