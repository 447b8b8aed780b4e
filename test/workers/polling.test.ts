import { describe, expect, it } from '@jest/globals';
import { Random } from '../../sandbox/random.ts';
import { costAfter, MOST_MS, pollAfterMs } from '../../workers/polling.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const QUIET = { sinceChangeMs: Number.POSITIVE_INFINITY, requests: 1 };
const BUSY = { sinceChangeMs: 0, requests: 1 };
const facts = { ...BUSY, others: [BUSY, QUIET, QUIET], requestsPerMinute: 200, last: null };
const many = (count: number, demand: typeof BUSY) => Array.from({ length: count }, () => demand);

describe('the interval between two passes', () => {
  it.each([
    ['fifteen seconds where something just changed', {}, 15 * SECOND],
    ['an eighth of the quiet time', { sinceChangeMs: 8 * MINUTE }, MINUTE],
    ['left to the ticks after forty quiet minutes', { sinceChangeMs: 40 * MINUTE }, MOST_MS],
    ['left to the ticks where nothing ever changed', { sinceChangeMs: Number.POSITIVE_INFINITY }, MOST_MS],
    ['what a tenth of the budget affords', { others: many(39, BUSY) }, 2 * MINUTE],
    ['as short beside forty quiet streams', { others: many(40, QUIET) }, 15 * SECOND],
    ['longer where a pass costs more', { requests: 8, others: [] }, 24 * SECOND],
    ['longer beside one that costs more', { others: [{ ...BUSY, requests: 7 }] }, 24 * SECOND],
    ['twice as long where the lane is late', { last: { intervalMs: 20 * SECOND, lateMs: 11 * SECOND } }, 40 * SECOND],
    ['as before where it is not', { last: { intervalMs: 20 * SECOND, lateMs: 9 * SECOND } }, 15 * SECOND],
    ['the same where a limited day has enough left', { dayLeft: { requests: 6_000, forMs: HOUR } }, 15 * SECOND],
    [
      'what a quarter of the rest of a limited day affords',
      { ...QUIET, others: [], dayLeft: { requests: 40, forMs: 10 * HOUR } },
      HOUR,
    ],
    ['left to the next day where nothing is left', { dayLeft: { requests: 0, forMs: 10 * HOUR } }, 10 * HOUR],
  ])('is %s', (_, given, expected) => {
    expect(pollAfterMs({ ...facts, ...given })).toBe(expected);
  });

  it('follows the cost of a pass down at once, and up by the double', () => {
    const nothing = (requests: number) => ({ requests, hasNews: false });
    expect(costAfter(nothing(40), null)).toBe(2);
    expect(costAfter(nothing(40), 2)).toBe(4);
    expect(costAfter(nothing(3), 4)).toBe(3);
    expect(costAfter(nothing(0), 4)).toBe(1);
    expect(costAfter({ requests: 1, hasNews: true }, 4)).toBe(1);
    expect(costAfter({ requests: 9, hasNews: true }, 4)).toBe(3);
  });
});

interface Simulated {
  readonly requests: number;
  /** Between two changes on average; null: nothing changes. */
  readonly everyMs: number | null;
}

const FOR_MS = 120 * MINUTE;
/** From the end of the interval to the row in the mirror. */
const PASS_MS = SECOND;

/** The streams of one account for two hours; each changes at random. Lags in ms of those that change, and requests. */
function simulate(seed: number, requestsPerMinute: number, streams: readonly Simulated[]) {
  const random = new Random(seed);
  const lags: number[] = [];
  let requests = 0;
  const lines = streams.map(({ requests: cost, everyMs }) => {
    const changes: number[] = [];
    const step = () => random.next() * 2 * (everyMs ?? Number.POSITIVE_INFINITY);
    for (let at = step() / 2; at < FOR_MS; at += step()) changes.push(at);
    return {
      cost,
      changes,
      seen: 0,
      changedAt: everyMs === null ? Number.NEGATIVE_INFINITY : 0,
      next: random.next() * MINUTE,
    };
  });
  type Line = (typeof lines)[number];
  const soonest = () => lines.reduce((first, line) => (line.next < first.next ? line : first));
  for (let line = soonest(); line.next < FOR_MS; line = soonest()) {
    const now = line.next;
    requests += line.cost;
    while ((line.changes[line.seen] ?? Number.POSITIVE_INFINITY) <= now) {
      lags.push(now + PASS_MS - (line.changes[line.seen] ?? 0));
      line.seen++;
      line.changedAt = now;
    }
    const demandOf = (one: Line) => ({ sinceChangeMs: now - one.changedAt, requests: one.cost });
    const others = lines.filter((one) => one !== line).map(demandOf);
    line.next += pollAfterMs({ ...demandOf(line), others, requestsPerMinute, last: null });
  }
  lags.sort((one, other) => one - other);
  return { p95: lags[Math.floor(lags.length * 0.95)] ?? 0, perMinute: (requests * MINUTE) / FOR_MS };
}

describe('simulated for two hours', () => {
  const everyMinute = (requests: number) => ({ requests, everyMs: MINUTE });
  const four = [1, 1, 1, 1].map(everyMinute);
  const quiet = (requests: number) => ({ requests, everyMs: null });
  it.each([
    ['what changes every minute within twenty seconds', 200, four, 20],
    [
      'the same where a pass costs two requests and other streams are quiet',
      200,
      [everyMinute(2), everyMinute(2), quiet(2), quiet(1)],
      20,
    ],
    ['what a tenth of 100 requests affords to five streams', 100, [...four, everyMinute(1)], 45],
  ] as const)('it brings %s, for at most a tenth of the budget', (_, requestsPerMinute, streams, mostSeconds) => {
    for (let seed = 1; seed <= 50; seed++) {
      const { p95, perMinute } = simulate(seed, requestsPerMinute, streams);
      expect(p95).toBeLessThanOrEqual(mostSeconds * SECOND);
      expect(perMinute).toBeLessThanOrEqual(requestsPerMinute / 10);
    }
  });
});

it('makes a limited day last, also where each pass of four busy streams has four times the requests to read', () => {
  const LIMIT = 1_000;
  let used = 0;
  const left: number[] = [];
  const next = [0, 0, 0, 0];
  const others = many(3, BUSY);
  for (let now = 0; now < 24 * HOUR; now = Math.min(...next)) {
    const dayLeft = { requests: Math.max(0, LIMIT - used), forMs: 24 * HOUR - now };
    next[next.indexOf(now)] = now + pollAfterMs({ ...BUSY, others, requestsPerMinute: 200, last: null, dayLeft });
    used += 4;
    if (now > 12 * HOUR) left.push(LIMIT - used);
  }
  expect(left[0]).toBeGreaterThan(LIMIT / 3);
  expect(left.at(-1)).toBeGreaterThanOrEqual(0);
});
