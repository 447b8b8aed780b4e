import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type App, createApp } from '../../src/app.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { LOCKS } from '../../src/store/locks.ts';
import { startDaemon } from '../../workers/main.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { Observer, until } from './support.ts';

let sandbox: TiledeskSandbox;
let url: string;
let database: TestDatabase;
let cwd: string;
let closers: (() => Promise<unknown>)[];

beforeEach(async () => {
  sandbox = createTiledeskSandbox({ leads: 120, requests: 20 });
  ({ url } = await sandbox.listen());
  database = await createTestDatabase();
  cwd = mkdtempSync(join(tmpdir(), 'leadmirror-reload-'));
  closers = [];
});

afterEach(async () => {
  for (const close of closers.reverse()) await close();
  await database.drop();
  await sandbox.close();
  rmSync(cwd, { recursive: true });
});

/** A connection of the file, to the only project of the sandbox. */
const entry = (id: string, keys: Readonly<Record<string, string>> = {}): string => {
  const { projectId, email, password } = sandbox;
  const all = { source: 'tiledesk', projectId, baseUrl: url, email, password, streams: 'departments', ...keys };
  const lines = Object.entries({ requestsPerMinute: '100000', ...all });
  return `  - id: ${id}\n${lines.map(([key, value]) => `    ${key}: ${value}\n`).join('')}`;
};

const yaml = (...entries: string[]): string => `connections:\n${entries.join('')}`;

const NEVER = { SYNC_INCREMENTAL_CRON: '0 0 1 1 *', SYNC_RECONCILE_CRON: '0 0 1 1 *' };

function config(entries: readonly string[], env: Readonly<Record<string, string>> = {}): Config {
  writeFileSync(join(cwd, 'leadmirror.yaml'), yaml(...entries));
  return loadConfig({ env: { DATABASE_URL: database.url, ...NEVER, ...env }, cwd, isTerminal: false });
}

async function open(...entries: string[]): Promise<App> {
  const signal = new AbortController().signal;
  const app = await createApp(config(entries), { logger: unheardLogger(), signal });
  closers.push(() => app.close());
  return app;
}

async function start(app: App, roundMs = 60_000) {
  const observer = new Observer();
  const daemon = await startDaemon(app, {
    roles: ['scheduler', 'worker'],
    logger: unheardLogger(),
    signal: new AbortController().signal,
    schedulerOptions: { roundMs, standbyMs: 100 },
    observer,
  });
  closers.push(() => daemon.stop());
  return { daemon, observer };
}

const streamRows = (app: App) =>
  app.database.prisma.syncStream.findMany({
    select: { connection_id: true, enabled: true, fresh_within_seconds: true },
    orderBy: { connection_id: 'asc' },
  });

describe('an app whose configuration is read again', () => {
  it('keeps the objects of what stays, makes new ones for what changed, and follows schedules of streams', async () => {
    const app = await open(entry('one'), entry('two'), entry('three'));
    const before = app.connections;
    const changes = await app.reload(
      config([
        entry('one', { schedule: '{ incremental: "*/2 * * * *", reconcile: off }' }),
        entry('two', { pageSize: '20' }),
        entry('four', { schedule: '{ incremental: off, reconcile: off }' }),
      ]),
    );
    expect(changes).toMatchObject({ added: ['four'], removed: ['three'], changed: ['one', 'two'], restart: [] });
    expect(app.connections.map(({ id }) => id)).toEqual(['one', 'two', 'four']);
    expect(app.connections.map((connection, index) => connection === before[index])).toEqual([true, false, false]);
    expect(app.findStream('three', 'tiledesk.departments')).toBeUndefined();
    expect(app.scheduleOf('one', 'tiledesk.departments')).toEqual({
      incremental: '*/2 * * * *',
      reconcile: null,
      count: null,
      timezone: 'UTC',
    });
    // Nobody leads: this process alone decides what is configured.
    expect(await streamRows(app)).toMatchObject([
      { connection_id: 'four', enabled: true, fresh_within_seconds: 0 },
      { connection_id: 'one', enabled: true, fresh_within_seconds: 360 },
      { connection_id: 'three', enabled: false },
      { connection_id: 'two', enabled: true },
    ]);
  });

  it('signs in anew where the password is another one', async () => {
    const app = await open(entry('one', { password: 'wrong' }));
    const run = () => {
      const found = app.findStream('one', 'tiledesk.departments');
      if (found === undefined) throw new Error('not configured');
      const signal = new AbortController().signal;
      return app.runPass({ ...found, pass: 'backfill', signal, maxWaitMs: 5_000, leaseWaitMs: 0 });
    };
    expect((await run()).error?.code).toBe('auth_failed');
    await app.reload(config([entry('one')]));
    expect(await run()).toMatchObject({ outcome: 'succeeded', error: null });
  });

  it('switches nothing off while another process leads; the leader does', async () => {
    const app = await open(entry('one'), entry('two'));
    const leader = new pg.Client({ connectionString: database.url });
    await leader.connect();
    closers.push(() => leader.end());
    await leader.query('select pg_advisory_lock($1)', [LOCKS.lead.toString()]);
    await app.reload(config([entry('two'), entry('three')]));
    const enabled = async () => (await streamRows(app)).filter((row) => row.enabled).map((row) => row.connection_id);
    expect(await enabled()).toEqual(['one', 'three', 'two']);
    await app.assertStreams();
    expect(await enabled()).toEqual(['three', 'two']);
    // Somebody else, with the file of before, starts: it costs nothing that is configured now.
    const stream = 'tiledesk.departments';
    const old = { connectionId: 'one', stream, freshWithinSeconds: 900 };
    await registerStreams(app.database.prisma, [old], { retires: 'unless_led' });
    expect(await enabled()).toEqual(['one', 'three', 'two']);
  });
});

