import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { abortError, RateLimitedError, TransientError } from '../../src/errors.ts';
import { CIRCUIT_FAILURES, createLocalBudget, MAX_WAIT_MS, type RequestBudget } from '../../src/http/budget.ts';
import type { HttpRequest, HttpResponse } from '../../src/http/client.ts';
import { createUpstream, type RequestOptions } from '../../src/http/upstream.ts';
import { createLogCapture, failureOf } from './support.ts';

const START = Date.UTC(2026, 10, 22, 2, 10);
const MINUTE = 60_000;

/** Time that passes only when everybody waits: many callers at once on one clock. */
function createSharedClock() {
  let now = START;
  const timers: { at: number; wake: () => void }[] = [];
  return {
    now: () => now,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        timers.push({ at: now + ms, wake: resolve });
        signal?.addEventListener('abort', () => reject(abortError(signal)), { once: true });
      }),
    async runUntil(end: number) {
      for (;;) {
        for (let turns = 0; turns < 4; turns++) await nextTurn();
        timers.sort((one, other) => one.at - other.at);
        const timer = timers[0];
        if (timer === undefined || timer.at > end) break;
        timers.shift();
        now = timer.at;
        timer.wake();
      }
      now = end;
    },
  };
}

type Send = (request: HttpRequest) => Promise<HttpResponse>;

const answer = (status: number, headers: Record<string, string> = {}): HttpResponse => ({
  ...{ status, headers, text: '{}', serverTime: null, requestedAt: 0, durationMs: 1 },
});

function setup(
  send: Send,
  budgetOf = (clock: ReturnType<typeof createSharedClock>): RequestBudget =>
    createLocalBudget(200, clock, { random: () => 0 }),
) {
  const clock = createSharedClock();
  const budget = budgetOf(clock);
  const log = createLogCapture();
  const sent: number[] = [];
  const client = {
    send: (request: HttpRequest) => {
      sent.push(clock.now() - START);
      return send(request);
    },
  };
  const upstream = createUpstream({
    client,
    budget,
    clock,
    logger: log.logger,
    credential: 'c',
    maxTotalMs: 120_000,
    random: () => 0.5,
  });
  const get = (options: Partial<RequestOptions> = {}) =>
    upstream.request(
      { method: 'GET', url: 'https://api.example.com/p1/leads' },
      { signal: new AbortController().signal, maxWaitMs: 5_000, ...options },
    );
  const events = (event: string) =>
    log.lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => line.event === event);
  return { clock, budget, sent, get, events };
}

/** Opens the circuit without a request. */
async function open(budget: RequestBudget, reason = '503') {
  for (let i = 0; i < CIRCUIT_FAILURES; i++) await budget.circuit.failed(reason);
}

const down: Record<string, (clock: () => ReturnType<typeof createSharedClock>) => Send> = {
  '503': () => async () => answer(503),
  '503 with Retry-After': () => async () => answer(503, { 'retry-after': '2' }),
  '502': () => async () => answer(502),
  network: () => async () => {
    throw new TransientError('network', 'cannot reach api.example.com');
  },
  timeout: (clock) => async (request) => {
    await clock().sleep(30_000, request.signal);
    throw new TransientError('timeout', 'no answer');
  },
};

describe('an outage of half an hour', () => {
  it.each(Object.keys(down))('costs at most 40 requests for four streams: %s', async (kind) => {
    let isDown = true;
    const send: Send = (request) =>
      isDown ? (down[kind] as (typeof down)[string])(() => setupOf.clock)(request) : Promise.resolve(answer(200));
    const setupOf = setup(send);
    const { clock, sent, get, events } = setupOf;
    const done = [false, false, false, false];
    const job = async (stream: number) => {
      while (!done[stream]) {
        const error = await get().then(
          () => null,
          (failure: unknown) => failure,
        );
        done[stream] = error === null;
        if (error === null) return;
        // What workers do: put off as long as told, else at the next tick.
        const waitMs = error instanceof RateLimitedError ? Math.max(1_000, error.waitMs) : 5 * MINUTE;
        await clock.sleep(waitMs);
      }
    };
    const jobs = Promise.all(done.map((_, stream) => job(stream)));
    await clock.runUntil(START + 30 * MINUTE);
    expect(sent.length).toBeLessThanOrEqual(40);
    expect(sent.length).toBeGreaterThanOrEqual(CIRCUIT_FAILURES + 4);
    expect(events('circuit_open')).toHaveLength(1);

    isDown = false;
    await clock.runUntil(START + 36 * MINUTE);
    await jobs;
    expect(done).toEqual([true, true, true, true]);
    expect(events('circuit_closed')).toHaveLength(1);
    expect(Number(events('circuit_closed')[0]?.outageMs)).toBeGreaterThan(30 * MINUTE);
  });
});

