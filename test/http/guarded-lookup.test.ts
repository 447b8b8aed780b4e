import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { HttpClient } from '../../src/http/client.ts';
import { isPrivateHost } from '../../src/private-address.ts';
import { failureOf, startServer, type TestServer } from './support.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

it.each([
  '127.0.0.1',
  '10.1.2.3',
  '169.254.169.254',
  '[::1]',
  '[::ffff:10.0.0.1]',
  '[fd00::1]',
  '[fe80::1]',
  '0.0.0.0',
])('%s is private', (host) => expect(isPrivateHost(host)).toBe(true));

it.each(['localhost', 'desk', 'desk.localhost', 'desk.internal', 'desk.home.arpa', 'desk.local.'])(
  '%s is a name of a local network',
  (host) => expect(isPrivateHost(host)).toBe(true),
);

it.each(['api.tiledesk.com', 'local.example.com', '8.8.8.8', '[2606:4700::1]', '172.32.0.1', '100.128.0.1'])(
  '%s is of the internet',
  (host) => expect(isPrivateHost(host)).toBe(false),
);

it('a name that leads to a private address is refused where it is guarded, before anything is sent', async () => {
  const guarded = new Set<string>(['localhost']);
  const client = new HttpClient({ timeoutMs: 5_000, isGuarded: (host) => guarded.has(host) });
  const url = `http://localhost:${server.port}/x`;
  const error = await failureOf(client.send({ method: 'GET', url }));
  expect(error).toMatchObject({ code: 'config_invalid', message: expect.stringContaining('CONNECTION_HOSTS') });
  expect(server.sockets.size).toBe(0);
  guarded.clear();
  expect(await client.send({ method: 'GET', url })).toMatchObject({ status: 200 });
  await client.close();
});
