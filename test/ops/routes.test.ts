import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import formats from 'ajv-formats';
import type { KeptAccounts } from '../../src/ops/parts.ts';
import { readMigrations } from '../../src/store/migrate.ts';
import { until } from '../helpers/cli.ts';
import { readRecipes } from '../helpers/recipes.ts';
import {
  ACCOUNT,
  addEveryState,
  addFreshStream,
  addRun,
  addRunning,
  addStream,
  BEARER,
  clear,
  createRecorder,
  type OpsSetup,
  QUIET_QUEUE,
  setupOps,
  TOKEN,
} from './support.ts';

let setup: OpsSetup;
beforeAll(async () => {
  setup = await setupOps();
});
afterAll(() => setup.close());
beforeEach(() => clear(setup.store));

const schemaFile = fileURLToPath(new URL('../../docs/api-status.schema.json', import.meta.url));

function createValidator() {
  const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
  (formats as unknown as (ajv: Ajv) => void)(ajv);
  const validate = ajv.compile(JSON.parse(readFileSync(schemaFile, 'utf8')));
  return (document: unknown) =>
    validate(document) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

describe('/api/status', () => {
  it('is what its schema says, with a stream in every state and with none', async () => {
    const problemsOf = createValidator();
    const empty = await setup.server().inject('/api/status');
    expect(problemsOf(empty.json())).toEqual([]);
    await addEveryState(setup.store);
    await setup.store.query(
      `insert into sync.budgets (credential, base_spacing_ms, spacing_ms, blocked_until, blocked_reason, day_limit, day_requests, day_ends_at)
       values ('tiledesk:x', 307, 614, now() + interval '1 hour', 'rate_limited', 5000, 1234, now() + interval '1 hour')`,
    );
    const server = setup.server({
      connections: () => [{ id: ACCOUNT, source: 'tiledesk', credential: 'tiledesk:x', requestsPerMinute: 200 }],
      nextRuns: () => [{ pass: 'incremental', at: new Date() }],
    });
    const full = (await server.inject('/api/status')).json();
    expect(problemsOf(full)).toEqual([]);
    expect(new Set(full.streams.map(({ state }: { state: string }) => state))).toEqual(
      new Set(['fresh', 'syncing', 'stale', 'partial', 'blocked', 'paused', 'never']),
    );
    expect(full.budgets).toMatchObject([
      { connections: [ACCOUNT], configured_per_minute: 200, allowed_per_minute: 98, blocked_reason: 'rate_limited' },
    ]);
    expect(full.budgets).toMatchObject([{ used_today: 1_234, allowed_per_day: 5_000 }]);
    expect((await server.inject('/')).body).toContain('1,234 of 5,000 today');
    expect(full.summary).toMatchObject({ streams: 7, worst: 'blocked' });
  });

  it('knows the accounts as they are at each look: a reload changes them', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    let credential = 'tiledesk:old';
    const server = setup.server({
      connections: () => [{ id: ACCOUNT, source: 'tiledesk', credential, requestsPerMinute: 200 }],
    });
    const credentialNow = async () => (await server.inject('/api/status')).json().connections[0].credential;
    expect(await credentialNow()).toBe('tiledesk:old');
    credential = 'tiledesk:new';
    await until('the next look', async () => (await credentialNow()) === 'tiledesk:new');
  });

  it('shows how often a stream is read whose interval follows what changes', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    await addFreshStream(setup.store, 'tiledesk.leads');
    await setup.store.query("update sync.streams set interval_seconds = 15 where stream = 'tiledesk.leads'");
    const server = setup.server({ nextRuns: () => [{ pass: 'incremental', at: new Date() }] });
    const { streams } = (await server.inject('/api/status')).json();
    expect(streams.map((line: { interval_seconds: number | null }) => line.interval_seconds)).toEqual([null, 15]);
    expect((await server.inject('/')).body).toContain('<small>every 15 s</small>');
  });

  it('says of an open circuit that it passes by itself', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    await setup.store.query(`update sync.streams set credential = 'tiledesk:x'`);
    await setup.store.query(
      `insert into sync.budgets (credential, base_spacing_ms, spacing_ms, failures, failing_since, failure_reason, opened_at, wake_at)
       values ('tiledesk:x', 300, 300, 5, now() - interval '1 hour', 'network', now() - interval '1 hour', now() + interval '1 minute')`,
    );
    const { streams } = (await setup.server().inject('/api/status')).json();
    expect(streams[0]).toMatchObject({ state: 'blocked', next_step: { command: 'leadmirror check' } });
    expect(streams[0].next_step.text).toMatch(/^Nothing: it goes on by itself/);
  });

  it('counts requests by the runs at the first look, but not those of a vanished process', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    await setup.store.query(
      `insert into sync.budgets (credential, base_spacing_ms, spacing_ms) values ('tiledesk:x', 300, 300)`,
    );
    await addRunning(setup.store, 'tiledesk.departments', 'reconcile', 1_000);
    await setup.store.query(
      `insert into sync.runs (connection_id, stream, pass, requests, started_at) values ($1, 'tiledesk.departments', 'reconcile', 500, now() - interval '20 seconds')`,
      [ACCOUNT],
    );
    const server = setup.server({
      connections: () => [{ id: ACCOUNT, source: 'tiledesk', credential: 'tiledesk:x', requestsPerMinute: 200 }],
    });
    const { budgets } = (await server.inject('/api/status')).json();
    expect(budgets[0].used_per_minute).toBe(10);
  });

  it('its schema refuses what does not belong there', () => {
    const problemsOf = createValidator();
    expect(problemsOf({ version: 2 })).not.toEqual([]);
  });

  it('tells each problem’s next step, by what went wrong', async () => {
    await addEveryState(setup.store);
    const { streams } = (await setup.server().inject('/api/status')).json();
    const steps = Object.fromEntries(
      streams.map((one: { state: string; next_step: { command: string | null } }) => [
        one.state,
        one.next_step.command,
      ]),
    );
    expect(steps).toEqual({
      fresh: null,
      syncing: null,
      stale: `leadmirror sync tiledesk.requests --connection ${ACCOUNT}`,
      partial: `leadmirror accept-deletions tiledesk.project_users --connection ${ACCOUNT}`,
      blocked: 'leadmirror tilkee login',
      paused: `leadmirror resume tilkee.users --connection ${ACCOUNT}`,
      never: 'leadmirror sync tiledesk.leads --connection tiledesk:new',
    });
  });

  it('tells how far a pass is, and how long it will take where that can be known', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    await setup.store.query(
      `insert into tiledesk.departments (connection_id, id, raw, content_hash, run_id)
       select $1, 'd' || n, '{}', '', 1 from generate_series(1, 400) n`,
      [ACCOUNT],
    );
    await setup.store.query(
      `with run as (insert into sync.runs (connection_id, stream, pass, read, pages, started_at)
         values ($1, 'tiledesk.departments', 'reconcile', 100, 1, now() - interval '10 seconds') returning id)
       update sync.checkpoints set run_id = run.id, lease_until = now() + interval '1 hour', started_at = now() - interval '10 seconds'
       from run where pass = 'reconcile'`,
      [ACCOUNT],
    );
    const { streams } = (await setup.server().inject('/api/status')).json();
    expect(streams[0].running).toMatchObject({ pass: 'reconcile', read: 100, expected: 400, pages: 1 });
    expect(streams[0].running.rows_per_second).toBeCloseTo(10, 0);
    expect(streams[0].running.eta_seconds).toBeGreaterThan(25);
    await setup.store.query('truncate tiledesk.departments');
  });

  it('counts the half hours of the last day, folded runs included', async () => {
    await addStream(setup.store, 'tiledesk.departments');
    await addRun(setup.store, 'tiledesk.departments', 'incremental', 61, 'failed', {
      code: 'network',
      message: 'gone',
    });
    await addRun(setup.store, 'tiledesk.departments', 'incremental', 31, 'partial', {
      code: 'walk_gave_up',
      message: 'moving',
    });
    await addRun(setup.store, 'tiledesk.departments', 'incremental', 1, 'succeeded', { created: 5, idle: 9 });
    const { streams } = (await setup.server().inject('/api/status')).json();
    const { slots, ...counts } = streams[0].last_24h;
    expect(counts).toEqual({ runs: 12, failed: 1, partial: 1, postponed: 0, changes: 5 });
    expect(slots).toHaveLength(48);
    expect(slots.slice(-3)).toEqual(['failed', 'partial', 'good']);
  });
});

