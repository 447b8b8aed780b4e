import { tmpdir } from 'node:os';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createConnectionStore } from '../../src/app/connection-store.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { startInProcess } from '../helpers/in-process.ts';
import { type Store, setupStore } from '../store/support.ts';

const KEY = 'a-secret-key-of-the-connection-tests';

let sandbox: TiledeskSandbox;
let url: string;
let store: Store;
beforeAll(async () => {
  sandbox = createTiledeskSandbox({ leads: 20, requests: 20 });
  ({ url } = await sandbox.listen());
  store = await setupStore();
});
afterAll(async () => {
  await store.close();
  await sandbox.close();
});

const env = () => ({
  ...{ DATABASE_URL: store.url, LEADMIRROR_SECRET_KEY: KEY, CONNECTION_HOSTS: '127.0.0.1', LOG_LEVEL: 'warn' },
  ...{ SYNC_HISTORY_STREAMS: 'tiledesk.leads', SYNC_FEED_STREAMS: 'tiledesk.leads' },
});

function run(...args: string[]) {
  const running = startInProcess(args, { env: env(), cwd: tmpdir() });
  running.stdin.end();
  return running.ended;
}

const accounts = () =>
  createConnectionStore({
    database: store,
    secretKey: KEY,
    load: (stored) => loadConfig({ env: env(), cwd: '/', isTerminal: false }, { stored, requireConnections: false }),
  });

/** Rows of an account by table, in every table that has such a column. */
async function rowsOf(id: string): Promise<Record<string, number>> {
  const tables = await store.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c join pg_attribute a on a.attrelid = c.oid
      where a.attname = 'connection_id' and c.relkind in ('r', 'p') and not c.relispartition order by 1`,
  );
  const counted: Record<string, number> = {};
  for (const { name } of tables) {
    const [row] = await store.query<{ count: number }>(`select count(*)::int from ${name} where connection_id = $1`, [
      id,
    ]);
    if (row && row.count > 0) counted[name] = row.count;
  }
  return counted;
}

it('erases everything of an account and nothing of another, and goes on after a stop', async () => {
  const kept = accounts();
  const account = { source: 'tiledesk', projectId: sandbox.projectId, baseUrl: url, streams: 'leads' };
  const signIn = { email: sandbox.email, password: sandbox.password };
  await kept.add({ ...account, ...signIn, id: 'shop' });
  await kept.add({ ...account, ...signIn, id: 'other' });
  expect(await run('sync')).toMatchObject({ code: 0 });
  await store.query(`update tiledesk.leads set note = 'changed' where connection_id = 'shop'`);
  await store.query(
    `insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id) values ('shop', 'tiledesk.leads', 'x', 'r', 't', 1)`,
  );
  const before = await rowsOf('other');
  const names = [
    'sync.changes',
    'sync.quarantine',
    'sync.runs',
    'sync.streams',
    'tiledesk.leads',
    'tiledesk.leads_history',
  ];
  expect(Object.keys(await rowsOf('shop'))).toEqual(expect.arrayContaining(names));

  expect(await run('connection', 'remove', 'shop', '--erase')).toMatchObject({ code: 2 });
  const stopped = AbortSignal.abort();
  await expect(kept.erase('shop', { signal: stopped })).rejects.toThrow();
  expect(await kept.list()).toMatchObject([
    { id: 'shop', state: 'erasing' },
    { id: 'other', state: 'mirrored' },
  ]);
  await expect(kept.edit('shop', { streams: 'leads' })).rejects.toMatchObject({ code: 'connection_busy' });
  await expect(kept.remove('shop')).rejects.toMatchObject({ code: 'connection_busy' });

  const erased = await run('connection', 'remove', 'shop', '--erase', '--yes', '--json');
  expect(erased).toMatchObject({ code: 0 });
  expect(JSON.parse(erased.stdout)).toMatchObject({
    erased: 'shop',
    rows: { 'tiledesk.leads': 20, 'sync.quarantine': 1 },
  });
  // Consumers of the feed have to know; of what was before they learn nothing.
  expect(await rowsOf('shop')).toEqual({ 'sync.changes': 20 });
  expect(await store.query(`select distinct op from sync.changes where connection_id = 'shop'`)).toEqual([{ op: 'e' }]);
  expect(await rowsOf('other')).toEqual(before);
  // They share a sign-in.
  const secrets = () =>
    store.query<{ name: string }>(
      `select name from sync.secrets where name like 'connection %' or name like 'tiledesk:%' order by 1`,
    );
  expect(await secrets()).toEqual([{ name: 'connection other' }, { name: expect.stringMatching(/^tiledesk:/) }]);
  expect(await run('connection', 'remove', 'shop', '--erase', '--yes')).toMatchObject({ code: 1 });

  // Removed before, and erased later; a process that still has it is waited for.
  await kept.remove('other');
  await store.query(
    `insert into sync.processes (id, host, pid, roles, version, is_leading, queue_ok, running_runs, connections, beat_at)
     values (gen_random_uuid(), 'host-a', 4711, '{worker}', '1', true, true, 0, '{other}', now() + interval '1 hour')`,
  );
  let passedMs = 0;
  const clock = {
    now: () => Date.now() + passedMs,
    async sleep() {
      passedMs += 60_000;
    },
  };
  const { signal } = new AbortController();
  await expect(kept.erase('other', { signal, clock })).rejects.toMatchObject({ code: 'connection_busy' });
  expect(Object.keys(await rowsOf('other'))).toEqual(['sync.changes', 'sync.streams']);
  await store.query('truncate sync.processes');
  await kept.erase('other', { signal, clock: systemClock });
  expect(await rowsOf('other')).toEqual({ 'sync.changes': 20 });
  expect(await secrets()).toEqual([]);
  expect(await kept.list()).toEqual([]);
});
