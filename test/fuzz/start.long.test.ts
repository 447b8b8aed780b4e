/** A daemon whose database or Redis answers with every error that they know: words, no stack trace, no secret, and afterwards it goes on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { until } from '../helpers/cli.ts';
import { CONNECTION_REFUSALS, REDIS_ERRORS, SQLSTATES } from '../helpers/error-words.ts';
import {
  type FakePostgres,
  type PostgresAnswer,
  type PostgresTrouble,
  startFakePostgres,
} from '../helpers/fake-postgres.ts';
import { type RedisAnswer, type RedisTrouble, startFakeRedis } from '../helpers/fake-redis.ts';
import { runInProcess, startInProcess } from '../helpers/in-process.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { seed } from '../helpers/property.ts';
import { startTestRedis, type TestRedis } from '../helpers/redis.ts';

const CANARY = 'c4n4ry-from-the-server';

let sandbox: TiledeskSandbox;
let database: TestDatabase;
let client: pg.Client;
let fake: FakePostgres;
let redis: TestRedis | null;
let cwd: string;
let env: Record<string, string>;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-fuzz-'));
  sandbox = createTiledeskSandbox({ leads: 3, requests: 3 });
  const { url } = await sandbox.listen();
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  fake = await startFakePostgres(database.url);
  redis = await startTestRedis();
  env = {
    ...variables(sandbox, url, fake.url),
    TILEDESK_STREAMS: 'departments',
    SYNC_INCREMENTAL_CRON: '* * * * * *',
    // What does not end in time ends the whole process: here, that is the tests.
    SHUTDOWN_TIMEOUT_SECONDS: '300',
    OPS_PORT: '0',
  };
});
afterAll(async () => {
  await fake.close();
  await client.end();
  await database.drop();
  await sandbox.close();
  await redis?.close();
  await rm(cwd, { recursive: true });
});

function faultIn({
  code,
  stdout,
  stderr,
}: {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}) {
  const said = `${stdout}\n${stderr}`;
  const fault = /^\s*at .+:\d+.*$|"stack":|.*(unexpected error|did not foresee|"bug"|c4n4ry).*/im.exec(said)?.[0];
  if (fault !== undefined) return fault;
  if (![0, 1, 2, 130].includes(code)) return `exit code ${code}: ${said}`;
  return code > 0 && said.trim() === '' ? 'says nothing' : null;
}

const lastRun = async (): Promise<string> => {
  const { rows } = await client.query("select coalesce(max(ended_at), 'epoch') as at from sync.runs");
  return (rows[0].at as Date).toISOString();
};

const TROUBLE_MS = 15_000;

/** Starts the daemon, gives it trouble for a while, waits until it reaches database and queue again, and ends it. */
async function faultOfDaemon(
  { begin, end }: { begin(): void; end(): void },
  env: Readonly<Record<string, string>>,
): Promise<string | null> {
  await client.query('truncate sync.runs');
  const running = startInProcess(['start'], { env, cwd });
  await until('a first run', async () => (await lastRun()) > '2000');
  begin();
  await new Promise((resolve) => setTimeout(resolve, TROUBLE_MS));
  end();
  const over = new Date();
  await until('a heartbeat with database and queue', async () => {
    const alive = 'select from sync.processes where queue_ok and beat_at > $1';
    return (await client.query(alive, [over])).rowCount === 1;
  });
  running.kill('SIGINT');
  return faultIn(await running.ended);
}

/** Others at each run: it asks less while it is in trouble. */
const fromSeed = <T>(all: readonly T[]): T[] => all.map((_, at) => all[(at * 7 + seed) % all.length] as T);
const FEWEST = 5;

/** A fifth of them, others at each run. */
it('at the start-up, whatever Postgres answers', async () => {
  const answers = [
    ...SQLSTATES.map((sqlstate) => ({ sqlstate, message: CANARY })),
    ...CONNECTION_REFUSALS.map(([sqlstate, message]) => ({ sqlstate, message })),
  ].filter((_, at) => (at + seed) % 5 === 0);
  const faults: string[] = [];
  for (const answer of answers) {
    fake.trouble = { startUp: () => answer };
    const fault = faultIn(await runInProcess(['start'], env, { cwd, stopAfterMs: 150 }));
    if (fault !== null) faults.push(`${answer.sqlstate} ${answer.message}: ${fault}`);
  }
  expect({ seed, faults }).toEqual({ seed, faults: [] });
}, 120_000);

it('while it runs, whatever Postgres answers, and it goes on by itself', async () => {
  const fields = { D: CANARY, H: CANARY };
  const answers: PostgresAnswer[] = fromSeed([...SQLSTATES, 'close', 'garbage']).map((sqlstate, at) => {
    if (sqlstate === 'close' || sqlstate === 'garbage') return sqlstate;
    return { sqlstate, message: CANARY, fields, severity: at % 9 === 0 ? 'FATAL' : 'ERROR' };
  });
  let given = 0;
  let asked = 0;
  const query = () => (++asked % 3 === 0 ? (answers[given++] ?? null) : null);
  const set = (trouble: PostgresTrouble) => {
    fake.trouble = trouble;
  };
  set({});
  const fault = await faultOfDaemon({ begin: () => set({ query }), end: () => set({}) }, env);
  expect({ seed, fault, isEnough: given >= FEWEST }).toEqual({ seed, fault: null, isEnough: true });
}, 120_000);

it('while it runs, whatever Redis answers, and it goes on by itself', async () => {
  if (redis === null) return;
  const admin = new Redis(redis.url);
  await admin.call('ACL', 'SETUSER', 'app', 'on', '>c4n4ry-of-redis', '~*', '&*', '+@all');
  admin.disconnect();
  const fakeRedis = await startFakeRedis(`${redis.url.replace('redis://', 'redis://app:c4n4ry-of-redis@')}/1`);
  const answers: RedisAnswer[] = fromSeed([...REDIS_ERRORS, 'close', 'garbage']);
  let given = 0;
  let asked = 0;
  const answer = () => (++asked % 3 === 0 ? (answers[given++ % answers.length] ?? null) : null);
  const set = (trouble: RedisTrouble) => {
    fakeRedis.trouble = trouble;
  };
  fake.trouble = {};
  const trouble = { begin: () => set(answer), end: () => set(() => null) };
  const fault = await faultOfDaemon(trouble, { ...env, REDIS_URL: fakeRedis.url });
  expect({ seed, fault, isEnough: given >= FEWEST }).toEqual({ seed, fault: null, isEnough: true });
  await fakeRedis.close();
}, 120_000);
