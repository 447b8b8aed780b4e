import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { LEASE_WAIT_MS, syncOnce } from '../../src/app/sync-streams.ts';
import { createApp } from '../../src/app.ts';
import { exitCodeOf } from '../../src/cli/sync.ts';
import { loadConfig } from '../../src/config.ts';
import { LEASE_MS } from '../../src/store/engine/leases.ts';
import { type Cli, createCli, type Finished, until } from '../helpers/cli.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { STREAMS, variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { findRoot } from '../helpers/recipes.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

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
  sandbox = createTiledeskSandbox({ leads: 250, requests: 450 });
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

const env = (overrides: Record<string, string> = {}) => ({ ...variables(sandbox, url, database.url), ...overrides });

interface JsonRun {
  readonly stream: string;
  readonly pass: string;
  readonly outcome: string;
  readonly created: number;
  readonly updated: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

function runsOf({ stdout, stderr }: Finished): JsonRun[] {
  expect(stderr).toBe('');
  return JSON.parse(stdout).runs;
}

const differences = () => Promise.all(STREAMS.map((stream) => compareMirror(database.url, sandbox, stream)));
const ALL_EQUAL = STREAMS.map(() => EQUAL);

describe('sync', () => {
  it('reads everything first and changes later, and reports both with exactly the documented fields', async () => {
    const first = await cli.runProcess(['sync', '--json'], { env: env() });
    expect(first.code).toBe(0);
    const runs = runsOf(first);
    expect(runs.map(({ stream, pass, outcome }) => [stream, pass, outcome])).toEqual(
      STREAMS.map((stream) => [`tiledesk.${stream}`, 'backfill', 'succeeded']),
    );
    const fields =
      'connection stream pass outcome requests pages read created updated unchanged deleted quarantined watermark started_at ended_at error';
    for (const run of runs) {
      expect(Object.keys(run)).toEqual(fields.split(' '));
      expect(run).toMatchObject({
        connection: `tiledesk:${sandbox.projectId}`,
        updated: 0,
        quarantined: 0,
        error: null,
      });
      expect(run).toMatchObject({ started_at: expect.stringMatching(/Z$/), ended_at: expect.stringMatching(/Z$/) });
    }
    expect(await differences()).toEqual(ALL_EQUAL);

    const [lead] = [...sandbox.data.leads.keys()];
    sandbox.data.editLead(String(lead), { fullname: 'Changed Meanwhile' });
    const second = await cli.run(['sync', '--json', 'tiledesk.leads', 'tiledesk.requests'], { env: env() });
    expect(second.code).toBe(0);
    const [leads, requests] = runsOf(second);
    expect(leads).toMatchObject({ pass: 'incremental', created: 0, updated: 1, watermark: expect.any(Object) });
    expect(requests).toMatchObject({ pass: 'incremental', created: 0 });
    expect(await differences()).toEqual(ALL_EQUAL);
  });

  it('loads no library that it does not use', async () => {
    const file = join(tmpdir(), `leadmirror-loaded-${randomUUID()}.json`);
    const program = `import { createRequire } from 'node:module'; import { writeFileSync } from 'node:fs';
      process.on('exit', () => writeFileSync(${JSON.stringify(file)}, JSON.stringify(
        Object.keys(createRequire('/').cache))))`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(program)}`;
    const { code } = await cli.runProcess(['sync', 'tiledesk.departments'], { env: env({ NODE_OPTIONS }) });
    expect(code).toBe(0);
    const loaded = await readFile(file, 'utf8').finally(() => rm(file, { force: true }));
    expect(loaded).toContain('node_modules/undici/');
    for (const name of ['prom-client', '@opentelemetry/api', 'yaml', 'cli-table3', 'fastify', 'bullmq'])
      expect(loaded).not.toContain(`node_modules/${name}/`);
  });

  it('prints one line a stream for people', async () => {
    const { code, stdout, stderr } = await cli.runProcess(['sync'], {
      env: env({ TILEDESK_STREAMS: 'leads,departments' }),
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trimEnd().split('\n')).toEqual([
      expect.stringMatching(
        /^tiledesk:\w+ tiledesk\.leads backfill: succeeded, 250 created, 0 updated, \d+ unchanged \(\d+ requests, /,
      ),
      expect.stringMatching(/^tiledesk:\w+ tiledesk\.departments backfill: succeeded, \d+ created/),
      expect.stringMatching(/^2 streams: 2 succeeded; 254 created, 0 updated, 0 deleted \(\d+ requests, .* s\)$/),
    ]);
  });

  it('refreshes the reports, unless a daemon does or they are not wanted', async () => {
    const settings = { env: env({ TILEDESK_STREAMS: 'departments' }) };
    const isRefreshed = async () =>
      (await admin.query(`select from reporting.refreshes where refreshed_at > '-infinity'`)).rowCount === 1;
    const moments = async (...args: string[]) => {
      const { code, stdout } = await cli.run(['sync', '--json', ...args], settings);
      const { runs, rows_done_at, reports_done_at } = JSON.parse(stdout);
      expect({ code, rows_done_at }).toEqual({ code: 0, rows_done_at: runs[0].ended_at });
      return { rows: Date.parse(rows_done_at), reports: reports_done_at && Date.parse(reports_done_at) };
    };
    expect(await moments('--no-reports')).toMatchObject({ reports: null });
    expect(await isRefreshed()).toBe(false);
    await admin.query(`insert into sync.processes (id, host, pid, roles, version, is_leading, queue_ok, running_runs)
      values (gen_random_uuid(), 'elsewhere', 1, '{worker}', '0', false, true, 0)`);
    expect(await moments()).toMatchObject({ reports: null });
    expect(await isRefreshed()).toBe(false);
    await admin.query('update sync.processes set beat_at = now() - interval $$1 hour$$');
    const { rows, reports } = await moments();
    expect(reports).toBeGreaterThanOrEqual(rows);
    expect(await isRefreshed()).toBe(true);
  });

  it('that is partial ends with 0 and says why', async () => {
    const { departments } = sandbox.data.team;
    departments.push({ ...departments[0], _id: undefined } as never);
    const [text, status] = [
      await cli.run(['sync', 'tiledesk.departments'], { env: env() }),
      await cli.run(['status', '--json'], { env: env() }),
    ];
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(
      /: partial, .*1 in quarantine.*\n {2}quarantined: 1 record.* sync\.quarantine\ndocs\/troubleshooting\.md#quarantined\n$/,
    );
    expect(JSON.parse(status.stdout).streams).toContainEqual(
      expect.objectContaining({ stream: 'tiledesk.departments', open_quarantine: 1 }),
    );
  });

  it('waits for a stream that another run holds, then leaves it alone and ends with 1', async () => {
    const settings = env({ TILEDESK_STREAMS: 'leads,departments' });
    await cli.run(['sync', 'tiledesk.departments'], { env: settings });
    await admin.query(
      `insert into sync.checkpoints (connection_id, stream, pass, lease_token, lease_until)
       values ($1, 'tiledesk.leads', 'backfill', 1, now() + interval '1 day')`,
      [`tiledesk:${sandbox.projectId}`],
    );
    const { signal } = new AbortController();
    const config = loadConfig({ env: settings, cwd: '/', isTerminal: false });
    const app = await createApp(config, { logger: unheardLogger(), signal });
    const startedAt = performance.now();
    const reports = await syncOnce(app, { signal, leaseWaitMs: 700 }).finally(() => app.close());
    expect(performance.now() - startedAt).toBeGreaterThan(690);
    expect(exitCodeOf(reports, signal)).toBe(1);
    expect(reports).toMatchObject([
      {
        stream: 'tiledesk.leads',
        outcome: 'cancelled',
        error: { code: 'lease_busy', message: expect.stringContaining('another process') },
      },
      { stream: 'tiledesk.departments', outcome: 'succeeded' },
    ]);
  });

  it('waits longer than a killed process keeps a stream', () => {
    expect(LEASE_WAIT_MS).toBeGreaterThan(LEASE_MS);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'stopped by %s ends with 130, and the next one goes on from there',
    async (signal) => {
      sandbox.faults.push({ kind: 'slow', delayMs: 150, match: ({ list }) => list === 'requests', times: 100 });
      const running = cli.start(['sync', '--json'], { env: env({ TILEDESK_PAGE_SIZE: '20' }) });
      const pages = () => admin.query("select pages from sync.runs where stream = 'tiledesk.requests' and pages >= 2");
      await until('two pages of requests are written', async () => (await pages()).rowCount === 1);
      running.kill(signal);
      const stopped = await running.ended;
      expect(stopped.code).toBe(130);
      expect(JSON.parse(stopped.stdout).runs.at(-1)).toMatchObject({
        stream: 'tiledesk.requests',
        outcome: 'cancelled',
        error: { code: 'stopped' },
      });
      const { rows } = await admin.query(
        "select cursor is not null as has_cursor, lease_until from sync.checkpoints where stream = 'tiledesk.requests' and pass = 'backfill'",
      );
      expect(rows).toEqual([{ has_cursor: true, lease_until: null }]);
      const written = Number((await admin.query('select count(*) from tiledesk.requests')).rows[0].count);
      expect(written).toBeGreaterThanOrEqual(20);

      sandbox.faults.clear();
      const next = await cli.run(['sync', '--json'], { env: env() });
      expect(next.code).toBe(0);
      const requests = runsOf(next).find(({ stream }) => stream === 'tiledesk.requests');
      expect(requests).toMatchObject({
        pass: 'backfill',
        outcome: 'succeeded',
        created: sandbox.data.requests.size - written,
      });
      expect(await differences()).toEqual(ALL_EQUAL);
    },
  );

  it('stopped while it waits for another run still prints its one document', async () => {
    await admin.query(
      `insert into sync.checkpoints (connection_id, stream, pass, lease_token, lease_until)
       values ($1, 'tiledesk.leads', 'backfill', 1, now() + interval '1 day')`,
      [`tiledesk:${sandbox.projectId}`],
    );
    const running = cli.start(['sync', '--json', 'tiledesk.leads'], { env: env() });
    const isRegistered = "select from sync.streams where stream = 'tiledesk.leads'";
    await until('it has begun', async () => (await admin.query(isRegistered)).rowCount === 1);
    running.kill('SIGTERM');
    const { code, stdout } = await running.ended;
    expect(code).toBe(130);
    // Stopped just before its first run, there is nothing to report.
    for (const run of JSON.parse(stdout).runs)
      expect(run).toMatchObject({ outcome: 'cancelled', error: { code: 'stopped' } });
  });
});

describe('status, runs and migrate', () => {
  it('answer before the first sync, with how to begin', async () => {
    const [status, json, runs, runsJson] = await Promise.all(
      [['status'], ['status', '--json'], ['runs'], ['runs', '--json']].map((args) => cli.run(args, { env: env() })),
    );
    expect([status?.code, json?.code, runs?.code, runsJson?.code]).toEqual([0, 0, 0, 0]);
    expect(status?.stdout).toBe('Nothing is mirrored yet. Start with: leadmirror sync\n');
    expect((await cli.run(['status', '--exit-code', '--json'], { env: env() })).code).toBe(1);
    expect(runs?.stdout).toBe('No run yet. Start one with: leadmirror sync\n');
    expect(JSON.parse(json?.stdout ?? '')).toEqual({ streams: [] });
    expect(JSON.parse(runsJson?.stdout ?? '')).toEqual({ runs: [] });
  });

  it('tell what a sync did', async () => {
    await cli.run(['sync'], { env: env() });
    const [status, json, runs, runsJson] = await Promise.all(
      [['status'], ['status', '--json'], ['runs'], ['runs', '--limit', '2', '--json']].map((args) =>
        cli.run(args, { env: env() }),
      ),
    );
    expect([status?.code, json?.code, runs?.code, runsJson?.code]).toEqual([0, 0, 0, 0]);
    const { streams } = JSON.parse(json?.stdout ?? '') as {
      streams: { stream: string; state: string; rows: number }[];
    };
    expect(streams.map(({ stream, state }) => [stream, state])).toEqual(
      [...STREAMS].sort().map((stream) => [`tiledesk.${stream}`, 'fresh']),
    );
    const alive = [...sandbox.data.leads.values()].filter((lead) => lead.status !== 1000).length;
    expect(streams.find(({ stream }) => stream === 'tiledesk.leads')?.rows).toBe(alive);
    expect(status?.stdout).toMatch(
      /^connection +stream +state +as of +rows +last success +verified +evidence +interval +why/,
    );
    expect(status?.stdout).toMatch(/tiledesk\.leads +fresh +\d+ s ago/);
    expect(status?.stdout).toContain('leadmirror start');
    expect((await cli.run(['status', '--exit-code'], { env: env() })).code).toBe(0);
    expect(runs?.stdout).toMatch(/tiledesk\.requests +backfill +succeeded +450/);
    expect(JSON.parse(runsJson?.stdout ?? '').runs).toHaveLength(2);
  });

  it('migrate says what is applied and what is not, and applies it once', async () => {
    const empty = await createTestDatabase({ migrated: false });
    try {
      const settings = { DATABASE_URL: empty.url };
      const before = await cli.run(['migrate', '--status'], { env: settings });
      expect(before.stdout).toMatch(/^(pending {2}\d+_\w+\n)+$/);
      const first = await cli.run(['migrate'], { env: settings });
      expect(first.stdout).toMatch(/: applied \d+_\w+/);
      const [second, after] = await Promise.all([
        cli.run(['migrate'], { env: settings }),
        cli.run(['migrate', '--status'], { env: settings }),
      ]);
      expect(second.stdout).toMatch(/^127\.0\.0\.1:\d+\/\w+ is up to date\n$/);
      expect(after.stdout).toBe(before.stdout.replaceAll('pending', 'applied'));
      expect([before, first, second, after].map(({ code, stderr }) => [code, stderr])).toEqual(Array(4).fill([0, '']));
    } finally {
      await empty.drop();
    }
  });

  it('migrate --from-preview takes the database of a preview over, which other commands refuse', async () => {
    const preview = await createTestDatabase({ migrated: false });
    try {
      const settings = { DATABASE_URL: preview.url };
      const client = new pg.Client({ connectionString: preview.url });
      await client.connect();
      await client.query(await readFile(join(findRoot(), 'test/fixtures/preview/database.sql'), 'utf8'));
      await client.end();
      const refused = await cli.run(['runs'], { env: settings });
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('leadmirror migrate --from-preview') });
      const taken = await cli.run(['migrate', '--from-preview'], { env: settings });
      expect(taken).toMatchObject({
        code: 0,
        stderr: '',
        stdout: expect.stringContaining('taken over from a preview'),
      });
      const again = await cli.run(['migrate', '--from-preview'], { env: settings });
      expect(again).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('no preview made it') });
      const runs = await cli.run(['runs', '--json'], { env: settings });
      expect(JSON.parse(runs.stdout).runs).toHaveLength(2);
    } finally {
      await preview.drop();
    }
  });
});

it('output that nobody reads to its end disturbs nothing', async () => {
  await cli.run(['sync', 'tiledesk.departments'], { env: env() });
  const running = cli.start(['runs', '--json'], { env: env() });
  running.closeOutput();
  expect(await running.ended).toMatchObject({ code: 0, stderr: '' });
});
