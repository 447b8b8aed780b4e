import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { PrismaClient } from '../../../src/generated/prisma/client.ts';
import type { KeptSession } from '../../../src/sources/tiledesk/sign-in.ts';
import { createDatabaseVault } from '../../../src/store/engine/vault.ts';
import { type Store, setupStore } from '../../store/support.ts';
import { type Account, fetchOptions, setupUpstream, type Upstream } from './support.ts';

let upstream: Upstream;
let store: Store;
beforeAll(async () => {
  upstream = await setupUpstream();
  store = await setupStore();
});
afterAll(async () => {
  await store.close();
  await upstream.close();
});
beforeEach(async () => {
  upstream.sandbox.faults.clear();
  upstream.sandbox.clearLog();
  await store.query('truncate sync.secrets');
});

const vaultWith = (secretKey = 'a-key-that-is-long-enough-for-a-test', prisma: PrismaClient = store.prisma) =>
  createDatabaseVault<KeptSession>(prisma, { name: 'tiledesk:example.test:0123456789abcdef', secretKey });

/** A process: what it knows ends with it. */
const start = (account: Account = {}) => {
  const { api } = upstream.reach({ vault: vaultWith(), ...account });
  return (options = fetchOptions()) => api.get('leads', new URLSearchParams({ limit: '2' }), options);
};

it('is done once for all processes and restarts, however many begin at the same time', async () => {
  const answers = await Promise.all(Array.from({ length: 8 }, () => start()({ ...fetchOptions(), maxWaitMs: 20_000 })));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  await start()();
  expect(upstream.asked()).toEqual({ signin: 1, leads: 9 });
});

it('knows the role of its user after a restart without signing in', async () => {
  const open = () => upstream.reach({ vault: vaultWith() }).connection.open(fetchOptions());
  const first = await open();
  expect(await open()).toEqual(first);
  expect(upstream.asked()).toEqual({ signin: 1, project_user: 2 });
});

it('is done anew with another password, however good the session is that is kept', async () => {
  await start()();
  const auth = { kind: 'jwt', email: upstream.sandbox.email, password: 'wrong' } as const;
  await expect(start({ auth })()).rejects.toMatchObject({ name: 'AuthError', code: 'auth_failed' });
  // The right one is still there for the others.
  await start()();
  expect(upstream.asked()).toEqual({ signin: 2, leads: 2 });
});

it('is done anew once for all processes when the kept session is refused', async () => {
  const [one, other] = [start(), start()];
  await one();
  await other();
  upstream.sandbox.faults.revokeTokens();
  upstream.sandbox.clearLog();
  await Promise.all([one(), one(), other()]);
  await start()();
  expect(upstream.asked().signin).toBe(1);
});

it('is done anew when what is kept cannot be opened, and replaces it', async () => {
  await start({ vault: vaultWith('the-key-of-another-installation') })();
  await start()();
  await start()();
  expect(upstream.asked()).toEqual({ signin: 2, leads: 3 });
});

it('goes on for the others when the one who began it is stopped', async () => {
  upstream.sandbox.faults.push({ kind: 'slow', delayMs: 300, match: { list: 'signin' } });
  const ask = start();
  const stop = new AbortController();
  const first = ask({ ...fetchOptions(), signal: stop.signal });
  const second = ask();
  const stopped = expect(first).rejects.toMatchObject({ name: 'AbortError' });
  setTimeout(() => stop.abort(), 50);
  await stopped;
  await expect(second).resolves.toMatchObject({ status: 200 });
  expect(upstream.asked().signin).toBe(1);
});

it('leaves nothing readable in the table', async () => {
  await start()();
  const [row] = await store.query<{ text: string; payload: Buffer }>(
    'select s::text as text, payload from sync.secrets s',
  );
  const haystack = `${row?.text}\n${row?.payload.toString('latin1')}`;
  for (const secret of ['JWT', upstream.sandbox.password, upstream.sandbox.email, 'passwordDigest']) {
    expect(haystack).not.toContain(secret);
  }
});
