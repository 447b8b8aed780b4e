import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import parsePrometheusTextFormat from 'parse-prometheus-text-format';
import { parse as parseYaml } from 'yaml';
import { TransientError } from '../../src/errors.ts';
import { Instruments } from '../../src/ops/instruments.ts';
import { createProcessMetrics, type ProcessMetrics } from '../../src/ops/metrics/process-metrics.ts';
import { registerMetrics } from '../../src/ops/metrics.ts';
import { Remembered } from '../../src/ops/remembered.ts';
import { createOpsServer } from '../../src/ops/server.ts';
import { ensureFeed } from '../../src/store/mirror/feed.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { LEADS, type Store, setupStore } from '../store/support.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly metrics?: readonly {
    readonly value?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly buckets?: Readonly<Record<string, string>>;
  }[];
}

/** What a scrape brought: families by name, and the value of one series; of a histogram, how often something was observed. */
class Scrape {
  readonly text: string;
  readonly families: ReadonlyMap<string, Family>;

  constructor(text: string) {
    this.text = text;
    const families = parsePrometheusTextFormat(text) as Family[];
    this.families = new Map(families.map((family) => [family.name, family]));
  }

  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const series = this.families
      .get(name)
      ?.metrics?.find((metric) => Object.entries(labels).every(([label, value]) => metric.labels?.[label] === value));
    const value = series?.value ?? series?.buckets?.['+Inf'];
    return value === undefined ? undefined : Number(value);
  }

  series(name: string): number {
    return this.families.get(name)?.metrics?.length ?? 0;
  }
}

let store: Store;
let server: FastifyInstance;
let processMetrics: ProcessMetrics;

beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.query(`truncate sync.streams, sync.checkpoints, sync.runs, sync.quarantine, sync.verifications, sync.budgets, sync.alerts,
    sync.schema_drift, tiledesk.leads restart identity`);
});
afterEach(() => server.close());

function serve(options: { maxStreams?: number; prisma?: Store['prisma'] } = {}): void {
  processMetrics = createProcessMetrics();
  const { maxStreams = 1000, prisma = store.prisma } = options;
  const lanes = { fast: { waiting: 3, active: 1 }, bulk: { waiting: 0, active: 2 } };
  const metrics = { prisma, logger: unheardLogger(), processMetrics, maxStreams, readQueue: async () => lanes };
  server = createOpsServer({ prisma, plugins: [(routes) => registerMetrics(routes, metrics)] });
}

