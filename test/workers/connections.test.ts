import { EventEmitter } from 'node:events';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type ConnectionStore, createConnectionStore } from '../../src/app/connection-store.ts';
import type { LoadStored } from '../../src/app/stored-connections.ts';
import { type App, createApp } from '../../src/app.ts';
import type { CommandProcess } from '../../src/cli/command.ts';
import { followConfig, ReloadRequests } from '../../src/cli/reload.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { stateOf, writeKeptConnection } from '../../src/store/engine/connections.ts';
import { rekey } from '../../src/store/engine/secret-key.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { createRecorder, until } from './support.ts';

const KEY = 'a-secret-key-of-the-connection-tests';
const NEW_KEY = 'a-secret-key-of-the-connection-tests-after-rekey';

let sandbox: TiledeskSandbox;
let url: string;
let database: TestDatabase;
let stopped: AbortController;
let closers: (() => Promise<unknown>)[];
beforeEach(async () => {
  sandbox = createTiledeskSandbox({ leads: 5, requests: 5 });
  ({ url } = await sandbox.listen());
  database = await createTestDatabase();
  stopped = new AbortController();
  closers = [];
});
afterEach(async () => {
  stopped.abort();
  for (const close of closers.reverse()) await close();
  await database.drop();
  await sandbox.close();
});

/** Ten seconds pass with each pause. */
function hurriedClock(): Clock {
  let passedMs = 0;
  return {
    now: () => Date.now() + passedMs,
    async sleep(_, signal) {
      passedMs += 10_000;
      await systemClock.sleep(20, signal);
    },
  };
}

const sourcesOf = (key: string) => ({
  env: {
    DATABASE_URL: database.url,
    CONNECTION_HOSTS: '127.0.0.1,localhost',
    ...(key !== '' && { LEADMIRROR_SECRET_KEY: key }),
  },
  cwd: tmpdir(),
  isTerminal: false,
});

const loaderOf =
  (key: string): LoadStored =>
  (stored) =>
    loadConfig(sourcesOf(key), { stored, requireConnections: false });

/** What `leadmirror start` is, as far as accounts are concerned. */
async function startProcess(key = KEY): Promise<{ app: App; lines: string[] }> {
  const { logger, lines } = createRecorder();
  const { signal } = stopped;
  let state = '';
  const stored: LoadStored = (entries) => {
    state = stateOf(entries);
    return loaderOf(key)(entries);
  };
  const app = await createApp(loaderOf(key)([]), { logger, signal, stored, clock: hurriedClock() });
  const requests = new ReloadRequests(new EventEmitter() as unknown as CommandProcess);
  const parts = { app, logger, signal, files: new Map<string, string>(), state, requests, sources: sourcesOf(key) };
  const following = followConfig(parts);
  closers.push(async () => {
    await following;
    requests.close();
    await app.close();
  });
  return { app, lines };
}

const storeOf = ({ database }: App, key = KEY): ConnectionStore =>
  createConnectionStore({ database, secretKey: key, load: loaderOf(key) });
const account = (id: string) => ({
  ...{ id, source: 'tiledesk', projectId: sandbox.projectId, baseUrl: url, streams: 'departments' },
  ...{ email: sandbox.email, password: sandbox.password },
});
const idsOf = (app: App): string[] => app.connections.map(({ id }) => id);

it('every running process takes up an account that is added, changed or removed, also the last one', async () => {
  const processes = [await startProcess(), await startProcess()];
  const [first, second] = processes.map(({ app }) => app) as [App, App];
  const store = storeOf(first);
  await store.add(account('one'));
  await store.add(account('two'));
  for (const app of [first, second]) await until(() => idsOf(app).join() === 'one,two');
  const before = second.connections[1];
  await store.edit('one', { streams: ['departments', 'leads'], schedule: { reconcile: 'off' } });
  for (const app of [first, second]) await until(() => app.findStream('one', 'tiledesk.leads') !== undefined);
  expect(second.scheduleOf('one', 'tiledesk.leads')?.reconcile).toBeNull();
  expect(second.connections[1]).toBe(before);
  await store.remove('one');
  await store.remove('two');
  for (const app of [first, second]) await until(() => app.connections.length === 0);
  const enabled = await first.database.prisma.syncStream.count({ where: { enabled: true } });
  expect(enabled).toBe(0);
});

