import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Queue } from 'bullmq';
import type { FastifyInstance } from 'fastify';
import { hostName, isFromOurPage } from '../../src/ops/guard/origin.ts';
import { Sessions } from '../../src/ops/guard/sessions.ts';
import { StreamPausedError } from '../../workers/web-control.ts';
import { until } from '../helpers/cli.ts';
import {
  ACCOUNT,
  addFreshStream,
  BEARER,
  clear,
  createRecorder,
  type OpsSetup,
  QUIET_QUEUE,
  setupOps,
  TOKEN,
} from './support.ts';

let setup: OpsSetup;
beforeAll(async () => {
  setup = await setupOps();
  await clear(setup.store);
  await addFreshStream(setup.store, 'tiledesk.departments');
});
afterAll(() => setup.close());

const ACTIONS = ['trigger', 'pause', 'resume', 'resync', 'accept-deletions', 'cancel'] as const;
const pathOf = (action: string) => `/api/streams/${encodeURIComponent(ACCOUNT)}/tiledesk.departments/${action}`;

let server: FastifyInstance;
let asked: string[];
const open = (token: string | null) => {
  const recorder = createRecorder();
  asked = recorder.asked;
  server = setup.server({ token, control: recorder.control });
};

const post = (url: string, headers: Record<string, string> = {}, payload?: object) =>
  server.inject({ method: 'POST', url, headers, ...(payload && { payload }) });

/** As a browser signs in; answers its cookie. */
async function signIn(token = TOKEN, remoteAddress = '127.0.0.1') {
  const answer = await server.inject({
    method: 'POST',
    url: '/sign-in',
    remoteAddress,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      origin: 'http://localhost:80',
      host: 'localhost:80',
    },
    payload: new URLSearchParams({ token }).toString(),
  });
  const [cookie = ''] = String(answer.headers['set-cookie'] ?? '').split(';');
  return { status: answer.statusCode, cookie, flags: String(answer.headers['set-cookie'] ?? ''), body: answer.body };
}

describe('what changes something', () => {
  beforeEach(() => open(TOKEN));

  it.each(ACTIONS)('%s is refused without the token, with a wrong one, and from another page', async (action) => {
    const url = pathOf(action);
    expect((await post(url)).statusCode).toBe(401);
    expect((await post(url, { authorization: 'Bearer wrong' })).statusCode).toBe(401);
    expect((await post(url, { authorization: `Basic ${TOKEN}` })).statusCode).toBe(401);
    expect((await post(url, { ...BEARER, origin: 'https://evil.example' })).statusCode).toBe(403);
    expect((await post(url, { ...BEARER, 'sec-fetch-site': 'cross-site' })).statusCode).toBe(403);
    expect((await post(url, { ...BEARER, 'sec-fetch-site': 'same-site' })).statusCode).toBe(403);
    expect(asked).toEqual([]);
    expect((await post(url, BEARER)).statusCode).toBe(202);
    expect(asked).toHaveLength(1);
  });

  it('is done for who signed in, from this page only', async () => {
    const { status, cookie } = await signIn();
    expect(status).toBe(303);
    const url = pathOf('pause');
    expect((await post(url, { cookie })).statusCode).toBe(401);
    expect((await post(url, { cookie, origin: 'http://evil.example' })).statusCode).toBe(403);
    expect((await post(url, { cookie, origin: 'null' })).statusCode).toBe(403);
    expect(asked).toEqual([]);
    expect((await post(url, { cookie, origin: 'http://localhost:80', host: 'localhost:80' })).statusCode).toBe(202);
    expect((await post(url, { cookie, 'sec-fetch-site': 'same-origin' })).statusCode).toBe(202);
    expect(asked).toEqual([`pause ${ACCOUNT} tiledesk.departments`, `pause ${ACCOUNT} tiledesk.departments`]);
  });

  it('is a conflict for a stream that is paused, and says what to do', async () => {
    const { control } = createRecorder();
    const trigger = () => Promise.reject(new StreamPausedError('Resume it first'));
    const paused = setup.server({ token: TOKEN, control: { ...control, trigger } });
    const answer = await paused.inject({ method: 'POST', url: pathOf('trigger'), headers: BEARER });
    expect([answer.statusCode, answer.json()]).toEqual([
      409,
      { error: { code: 'stream_paused', message: 'Resume it first' } },
    ]);
  });

  it('trigger asks for the pass that was named', async () => {
    await post(pathOf('trigger'), BEARER, { pass: 'reconcile' });
    await post(pathOf('trigger'), BEARER);
    expect(asked).toEqual([
      `trigger ${ACCOUNT} tiledesk.departments reconcile`,
      `trigger ${ACCOUNT} tiledesk.departments incremental`,
    ]);
    expect((await post(pathOf('trigger'), BEARER, { pass: 'everything' })).statusCode).toBe(400);
  });

  it('answers a form without the script by going back to the stream', async () => {
    const { cookie } = await signIn();
    const answer = await server.inject({
      method: 'POST',
      url: pathOf('trigger'),
      headers: {
        cookie,
        accept: 'text/html',
        'sec-fetch-site': 'same-origin',
        'content-type': 'application/x-www-form-urlencoded',
      },
      payload: 'pass=reconcile',
    });
    expect([answer.statusCode, answer.headers.location]).toEqual([
      303,
      '/streams/tiledesk%3Aagency/tiledesk.departments',
    ]);
  });

  it('knows no stream and no action that is not there', async () => {
    expect((await post('/api/streams/tiledesk:agency/tiledesk.nothing/pause', BEARER)).statusCode).toBe(404);
    expect((await post(pathOf('constructor'), BEARER)).statusCode).toBe(404);
    expect(asked).toEqual([]);
  });
});

