import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli, type Running, until } from '../helpers/cli.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { STREAMS, variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

let cli: Cli;
let sandbox: TiledeskSandbox;
let database: TestDatabase;
let admin: pg.Client;
let url: string;

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
const env = (overrides: Record<string, string> = {}) => ({
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

async function opsOf(daemon: Running) {
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
async function stop(daemon: Running, signal: NodeJS.Signals = 'SIGTERM') {
  daemon.kill(signal);
  const ended = await daemon.ended;
  expect(ended.stderr).not.toContain('Not everything ended in time');
  return ended;
}

const signIns = () => sandbox.log.filter(({ list }) => list === 'signin').length;

describe('start', () => {
  it('mirrors, lets a change arrive by itself, answers about itself, and ends with 0 when it is told to stop', async () => {
    const daemon = cli.start(['start'], { env: env() });
    const ops = await opsOf(daemon);
    await ops.allFresh();
    expect(await ops.get('/healthz')).toEqual({ status: 200, body: { status: 'ok' } });
    expect(await ops.get('/readyz')).toEqual({
      status: 200,
      body: { status: 'ready', database: true, queue: true, migrations: true },
    });

    const [lead] = sandbox.data.leads.keys();
    sandbox.data.editLead(String(lead), { fullname: 'Arrives By Itself' });
    const found = "select from tiledesk.leads where fullname = 'Arrives By Itself'";
    await until('the change is in the mirror', async () => (await admin.query(found)).rowCount === 1);
    for (const stream of STREAMS) {
      await until(`${stream} equal`, async () => {
        const difference = await compareMirror(database.url, sandbox, stream);
        return JSON.stringify(difference) === JSON.stringify(EQUAL);
      });
    }

    const { code, stdout, stderr } = await stop(daemon);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: number; msg: string });
    expect(lines.filter(({ level }) => level >= 40)).toEqual([]);
    expect(lines.map(({ msg }) => msg)).toContain('leadmirror is running');
    const held = 'select from sync.checkpoints where lease_until is not null';
    expect((await admin.query(held)).rowCount).toBe(0);
  });

  it('stopped in the middle of a full read ends with 0 within its limit, and keeps the checkpoint', async () => {
    sandbox.faults.push({ kind: 'slow', delayMs: 300, match: ({ list }) => list === 'requests', times: 1_000 });
    const daemon = cli.start(['start'], { env: env({ TILEDESK_PAGE_SIZE: '10' }) });
    const page =
      "select from sync.checkpoints where stream = 'tiledesk.requests' and pass = 'backfill' and cursor is not null";
    await until('a page of requests is written', async () => (await admin.query(page)).rowCount === 1);
    expect((await stop(daemon)).code).toBe(0);
    expect((await admin.query(page)).rowCount).toBe(1);
  });

  it('takes a token for reading, and names who changes something by the address that its proxy gives', async () => {
    const [token, readToken] = ['tG7-for-changing-Qm4xZ', 'bN2-for-reading-Wk8vC'];
    cli.guard(token, readToken);
    const more = { OPS_TOKEN: token, OPS_READ_TOKEN: readToken, OPS_TRUSTED_PROXIES: '127.0.0.0/8' };
    const daemon = cli.start(['start'], { env: env(more) });
    const [, address = ''] = await daemon.says(/status on (http:\S+)\/api\/status/);
    const ask = async (bearer: string, path: string, method = 'GET') => {
      const headers = { authorization: `Bearer ${bearer}`, 'x-forwarded-for': '203.0.113.7' };
      return (await fetch(`${address}${path}`, { method, headers })).status;
    };
    const pause = `/api/streams/tiledesk:${sandbox.projectId}/tiledesk.leads/pause`;
    expect(await ask('neither', '/api/status')).toBe(401);
    expect([await ask(readToken, '/api/status'), await ask(readToken, pause, 'POST')]).toEqual([200, 403]);
    expect([await ask(token, '/api/status'), await ask(token, pause, 'POST')]).toEqual([200, 202]);
    expect((await stop(daemon)).stderr).toMatch(/"address":"203\.0\.113\.7".*"action":"pause"/);
  });

  it('keeps trying while the database is down, says so plainly, and goes on when it is there', async () => {
    const proxy = await createCuttableProxy(database.url);
    try {
      await proxy.cut();
      const daemon = cli.start(['start'], { env: env({ DATABASE_URL: proxy.url }) });
      const stopped = cli.start(['start'], { env: env({ DATABASE_URL: proxy.url }) });
      const said = /database 127\.0\.0\.1:\d+\/\w+: cannot be reached; .*Trying again every 5 s\./;
      await Promise.all([daemon.says(said), stopped.says(said)]);
      expect((await stop(stopped)).code).toBe(0);
      await proxy.restore();
      await (await opsOf(daemon)).allFresh();
      expect((await stop(daemon)).code).toBe(0);
    } finally {
      await proxy.close();
    }
  });

  it('keeps trying while the upstream is down, and mirrors as soon as it answers', async () => {
    await sandbox.close();
    const daemon = cli.start(['start'], { env: env({ LOG_LEVEL: 'debug' }) });
    await daemon.says(/upstream request failed/);
    const { port } = new URL(url);
    await sandbox.listen({ port: Number(port) });
    await (await opsOf(daemon)).allFresh();
    expect((await stop(daemon)).code).toBe(0);
  });

  it('whose password stops working keeps running, shows why, and does not sign in at every tick', async () => {
    await cli.run(['sync'], { env: env() });
    sandbox.clearLog();
    const wrong = { TILEDESK_PASSWORD: 'canary-of-a-wrong-password', LOG_LEVEL: 'debug' };
    cli.guard(wrong.TILEDESK_PASSWORD);
    const daemon = cli.start(['start'], { env: env(wrong) });
    const ops = await opsOf(daemon);
    const blocked = async () => (await ops.streams()).filter(({ state }) => state === 'blocked');
    await until('every stream of the account is blocked', async () => (await blocked()).length === STREAMS.length);
    for (const { reason } of await blocked()) expect(reason).toMatch(/TILEDESK_EMAIL and TILEDESK_PASSWORD/);
    const skipped = () => daemon.stderr.split('run skipped: cooling_down').length - 1;
    await until('the first tick is skipped', () => skipped() > 0);
    const [ticks, asked] = [skipped(), signIns()];
    expect(asked).toBeLessThanOrEqual(STREAMS.length);
    await until('three more ticks of every stream', () => skipped() >= ticks + 3 * STREAMS.length);
    expect(signIns()).toBe(asked);
    const status = await cli.run(['status'], { env: env() });
    expect(status.stdout).toMatch(/tiledesk\.\w+ +blocked .*TILEDESK_PASSWORD/);
    expect((await stop(daemon)).code).toBe(0);
  });

  it('on a port that is taken ends with 2 and names OPS_PORT', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const address = other.address();
      const port = typeof address === 'object' && address !== null ? String(address.port) : '';
      const { code, stderr } = await cli.run(['start'], { env: env({ OPS_PORT: port, LOG_LEVEL: 'silent' }) });
      expect(code).toBe(2);
      expect(stderr).toMatch(
        new RegExp(`^The configuration cannot be used:\\n  OPS_PORT: .*127\\.0\\.0\\.1:${port}.*\\n$`),
      );
    } finally {
      other.close();
    }
  });

  it('with a database that refuses it ends at once: waiting would not help', async () => {
    const refused = new URL(database.url);
    refused.password = 'canary-of-a-wrong-password';
    const { code, stderr } = await cli.run(['start'], { env: env({ DATABASE_URL: refused.href }) });
    expect(code).toBe(1);
    expect(stderr).toContain('user or password refused');
  });

  it('does what trigger asks for at once', async () => {
    const daemon = cli.start(['start'], { env: env({ SYNC_INCREMENTAL_CRON: '0 0 1 1 *' }) });
    await (await opsOf(daemon)).allFresh();
    const runs =
      "select from sync.runs where stream = 'tiledesk.departments' and pass = 'reconcile' and outcome = 'succeeded'";
    expect((await admin.query(runs)).rowCount).toBe(0);
    const asked = await cli.run(['trigger', 'tiledesk.departments', '--pass', 'reconcile'], { env: env() });
    expect(asked).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/tiledesk\.departments reconcile: asked for\n$/),
    });
    await until('it is done', async () => (await admin.query(runs)).rowCount === 1);
    expect((await stop(daemon, 'SIGINT')).code).toBe(0);
  });
});
