import { type App, createApp } from '../../../src/app.ts';
import { loadConfig } from '../../../src/config.ts';
import { silentLogger } from '../../../src/logger.ts';
import { openSession } from '../../../src/store/session.ts';
import type { RunResult } from '../../../src/sync/run-pass.ts';
import { ENDLESS_ACCOUNT, type EndlessTiledesk, endlessProjectId, startEndlessTiledesk } from '../endless-tiledesk.ts';
import { seededRandom } from '../shifting-list.ts';

export interface CountFigures {
  readonly requests: number;
  readonly outcome: string;
  readonly deleted: number;
  readonly seconds: number;
}

const PROJECT = endlessProjectId(1);
/** A million are nine years. */
const SPACING_MS = 300_000;

/** An account of `rows` requests whose mirror is complete, without having read it; then `gone` of them are removed. */
export async function measureCounts({
  databaseUrl,
  rows,
  gone,
  seed = 1,
}: {
  databaseUrl: string;
  rows: number;
  gone: number;
  seed?: number;
}): Promise<{ before: CountFigures; found: CountFigures; after: CountFigures; isExact: boolean }> {
  const removed = new Set<number>();
  const list = { rows, spacingMs: SPACING_MS, gone: removed };
  const nothing = { rows: 0, spacingMs: SPACING_MS };
  const upstream = await startEndlessTiledesk({
    project: (id) => (id === PROJECT ? { leads: nothing, requests: list } : undefined),
  });
  const env = {
    ...{ DATABASE_URL: databaseUrl, TILEDESK_BASE_URL: upstream.url, TILEDESK_PROJECT_ID: PROJECT },
    ...{ TILEDESK_EMAIL: ENDLESS_ACCOUNT.email, TILEDESK_PASSWORD: ENDLESS_ACCOUNT.password },
    ...{ TILEDESK_STREAMS: 'requests', TILEDESK_REQUESTS_PER_MINUTE: '100000' },
  };
  const { signal } = new AbortController();
  const config = loadConfig({ env, cwd: '/', isTerminal: false });
  const app = await createApp(config, { logger: silentLogger(), signal });
  try {
    await fillMirror(app, upstream, rows);
    const before = await runCount(app, upstream, signal);
    const random = seededRandom(seed);
    while (removed.size < gone) removed.add(Math.floor(random() * rows));
    const found = await runCount(app, upstream, signal);
    const after = await runCount(app, upstream, signal);
    return { before, found, after, isExact: await isMarked(databaseUrl, removed) };
  } finally {
    await app.close();
    await upstream.close();
  }
}

/** All requests that the account got, incremental passes and requests by id included. */
async function runCount(app: App, upstream: EndlessTiledesk, signal: AbortSignal): Promise<CountFigures> {
  const found = app.findStream(app.connections[0]?.id ?? '', 'tiledesk.requests');
  if (found === undefined) throw new Error('no requests are configured');
  upstream.clearLog();
  const from = performance.now();
  const job = { ...found, pass: 'count', signal, maxWaitMs: 120_000, leaseWaitMs: 0 } as const;
  const { outcome, deleted, pass, error }: RunResult = await app.runPass(job);
  const seconds = (performance.now() - from) / 1000;
  return { requests: upstream.log.length, outcome: `${pass} ${outcome} ${error?.code ?? ''}`.trim(), deleted, seconds };
}

/** What a first full read would have left. */
async function fillMirror(app: App, upstream: EndlessTiledesk, rows: number): Promise<void> {
  const connection = app.connections[0]?.id ?? '';
  const newest = await newestOf(upstream);
  const first = newest - (rows - 1) * SPACING_MS;
  const sql = await openSession(app.database.url);
  try {
    await sql.query(
      `insert into tiledesk.requests (connection_id, id, request_id, created_at, updated_at, raw, content_hash, run_id, first_seen_at, synced_at)
       select $1, lpad(to_hex(floor(at / 1000)::bigint), 8, '0') || right($2, 10) || lpad(to_hex(n & 16777215), 6, '0'),
         'support-group-' || $2 || '-' || n, to_timestamp(at / 1000), to_timestamp(at / 1000), '{}', '', 0, now() - interval '1 day', now() - interval '1 day'
       from (select n, $3::float8 + n * $4::float8 as at from generate_series(0, $5::int - 1) n) numbered`,
      [connection, PROJECT, first, SPACING_MS, rows],
    );
    await sql.query('analyze tiledesk.requests');
    const watermark = JSON.stringify({ all: new Date(newest).toISOString() });
    await sql.query(
      `insert into sync.checkpoints (connection_id, stream, pass, watermark, walked_at, completed_at)
       values ($1, 'tiledesk.requests', 'backfill', null, null, now()), ($1, 'tiledesk.requests', 'incremental', $2::jsonb, $2::jsonb, now())`,
      [connection, watermark],
    );
  } finally {
    await sql.end();
  }
}

async function newestOf({ url }: EndlessTiledesk): Promise<number> {
  const headers = { authorization: 'JWT x' };
  const response = await fetch(`${url}/${PROJECT}/requests?status=all&preflight=true&limit=1`, { headers });
  const { requests } = (await response.json()) as { requests: { createdAt: string }[] };
  return Date.parse(requests[0]?.createdAt ?? '');
}

/** Whether exactly the removed rows are marked. */
async function isMarked(databaseUrl: string, removed: ReadonlySet<number>): Promise<boolean> {
  const sql = await openSession(databaseUrl);
  try {
    const { rows } = await sql.query<{ n: number }>(
      `select split_part(request_id, '-', 4)::int as n from tiledesk.requests where deleted_at is not null`,
    );
    return rows.length === removed.size && rows.every(({ n }) => removed.has(n));
  } finally {
    await sql.end();
  }
}
