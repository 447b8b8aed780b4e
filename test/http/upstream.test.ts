import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  isAbort,
  RateLimitedError,
  ResponseTooLargeError,
  TransientError,
  UpstreamContractError,
  UpstreamRefusedError,
} from '../../src/errors.ts';
import { createLocalBudget, type RequestBudget } from '../../src/http/budget.ts';
import { HttpClient } from '../../src/http/client.ts';
import { isTransientStatus, planRetry } from '../../src/http/retry.ts';
import { createUpstream, type RequestOptions, type UpstreamOptions } from '../../src/http/upstream.ts';
import fc from '../helpers/property.ts';
import {
  createLogCapture,
  createTestClock,
  everythingIn,
  failureOf,
  json,
  startServer,
  type TestServer,
  text,
} from './support.ts';

let server: TestServer;
let client: HttpClient;

beforeEach(async () => {
  server = await startServer();
  client = new HttpClient({ timeoutMs: 20_000 });
});

afterEach(async () => {
  await client.close();
  await server.close();
});

/** A budget that always grants and notes what it was told. */
function createNotingBudget(): RequestBudget & { readonly calls: string[] } {
  const calls: string[] = [];
  const note = (call: string) => async () => void calls.push(call);
  return {
    calls,
    take: async () => {
      calls.push('take');
      return { granted: true, waitMs: 0 };
    },
    isClosed: async () => false,
    block: async (waitMs) => void calls.push(`block ${waitMs}`),
    slowDown: note('slowDown'),
    recover: note('recover'),
    learn: async () => {},
    // Always closed; the tests of the circuit have a real one.
    circuit: {
      enter: async () => ({ granted: true, waitMs: 0 }),
      failed: async () => ({ opened: false, open: null }),
      answered: async () => null,
      release: async () => {},
    },
  };
}

function setup(overrides: Partial<UpstreamOptions> = {}) {
  const clock = createTestClock();
  const budget = createNotingBudget();
  const log = createLogCapture();
  // Without luck: every backoff takes its full length.
  const random = () => 1;
  const upstream = createUpstream({
    client,
    budget,
    clock,
    logger: log.logger,
    maxTotalMs: 600_000,
    random,
    ...overrides,
  });
  const get = (options: Partial<RequestOptions> = {}, path = '/p1/leads?limit=10') =>
    upstream.request(
      { method: 'GET', url: `${server.url}${path}` },
      { signal: new AbortController().signal, maxWaitMs: 60_000, ...options },
    );
  return { upstream, clock, budget, log, get };
}

describe('a good answer', () => {
  it('is returned with its JSON parsed', async () => {
    server.script(json({ leads: [{ _id: 'a' }] }));
    const { get, budget, clock } = setup();
    const response = await get();
    expect(response.body).toEqual({ leads: [{ _id: 'a' }] });
    expect(response).toMatchObject({ status: 200, length: 23 });
    expect(budget.calls).toEqual(['take', 'recover']);
    expect(clock.waits).toEqual([]);
  });

  it.each([
    ['null', null],
    ['false', false],
    ['0', 0],
  ])('may be the JSON %s', async (body, value) => {
    server.script(text(200, body));
    expect((await setup().get()).body).toBe(value);
  });

  it('without content has no body', async () => {
    server.script(text(204, ''));
    expect((await setup().get()).body).toBeNull();
  });

  it('is taken as text when no JSON is expected', async () => {
    server.script(text(200, '<html>'));
    expect((await setup().get({ expectJson: false })).body).toBe('<html>');
  });
});

describe('a refusal', () => {
  it.each([400, 401, 403, 404, 413, 422, 418])('with status %d is handed over at once, JSON parsed', async (status) => {
    server.script(text(status, '{"success":false,"msg":"no"}'));
    const { get, budget } = setup();
    expect(await get()).toMatchObject({ status, body: { success: false, msg: 'no' } });
    expect(server.requests).toHaveLength(1);
    expect(budget.calls).toEqual(['take']);
  });

  it('that is not JSON keeps its text', async () => {
    server.script(text(401, 'Unauthorized'));
    expect(await setup().get()).toMatchObject({ status: 401, body: 'Unauthorized' });
  });

  it('to follow a redirect goes up at once', async () => {
    server.script(text(302, '', { location: 'https://other.example.com/' }));
    expect(await failureOf(setup().get())).toBeInstanceOf(UpstreamRefusedError);
    expect(server.requests).toHaveLength(1);
  });

  it('of too large an answer goes up at once', async () => {
    server.script(json('x'.repeat(1000)));
    const { upstream } = setup();
    const request = { method: 'GET', url: `${server.url}/`, maxBytes: 100 } as const;
    const failure = await failureOf(
      upstream.request(request, { signal: new AbortController().signal, maxWaitMs: 1000 }),
    );
    expect(failure).toBeInstanceOf(ResponseTooLargeError);
    expect(server.requests).toHaveLength(1);
  });
});