describe('the circuit', () => {
  it('stays closed after one request, however stubborn', async () => {
    const { get, budget, clock } = setup(async () => answer(500));
    const failed = failureOf(get());
    await clock.runUntil(START + MINUTE);
    expect(await failed).toBeInstanceOf(TransientError);
    expect((await budget.take(0)).granted).toBe(true);
  });

  it('is closed by any answer of a server that lives, and counts no limits and no refusals', async () => {
    for (const status of [429, 404, 401, 408]) {
      const { get, budget } = setup(async () => answer(status));
      for (let i = 0; i < CIRCUIT_FAILURES - 1; i++) await budget.circuit.failed('503');
      await get({ attempts: 1 }).catch(() => {});
      expect((await budget.circuit.failed('503')).open).toBeNull();
    }
  });

  it('once open sends nothing, and says since when, why, and when it is tried again', async () => {
    const { get, budget, sent } = setup(async () => answer(200));
    await open(budget);
    const failure = await failureOf(get());
    expect(failure).toBeInstanceOf(RateLimitedError);
    expect(failure).toMatchObject({ code: 'circuit_open', waitMs: 15_000 });
    expect(failure.message).toBe(
      'api.example.com:443 does not answer (503 since 02:10 UTC); the next try is due at 02:10 UTC',
    );
    expect(await failureOf(get({ budget: false }))).toMatchObject({ code: 'circuit_open' });
    expect(sent).toEqual([]);
  });

  it('is waited for in place by who has the time', async () => {
    const { get, budget, sent, clock } = setup(async () => answer(200));
    await open(budget);
    const answered = get({ maxWaitMs: 120_000 });
    await clock.runUntil(START + 20_000);
    expect((await answered).status).toBe(200);
    expect(sent).toEqual([15_000]);
  });

  it('lets one probe through, sent once, and waits twice as long after each that fails, five minutes at most', async () => {
    const { get, budget, clock, sent } = setup(async () => answer(503));
    await open(budget);
    const waits: number[] = [];
    for (let probe = 0; probe < 7; probe++) {
      await clock.runUntil(clock.now() + (waits.at(-1) ?? 15_000));
      const failures = await Promise.all([
        failureOf(get()),
        failureOf(get({ maxWaitMs: 0 })),
        failureOf(get({ maxWaitMs: 0 })),
      ]);
      waits.push((failures[0] as RateLimitedError).waitMs);
      expect(failures.slice(1).every((failure) => (failure as RateLimitedError).waitMs <= (waits.at(-1) ?? 0))).toBe(
        true,
      );
      expect(sent).toHaveLength(probe + 1);
    }
    expect(waits).toEqual([30_000, 60_000, 120_000, 240_000, MAX_WAIT_MS, MAX_WAIT_MS, MAX_WAIT_MS]);
  });

  it('lets the next probe through when one is never heard of again, and at once when it was stopped', async () => {
    const { budget, clock, get, sent } = setup(() => new Promise(() => {}));
    await open(budget);
    await clock.runUntil(START + 15_000);
    expect(await budget.take(0)).toMatchObject({ granted: true, probe: 1 });
    expect(await budget.take(0)).toMatchObject({ granted: false, waitMs: 2_000 });
    await clock.runUntil(START + 15_000 + 45_000);
    expect(await budget.take(0)).toMatchObject({ granted: true, probe: 2 });
    await budget.circuit.release(2);

    const stop = new AbortController();
    const stopped = failureOf(get({ signal: AbortSignal.abort() }));
    expect((await stopped).name).toBe('AbortError');
    expect(sent).toEqual([]);
    expect(await budget.take(0)).toMatchObject({ granted: true, probe: 3 });
    stop.abort();
  });

  it('is not prolonged by requests that were on their way', async () => {
    const { budget, clock } = setup(async () => answer(200));
    await open(budget);
    for (let i = 0; i < 20; i++) expect((await budget.circuit.failed('timeout')).opened).toBe(false);
    await clock.runUntil(START + 15_000);
    expect(await budget.take(0)).toMatchObject({ granted: true, probe: 1 });
  });
});

describe('announced limits', () => {
  it('lower than configured are kept to, and forgotten when the server says more or nothing for an hour', async () => {
    const headers: Record<string, string>[] = [];
    const { get, budget, clock } = setup(async () => answer(200, headers.shift()));
    headers.push({ 'ratelimit-limit': '65' });
    await get();
    expect(await budget.take(60_000)).toMatchObject({ spacingMs: 1000 });
    headers.push({ 'ratelimit-limit': '500' });
    await clock.runUntil(START + MINUTE);
    await get();
    expect((await budget.take(60_000)).spacingMs).toBeUndefined();
    headers.push({ 'ratelimit-limit': '65' });
    await clock.runUntil(START + 2 * MINUTE);
    await get();
    await clock.runUntil(START + 62 * MINUTE);
    expect((await budget.take(60_000)).spacingMs).toBeUndefined();
  });

  it('never raise the configured one, and slow it down by sixteen at most', async () => {
    const { budget } = setup(async () => answer(200));
    await budget.learn({ requests: 1_000_000, windowMs: 60_000 });
    expect((await budget.take(0)).spacingMs).toBeUndefined();
    await budget.learn({ requests: 1, windowMs: 86_400_000 });
    expect((await budget.take(60_000)).spacingMs).toBeCloseTo((60_000 / 195) * 16, 6);
  });

  it('with nothing left keep everybody away until the reset, with a success as with a 429', async () => {
    for (const status of [200, 429]) {
      const { get, budget } = setup(async () =>
        answer(status, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '20' }),
      );
      const result = await get().catch((error: unknown) => error);
      if (status === 429) expect(result).toMatchObject({ code: 'rate_limited', waitMs: 20_000 });
      expect(await budget.take(0)).toMatchObject({ granted: false, waitMs: 20_000 });
    }
  });
});

describe('a burst of 429 without guidance', () => {
  it('that meets many requests at once doubles the spacing once', async () => {
    const { budget } = setup(async () => answer(429));
    const taken = await Promise.all(Array.from({ length: 6 }, () => budget.take(60_000)));
    await Promise.all(taken.map((one) => budget.slowDown(one)));
    const slowed = await budget.take(60_000);
    expect(slowed.spacingMs).toBeCloseTo((60_000 / 195) * 2, 6);
    // Refused at the new pace too: once more.
    await budget.slowDown(slowed);
    expect((await budget.take(60_000)).spacingMs).toBeCloseTo((60_000 / 195) * 4, 6);
  });
});
