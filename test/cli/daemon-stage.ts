import { afterAll, afterEach, beforeAll, beforeEach, expect } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli, type Running, until } from '../helpers/cli.ts';
import { STREAMS, variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

/** The surroundings of a daemon that is a process of its own, new for each test of the file that imports this. */
export let cli: Cli;
export let sandbox: TiledeskSandbox;
export let database: TestDatabase;
export let admin: pg.Client;
export let url: string;

beforeAll(async () => {
  cli = await createCli();
});
afterAll(() => cli.close());

beforeEach(async () => {
  sandbox = createTiledeskSandbox({ leads: 120, requests: 150 });
  ({ url } = await sandbox.listen());
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  cli.guard(sandbox, new URL(database.url).password);
});
afterEach(async () => {
  await admin.end();
  await sandbox.close();
  await database.drop();
});

/** A tick every two seconds, the status on any free port. */
export const env = (overrides: Record<string, string> = {}) => ({
  ...variables(sandbox, url, database.url),
  SYNC_INCREMENTAL_CRON: '*/2 * * * * *',
  SHUTDOWN_TIMEOUT_SECONDS: '5',
  OPS_PORT: '0',
  ...overrides,
});

interface StatusLine {
  readonly stream: string;
  readonly state: string;
  readonly reason: string;
}

export async function opsOf(daemon: Running) {
  const [, address = ''] = await daemon.says(/status on (http:\S+)\/api\/status/);
  const get = async (path: string) => {
    const response = await fetch(`${address}${path}`);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const streams = async () => (await get('/api/status')).body.streams as StatusLine[];
  return {
    get,
    streams,
    allFresh: () =>
      until('all streams are fresh', async () => {
        const states = (await streams()).map(({ state }) => state);
        return states.length === STREAMS.length && states.every((state) => state === 'fresh');
      }),
  };
}

/** As a service manager does; it ends by itself within its limit. */
export async function stop(daemon: Running, signal: NodeJS.Signals = 'SIGTERM') {
  daemon.kill(signal);
  const ended = await daemon.ended;
  expect(ended.stderr).not.toContain('Not everything ended in time');
  return ended;
}

export const signIns = () => sandbox.log.filter(({ list }) => list === 'signin').length;
