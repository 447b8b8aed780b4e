import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { LEASE_RENEW_MS } from '../../src/store/engine/leases.ts';
import { type Cli, createCli, until } from '../helpers/cli.ts';
import { findClosedPort } from '../helpers/closed-port.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

jest.setTimeout(120_000);

/** One terminal syncs, page by page and slowly; another one, which knows the database only, has its way. */
let cli: Cli;
let sandbox: TiledeskSandbox;
let database: TestDatabase;
let admin: pg.Client;
let url: string;
let redisUrl: string;

const STREAM = 'tiledesk.leads';
const EFFECTIVE_MS = 5_000;

beforeAll(async () => {
  cli = await createCli();
  sandbox = createTiledeskSandbox({ leads: 400, requests: 1 });
  ({ url } = await sandbox.listen());
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  redisUrl = `redis://127.0.0.1:${await findClosedPort()}`;
  cli.guard(sandbox);
});
afterAll(async () => {
  await admin.end();
  await cli.close();
  await sandbox.close();
  await database.drop();
});

const account = () => ({
  ...variables(sandbox, url, database.url),
  TILEDESK_PAGE_SIZE: '10',
  TILEDESK_STREAMS: 'leads',
});
const sync = (...args: string[]) => cli.run(['sync', STREAM, ...args], { env: account() });
/** No account, and a Redis that is away. */
const control = (...args: string[]) =>
  cli.run(args, { env: { DATABASE_URL: database.url, REDIS_URL: redisUrl, LOG_LEVEL: 'silent' } });
const select = async <T extends object>(sql: string): Promise<T[]> => (await admin.query(sql)).rows as T[];
const countRows = async () =>
  (await select<{ count: number }>('select count(*)::int as count from tiledesk.leads'))[0]?.count ?? 0;
const slowly = (delayMs: number) =>
  sandbox.faults.push({ kind: 'slow', delayMs, match: { list: 'leads' }, times: Number.POSITIVE_INFINITY });

/** Runs a command while a sync is in its middle; how the sync ended, and how long after the command's return it last wrote. */
async function duringSync(...args: string[]) {
  slowly(300);
  const before = await countRows();
  const syncing = cli.start(['sync', STREAM, '--json'], { env: account() });
  await until('pages are written', async () => (await countRows()) > before + 20);
  // Fifty more of these: however busy the machine is, the command meets the sync in its middle.
  sandbox.faults.clear();
  slowly(1_500);
  const said = await control(...args);
  const returnedAt = Date.now();
  const ended = await syncing.ended;
  sandbox.faults.clear();
  const [last] = await select<{ at: Date }>('select max(synced_at) as at from tiledesk.leads');
  return { said, ended, runs: JSON.parse(ended.stdout).runs, wroteForMs: (last?.at.getTime() ?? 0) - returnedAt };
}

it('a stream that nobody knows yet ends with 2 and says how it gets known', async () => {
  const { code, stderr } = await control('pause', STREAM);
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('knows no stream yet') });
});

describe('pause', () => {
  it('ends a sync in another terminal within five seconds, and says how it goes on', async () => {
    const { said, ended, runs } = await duringSync('pause', STREAM);
    expect({ code: said.code, stderr: said.stderr }).toEqual({ code: 0, stderr: '' });
    expect(said.stdout).toMatch(/ tiledesk\.leads: paused\n {2}Under way: backfill\. .* within 5 seconds.*\n/);
    expect(said.stdout).toContain('leadmirror resume tiledesk.leads\n');
    expect(ended.code).toBe(1);
    expect(runs).toMatchObject([{ outcome: 'cancelled', error: { code: 'paused' } }]);
    // Each renewal of the lease learns of it, long before the last page of a minute.
    expect(LEASE_RENEW_MS).toBeLessThan(EFFECTIVE_MS);
    expect(runs[0].created).toBeLessThan(200);
    expect(runs[0].created).toBe(await countRows());
  });

  it('keeps a sync by hand and a trigger from running: skipped, with the reason and what to do, exit 1', async () => {
    const rows = await countRows();
    const synced = await sync();
    expect(synced.code).toBe(1);
    expect(synced.stdout).toMatch(/: cancelled, .*\(0 requests, .*\n {2}paused: .* leadmirror resume tiledesk\.leads/);
    const triggered = await cli.run(['trigger', STREAM], { env: account() });
    expect(triggered).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('not asked for, the stream is paused'),
    });
    const document = await cli.run(['trigger', STREAM, '--json'], { env: account() });
    const { streams, has_daemon } = JSON.parse(document.stdout);
    expect({ code: document.code, has_daemon }).toEqual({ code: 1, has_daemon: false });
    expect(streams).toMatchObject([
      { stream: STREAM, pass: 'incremental', asked: false, note: expect.stringContaining('leadmirror resume') },
    ]);
    expect(await countRows()).toBe(rows);
  });

  it('is over after resume, which works while the queue is away and says what that means', async () => {
    const { code, stdout } = await control('resume', 'tiledesk');
    expect(code).toBe(0);
    expect(stdout).toMatch(/ tiledesk\.leads: resumed; it was paused since 20.*Z\n {2}The queue cannot be reached: /);
  });
});

describe('cancel', () => {
  it('ends a sync in another terminal, once, and the next one goes on from its checkpoint', async () => {
    const { said, ended, runs, wroteForMs } = await duringSync('cancel', STREAM, '--pass', 'backfill', '--json');
    expect(JSON.parse(said.stdout).streams).toMatchObject([{ cancelled: [{ pass: 'backfill', was_alive: true }] }]);
    expect(ended.code).toBe(1);
    expect(runs).toMatchObject([{ outcome: 'cancelled', error: { code: 'cancelled_by_person' } }]);
    // Its right to write is gone when the command returns.
    expect(wroteForMs).toBeLessThanOrEqual(0);
    const rows = await countRows();
    const next = JSON.parse((await sync('--json')).stdout).runs[0];
    expect(next).toMatchObject({ pass: 'backfill', outcome: 'succeeded', created: (await countRows()) - rows });
    expect(await compareMirror(database.url, sandbox, 'leads')).toEqual(EQUAL);
  });

  it('says that nothing runs', async () => {
    const { code, stdout } = await control('cancel', STREAM);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('no run is under way') });
  });
});

it('resync: the next sync reads everything again, and brings back a row that was lost', async () => {
  await admin.query('delete from tiledesk.leads where id in (select id from tiledesk.leads order by id limit 3)');
  const rows = await countRows();
  const { code, stdout } = await cli.run(['resync', STREAM], { env: { DATABASE_URL: database.url } });
  expect(code).toBe(0);
  expect(stdout).toMatch(/ tiledesk\.leads: to be read from zero again; rows are kept, and incremental passes go on\n/);
  expect(stdout).toContain(
    'A running daemon begins now; without one: leadmirror sync tiledesk.leads --pass backfill\n',
  );
  const [run] = JSON.parse((await sync('--json')).stdout).runs;
  expect(run).toMatchObject({ pass: 'backfill', outcome: 'succeeded', created: 3 });
  expect(run.unchanged).toBeGreaterThanOrEqual(rows);
  expect(await countRows()).toBe(rows + 3);
});