describe('/api/runs', () => {
  it('lists the newest first, in pages and by what is asked for', async () => {
    for (let i = 5; i > 0; i--)
      await addRun(setup.store, 'tiledesk.departments', 'incremental', i, i === 2 ? 'failed' : 'succeeded');
    const server = setup.server();
    const first = (await server.inject('/api/runs?limit=3')).json();
    expect(first.runs.map(({ id }: { id: number }) => id)).toEqual([5, 4, 3]);
    const second = (await server.inject(`/api/runs?limit=3&before=${first.next_before}`)).json();
    expect(second.runs.map(({ id }: { id: number }) => id)).toEqual([2, 1]);
    expect(second.next_before).toBeNull();
    const failed = (await server.inject('/api/runs?outcome=failed')).json();
    expect(failed.runs.map(({ id }: { id: number }) => id)).toEqual([4]);
  });

  it('refuses a question that it does not understand', async () => {
    const answer = await setup.server().inject('/api/runs?limit=many');
    expect(answer.statusCode).toBe(400);
    expect(answer.json().error.message).toContain('limit');
  });
});

describe('/api/history', () => {
  it('tells rows and the longest time without a complete pass, hour by hour', async () => {
    await addStream(setup.store, 'tiledesk.departments');
    await addRun(setup.store, 'tiledesk.departments', 'incremental', 300, 'succeeded', { created: 7 });
    await addRun(setup.store, 'tiledesk.departments', 'incremental', 0, 'succeeded', { created: 2 });
    const { hours } = (await setup.server().inject(`/api/history/${ACCOUNT}/tiledesk.departments`)).json();
    expect(hours).toHaveLength(24);
    expect(hours.reduce((sum: number, { rows }: { rows: number }) => sum + rows, 0)).toBe(9);
    const longest = Math.max(...hours.map(({ lag_seconds }: { lag_seconds: number | null }) => lag_seconds ?? 0));
    expect(longest).toBeGreaterThan(290 * 60);
    expect(longest).toBeLessThan(310 * 60);
    expect(hours[0].lag_seconds).toBeNull();
  });
});