describe('Retry-After', () => {
  it.each([429, 503])(
    'on %d blocks the budget for everybody, is waited for in place, and then it works',
    async (status) => {
      server.script(text(status, '', { 'retry-after': '7' }), json({ ok: true }));
      const { get, budget, clock } = setup({ random: () => 0.5 });
      expect((await get()).body).toEqual({ ok: true });
      expect(budget.calls).toEqual(['take', 'block 7000', 'take', 'recover']);
      expect(clock.waits).toEqual([7000]);
    },
  );

  it('as a date is measured by the clock of the server', async () => {
    const headers = { date: 'Thu, 15 Jan 2026 12:00:00 GMT', 'retry-after': 'Thu, 15 Jan 2026 12:00:20 GMT' };
    server.script(text(429, '', headers), json({}));
    const { get, clock } = setup();
    await get();
    expect(clock.waits).toEqual([20_000]);
  });

  it('longer than the caller may wait ends the call, the budget blocked all the same', async () => {
    server.script(text(429, '', { 'retry-after': '120' }));
    const { get, budget, clock } = setup();
    const failure = await failureOf(get({ maxWaitMs: 5000 }));
    expect(failure).toBeInstanceOf(RateLimitedError);
    expect(failure).toMatchObject({ code: 'rate_limited', waitMs: 120_000 });
    expect(budget.calls).toEqual(['take', 'block 120000']);
    expect(clock.waits).toEqual([]);
  });

  it('longer than the total time allows ends the call', async () => {
    server.script(text(503, '', { 'retry-after': '40' }));
    const { get, clock } = setup({ maxTotalMs: 100_000 });
    expect(await failureOf(get())).toMatchObject({ name: 'RateLimitedError', waitMs: 40_000 });
    expect(clock.waits).toEqual([40_000, 40_000]);
  });

  it('on another failure is obeyed by this call alone', async () => {
    server.script(text(500, '', { 'retry-after': '3' }), json({}));
    const { get, budget, clock } = setup();
    await get();
    expect(clock.waits).toEqual([3000]);
    expect(budget.calls).toEqual(['take', 'take', 'recover']);
  });

  it('that cannot be read loses only its hint', async () => {
    server.script(text(429, '', { 'retry-after': 'soon' }), json({}));
    const { get, budget, clock } = setup();
    await get();
    expect(clock.waits).toEqual([5000]);
    expect(budget.calls).toEqual(['take', 'slowDown', 'take', 'recover']);
  });

  it('keeps away the other callers of the same budget', async () => {
    server.script(text(429, '', { 'retry-after': '30' }), json({}));
    const clock = createTestClock();
    const { get } = setup({ clock, budget: createLocalBudget(200, clock) });
    expect(await failureOf(get({ maxWaitMs: 1000 }))).toMatchObject({ waitMs: 30_000 });
    expect(await failureOf(get({ maxWaitMs: 1000 }))).toMatchObject({ name: 'RateLimitedError', waitMs: 30_000 });
    expect(server.requests).toHaveLength(1);
    clock.advance(30_000);
    expect((await get({ maxWaitMs: 1000 })).status).toBe(200);
  });
});

