/** What comes to the status page from people, scripts and attackers: answered in words, in time, without harm. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { createOpsServer, startOpsServer } from '../../src/ops/server.ts';
import { until } from '../helpers/cli.ts';
import fc from '../helpers/property.ts';
import { ACCOUNT, addStream, BEARER, createRecorder, type OpsSetup, QUIET_QUEUE, setupOps, TOKEN } from './support.ts';

const READ_TOKEN = 'another-token-for-reading-987654321';
let setup: OpsSetup;
let server: FastifyInstance;
const { asked, control } = createRecorder();
beforeAll(async () => {
  setup = await setupOps();
  await addStream(setup.store, 'tiledesk.leads');
  server = setup.server({ token: TOKEN, readToken: READ_TOKEN, control, trustedProxies: ['10.0.0.0/8'] });
});
afterAll(() => setup.close());

const ROUTES = [
  '/',
  '/api/status',
  '/api/runs',
  '/api/history/x/y',
  '/api/report',
  '/report',
  '/streams/x/y',
  '/sign-in',
  '/api/streams/x/y/trigger',
  '/healthz',
];
const ODD = [
  '%00',
  '\0',
  '%',
  '%zz',
  '%ff',
  '..%2f..',
  '//',
  '\ud800',
  '9223372036854775808',
  '-1',
  '1e999',
  "'; drop table x",
  '__proto__',
];

describe('whatever a client sends', () => {
  it('is answered below 500, in words, without a stack trace, on every route and with every method', async () => {
    const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS');
    const part = fc.oneof(fc.constantFrom(...ODD), fc.string(), fc.string({ unit: 'binary' }));
    const body = fc.oneof(
      fc.constant(undefined),
      fc.string(),
      fc.constantFrom('{', '{"pass":"\\u0000"}', '[]', '{"__proto__":{"pass":1}}', '['.repeat(5000)),
    );
    const type = fc.constantFrom('application/json', 'application/x-www-form-urlencoded', 'text/xml', 'x');
    await fc.assert(
      fc.asyncProperty(
        method,
        fc.constantFrom(...ROUTES),
        part,
        part,
        body,
        type,
        async (verb, route, one, other, payload, mime) => {
          const url = `${route.replaceAll('x', encodeURIComponent(one.toWellFormed()))}?before=${other.toWellFormed().replaceAll(/[\s#]/g, '')}&before=1&limit=${one.length}`;
          const answer = await server.inject({
            method: verb,
            url,
            headers: { ...BEARER, ...(payload === undefined ? {} : { 'content-type': mime }), host: 'localhost' },
            ...(payload !== undefined && { payload }),
          });
          expect([url, answer.statusCode < 500]).toEqual([url, true]);
          expect(answer.body).not.toMatch(/\.[jt]s:\d+/);
        },
      ),
      { numRuns: 400 },
    );
  });

  it.each([
    ['/api/runs?before=9223372036854775808', 400],
    ['/api/runs?before=1&before=2', 400],
    ['/api/runs?connection=%00', 400],
    ['/api/history/%00', 400],
    [`/api/history/${'a'.repeat(3_000)}`, 414],
    ['/api/runs?before=9223372036854775807', 200],
  ])('%s is %i', async (url, status) => {
    expect((await server.inject({ url, headers: BEARER })).statusCode).toBe(status);
  });
});

describe('a token', () => {
  it('that is right passes however many wrong ones came from the same address', async () => {
    const other = setup.server({ token: TOKEN });
    for (let attempt = 0; attempt < 20; attempt++) {
      await other.inject({ url: '/api/status', headers: { authorization: `Bearer wrong-${attempt}` } });
    }
    const wrong = await other.inject({ url: '/api/status', headers: { authorization: 'Bearer wrong' } });
    expect(wrong.statusCode).toBe(429);
    expect((await other.inject({ url: '/api/status', headers: BEARER })).statusCode).toBe(200);
  });

  it('that is wrong and sent again and again holds up nobody else with the same address', async () => {
    const other = setup.server({ token: TOKEN });
    const send = async (token: string) =>
      (await other.inject({ url: '/api/status', headers: { authorization: `Bearer ${token}` } })).statusCode;
    for (let attempt = 0; attempt < 10; attempt++) expect(await send('of last year')).toBe(401);
    expect(await send('of last year')).toBe(429);
    expect(await send('mistyped')).toBe(401);
    // Guesses are different ones, and wait from the eleventh on.
    for (let attempt = 0; attempt < 8; attempt++) expect(await send(`guess ${attempt}`)).toBe(401);
    expect(await send('another guess')).toBe(429);
    expect(await send('mistyped')).toBe(429);
  });

  it('counts by the address that a trusted proxy names', async () => {
    const from = (address: string) =>
      server.inject({
        url: '/api/status',
        remoteAddress: '10.1.2.3',
        headers: { authorization: 'Bearer wrong', 'x-forwarded-for': address },
      });
    for (let attempt = 0; attempt < 11; attempt++) await from('203.0.113.7');
    expect((await from('203.0.113.7')).statusCode).toBe(429);
    expect((await from('203.0.113.8')).statusCode).toBe(401);
  });

  it('for reading reads everything, and changes nothing', async () => {
    const headers = { authorization: `Bearer ${READ_TOKEN}` };
    for (const url of ['/', '/api/status', '/api/runs', '/report']) {
      expect([url, (await server.inject({ url, headers })).statusCode]).toEqual([url, 200]);
    }
    for (const action of ['trigger', 'pause', 'resume', 'resync', 'accept-deletions', 'cancel']) {
      const url = `/api/streams/${encodeURIComponent(ACCOUNT)}/tiledesk.leads/${action}`;
      const answer = await server.inject({ method: 'POST', url, headers });
      expect([action, answer.statusCode, answer.json().error.code]).toEqual([action, 403, 'read_only_token']);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'] as const) {
      expect((await server.inject({ method, url: '/queues/api/queues/x/pause', headers })).statusCode).toBe(403);
    }
    expect(asked).toEqual([]);
  });
});

it('half-open requests are closed in time, and probes are answered meanwhile', async () => {
  const limits = { requestMs: 400, idleMs: 300, connectMs: 5_000, checkMs: 100, connections: 80 };
  const open = await startOpsServer(
    { prisma: setup.store.prisma, token: TOKEN, limits },
    { host: '127.0.0.1', port: 0 },
  );
  const { port } = new URL(open.url);
  const sockets: Socket[] = Array.from({ length: 50 }, (_, index) => {
    const socket = connect(Number(port), '127.0.0.1')
      .on('error', () => {})
      .resume();
    if (index % 3 === 0) socket.write('POST /sign-in HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\ntoken=');
    else if (index % 3 === 1) socket.write('POST /sign-in HTTP/1.1\r\nhost: loc');
    return socket;
  });
  expect((await fetch(`${open.url}/healthz`)).status).toBe(200);
  await until('all closed', () => sockets.every(({ closed, destroyed }) => closed || destroyed), 10_000);
  await open.close();
});

it.each([
  ['the head', 'POST /sign-in HTTP/1.1\r\nhost: localhost\r\nx: '],
  ['the body', 'POST /sign-in HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000\r\n\r\n'],
])('a request is over in time although %s never stops coming, byte by byte', async (_, start) => {
  const limits = { requestMs: 500, idleMs: 60_000, connectMs: 60_000, checkMs: 100, connections: 80 };
  const open = await startOpsServer(
    { prisma: setup.store.prisma, token: TOKEN, limits },
    { host: '127.0.0.1', port: 0 },
  );
  const client = connect(Number(new URL(open.url).port), '127.0.0.1')
    .on('error', () => {})
    .resume();
  client.write(start);
  const drip = setInterval(() => client.write('x'), 50);
  await until('closed', () => client.closed, 5_000);
  clearInterval(drip);
  await open.close();
});

it('connections beyond their bound are closed at once, and there is room again when others end', async () => {
  const limits = { requestMs: 20_000, idleMs: 20_000, connectMs: 20_000, checkMs: 100, connections: 3 };
  const full = await startOpsServer(
    { prisma: setup.store.prisma, token: TOKEN, limits },
    { host: '127.0.0.1', port: 0 },
  );
  const open = () =>
    connect(Number(new URL(full.url).port), '127.0.0.1')
      .on('error', () => {})
      .resume();
  const isAnswered = () =>
    fetch(`${full.url}/healthz`, { headers: { connection: 'close' } }).then(
      ({ ok }) => ok,
      () => false,
    );
  const held = [open(), open(), open()];
  await Promise.all(held.map((socket) => once(socket, 'connect')));
  const beyond = open();
  await until('closed', () => beyond.closed, 2_000);
  expect(await isAnswered()).toBe(false);
  expect(held.filter(({ closed }) => closed)).toEqual([]);
  held.pop()?.destroy();
  await until('room', isAnswered, 5_000);
  for (const socket of held) socket.destroy();
  await full.close();
});

it('who takes the page for a proxy is answered', async () => {
  const open = await startOpsServer({ prisma: setup.store.prisma, token: TOKEN }, { host: '127.0.0.1', port: 0 });
  const client = connect(Number(new URL(open.url).port), '127.0.0.1').setEncoding('latin1');
  client.write('CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n');
  const [answer] = await once(client, 'data');
  expect(answer).toMatch(/^HTTP\/1.1 405 /);
  await until('closed', () => client.destroyed, 2_000);
  await open.close();
});

it('a client that takes no answer loses its connection', async () => {
  const limits = { requestMs: 400, idleMs: 300, connectMs: 500, checkMs: 100, connections: 80 };
  const slow = createOpsServer({ prisma: setup.store.prisma, token: TOKEN, limits });
  const held: Socket[] = [];
  slow.server.on('connection', (socket) => held.push(socket));
  const url = await slow.listen({ host: '127.0.0.1', port: 0 });
  const client = connect(Number(new URL(url).port), '127.0.0.1')
    .on('error', () => {})
    .pause();
  const style = /\/assets\/[\w.-]+\.css/.exec(await (await fetch(`${url}/sign-in`)).text())?.[0];
  expect(style).toBeDefined();
  // More than the buffers of both sides hold.
  client.write(`GET ${style} HTTP/1.1\r\nhost: localhost\r\n\r\n`.repeat(1_000));
  await until('all closed', () => held.length === 2 && held.every(({ destroyed }) => destroyed), 10_000);
  client.destroy();
  await slow.close();
});

it('who changes something is logged with their address and what they did, without the token', async () => {
  const lines: string[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const logged = setup.server({ token: TOKEN, control, logger, queue: { ...QUIET_QUEUE, lanes: () => [] } });
  const from = { method: 'POST', remoteAddress: '192.0.2.5', headers: BEARER } as const;
  await logged.inject({ ...from, url: `/api/streams/${encodeURIComponent(ACCOUNT)}/tiledesk.leads/pause` });
  await logged.inject({ ...from, method: 'PUT', url: '/queues/api/queues/fast/pause?with=canary' });
  await until('logged', () => lines.length === 2);
  const [action = '', change = ''] = lines;
  expect(JSON.parse(action)).toMatchObject({ address: '192.0.2.5', stream: 'tiledesk.leads', action: 'pause' });
  expect(JSON.parse(change)).toMatchObject({
    address: '192.0.2.5',
    method: 'PUT',
    path: '/queues/api/queues/fast/pause',
  });
  expect(lines.join()).not.toMatch(new RegExp(`${TOKEN}|canary`));
});
