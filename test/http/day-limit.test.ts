import { expect, it } from '@jest/globals';
import { dayLimit } from '../../src/app/upstreams.ts';
import { RateLimitedError } from '../../src/errors.ts';
import { createLocalBudget } from '../../src/http/budget.ts';
import { HttpClient } from '../../src/http/client.ts';
import { createUpstream } from '../../src/http/upstream.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { createTestClock, failureOf, json, startServer } from './support.ts';

const HOUR = 3_600_000;

function setup(requests: number, timezone = 'UTC') {
  const clock = createTestClock();
  const day = dayLimit(requests, () => timezone);
  const startsAt = day?.endOf(clock.now()) ?? 0;
  // The day begins at midnight.
  clock.advance(startsAt - clock.now());
  const budget = createLocalBudget(6_000, clock, { day });
  const send = async (count: number, lane: 'fast' | 'bulk' = 'fast') => {
    let granted = 0;
    for (let n = 0; n < count; n++) {
      const taken = await budget.take(60_000, lane);
      if (taken.granted) granted++;
      clock.advance(taken.granted ? taken.waitMs : 0);
    }
    return granted;
  };
  return { clock, budget, send };
}

it('grants no more than the day may have, and as many again after midnight', async () => {
  const { clock, budget, send } = setup(100);
  clock.advance(5 * HOUR);
  expect(await send(150)).toBe(100);
  const refused = await budget.take(Number.POSITIVE_INFINITY);
  expect(refused).toMatchObject({ granted: false, day: { used: 100, limit: 100 } });
  expect(refused.waitMs).toBeLessThanOrEqual(19 * HOUR);
  clock.advance(refused.waitMs);
  expect(await send(150)).toBe(100);
});

it('keeps a fifth of the day for changes', async () => {
  const { send } = setup(100);
  expect(await send(150, 'bulk')).toBe(80);
  expect(await send(150, 'fast')).toBe(20);
});

it('counts a slot after midnight for the day in which the request is sent', async () => {
  const { clock, budget, send } = setup(100);
  clock.advance(24 * HOUR - 1);
  expect(await send(5)).toBe(5);
  // The next slot is ten milliseconds away, and the day is over in one.
  expect(await budget.take(60_000)).toEqual({ granted: false, waitMs: 1 });
  clock.advance(1);
  expect(await send(150)).toBe(100);
});

it('counts the day of the time zone, also where one has 25 hours', () => {
  const rome = dayLimit(100, () => 'Europe/Rome');
  expect(rome?.endOf(Date.UTC(2026, 0, 5, 12))).toBe(Date.UTC(2026, 0, 5, 23));
  expect(rome?.endOf(Date.UTC(2026, 9, 24, 22))).toBe(Date.UTC(2026, 9, 25, 23));
  expect(dayLimit(undefined, () => 'UTC')).toBeUndefined();
});

it('postpones a request that the day has no room for, with its own code and until the end of the day', async () => {
  const server = await startServer();
  const client = new HttpClient({ timeoutMs: 20_000 });
  try {
    server.script(json(200, {}));
    const { clock, budget, send } = setup(10);
    expect(await send(10)).toBe(10);
    const upstream = createUpstream({ client, budget, clock, logger: unheardLogger(), maxTotalMs: HOUR });
    const request = { method: 'GET', url: `${server.url}/leads` } as const;
    const error = await failureOf(upstream.request(request, { signal: new AbortController().signal, maxWaitMs: HOUR }));
    expect(error).toBeInstanceOf(RateLimitedError);
    expect(error).toMatchObject({ code: 'day_limit' });
    expect((error as RateLimitedError).waitMs).toBeGreaterThan(23 * HOUR);
    expect(server.requests).toEqual([]);
  } finally {
    await client.close();
    await server.close();
  }
});