describe('backoff', () => {
  it.each([
    [429, [5000, 10_000, 20_000, 30_000, 30_000]],
    [503, [1000, 2000, 4000, 8000, 16_000]],
    [500, [500, 1000, 2000, 4000, 8000]],
    [502, [500, 1000, 2000, 4000, 8000]],
    [504, [500, 1000, 2000, 4000, 8000]],
    [520, [500, 1000, 2000, 4000, 8000]],
    [408, [500, 1000, 2000, 4000, 8000]],
    [425, [500, 1000, 2000, 4000, 8000]],
  ])('after %d without guidance grows and survives five failures', async (status, waits) => {
    const trouble = text(status, '<html>');
    server.script(trouble, trouble, trouble, trouble, trouble, json({ ok: true }));
    const { get, clock } = setup();
    expect((await get()).body).toEqual({ ok: true });
    expect(clock.waits).toEqual(waits);
    expect(server.requests).toHaveLength(6);
  });

  it('after 429 without guidance slows the budget down', async () => {
    server.script(text(429, ''), json({}));
    const { get, budget } = setup();
    await get();
    expect(budget.calls).toEqual(['take', 'slowDown', 'take', 'recover']);
  });

  it.each([
    [429, RateLimitedError],
    [503, RateLimitedError],
    [502, TransientError],
  ])('after %d that is longer than the caller may wait ends the call', async (status, type) => {
    server.script(text(status, ''));
    const { get, clock } = setup();
    const failure = await failureOf(get({ maxWaitMs: 400 }));
    expect(failure).toBeInstanceOf(type);
    expect(clock.waits).toEqual([]);
    expect(server.requests).toHaveLength(1);
  });

  it.each([429, 503])('exhausted by %d postpones the work, with a wait worth having', async (status) => {
    server.script(text(status, ''));
    const { get } = setup({ attempts: 3, random: () => 0 });
    const failure = await failureOf(get());
    expect(failure).toBeInstanceOf(RateLimitedError);
    expect(failure).toMatchObject({ waitMs: status === 429 ? 20_000 : 4000 });
    expect(failure.message).toContain('after 3 attempts');
    expect(server.requests).toHaveLength(3);
  });

  it('exhausted by another failure is transient and tells the status', async () => {
    server.script(text(502, 'canary'));
    const failure = await failureOf(setup().get());
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure).toMatchObject({ code: 'upstream_unavailable', status: 502 });
    expect(failure.message).toMatch(/answered GET \/p1\/leads with status 502 \(after 6 attempts\)/);
    expect(server.requests).toHaveLength(6);
  });

  it('counts the time of the requests into the total', async () => {
    const { get, clock } = setup({ maxTotalMs: 10_000 });
    server.script((_request, response) => {
      clock.advance(4000);
      response.writeHead(502).end();
    });
    expect(await failureOf(get())).toBeInstanceOf(TransientError);
    // 4 + 0.5 + 4 + 1 + 4 s: the third failure comes after the ten seconds.
    expect(clock.waits).toEqual([500, 1000]);
    expect(server.requests).toHaveLength(3);
  });

  it('is bounded by the attempts of the call where it names them', async () => {
    server.script(text(500, ''));
    expect(await failureOf(setup().get({ attempts: 1 }))).toBeInstanceOf(TransientError);
    expect(server.requests).toHaveLength(1);
  });

  it('keeps every wait within the bounds of the call', () => {
    const errors = fc.record({
      status: fc.option(fc.constantFrom(408, 425, 429, 500, 502, 503, 504)),
      retryAfterMs: fc.option(fc.integer({ min: 0, max: 86_400_000 })),
    });
    const limits = fc.record({
      attempt: fc.integer({ min: 1, max: 12 }),
      attempts: fc.integer({ min: 1, max: 12 }),
      elapsedMs: fc.integer({ min: 0, max: 1_000_000 }),
      maxTotalMs: fc.integer({ min: 0, max: 1_000_000 }),
      maxWaitMs: fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.constant(Number.POSITIVE_INFINITY)),
      draw: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(errors, limits, (error, { draw, ...bounds }) => {
        const failure = new TransientError('upstream_unavailable', 'x', error);
        const plan = planRetry(failure, { ...bounds, random: () => draw });
        expect(plan.waitMs).toBeGreaterThanOrEqual(0);
        if (plan.kind === 'give_up') return expect(plan.waitMs).toBeGreaterThan(0);
        expect(bounds.attempt).toBeLessThan(bounds.attempts);
        expect(plan.waitMs).toBeLessThanOrEqual(bounds.maxWaitMs);
        expect(bounds.elapsedMs + plan.waitMs).toBeLessThanOrEqual(bounds.maxTotalMs);
        // The server's word is kept to the letter; our own guess never exceeds its cap.
        if (error.retryAfterMs !== null) expect(plan.waitMs).toBe(error.retryAfterMs);
        else expect(plan.waitMs).toBeLessThanOrEqual(30_000);
      }),
    );
  });

  it('is for weather only', () => {
    expect([408, 425, 429, 500, 502, 503, 504, 529].filter((status) => !isTransientStatus(status))).toEqual([]);
    expect([200, 204, 304, 400, 401, 403, 404, 409, 413, 422].filter(isTransientStatus)).toEqual([]);
  });
});