describe('a daemon whose configuration is read again', () => {
  it('begins at once with what is new, and puts changed schedules right', async () => {
    const app = await open(entry('one'));
    const { daemon, observer } = await start(app);
    await observer.job({ connection: 'one', pass: 'backfill', outcome: 'succeeded' });
    await observer.round(1);
    await app.reload(
      config([entry('one', { schedule: '{ incremental: "0 5 1 1 *", reconcile: off }' }), entry('two')]),
    );
    await observer.job({ connection: 'two', pass: 'backfill', outcome: 'succeeded' });
    const { fast, bulk } = daemon.queues.lanes;
    const crons = async () =>
      (await fast.getJobSchedulers()).map(({ key, pattern }) => [key.split('.')[0], pattern?.replace(/^\d+ /, '')]);
    expect((await crons()).toSorted()).toEqual([
      ['one', '0 5 1 1 *'],
      ['two', '0 0 1 1 *'],
    ]);
    expect((await bulk.getJobSchedulers()).map(({ key }) => key.split('.')[0])).toEqual(['two']);
  });

  it('ends the run of a removed connection at its page, and lets that of a changed one go on', async () => {
    // A page a second. The other one has an allowance of its own: it would be first come, first served otherwise.
    const slow = { streams: 'leads', requestsPerMinute: '60', pageSize: '10' };
    const other = entry('two', { baseUrl: url.replace('127.0.0.1', 'localhost') });
    const app = await open(entry('one', slow));
    const { observer } = await start(app);
    const pages = async () =>
      (await app.database.prisma.syncRun.findFirst({ where: { connection_id: 'one', pass: 'backfill' } }))?.pages ?? 0;
    await until(async () => (await pages()) > 1);
    await app.reload(config([entry('one', { ...slow, pageSize: '11' }), other]));
    const page = await pages();
    await until(async () => (await pages()) > page);
    expect(observer.jobs.filter(({ connection }) => connection === 'one')).toEqual([]);
    const before = await pages();
    await app.reload(config([other]));
    const ended = await observer.job({ connection: 'one', pass: 'backfill' });
    expect(await pages()).toBeLessThanOrEqual(before + 3);
    expect(ended.result).toMatchObject({ outcome: 'cancelled' });
    await until(async () => (await streamRows(app)).some((row) => row.connection_id === 'one' && !row.enabled));
    expect(await app.database.prisma.tiledeskLead.count()).toBeGreaterThan(0);
    // It comes back, and goes on where it stood.
    const rows = await app.database.prisma.tiledeskLead.count();
    await app.reload(config([entry('one', { ...slow, requestsPerMinute: '100000' }), other]));
    await observer.job({ connection: 'one', pass: 'backfill', outcome: 'succeeded' });
    expect(await app.database.prisma.tiledeskLead.count()).toBeGreaterThan(rows);
  });
});

describe('leadmirror start', () => {
  let cli: Cli;
  beforeAll(async () => {
    cli = await createCli();
  });
  afterAll(() => cli.close());

  it('follows SIGHUP and the file, and refuses what is wrong as a whole', async () => {
    // As Kubernetes mounts it: the file is a link into a folder that is a link.
    const write = (name: string, text: string) => {
      const folder = mkdtempSync(join(cwd, `${name}-`));
      writeFileSync(join(folder, 'leadmirror.yaml'), text);
      symlinkSync(folder, join(cwd, 'data.new'));
      renameSync(join(cwd, 'data.new'), join(cwd, 'data'));
    };
    write('first', yaml(entry('one')));
    symlinkSync(join('data', 'leadmirror.yaml'), join(cwd, 'leadmirror.yaml'));
    const env = { DATABASE_URL: database.url, OPS_PORT: '0', LOG_FORMAT: 'json', ...NEVER };
    const daemon = cli.start(['start', '--role', 'scheduler,worker'], { cwd, env });
    await daemon.says(/leadmirror is running/);

    write('broken', yaml(entry('one', { pageSize: 'x' }), entry('two', { streams: 'leeds' })));
    await daemon.says(/"problems":2,.*configuration not reloaded; the one before stays in force/);
    expect(daemon.stderr).toMatch(/connections\[0\]\.pageSize.*must be a whole number/);
    expect(daemon.stderr).toMatch(/connections\[1\]\.streams.*did you mean/);

    write('good', yaml(entry('one'), entry('two')));
    daemon.kill('SIGHUP');
    await daemon.says(/"added":\["two"\],"removed":\[\],"changed":\[\].*"configuration reloaded"/);

    write('last', yaml(entry('two')));
    await daemon.says(/"removed":\["one"\].*"configuration reloaded"/);
    daemon.kill('SIGTERM');
    expect((await daemon.ended).code).toBe(0);
  });
});