async function scrape(): Promise<Scrape> {
  const answer = await server.inject({ url: '/metrics' });
  expect(answer.statusCode).toBe(200);
  expect(answer.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
  return new Scrape(answer.body);
}

/** A stream that was read ten minutes ago, with two rows, one of them gone, and something of everything else. */
async function addFacts(connection = 'tiledesk:shop') {
  const stream = 'tiledesk.leads';
  const key = [connection, stream];
  await store.query('insert into sync.streams (connection_id, stream) values ($1, $2)', key);
  await store.query(
    `insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at, watermark)
     values ($1, $2, 'backfill', now() - interval '2 days', now() - interval '2 days', null),
       ($1, $2, 'incremental', now() - interval '11 minutes', now() - interval '10 minutes', '{"a":"2026-01-02T00:00:00.000Z","b":"2026-01-01T00:00:00.000Z"}')`,
    key,
  );
  await store.query(
    `insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id, deleted_at, tags) values
       ($1, 'l1', '{}', '0', 1, null, '{}'), ($1, 'l2', '{}', '0', 1, now(), '{}')`,
    [connection],
  );
  await store.query(
    `insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id) values ($1, $2, 'q', 'bad', '{}', 1)`,
    key,
  );
  await store.query(
    `insert into sync.schema_drift (connection_id, stream, path, kind, run_id) values ($1, $2, 'a', 'new_field', 1), ($1, $2, 'b', 'new_field', 1)`,
    key,
  );
  await store.query(
    `insert into sync.verifications (connection_id, stream, verified_at, upstream_rows, compared_rows, missing, stale, extra, different, repaired, started_at)
     values ($1, $2, now() - interval '1 hour', 200, 50, 3, 0, 0, 0, 1, now() - interval '1 hour')`,
    key,
  );
}

describe('what the database says', () => {
  it('is told how far the consumers of the feed are behind', async () => {
    await ensureFeed(store, [LEADS], ['tiledesk.leads']);
    await store.query(`select sync.ack_changes('behind', null), sync.ack_changes('done', null)`);
    await addFacts();
    await store.query(`update sync.changes set seen_at = now() - interval '90 seconds'`);
    await store.query(`select sync.ack_changes('done', (select max(seq) from sync.changes))`);
    serve();
    const found = await scrape();
    expect(found.value('leadmirror_feed_lag_seconds', { consumer: 'behind' })).toBeCloseTo(90, -1.5);
    expect(found.value('leadmirror_feed_lag_seconds', { consumer: 'done' })).toBe(0);
  });

  it('is told of each stream and in sums', async () => {
    await addFacts();
    await store.query(
      `insert into sync.budgets (credential, base_spacing_ms, spacing_ms, blocked_until, day_limit, day_requests, day_ends_at)
       values ('tiledesk:api:0', 300, 600, now() + interval '1 minute', 5000, 120, now() + interval '1 hour'),
         ('tiledesk:api:1', 300, 300, null, null, 7, null)`,
    );
    await store.query(
      `insert into sync.alerts (connection_id, stream, kind, reason, opened_at) values ('tiledesk:shop', 'tiledesk.leads', 'stale', '', now())`,
    );
    serve();
    const found = await scrape();
    const one = { connection: 'tiledesk:shop', stream: 'tiledesk.leads' };
    const near = (seconds: number) => expect.closeTo(seconds, -1.5);
    expect({
      state: found.value('leadmirror_stream_state', { ...one, state: 'partial' }),
      fresh: found.value('leadmirror_stream_state', { ...one, state: 'fresh' }),
      lag: found.value('leadmirror_stream_lag_seconds', one),
      limit: found.value('leadmirror_stream_fresh_within_seconds', one),
      alive: found.value('leadmirror_stream_rows', { ...one, state: 'alive' }),
      deleted: found.value('leadmirror_stream_rows', { ...one, state: 'deleted' }),
      quarantine: found.value('leadmirror_stream_quarantine_open', one),
      drift: found.value('leadmirror_stream_schema_drift_fields', one),
      verificationAge: found.value('leadmirror_stream_verification_age_seconds', one),
      verifiedRows: found.value('leadmirror_stream_verified_rows', one),
      differences: found.value('leadmirror_stream_verification_differences', one),
      watermark: found.value('leadmirror_stream_watermark_timestamp_seconds', one),
      success: Math.round(
        Date.now() / 1000 - (found.value('leadmirror_stream_last_success_timestamp_seconds', one) ?? 0),
      ),
    }).toEqual({
      state: 1,
      fresh: 0,
      lag: near(600),
      limit: 900,
      alive: 1,
      deleted: 1,
      quarantine: 1,
      drift: 2,
      verificationAge: near(3600),
      verifiedRows: 200,
      differences: 2,
      watermark: Date.UTC(2026, 0, 1) / 1000,
      success: near(600),
    });
    expect({
      states: found.value('leadmirror_streams', { stream: 'tiledesk.leads', state: 'partial' }),
      lag: found.value('leadmirror_lag_seconds_max', { stream: 'tiledesk.leads' }),
      rows: found.value('leadmirror_rows', { stream: 'tiledesk.leads', state: 'alive' }),
      perMinute: found.value('leadmirror_budget_requests_per_minute', { credential: 'tiledesk:api:0' }),
      blocked: found.value('leadmirror_budget_blocked_seconds', { credential: 'tiledesk:api:0' }),
      budgets: found.value('leadmirror_budgets', { state: 'blocked' }),
      day: ['tiledesk:api:0', 'tiledesk:api:1'].map((credential) =>
        ['used', 'limit'].map((fact) => found.value(`leadmirror_budget_day_${fact}`, { credential })),
      ),
      alerts: found.value('leadmirror_alerts_open', { kind: 'stale' }),
      waiting: found.value('leadmirror_queue_jobs', { lane: 'fast', state: 'waiting' }),
      database: found.value('leadmirror_database_up'),
    }).toEqual({
      states: 1,
      lag: near(600),
      rows: 1,
      perMinute: 100,
      blocked: near(60),
      budgets: 1,
      day: [
        [120, 5000],
        [undefined, undefined],
      ],
      alerts: 1,
      waiting: 3,
      database: 1,
    });
  });

  it('is told in sums only above METRICS_MAX_STREAMS', async () => {
    for (let i = 0; i < 3; i++) await addFacts(`tiledesk:${i}`);
    serve({ maxStreams: 2 });
    const found = await scrape();
    expect(found.text).not.toContain('tiledesk:1');
    expect(found.value('leadmirror_stream_series')).toBe(0);
    expect(found.value('leadmirror_connections')).toBe(3);
    expect(found.value('leadmirror_quarantine_open', { stream: 'tiledesk.leads' })).toBe(3);
    expect(found.value('leadmirror_rows', { stream: 'tiledesk.leads', state: 'deleted' })).toBe(3);
  });

  it('tells what a person has to look at from what is as it should be, or goes on by itself', async () => {
    const stream = 'tiledesk.leads';
    for (const connection of ['a', 'b', 'by-hand']) await addFacts(connection);
    await store.query('truncate sync.quarantine');
    await store.query('update sync.verifications set repaired = missing');
    await store.query(
      `update sync.checkpoints set completed_at = now() - interval '1 hour' where pass = 'incremental'`,
    );
    await store.query(`update sync.streams set fresh_within_seconds = 0 where connection_id = 'by-hand'`);
    await store.query(
      `insert into sync.budgets (credential, base_spacing_ms, spacing_ms, failing_since, opened_at, wake_at)
       select c, 300, 300, now() - interval '2 minutes', now() - interval '1 minute', now() + interval '1 minute' from unnest(array['t:b', 't:left']) c`,
    );
    await store.query(`update sync.streams set credential = 't:' || connection_id`);
    serve();
    const found = await scrape();
    expect({
      stale: found.value('leadmirror_streams', { stream, state: 'stale' }),
      overdue: found.value('leadmirror_streams_overdue', { stream }),
      blocked: found.value('leadmirror_streams', { stream, state: 'blocked' }),
      forPeople: found.value('leadmirror_streams_action_required', { stream }),
      limits: found.series('leadmirror_stream_fresh_within_seconds'),
      circuits: found.value('leadmirror_budgets', { state: 'circuit_open' }),
      left: found.value('leadmirror_budget_circuit_open', { credential: 't:left' }),
    }).toEqual({ stale: 2, overdue: 1, blocked: 1, forPeople: 0, limits: 2, circuits: 1, left: 0 });
  });

  it('counts every lease, and no differences that a full sync settled', async () => {
    await addFacts();
    await store.query(`update sync.checkpoints set lease_until = now() + interval '1 minute'`);
    await store.query(
      `insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at, lease_until)
       values ('tiledesk:shop', 'tiledesk.leads', 'reconcile', now() - interval '9 minutes', now() - interval '8 minutes', now() - interval '1 second')`,
    );
    serve();
    const found = await scrape();
    const active = ['backfill', 'incremental', 'reconcile'].map((pass) =>
      found.value('leadmirror_runs_active', { pass }),
    );
    expect(active).toEqual([1, 1, 0]);
    expect(found.value('leadmirror_verification_differences')).toBe(0);
    expect(found.value('leadmirror_stream_verification_differences')).toBe(0);
  });

  it('is asked for once in five seconds, however many scrape', async () => {
    await addFacts();
    let asked = 0;
    const prisma = new Proxy(store.prisma, {
      get(target, name) {
        if (name === '$queryRaw') asked += 1;
        return Reflect.get(target, name);
      },
    });
    serve({ prisma });
    await Promise.all([scrape(), scrape(), scrape()]);
    const after = asked;
    await scrape();
    expect(after).toBeGreaterThan(0);
    expect(asked).toBe(after);
  });

  it('is missing, and said to be, while the database is away: the rest is served', async () => {
    const refuse = async () => {
      throw new Error('away');
    };
    serve({ prisma: { $queryRaw: refuse } as unknown as Store['prisma'] });
    const found = await scrape();
    expect(found.value('leadmirror_database_up')).toBe(0);
    expect(found.series('leadmirror_stream_lag_seconds')).toBe(0);
    expect(found.value('leadmirror_build_info')).toBe(1);
  });
});

describe('what this process did', () => {
  it('is counted: runs, rows, requests by status, waits, pages', async () => {
    serve();
    const instruments = new Instruments(processMetrics, null);
    const facts = { connection: 'tiledesk:shop', stream: 'tiledesk.leads', pass: 'incremental' };
    const counts = { read: 5, created: 2, updated: 1, unchanged: 2, deleted: 0, quarantined: 0 };
    for (let i = 0; i < 2; i++) await instruments.run(facts, async () => ({ slice: counts, outcome: 'succeeded' }));
    // A turn of a run that goes on: its rows are counted, and it has not ended.
    await instruments.run(facts, async () => ({ slice: counts, outcome: 'postponed', error: { code: 'yielded' } }));
    const answers = [200, 200, 429, 404, 503];
    const sender = instruments.sender<{ method: string; url: string }, { status: number }>('tiledesk', {
      async send() {
        const status = answers.shift();
        if (status === undefined) throw new TransientError('timeout', 'no answer');
        return { status };
      },
    });
    for (let i = 0; i < 6; i++) await sender.send({ method: 'GET', url: 'https://api.example.com/x' }).catch(() => {});
    await instruments.clock('tiledesk', { now: () => 0, sleep: async () => {} }).sleep(10);
    instruments.onPageWritten({ stream: 'tiledesk.leads', durationMs: 20 });
    const found = await scrape();
    const stream = 'tiledesk.leads';
    expect(found.value('leadmirror_runs_total', { stream, pass: 'incremental', outcome: 'succeeded' })).toBe(2);
    expect(found.value('leadmirror_runs_total', { outcome: 'postponed' })).toBeUndefined();
    expect(found.value('leadmirror_run_duration_seconds')).toBe(2);
    expect(found.value('leadmirror_rows_total', { stream, action: 'created' })).toBe(6);
    const statuses = ['2xx', '429', '4xx', '5xx', 'timeout'].map((status) => [
      status,
      found.value('leadmirror_upstream_requests_total', { source: 'tiledesk', status }),
    ]);
    expect(Object.fromEntries(statuses)).toEqual({ '2xx': 2, '429': 1, '4xx': 1, '5xx': 1, timeout: 1 });
    expect(found.value('leadmirror_upstream_request_duration_seconds')).toBe(6);
    expect(found.value('leadmirror_upstream_wait_seconds')).toBe(1);
    expect(found.value('leadmirror_page_write_duration_seconds', {})).toBe(1);
  });
});

describe('an answer that is remembered', () => {
  it('is read once for all who ask at once, and an old one is given when the new one is late', async () => {
    serve();
    let reads = 0;
    let open = () => {};
    const remembered = new Remembered(
      async () => {
        reads += 1;
        const opened = new Promise<void>((resolve) => {
          open = resolve;
        });
        if (reads > 1) await opened;
        return reads;
      },
      { minAgeMs: 0, restShare: 0 },
    );
    expect(await Promise.all([remembered.getWithin(1000), remembered.getWithin(1000)])).toEqual([1, 1]);
    expect(await remembered.getWithin(20)).toBe(1);
    open();
    expect(await remembered.getWithin(1000)).toBe(2);
  });

  it('is asked for again when a read failed, and the one before it serves meanwhile', async () => {
    serve();
    let reads = 0;
    const read = async () => {
      reads += 1;
      if (reads === 2) throw new Error('away');
      return reads;
    };
    const remembered = new Remembered(read, { minAgeMs: 0, restShare: 0 });
    expect([await remembered.get(), remembered.isHealthy]).toEqual([1, true]);
    expect([await remembered.getWithin(1000), remembered.isHealthy]).toEqual([1, false]);
    expect([await remembered.get(), remembered.isHealthy]).toEqual([3, true]);
    reads = 1;
    await expect(remembered.get()).rejects.toThrow('away');
  });

  it('is rested upon for as long as it was dear', async () => {
    serve();
    let reads = 0;
    const remembered = new Remembered(
      async () => {
        reads += 1;
        await new Promise((resolve) => setTimeout(resolve, 20));
        return reads;
      },
      { minAgeMs: 0, restShare: 1_000 },
    );
    await remembered.getWithin(1000);
    expect(await remembered.getWithin(1000)).toBe(1);
  });
});

interface Documented {
  readonly name: string;
  readonly type: string;
  readonly labels: string;
  readonly help: string;
}

/** The rows of the tables in docs/metrics.md. */
function documented(): Documented[] {
  const rows = read('docs/metrics.md').matchAll(/^\| `(leadmirror_\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$/gm);
  return [...rows].map(([, name = '', type = '', labels = '', help = '']) => ({
    name,
    type,
    labels: labels.trim(),
    help,
  }));
}

describe('docs/metrics.md', () => {
  const ONLY_ON_LINUX = /_(open_fds|max_fds|virtual_memory_bytes|heap_bytes)$/;

  it('names every metric that is served, as it is served, and no other', async () => {
    serve();
    const { families } = await scrape();
    const here = (name: string) => process.platform === 'linux' || !ONLY_ON_LINUX.test(name);
    const wanted = documented().filter(({ name }) => here(name));
    const served = [...families.values()]
      .map(({ name, type, help }) => `${name} ${type.toLowerCase()}: ${help}`)
      .sort();
    expect(wanted.map(({ name, type, help }) => `${name} ${type}: ${help}`).sort()).toEqual(served);
  });

  it('names the labels of each', async () => {
    await addFacts();
    await store.query(
      `insert into sync.budgets (credential, base_spacing_ms, spacing_ms, day_limit) values ('tiledesk:api:0', 300, 600, 5000)`,
    );
    serve();
    const { families } = await scrape();
    const labels = new Map(documented().map(({ name, labels }) => [name, labels]));
    const wrong = [...families.values()].flatMap(({ name, metrics = [] }) => {
      const seen = Object.keys(metrics[0]?.labels ?? {}).filter((label) => label !== 'le' && label !== 'quantile');
      const told = [...(labels.get(name) ?? '').matchAll(/`(\w+)`/g)].map(([, label]) => label);
      return seen.length > 0 && seen.sort().join() !== told.sort().join() ? [`${name}: ${seen}`] : [];
    });
    expect(wrong).toEqual([]);
  });
});

describe('dashboard and rules', () => {
  const folder = 'deploy/monitoring';
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(json|ya?ml)$/.test(path))
    .map((path) => join(folder, path));
  beforeEach(() => serve());

  it.each(files)('%s can be read', (path) => {
    const content: unknown = path.endsWith('.json') ? JSON.parse(read(path)) : parseYaml(read(path));
    expect(typeof content).toBe('object');
  });

  it.each(files)('%s names metrics that are there', (path) => {
    const names = documented().flatMap(({ name, type }) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    );
    const used = [...read(path).matchAll(/\bleadmirror_\w+/g)].map(([name]) => name);
    expect(used.filter((name) => !names.includes(name))).toEqual([]);
  });

  it('show something: the dashboard has panels with questions, the rules have expressions and advice', () => {
    const { panels } = JSON.parse(read(`${folder}/grafana/dashboards/leadmirror.json`)) as {
      panels: { type: string; targets?: { expr: string }[] }[];
    };
    const shown = panels.filter(({ type }) => type !== 'row');
    expect(shown.length).toBeGreaterThan(20);
    expect(shown.filter(({ targets }) => !targets?.every(({ expr }) => expr !== ''))).toEqual([]);
    const { groups } = parseYaml(read(`${folder}/alerts.yml`)) as {
      groups: { rules: { alert: string; expr: string; annotations: { summary?: string; next?: string } }[] }[];
    };
    const rules = groups.flatMap((group) => group.rules);
    expect(rules.length).toBeGreaterThan(8);
    expect(rules.filter(({ expr, annotations }) => !expr || !annotations.summary || !annotations.next)).toEqual([]);
    // Two sides that keep different labels never meet.
    const meets = (expr: string) => new Set(expr.match(/\b(by|without) \([^)]*\)/g)).size === 1;
    const unlike = rules.filter(
      ({ expr }) => /\{outcome=.*\bunless\b/s.test(expr) && (!meets(expr) || expr.includes('without')),
    );
    expect(unlike).toEqual([]);
  });
});