describe('a broken network', () => {
  it('is retried after a closed connection', async () => {
    server.script((request) => request.socket.destroy(), json({ ok: true }));
    const { get, clock } = setup();
    expect((await get()).body).toEqual({ ok: true });
    expect(clock.waits).toEqual([500]);
  });

  it('is retried after a cut body and a time-out', async () => {
    server.script(
      (request, response) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{', () => request.socket.destroy());
      },
      () => {},
      json({ ok: true }),
    );
    const { upstream } = setup();
    const request = { method: 'GET', url: `${server.url}/`, timeoutMs: 200 } as const;
    const response = await upstream.request(request, { signal: new AbortController().signal, maxWaitMs: 60_000 });
    expect(response.body).toEqual({ ok: true });
    // On a very busy machine the good answer may be late as well, and come with a later try.
    expect(server.requests.length).toBeGreaterThanOrEqual(3);
  });

  it('that stays broken keeps its code', async () => {
    server.script((request) => request.socket.destroy());
    const failure = await failureOf(setup({ attempts: 2 }).get());
    expect(failure).toBeInstanceOf(TransientError);
    expect(failure).toMatchObject({ code: 'network', status: null });
  });
});

describe('a body that is not JSON', () => {
  it('with status 200 is retried', async () => {
    server.script(text(200, '<html>gateway</html>'), text(200, '{"cut":'), text(200, ''), json({ ok: true }));
    const { get, budget } = setup();
    expect((await get()).body).toEqual({ ok: true });
    expect(budget.calls).toEqual(['take', 'take', 'take', 'take', 'recover']);
  });

  it('and stays so breaks the contract', async () => {
    server.script(text(200, '<html>canary</html>'));
    const failure = await failureOf(setup().get());
    expect(failure).toBeInstanceOf(UpstreamContractError);
    expect(failure.code).toBe('not_json');
    expect(failure.message).toContain('(19 characters)');
    expect(everythingIn(failure)).not.toContain('canary');
    expect(server.requests).toHaveLength(6);
  });

  it('is transient as long as it has not been tried often enough', async () => {
    server.script(text(200, '<html>'));
    expect(await failureOf(setup().get({ maxWaitMs: 100 }))).toMatchObject({ code: 'upstream_garbled', status: 200 });
  });
});

describe('the budget', () => {
  it('is waited for before each request', async () => {
    const clock = createTestClock();
    const { get } = setup({ clock, budget: createLocalBudget(5, clock) });
    for (let i = 0; i < 3; i += 1) await get();
    expect(clock.waits).toEqual([12_000, 12_000]);
  });

  it('is asked in the lane of the caller, and in the fast one for who names none', async () => {
    const lanes: unknown[] = [];
    const budget: RequestBudget = {
      ...createNotingBudget(),
      take: async (_maxWaitMs, lane) => {
        lanes.push(lane);
        return { granted: true, waitMs: 0 };
      },
    };
    const { get } = setup({ budget });
    await get();
    await get({ lane: 'bulk' });
    expect(lanes).toEqual(['fast', 'bulk']);
  });

  it('that was closed while the request waited for its slot is asked again, and nothing is sent into a Retry-After', async () => {
    const clock = createTestClock();
    const asked: string[] = [];
    const waits = [300, 4_000, 0];
    const budget: RequestBudget = {
      ...createNotingBudget(),
      take: async () => {
        asked.push('take');
        return { granted: true, waitMs: waits.shift() ?? 0 };
      },
      isClosed: async () => asked.push('look') === 2,
    };
    const { get } = setup({ clock, budget });
    await get();
    expect(asked).toEqual(['take', 'look', 'take', 'look']);
    expect(clock.waits).toEqual([300, 4_000]);
  });

  it('that has no slot in time postpones the work without a request', async () => {
    const clock = createTestClock();
    const { get } = setup({ clock, budget: createLocalBudget(5, clock) });
    await get();
    const failure = await failureOf(get({ maxWaitMs: 5000 }));
    expect(failure).toBeInstanceOf(RateLimitedError);
    expect(failure).toMatchObject({ waitMs: 12_000 });
    expect(server.requests).toHaveLength(1);
  });

  it('is never asked for a wait that the total time does not allow', async () => {
    const clock = createTestClock();
    const { get } = setup({ clock, budget: createLocalBudget(5, clock), maxTotalMs: 3000 });
    await get();
    expect(await failureOf(get({ maxWaitMs: Number.POSITIVE_INFINITY }))).toBeInstanceOf(RateLimitedError);
  });

  it('is left alone by a request outside it', async () => {
    server.script(text(429, '', { 'retry-after': '1' }), text(429, ''), json({}));
    const { get, budget } = setup();
    await get({ budget: false });
    expect(budget.calls).toEqual([]);
  });

  it('that fails is no weather', async () => {
    const broken = { ...createNotingBudget(), take: () => Promise.reject(new Error('no row')) };
    expect(await failureOf(setup({ budget: broken }).get())).toMatchObject({ name: 'Error', message: 'no row' });
    expect(server.requests).toEqual([]);
  });
});

