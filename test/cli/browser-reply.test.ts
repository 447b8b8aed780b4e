import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { answerBrowser, listen, type Reply, readPasted } from '../../src/cli/browser-reply.ts';

const STATE = 'the-state-of-this-sign-in';
let server: Server;
let port: number;
let replies: Reply[];
beforeEach(async () => {
  server = await listen(new URL('http://127.0.0.1:0'));
  ({ port } = server.address() as AddressInfo);
  replies = [];
  answerBrowser(server, { path: '/callback', state: STATE }, (reply) => replies.push(reply));
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

/** What comes back for these bytes. */
async function send(bytes: string | Buffer): Promise<{ status: number; text: string }> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  await once(socket, 'close');
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]), text };
}
const get = (target: string, more = '') => send(`GET ${target} HTTP/1.1\r\nhost: localhost\r\n${more}\r\n`);
const RIGHT = `/callback?code=c0de&state=${STATE}`;

test.each([
  ['//', 404],
  ['///callback', 404],
  ['/\\evil.example', 404],
  ['/..//..', 404],
  ['http://', 404],
  ['http://evil.example/callback?code=x', 404],
  ['*', 404],
  ['/callback/', 404],
  ['/%00', 404],
  ['/%', 404],
  [`//callback?code=c&state=${STATE}`, 404],
  ['/callback', 400],
  ['/callback?', 400],
  ['/callback?%', 400],
  ['/callback?code=%00&state=%00', 400],
  ['/callback?state=', 400],
  [`/callback?code=a%00b&state=${STATE}`, 400],
  [`/callback?code=%ED%A0%80&state=${STATE}`, 400],
  [`/callback?code=one&code=two&state=${STATE}`, 400],
  [`/callback?code=c&state=${STATE}&state=${STATE}`, 400],
  [`/callback?code=${'c'.repeat(5000)}&state=${STATE}`, 400],
  [`/callback?code=c&state=${STATE}x`, 400],
  [`/callback?code=c&state=${STATE.slice(0, -1)}`, 400],
  [`/callback?code=c&state=${STATE.toUpperCase()}`, 400],
])('GET %s is answered in words', async (target, status) => {
  const answer = await get(target);
  expect(answer.status).toBe(status);
  expect(answer.text).toMatch(/<p>[A-Z][^<]+<\/p>/);
  expect(answer.text).not.toContain('at ');
  expect(replies.filter(({ kind }) => kind !== 'foreign')).toEqual([]);
  expect((await get(RIGHT)).status).toBe(200);
  expect(replies.at(-1)).toEqual({ kind: 'code', code: 'c0de' });
});

test.each(['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND'])(
  '%s is no way to answer',
  async (method) => {
    const body = `content-length: 5\r\n\r\nhello`;
    expect((await send(`${method} ${RIGHT} HTTP/1.1\r\nhost: localhost\r\n${body}`)).status).toBe(405);
    expect(replies).toEqual([]);
  },
);

test.each<[string, string | Buffer]>([
  ['no request', 'hello\r\n\r\n'],
  ['TLS', Buffer.from('16030100f5010000f10303', 'hex')],
  ['a NUL in the line', `GET /callback\0 HTTP/1.1\r\nhost: x\r\n\r\n`],
  ['no host', `GET ${RIGHT} HTTP/1.1\r\n\r\n`],
  ['another version', `GET / HTTP/9.9\r\nhost: x\r\n\r\n`],
  ['a line without end', `GET /${'a'.repeat(100_000)}`],
  ['headers without end', `GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(20_000)}`],
  ['two lengths', 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'],
])('%s is refused, and the sign-in goes on', async (_, bytes) => {
  const { status } = await send(bytes);
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).toBeLessThan(500);
  expect((await get(RIGHT)).status).toBe(200);
});

test('CONNECT and an upgrade end the connection or get an answer, and nothing else', async () => {
  await send('CONNECT example:443 HTTP/1.1\r\nhost: x\r\n\r\n');
  await get('/', 'connection: upgrade\r\nupgrade: websocket\r\n');
  await get(RIGHT);
  expect(replies).toEqual([{ kind: 'code', code: 'c0de' }]);
});

test('only the first answer counts; later ones are told so', async () => {
  const statuses = await Promise.all(
    ['one', 'two', 'three'].map(async (code) => (await get(`/callback?code=${code}&state=${STATE}`)).status),
  );
  expect(statuses.sort()).toEqual([200, 410, 410]);
  expect(replies).toHaveLength(1);
  expect((await get(`/callback?error=access_denied&state=${STATE}`)).status).toBe(410);
  expect(replies).toHaveLength(1);
});

test('an answer counts also when the browser does not wait for the page', async () => {
  const asked = once(server, 'request');
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  socket.write(`GET ${RIGHT} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  await asked;
  socket.destroy();
  while (replies.length === 0) await new Promise(setImmediate);
  expect(replies).toEqual([{ kind: 'code', code: 'c0de' }]);
});

test('a flood of connections that say nothing is ended, and the browser gets through', async () => {
  const idle = Array.from({ length: 100 }, () =>
    connect(port, '127.0.0.1')
      .on('error', () => {})
      .resume(),
  );
  await Promise.all(idle.map((socket) => once(socket, 'close')));
  expect((await get(RIGHT)).status).toBe(200);
});

describe('what is pasted', () => {
  test.each([
    ['c0de1', { kind: 'code', code: 'c0de1' }],
    [`http://127.0.0.1${RIGHT}`, { kind: 'code', code: 'c0de' }],
    [`code=c0de&state=${STATE}`, { kind: 'code', code: 'c0de' }],
    [`?error=no&state=${STATE}`, { kind: 'declined' }],
    ['http://', null],
    ['http://[', null],
    ['abc', null],
    ['two words', null],
    ['co\0de', null],
    ['co\ud800de', null],
    ['c'.repeat(3000), null],
    [`https://x/?code=a%00b&state=${STATE}`, { kind: 'foreign' }],
    ['?code=abcd&state=other', { kind: 'foreign' }],
  ])('%j', (text, expected) => {
    expect(readPasted(text, STATE)).toEqual(expected);
  });
});
