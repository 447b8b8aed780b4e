import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { type ConnectionRoom, lackOfRoom, shareConnections } from '../../src/store/connection-room.ts';
import { startDaemon } from '../../workers/main.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { declareSecrets } from '../helpers/printed/record.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { Observer, until } from './support.ts';

const WANTED = { mirror: 10, queue: 8 };

describe('connections are divided', () => {
  const room = (limit: number, used = 0): ConnectionRoom => ({ limitOf: 'role', limit, used });

  it.each<[string, ConnectionRoom | null, typeof WANTED]>([
    ['as wanted where nothing is known', null, WANTED],
    ['as wanted where there are enough', room(100), WANTED],
    ['so that all can work with five', room(5), { mirror: 1, queue: 3 }],
    ['no worse where too few are left at this moment', room(20, 19), { mirror: 1, queue: 3 }],
    ['the mirror first', room(6), { mirror: 2, queue: 3 }],
    ['between both', room(11), { mirror: 5, queue: 5 }],
    ['without others’', room(30, 19), { mirror: 5, queue: 5 }],
  ])('%s', (_, given, shares) => {
    expect(shareConnections(given, WANTED)).toEqual(shares);
  });

  it('never above what is free, from the least on', () => {
    for (let limit = 5; limit < 40; limit++) {
      const { mirror, queue } = shareConnections(room(limit), WANTED);
      expect(mirror + queue + 1).toBeLessThanOrEqual(limit);
      expect(shareConnections(room(limit), { mirror: 10, queue: 0 })).toEqual({
        mirror: Math.min(10, limit - 1),
        queue: 0,
      });
    }
  });

  it('and what is too few is named', () => {
    expect(lackOfRoom(room(5), WANTED)).toBeNull();
    expect(lackOfRoom(room(4), WANTED)).toMatch(/the role allows 4 connections, and leadmirror needs 5/);
    expect(lackOfRoom({ limitOf: 'database', limit: 1, used: 0 }, { mirror: 10, queue: 0 })).toMatch(/needs 2/);
  });
});

const ROLE = 'leadmirror_with_few_connections';
const sandbox = createTiledeskSandbox({ leads: 150, requests: 150 });
let database: TestDatabase;
let admin: pg.Client;
let env: Record<string, string>;
let cli: Cli;
beforeAll(async () => {
  cli = await createCli();
  database = await createTestDatabase({ migrated: false });
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  const url = new URL(database.url);
  await admin.query(
    `create role ${ROLE} login password 'few'; grant all on database ${url.pathname.slice(1)} to ${ROLE}`,
  );
  [url.username, url.password] = [ROLE, 'few'];
  const { url: upstream } = await sandbox.listen();
  env = variables(sandbox, upstream, url.href);
  declareSecrets(env);
});
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});
afterAll(async () => {
  await cli.close();
  await sandbox.close();
  await admin.query(`drop owned by ${ROLE} cascade; drop role ${ROLE}`);
  await admin.end();
  await database.drop();
});

const limitTo = (limit: number) => admin.query(`alter role ${ROLE} connection limit ${limit}`);

describe('a role that may have five connections', () => {
  it('mirrors everything, on schedule', async () => {
    await limitTo(5);
    const config = loadConfig({ env: { ...env, SYNC_INCREMENTAL_CRON: '*/4 * * * * *' }, cwd: '/', isTerminal: false });
    const { signal } = new AbortController();
    const app = await createApp(config, { logger: unheardLogger(), signal, waitForDatabase: true });
    opened.push(app);
    const observer = new Observer();
    const daemon = await startDaemon(app, {
      roles: ['scheduler', 'worker'],
      logger: unheardLogger(),
      signal,
      observer,
      refreshGapMs: 100,
    });
    opened.push({ close: () => daemon.stop() });
    const count = async () =>
      (await admin.query('select count(*)::int as n from pg_stat_activity where usename = $1', [ROLE])).rows[0].n;
    let most = 0;
    await until(async () => {
      most = Math.max(most, await count());
      const done = observer.jobs.filter(
        ({ pass, result }) => pass === 'incremental' && result?.outcome === 'succeeded',
      );
      return new Set(done.map(({ result }) => result?.stream)).size === 4;
    });
    expect(most).toBeLessThanOrEqual(5);
    const { code, stderr } = await cli.runProcess(['status'], { env });
    expect([code, stderr]).toEqual([0, '']);
    expect(daemon.isLeading).toBe(true);
    expect(observer.jobs.filter(({ result }) => result?.outcome === 'failed')).toEqual([]);
    await until(
      async () =>
        (await admin.query('select from reporting.refreshes limit 1').catch(() => ({ rowCount: 1 }))).rowCount === 1,
    );
  }, 120_000);

  it('is counted by check', async () => {
    await limitTo(7);
    const { stdout } = await cli.run(['check'], { env });
    expect(stdout).toMatch(
      /ok {6}database: .*; \d of 7 connections that the role allows are free, a daemon takes up to 7, and needs 5/,
    );
  });
});

it('with four, check and start refuse, and say how many there have to be', async () => {
  await limitTo(4);
  for (const command of ['check', 'start']) {
    const { code, stdout, stderr } = await cli.run([command], { env });
    expect(`${stdout}${stderr}`).toContain('the role allows 4 connections, and leadmirror needs 5');
    expect(code).toBe(1);
  }
});