describe('with a token', () => {
  beforeEach(() => open(TOKEN));

  it('everything but the probes and the sign-in is behind it', async () => {
    for (const url of ['/healthz', '/readyz', '/sign-in']) {
      expect([url, (await server.inject(url)).statusCode]).toEqual([url, 200]);
    }
    for (const url of [
      '/',
      '/api/status',
      '/api/runs',
      '/api/events',
      `/api/history/${ACCOUNT}`,
      '/streams/a/b',
      '/queues',
      '/no',
    ]) {
      expect([url, (await server.inject(url)).statusCode]).toEqual([url, 401]);
    }
    const page = await server.inject({ url: '/', headers: { accept: 'text/html' } });
    expect([page.statusCode, page.headers.location]).toEqual([303, '/sign-in']);
    expect((await server.inject({ url: '/api/status', headers: BEARER })).statusCode).toBe(200);
  });

  it('the queues are shown as they are now, also when one was replaced', async () => {
    const create = (name: string) => ({ name, metaValues: { version: 'bullmq' } }) as unknown as Queue;
    const lanes = [create('before')];
    const board = setup.server({ token: TOKEN, queue: { ...QUIET_QUEUE, lanes: () => [...lanes] } });
    const find = async (name: string) =>
      (await board.inject({ url: `/queues/api/queues/${name}/job-data-schema`, headers: BEARER })).json();
    lanes[0] = create('after');
    expect(await find('before')).toMatchObject({ error: { key: 'ERRORS.QUEUE_NOT_FOUND' } });
    expect(await find('after')).toEqual({});
  });

  it('the cookie is out of reach of scripts and of other sites, and ends with the sign-out', async () => {
    const { cookie, flags } = await signIn();
    expect(flags).toMatch(/HttpOnly; SameSite=Strict$/);
    expect(flags).not.toContain(TOKEN);
    const read = () => server.inject({ url: '/api/status', headers: { cookie } });
    expect((await read()).statusCode).toBe(200);
    await post('/sign-out', { cookie, 'sec-fetch-site': 'same-origin' });
    expect((await read()).statusCode).toBe(401);
  });

  it('a session that was signed out at one replica is over at all of them, and stays so after a restart', async () => {
    const one = server;
    const { cookie } = await signIn();
    const isOpen = async (at: FastifyInstance) =>
      (await at.inject({ url: '/api/status', headers: { cookie } })).statusCode === 200;
    open(TOKEN);
    expect([await isOpen(one), await isOpen(server)]).toEqual([true, true]);
    await post('/sign-out', { cookie, 'sec-fetch-site': 'same-origin' });
    expect(await isOpen(server)).toBe(false);
    open(TOKEN);
    expect(await isOpen(server)).toBe(false);
    await until('the other one has heard of it', async () => !(await isOpen(one)), 10_000);
  });

  it('the cookie is taken from the browser also while the database cannot end the session', async () => {
    const { cookie } = await signIn();
    await setup.store.query('alter table sync.ended_sessions rename to away');
    const answer = await post('/sign-out', { cookie, 'sec-fetch-site': 'same-origin' });
    await setup.store.query('alter table sync.away rename to ended_sessions');
    expect(answer.statusCode).toBe(503);
    expect(answer.headers['set-cookie']).toContain('Max-Age=0');
  });

  it('is Secure behind a proxy that ends TLS', async () => {
    const answer = await server.inject({
      method: 'POST',
      url: '/sign-in',
      headers: { 'x-forwarded-proto': 'https', 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ token: TOKEN }).toString(),
    });
    expect(answer.headers['set-cookie']).toMatch(/; Secure$/);
  });

  it('after ten wrong ones further wrong ones of an address have to wait; the right one, others and who is signed in have not', async () => {
    const { cookie } = await signIn();
    for (let i = 0; i < 10; i++) expect((await signIn(`guess ${i}`, '192.0.2.7')).status).toBe(401);
    expect((await signIn(TOKEN, '192.0.2.7')).status).toBe(303);
    const bearer = await server.inject({ url: '/api/status', headers: BEARER, remoteAddress: '192.0.2.7' });
    expect(bearer.statusCode).toBe(200);
    const wrong = await server.inject({
      url: '/api/status',
      headers: { authorization: 'Bearer wrong' },
      remoteAddress: '192.0.2.7',
    });
    expect([wrong.statusCode, Number(wrong.headers['retry-after']) > 0]).toEqual([429, true]);
    const session = await server.inject({ url: '/api/status', headers: { cookie }, remoteAddress: '192.0.2.7' });
    expect(session.statusCode).toBe(200);
    expect((await signIn(TOKEN, '192.0.2.8')).status).toBe(303);
  });

  it('bearer failures count too', async () => {
    const get = (authorization: string) =>
      server.inject({ url: '/api/status', headers: { authorization }, remoteAddress: '192.0.2.9' });
    for (let i = 0; i < 10; i++) expect((await get('Bearer wrong')).statusCode).toBe(401);
    expect((await get('Bearer wrong')).statusCode).toBe(429);
    expect((await get(`Bearer ${TOKEN}`)).statusCode).toBe(200);
  });
});

