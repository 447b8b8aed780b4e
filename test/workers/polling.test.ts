import { describe, expect, it } from '@jest/globals';
import { Random } from '../../sandbox/random.ts';
import { MOST_MS, pollAfterMs } from '../../workers/polling.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const facts = { sinceChangeMs: 0, requests: 1, streams: 4, requestsPerMinute: 200, last: null };

describe('the interval between two passes', () => {
  it.each([
    ['fifteen seconds where something just changed', {}, 15 * SECOND],
    ['an eighth of the quiet time', { sinceChangeMs: 8 * MINUTE }, MINUTE],
    ['left to the ticks after forty quiet minutes', { sinceChangeMs: 40 * MINUTE }, MOST_MS],
    ['left to the ticks where nothing ever changed', { sinceChangeMs: Number.POSITIVE_INFINITY }, MOST_MS],
    ['what a tenth of the budget affords', { streams: 40 }, 2 * MINUTE],
    ['longer where a look costs more', { requests: 3 }, 36 * SECOND],
    ['twice as long where the lane is late', { last: { intervalMs: 20 * SECOND, lateMs: 11 * SECOND } }, 40 * SECOND],
    ['as before where it is not', { last: { intervalMs: 20 * SECOND, lateMs: 9 * SECOND } }, 15 * SECOND],
  ])('is %s', (_, given, expected) => {
    expect(pollAfterMs({ ...facts, ...given })).toBe(expected);
  });
});

/** Four streams of one account for two hours; each changes at random, every `everyMs` on average. Lags in ms, and passes in all. */
function simulate(seed: number, everyMs: number) {
  const random = new Random(seed);
  const lags: number[] = [];
  let passes = 0;
  for (let stream = 0; stream < 4; stream++) {
    const changes: number[] = [];
    for (let at = random.next() * everyMs; at < 120 * MINUTE; at += random.next() * 2 * everyMs) changes.push(at);
    let [seen, changedAt, next] = [0, 0, 0];
    for (let now = 0; now < 120 * MINUTE; now = next) {
      passes++;
      while ((changes[seen] ?? Number.POSITIVE_INFINITY) <= now) {
        lags.push(now - (changes[seen] ?? 0));
        [seen, changedAt] = [seen + 1, now];
      }
      const tick = Math.ceil((now + 1) / (5 * MINUTE)) * 5 * MINUTE;
      next = now + Math.min(pollAfterMs({ ...facts, sinceChangeMs: now - changedAt }), tick - now);
    }
  }
  lags.sort((one, other) => one - other);
  return { p95: lags[Math.floor(lags.length * 0.95)] ?? 0, passesPerMinute: passes / 120, changes: lags.length };
}

it('brings what changes every minute within twenty seconds where a look costs one request, for a tenth of the budget', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const { p95, passesPerMinute, changes } = simulate(seed, MINUTE);
    expect(changes).toBeGreaterThan(300);
    expect(p95).toBeLessThanOrEqual(20 * SECOND);
    expect(passesPerMinute).toBeLessThanOrEqual(20);
  }
});