it('a process without the key leaves the accounts to others, and reports that', async () => {
  const { app } = await startProcess();
  await storeOf(app).add(account('one'));
  const keyless = await startProcess('');
  expect(idsOf(keyless.app)).toEqual([]);
  expect(keyless.lines.join('\n')).toContain(
    'LEADMIRROR_SECRET_KEY is not set here; it is left to processes that have',
  );
  expect(keyless.app.config.unusable).toMatchObject([{ id: 'one', code: 'connection_locked' }]);
});

it('one account that cannot be used does not keep the others from being mirrored', async () => {
  const { app } = await startProcess();
  const store = storeOf(app);
  await store.add(account('one'));
  await store.add(account('two'));
  const { prisma } = app.database;
  const { entry } = await prisma.syncConnection.findUniqueOrThrow({ where: { id: 'one' } });
  await prisma.syncConnection.update({ where: { id: 'one' }, data: { entry: { ...Object(entry), later: 'x' } } });
  const { app: other } = await startProcess();
  expect(idsOf(other)).toEqual(['two']);
  expect(other.config.unusable).toMatchObject([{ id: 'one', code: 'connection_invalid' }]);
});

it('a secret is sent to no host but the one that it was entered for', async () => {
  const { app } = await startProcess();
  const store = storeOf(app);
  await store.add(account('one'));
  const other = { baseUrl: url.replace('127.0.0.1', 'localhost') };
  await expect(store.edit('one', other)).rejects.toThrow('one: password: was entered for another address');
  // By hand, beside leadmirror.
  const { prisma } = app.database;
  const { entry } = await prisma.syncConnection.findUniqueOrThrow({ where: { id: 'one' } });
  await prisma.syncConnection.update({ where: { id: 'one' }, data: { entry: { ...Object(entry), ...other } } });
  expect(await store.list()).toMatchObject([
    { id: 'one', state: 'unusable', reason: expect.stringContaining('enter its secrets again') },
  ]);
  await expect(store.edit('one', { streams: 'leads' })).rejects.toThrow('was entered for another address');
  await store.edit('one', { baseUrl: url });
  expect(await store.list()).toMatchObject([{ id: 'one', state: 'mirrored' }]);
});

it('rekey covers the secrets of accounts', async () => {
  const { app } = await startProcess();
  await storeOf(app).add(account('one'));
  const { prisma } = app.database;
  const signal = new AbortController().signal;
  const changed = await rekey(prisma, { oldKey: KEY, newKey: NEW_KEY, discards: false, signal });
  expect(changed).toMatchObject({ reencrypted: 1 });
  expect(await storeOf(app, NEW_KEY).list()).toMatchObject([{ state: 'mirrored', secrets: ['email', 'password'] }]);
  expect(await storeOf(app).list()).toMatchObject([{ state: 'unusable', code: 'connection_locked', secrets: null }]);
  await expect(storeOf(app).add(account('two'))).rejects.toThrow('is not the key');
});

it('of two that change an account at once, the second is refused', async () => {
  const { app } = await startProcess();
  const store = storeOf(app);
  await store.add(account('one'));
  const { prisma } = app.database;
  const { version } = await prisma.syncConnection.findUniqueOrThrow({ where: { id: 'one' } });
  await store.edit('one', { pageSize: 20 });
  const late = { id: 'one', entry: {}, secret: {}, secretKey: KEY, before: version };
  expect(await writeKeptConnection(prisma, late)).toBe(false);
  expect(await store.list()).toMatchObject([{ state: 'mirrored', settings: { pageSize: '20' } }]);
});