describe('counting', () => {
  it('tells every request that went out', async () => {
    server.script(text(503, ''), (request) => request.socket.destroy(), json({}));
    let requests = 0;
    await setup().get({
      onRequest: () => {
        requests += 1;
      },
    });
    expect(requests).toBe(3);
    expect(server.requests).toHaveLength(3);
  });
});

describe('a stop', () => {
  it('before the call sends nothing', async () => {
    const { get, budget } = setup();
    expect(isAbort(await failureOf(get({ signal: AbortSignal.abort() })))).toBe(true);
    expect(server.requests).toEqual([]);
    expect(budget.calls).toEqual([]);
  });

  it.each([
    ['for a retry', createNotingBudget(), 503],
    ['for a slot', { ...createNotingBudget(), take: async () => ({ granted: true, waitMs: 1000 }) }, 200],
  ])('while waiting %s ends the wait as an abort', async (_name, budget, status) => {
    server.script(text(status, '{}'));
    const controller = new AbortController();
    const clock = {
      ...createTestClock(),
      // A wait that only the signal ends.
      sleep: (_ms: number, signal?: AbortSignal) =>
        new Promise<void>((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason));
          controller.abort(new Error('shutdown'));
        }),
    };
    const failure = await failureOf(setup({ clock, budget }).get({ signal: controller.signal }));
    expect(isAbort(failure)).toBe(true);
    expect(server.requests.length).toBeLessThanOrEqual(1);
  });

  it('inside a request is not retried', async () => {
    const controller = new AbortController();
    server.script(() => controller.abort());
    expect(isAbort(await failureOf(setup().get({ signal: controller.signal })))).toBe(true);
    expect(server.requests).toHaveLength(1);
  });
});

describe('logs', () => {
  it('name method, path, status, attempt and wait, and no secret', async () => {
    server.script(
      text(503, 'canary'),
      text(200, '<html>canary'),
      (request) => request.socket.destroy(),
      text(200, '{"email":"canary"}', { 'x-token': 'canary', 'set-cookie': 'canary' }),
    );
    const { upstream, log } = setup();
    await upstream.request(
      {
        method: 'POST',
        url: `${server.url}/p1/leads?email=canary`,
        headers: { authorization: 'JWT canary' },
        body: '{"password":"canary"}',
      },
      { signal: new AbortController().signal, maxWaitMs: 60_000 },
    );
    const lines = log.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines[0]).toMatchObject({ method: 'POST', path: '/p1/leads', status: 503, attempt: 1 });
    expect(lines[1]).toMatchObject({ status: 503, attempt: 1, waitMs: 1000, next: 'wait' });
    expect(lines.at(-1)).toMatchObject({ status: 200, attempt: 4 });
    expect(log.lines.join('')).not.toContain('canary');
  });

  it('and errors hold no secret when a request is given up', async () => {
    server.script(text(500, 'canary', { 'x-token': 'canary' }));
    const { upstream, log } = setup();
    const failure = await failureOf(
      upstream.request(
        { method: 'GET', url: `${server.url}/x?token=canary`, headers: { authorization: 'JWT canary' } },
        { signal: new AbortController().signal, maxWaitMs: 60_000 },
      ),
    );
    expect(everythingIn(failure)).not.toContain('canary');
    expect(log.lines.join('')).not.toContain('canary');
  });
});