describe('without a token', () => {
  beforeEach(() => open(null));

  it('the page can be read, and nothing can be changed', async () => {
    expect((await server.inject('/')).statusCode).toBe(200);
    for (const action of ACTIONS) expect((await post(pathOf(action), BEARER)).statusCode).toBe(403);
    expect((await server.inject('/queues')).statusCode).toBe(403);
    expect((await server.inject('/queues/api/queues')).statusCode).toBe(403);
    expect(asked).toEqual([]);
    expect((await server.inject('/')).body).not.toContain('<button');
  });

  it('a page on the internet whose name points here reads nothing', async () => {
    for (const host of ['evil.example', 'evil.example:8080', 'localhost.evil.example', '127.0.0.1.evil.example']) {
      const answer = await server.inject({ url: '/api/status', headers: { host } });
      expect([host, answer.statusCode]).toEqual([host, 403]);
    }
    for (const host of ['localhost:8080', '127.0.0.1:8080', '[::1]:8080', 'status.localhost']) {
      const answer = await server.inject({ url: '/api/status', headers: { host } });
      expect([host, answer.statusCode]).toEqual([host, 200]);
    }
  });
});

describe('every answer', () => {
  it('carries the security headers, refusals included', async () => {
    open(null);
    for (const url of ['/', '/api/status', '/nowhere', '/queues']) {
      const { headers } = await server.inject(url);
      expect(headers['content-security-policy']).toMatch(/^default-src 'none'/);
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'same-origin',
        'x-frame-options': 'DENY',
        'cache-control': 'no-store',
      });
    }
  });
});

describe('small parts', () => {
  const memory = () => {
    const ids = new Set<string>();
    return { end: async ({ id }: { id: string }) => void ids.add(id), read: async () => ids };
  };

  it('a session ends by itself, and cannot be prolonged', async () => {
    let now = 0;
    const sessions = new Sessions(TOKEN, memory(), () => now);
    const cookie = sessions.begin();
    now = 11 * 3_600_000;
    expect(await sessions.isOpen(cookie)).toBe(true);
    now = 12 * 3_600_000;
    expect(await sessions.isOpen(cookie)).toBe(false);
    const [id, expires = '', signature] = cookie.split('.');
    expect(await sessions.isOpen(`${id}.${Number(expires) + 3_600_000}.${signature}`)).toBe(false);
    expect(await sessions.isOpen('')).toBe(false);
  });

  it('a session of one replica is one of all, until it is signed out at any of them, or the token changes', async () => {
    const shared = memory();
    let now = 0;
    const [one, other] = [new Sessions(TOKEN, shared, () => now), new Sessions(TOKEN, shared, () => now)];
    const cookie = one.begin();
    expect(await other.isOpen(cookie)).toBe(true);
    expect(await new Sessions('another-token', shared, () => now).isOpen(cookie)).toBe(false);
    await other.end(cookie);
    now += 3_000;
    expect([await one.isOpen(cookie), await other.isOpen(cookie)]).toEqual([false, false]);
  });

  it.each([
    [{}, null],
    [{ origin: 'http://a:1', host: 'a:1' }, true],
    [{ origin: 'http://a:2', host: 'a:1' }, false],
    [{ origin: 'null', host: 'a' }, false],
    [{ 'sec-fetch-site': 'same-origin', origin: 'https://public.example', host: 'inner:8080' }, true],
    [{ 'sec-fetch-site': 'none' }, false],
  ] as const)('%j comes from this page: %s', (headers, expected) => {
    expect(isFromOurPage(headers)).toBe(expected);
  });

  it.each([
    ['127.0.0.1:80', '127.0.0.1'],
    ['[::1]:80', '::1'],
    ['EXAMPLE.org', 'example.org'],
    ['not a host', ''],
    [undefined, ''],
  ])('the name in %s is %s', (host, expected) => {
    expect(hostName(host)).toBe(expected);
  });
});
