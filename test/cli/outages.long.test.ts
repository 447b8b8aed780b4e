/** What a daemon does while a part of its surroundings is away, full, frozen or wrong: real processes, real servers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { migrateQueue } from '../../workers/queue-postgres.ts';
import { type Cli, createCli, until } from '../helpers/cli.ts';
import { createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { startFakePostgres } from '../helpers/fake-postgres.ts';
import { startFakeRedis } from '../helpers/fake-redis.ts';
import { variables } from '../helpers/mirror.ts';
import { startPooler } from '../helpers/pooler.ts';
import { createTestDatabase } from '../helpers/postgres.ts';
import { startTestRedis } from '../helpers/redis.ts';

let cli: Cli;
beforeAll(async () => {
  cli = await createCli();
});
afterAll(() => cli.close());
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function setup() {
  const sandbox = createTiledeskSandbox({ leads: 40, requests: 20 });
  const { url } = await sandbox.listen();
  const database = await createTestDatabase();
  opened.push({ close: () => database.drop() }, sandbox);
  cli.guard(sandbox, new URL(database.url).password);
  const env = (databaseUrl: string, more: Readonly<Record<string, string>> = {}) => ({
    ...variables(sandbox, url, databaseUrl),
    SYNC_INCREMENTAL_CRON: '* * * * * *',
    SHUTDOWN_TIMEOUT_SECONDS: '5',
    OPS_PORT: '0',
    ...more,
  });
  const sql = new pg.Client({ connectionString: database.url });
  sql.on('error', () => {});
  await sql.connect();
  opened.push({ close: () => sql.end() });
  const lastRun = async () =>
    (await sql.query("select coalesce(max(ended_at), now() - interval '1 day') as at from sync.runs")).rows[0]
      .at as Date;
  return { sandbox, database, env, sql, lastRun };
}

const readiness = async (address: string) => (await fetch(`${address}/readyz`)).status;

it('a database that refuses, cancels, fails or has no memory is waited for: not ready, no job given up, and all goes on within 30 s', async () => {
  const cases: readonly (readonly [name: string, sqlstate: string, matching: RegExp])[] = [
    ['refuses writes, as a standby does', '25006', /^\s*(with|insert|update|delete|\/\*)/i],
    ['cancels statements', '57014', /\bsync"?\./i],
    ['has an error of its own', 'XX000', /\bsync"?\./i],
    ['has no memory', '53200', /\bsync"?\./i],
  ];
  const ended = await Promise.all(
    cases.map(async ([name, sqlstate, matching]) => {
      const { database, env, lastRun } = await setup();
      const fake = await startFakePostgres(database.url);
      opened.push(fake);
      const daemon = cli.start(['start'], { env: env(fake.url) });
      const [, address = ''] = await daemon.says(/(http:\/\/127\.0\.0\.1:\d+)/);
      await until(
        `${name}: the first run`,
        async () => (await readiness(address)) === 200 && (await lastRun()).getTime() > Date.now() - 60_000,
      );

      fake.trouble = { query: (text) => (matching.test(text) ? { sqlstate } : null) };
      await until(`${name}: not ready`, async () => (await readiness(address)) === 503);
      await new Promise((resolve) => setTimeout(resolve, 6_000));

      fake.trouble = {};
      const over = new Date();
      await until(`${name}: a run after the outage`, async () => (await lastRun()) > over);
      await until(`${name}: ready again`, async () => (await readiness(address)) === 200);
      daemon.kill('SIGTERM');
      const { code, stderr } = await daemon.ended;
      return { name, code, complaints: /please report|job given up|at .*\.js:\d+/.exec(stderr) };
    }),
  );
  expect(ended).toEqual(cases.map(([name]) => ({ name, code: 0, complaints: null })));
}, 180_000);

it('a daemon whose database is frozen ends in time', async () => {
  const { database, env } = await setup();
  const proxy = await createCuttableProxy(database.url);
  opened.push(proxy);
  const daemon = cli.start(['start'], { env: env(proxy.url) });
  await daemon.says(/http:\/\/127\.0\.0\.1:\d+/);
  proxy.freeze();
  daemon.kill('SIGTERM');
  await daemon.ended;
});

it('a database that goes silent in the middle of a statement ends a sync in words, and a daemon goes on by itself', async () => {
  const { database, env } = await setup();
  const proxy = await createCuttableProxy(database.url);
  opened.push(proxy);
  proxy.silence(60_000);
  const sync = cli.run(['sync', 'tiledesk.leads'], { env: env(proxy.url), timeoutMs: 230_000 });
  const ofDaemon = await setup();
  const daemonProxy = await createCuttableProxy(ofDaemon.database.url);
  opened.push(daemonProxy);
  const daemonEnv = ofDaemon.env(daemonProxy.url);
  const daemon = cli.start(['start'], { env: daemonEnv });
  const [, address = ''] = await daemon.says(/(http:\/\/127\.0\.0\.1:\d+)/);
  await until('the first run', async () => (await ofDaemon.lastRun()).getTime() > Date.now() - 60_000);

  daemonProxy.silence(200);
  await until('not ready', async () => (await readiness(address)) === 503);
  const status = await cli.run(['status'], { env: daemonEnv });
  expect(status).toMatchObject({ code: 1, stderr: expect.stringMatching(/database .* cannot be reached/) });
  await new Promise((resolve) => setTimeout(resolve, 40_000));
  expect(await readiness(address)).toBe(503);
  daemonProxy.speak();
  const over = new Date();
  await until('a run after the outage', async () => (await ofDaemon.lastRun()) > over);
  await until('ready again', async () => (await readiness(address)) === 200);
  daemon.kill('SIGTERM');
  const { code, stderr } = await daemon.ended;
  expect(code).toBe(0);
  expect(stderr).toMatch(/database .* cannot be reached/);
  expect(stderr).not.toMatch(/please report|job given up|at .*\.js:\d+/);

  const { code: syncCode, stdout } = await sync;
  expect(syncCode).toBe(1);
  expect(stdout).toMatch(/database_unavailable: database .* (cannot be reached|stopped answering)/);
}, 260_000);

it('a daemon whose log is on a full disk goes on, and says so on the other output', async () => {
  const { database, env, lastRun } = await setup();
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [cli.program, 'start'], {
    cwd: cli.cwd,
    env: { PATH, HOME, ...env(database.url, { LOG_LEVEL: 'debug' }) },
    stdio: ['ignore', 'pipe', openSync('/dev/full', 'w')],
  });
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  await until('runs', async () => (await lastRun()).getTime() > Date.now() - 60_000);
  expect(child.exitCode).toBeNull();
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect((await ended)[0]).toBe(0);
  expect(stdout).toContain('The log cannot be written (ENOSPC)');
});

it('the queue in Postgres refuses a pooler that shares its sessions, and takes one that keeps them', async () => {
  const { database, env } = await setup();
  const keeping = await startPooler(database.url);
  const sharing = await startPooler(database.url, { isSharing: true });
  opened.push(keeping, sharing);
  await migrateQueue(keeping.url);
  await expect(migrateQueue(sharing.url)).rejects.toMatchObject({
    code: 'database_refused',
    message: expect.stringMatching(/shares its sessions.*REDIS_URL/),
  });
  for (const command of ['check', 'start']) {
    const { code, stdout, stderr } = await cli.run([command], { env: env(sharing.url) });
    expect([command, code, `${stdout}${stderr}`]).toEqual([
      command,
      1,
      expect.stringMatching(/shares its sessions.*name the server itself in DATABASE_URL, or set REDIS_URL/),
    ]);
  }
  expect((await cli.run(['check'], { env: env(keeping.url) })).code).toBe(0);
});

const redis = await startTestRedis();
afterAll(() => redis?.close());

// Where there is no Redis at all, the suite has said so.
if (redis !== null) {
  it('a Redis that refuses the configured database is refused, in words, by start', async () => {
    const { database, env } = await setup();
    const fake = await startFakeRedis(redis.url, (name) => (name === 'SELECT' ? 'ERR DB index is out of range' : null));
    opened.push(fake);
    const address = `${fake.url.replace(/\/\d*$/, '')}/5`;
    const { code, stderr } = await cli.run(['start'], { env: env(database.url, { REDIS_URL: address }) });
    expect(code).toBe(1);
    expect(stderr).toContain('Redis refuses database 5 of REDIS_URL');
  });
}