describe('/readyz', () => {
  it('is ready when the database and the queue answer and the migrations are applied', async () => {
    const migrations = (await readMigrations()).map(({ name }) => name);
    const ready = await setup.server({ migrations }).inject('/readyz');
    expect([ready.statusCode, ready.json()]).toEqual([
      200,
      { status: 'ready', database: true, queue: true, migrations: true },
    ]);
  });

  it('is not while a migration is missing or the queue is away', async () => {
    const behind = await setup.server({ migrations: ['29990101000000_to_come'] }).inject('/readyz');
    expect([behind.statusCode, behind.json().migrations]).toEqual([503, false]);
    const away = setup.server({
      queue: { ...QUIET_QUEUE, ping: async () => Promise.reject(new Error('away')) },
    });
    const answer = await away.inject('/readyz');
    expect([answer.statusCode, answer.json()]).toEqual([
      503,
      { status: 'not ready', database: true, queue: false, migrations: true },
    ]);
    expect((await away.inject('/healthz')).statusCode).toBe(200);
  });
});

describe('/data', () => {
  it('has every question of the guide, and every table with its columns and how fresh it is', async () => {
    await addFreshStream(setup.store, 'tiledesk.leads', 'tiledesk:shop');
    const page = (await setup.server().inject('/data')).body;
    for (const { question } of readRecipes()) expect(page).toContain(escaped(question));
    const box = (name: string) => page.slice(page.indexOf(`<code>${name}</code>`)).split('</details>', 1)[0];
    expect(box('tiledesk.leads')).toMatch(/tiledesk:shop <small class="soft">as of/);
    expect(box('tiledesk.leads')).toContain('<code>fullname</code>');
    expect(box('sync.runs')).toContain('<code>outcome</code>');
    expect(page).not.toContain('_prisma');
  });
});

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll("'", '&#39;').replaceAll('"', '&quot;');

describe('more routes', () => {
  it('can be added, behind the same gate', async () => {
    const server = setup.server({
      token: 'secret-of-the-test-server',
      plugins: [
        (routes) => {
          routes.get('/metrics', async () => 'up 1\n');
        },
      ],
    });
    expect((await server.inject('/metrics')).statusCode).toBe(401);
    const answer = await server.inject({
      url: '/metrics',
      headers: { authorization: 'Bearer secret-of-the-test-server' },
    });
    expect([answer.statusCode, answer.body]).toEqual([200, 'up 1\n']);
  });
});

describe('the page', () => {
  const look = async (path = '/') => {
    const accounts = { isKept: () => true, canKeep: false, forms: [] } as unknown as KeptAccounts;
    const { control } = createRecorder();
    const server = setup.server({ token: TOKEN, control, accounts });
    return (await server.inject({ url: path, headers: { ...BEARER, accept: 'text/html' } })).body;
  };
  const causesIn = (page: string) => page.split('id="causes"')[1]?.split('</section>')[0] ?? '';

  it('offers no run where the account has to be corrected first', async () => {
    await addStream(setup.store, 'tilkee.projects', 'tilkee:default');
    await addRun(setup.store, 'tilkee.projects', 'backfill', 12, 'failed', {
      ...{ connection: 'tilkee:default', code: 'auth_failed', message: 'the refresh token was refused' },
    });
    const causes = causesIn(await look());
    expect(causes).toContain('href="/accounts?edit=tilkee%3Adefault"');
    expect(causes).not.toContain('/trigger');
  });

  it('names the stream of a button where a cause stops several, and links to the records in quarantine', async () => {
    for (const stream of ['tiledesk.leads', 'tiledesk.requests']) {
      await addFreshStream(setup.store, stream);
      await setup.store.query(
        `insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id, first_seen_at, last_seen_at)
         values ($1, $2, 'unread', 'bad_type', '{}', 1, now(), now())`,
        [ACCOUNT, stream],
      );
    }
    const causes = causesIn(await look());
    expect(causes).toContain(`Retry quarantine<span> tiledesk.leads of ${ACCOUNT}</span>`);
    expect(causes).toContain('href="/decide#quarantine"');
  });

  it('names what to do where no worker runs', async () => {
    await addFreshStream(setup.store, 'tiledesk.leads');
    expect(await look()).not.toContain('role="alert"');
    await setup.store.query(`update sync.processes set beat_at = now() - interval '1 hour'`);
    expect(await look()).toMatch(/role="alert"><b>No worker is running.<.b> <code>leadmirror start/);
  });

  it('shows the time of a run, not only how long ago it was', async () => {
    await addFreshStream(setup.store, 'tiledesk.leads');
    expect(await look('/runs')).toMatch(/ago<.time> <small>\d\d-\d\d \d\d:\d\d<.small>/);
  });
});
