import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli, type Running, until } from '../helpers/cli.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

/** A process that sleeps past its lease (a laptop lid, a paused machine) must not write over its successor when it wakes. */
let cli: Cli;
let sandbox: TiledeskSandbox;
let database: TestDatabase;
let admin: pg.Client;
let url: string;

const STREAM = 'tiledesk.requests';
const BACKFILL = ['sync', STREAM, '--pass', 'backfill', '--json'];
/** Slow enough that a walk can be met in its middle. */
const ANSWER_MS = 40;

beforeAll(async () => {
  cli = await createCli();
});
afterAll(() => cli.close());

beforeEach(async () => {
  sandbox = createTiledeskSandbox({ leads: 100, requests: 1_500, now: Date.now() - 3_600_000 });
  sandbox.faults.push({ kind: 'slow', delayMs: ANSWER_MS, match: { list: 'requests' }, times: Infinity });
  ({ url } = await sandbox.listen());
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  cli.guard(sandbox);
});
afterEach(async () => {
  await admin.end();
  await sandbox.close();
  await database.drop();
});

const env = () => ({ ...variables(sandbox, url, database.url), TILEDESK_PAGE_SIZE: '50' });

async function select<T extends object>(sql: string): Promise<T[]> {
  return (await admin.query(sql)).rows as T[];
}

const countRows = async () =>
  (await select<{ count: number }>('select count(*)::int as count from tiledesk.requests'))[0]?.count ?? 0;

const expireLease = () =>
  admin.query(
    "update sync.checkpoints set lease_until = clock_timestamp() - interval '1 s' where lease_until is not null",
  );

/** Where each row version is and who wrote it: any later write, even of the same content, changes `xmin` and `ctid`. */
async function everything() {
  return {
    rows: await select('select id, xmin::text, ctid::text, run_id::text from tiledesk.requests order by id'),
    checkpoints: await select('select to_jsonb(c) as line, xmin::text from sync.checkpoints c order by pass'),
    runs: await select('select to_jsonb(r) as line, xmin::text from sync.runs r order by id'),
  };
}

const runLines = () =>
  select<{ outcome: string | null; error_code: string | null }>(
    `select outcome, error_code from sync.runs where stream = '${STREAM}' and pass = 'backfill' order by id`,
  );

const outcomeOf = (stdout: string) => {
  const { runs } = JSON.parse(stdout) as {
    runs: { outcome: string; error: { code: string; message: string } | null }[];
  };
  return runs[0];
};

const inTransaction = async () =>
  (
    await select(
      `select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
       and (state <> 'idle' or xact_start is not null)`,
    )
  ).length > 0;

/** Stops the process between two transactions, so that it holds no lock. */
async function stopBetweenPages(running: Running): Promise<void> {
  for (;;) {
    running.kill('SIGSTOP');
    // What it had sent is answered by now.
    await until('the statements under way have ended', async () => {
      const busy = "state = 'active' and pid <> pg_backend_pid() and datname = current_database()";
      return (await select(`select from pg_stat_activity where ${busy}`)).length === 0;
    });
    if (!(await inTransaction())) return;
    running.kill('SIGCONT');
    // Without a pause it would never get to the end of its transaction.
    await delay(15);
  }
}

async function startAndStop(): Promise<Running> {
  const first = cli.start(BACKFILL, { env: env() });
  await until('the first one is in the middle of its walk', async () => (await countRows()) >= 400);
  await stopBetweenPages(first);
  expect(await countRows()).toBeLessThan(1_300);
  return first;
}

it('a process that slept while another one finished its backfill commits nothing any more, says so, and ends with 1', async () => {
  const first = await startAndStop();
  await expireLease();

  const second = await cli.run(BACKFILL, { env: env() });
  expect([second.code, outcomeOf(second.stdout)?.outcome]).toEqual([0, 'succeeded']);
  expect(await compareMirror(database.url, sandbox, 'requests')).toEqual(EQUAL);
  const before = await everything();
  sandbox.clearLog();

  first.kill('SIGCONT');
  const { code, stdout } = await first.ended;

  expect(code).toBe(1);
  expect(outcomeOf(stdout)).toMatchObject({
    outcome: 'cancelled',
    error: { code: 'lease_lost', message: expect.stringContaining('taken over') },
  });
  expect(await everything()).toEqual(before);
  expect(await runLines()).toEqual([
    { outcome: 'cancelled', error_code: 'lease_lost' },
    { outcome: 'succeeded', error_code: null },
  ]);
  // The page it had in hand, and the one fetched ahead.
  expect(sandbox.log.length).toBeLessThanOrEqual(2);
});

it('a process that wakes while its successor is at work leaves it alone', async () => {
  const first = await startAndStop();
  await expireLease();
  const [{ id: firstRun } = { id: '' }] = await select<{ id: string }>('select max(id)::text as id from sync.runs');
  const rowsOfFirst = () =>
    select(`select id, xmin::text, ctid::text from tiledesk.requests where run_id = ${firstRun} order by id`);
  const before = await rowsOfFirst();

  const second = cli.start(BACKFILL, { env: env() });
  const taken = await countRows();
  await until('the second one has written', async () => (await countRows()) > taken);
  first.kill('SIGCONT');
  const ended = await Promise.all([first.ended, second.ended]);

  expect(ended.map(({ code }) => code)).toEqual([1, 0]);
  expect(ended.map(({ stdout }) => outcomeOf(stdout)?.outcome)).toEqual(['cancelled', 'succeeded']);
  expect(await rowsOfFirst()).toEqual(before);
  expect(await runLines()).toEqual([
    { outcome: 'cancelled', error_code: 'lease_lost' },
    { outcome: 'succeeded', error_code: null },
  ]);
  expect(await compareMirror(database.url, sandbox, 'requests')).toEqual(EQUAL);
});

it('a process that was stopped in the middle of writing a page does not lock its successor out', async () => {
  const first = cli.start(BACKFILL, { env: env() });
  await until('the first one is in the middle of its walk', async () => (await countRows()) >= 400);
  await admin.query('begin; lock table tiledesk.requests in exclusive mode');
  const waits = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  await until('its page waits', async () => (await select(waits)).length > 0);
  first.kill('SIGSTOP');
  await admin.query('commit');
  await until('its transaction is left open', inTransaction);
  // Its checkpoint is locked, so the lease cannot be ended from outside: ten seconds have to pass.
  await until(
    'the lease has run out',
    async () => (await select('select from sync.checkpoints where lease_until > clock_timestamp()')).length === 0,
  );

  const second = await cli.run(BACKFILL, { env: env() });

  first.kill('SIGCONT');
  const { code } = await first.ended;
  expect(second).toMatchObject({ code: 0 });
  expect(code).toBe(1);
  expect(await compareMirror(database.url, sandbox, 'requests')).toEqual(EQUAL);
}, 120_000);
