/**
 * How fast is a first full read, and how much of what this machine can do is that? Three figures from one run:
 *
 *   drain   the same pages fetched by a bare keep-alive client, parsed and thrown away
 *   write   the same rows written with the bare statement, page by page, one connection, nothing else
 *   mirror  leadmirror, in a process of its own: fetch, map, write, checkpoint
 *
 * The simulated upstream runs unthrottled in its own process. Rounds alternate, so that a machine whose speed drifts slows all three alike; the
 * median of the rounds counts.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { Agent, request } from 'undici';
import { silentLogger } from '../../src/logger.ts';
import { createRequestsStream, mapRequest } from '../../src/sources/tiledesk/requests.ts';
import { poolConfig } from '../../src/store/database.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { encodeRows } from '../../src/store/page-json.ts';
import { buildUpsertSql } from '../../src/store/upsert-sql.ts';

const ROWS = Number(process.env.BENCH_ROWS ?? 25_000);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const PAGE = 100;

interface Upstream {
  readonly url: string;
  readonly projectId: string;
  readonly email: string;
  readonly password: string;
}

function startChild(name: string, env: Record<string, string>) {
  const child = fork(fileURLToPath(new URL(`./${name}.js`, import.meta.url)), {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return { child, message: once(child, 'message').then(([message]) => message) };
}

/** Newest first by creation, one page after the other, as the mirror reads them. */
async function drain(upstream: Upstream, keep: (text: string) => void): Promise<number> {
  const agent = new Agent({ connections: 1 });
  const pair = Buffer.from(`${upstream.email}:${upstream.password}`).toString('base64');
  const from = performance.now();
  for (let page = 0; page * PAGE < ROWS; page++) {
    const query = `status=all&preflight=true&no_populate=true&no_count=true&sort=_id&direction=-1&limit=${PAGE}&page=${page}`;
    const { body } = await request(`${upstream.url}/${upstream.projectId}/requests?${query}`, {
      dispatcher: agent,
      headers: { authorization: `Basic ${pair}` },
    });
    const text = await body.text();
    JSON.parse(text);
    keep(text);
  }
  const ms = performance.now() - from;
  await agent.close();
  return ms;
}

async function write(url: string, pages: readonly string[], sql: string): Promise<number> {
  const client = new pg.Client(poolConfig(url, 1));
  await client.connect();
  await client.query('truncate tiledesk.requests');
  const from = performance.now();
  for (const json of pages) await client.query(sql, [json, 'bench', 1, null]);
  const ms = performance.now() - from;
  await client.end();
  return ms;
}

interface MirrorFigures {
  readonly ms: number;
  readonly rows: number;
  readonly peakMb: number;
}

async function mirror(url: string, upstream: Upstream): Promise<MirrorFigures> {
  const client = new pg.Client(poolConfig(url, 1));
  await client.connect();
  await client.query('truncate tiledesk.requests, sync.checkpoints, sync.runs, sync.streams');
  await client.end();
  const { child, message } = startChild('mirror-child', {
    DATABASE_URL: url,
    TILEDESK_BASE_URL: upstream.url,
    TILEDESK_PROJECT_ID: upstream.projectId,
    TILEDESK_EMAIL: upstream.email,
    TILEDESK_PASSWORD: upstream.password,
    TILEDESK_REQUESTS_PER_MINUTE: '100000',
  });
  const figures = (await message) as MirrorFigures;
  await once(child, 'exit');
  return figures;
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const perSecond = (ms: number) => Math.round((ROWS / ms) * 1000);

const home = await mkdtemp(join(tmpdir(), 'leadmirror-bench-'));
const postgres = await startEmbeddedPostgres({ home, logger: silentLogger() });
const notAsked = () => Promise.reject(new Error('not asked'));
const sandbox = startChild('sandbox-child', { BENCH_ROWS: String(ROWS) });
try {
  const upstream = (await sandbox.message) as Upstream;
  await migrate({ url: postgres.url });
  const stream = createRequestsStream({
    api: { get: notAsked, exists: notAsked, verify: notAsked },
    pageSize: PAGE,
    fullWalkKey: 'id',
    privacy: { storeVisitorPii: false, storeLinks: false },
  });
  const pages: string[] = [];
  await drain(upstream, (text) => {
    const { requests } = JSON.parse(text) as { requests: unknown[] };
    pages.push(encodeRows(requests.map((record) => mapRequest(stream.redactRecord(record)))));
  });
  const sql = buildUpsertSql(stream.table);

  const drained: number[] = [];
  const written: number[] = [];
  const mirrored: MirrorFigures[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    drained.push(await drain(upstream, () => {}));
    written.push(await write(postgres.url, pages, sql));
    mirrored.push(await mirror(postgres.url, upstream));
    const last = mirrored.at(-1);
    process.stdout.write(
      `round ${round}: drain ${perSecond(drained.at(-1) ?? 0)}, write ${perSecond(written.at(-1) ?? 0)}, mirror ${perSecond(last?.ms ?? 0)} rows/s, ${last?.rows} rows, peak ${last?.peakMb} MB\n`,
    );
  }
  const limit = Math.max(median(drained), median(written));
  const own = median(mirrored.map(({ ms }) => ms));
  process.stdout.write(
    `\n${ROWS} requests, page size ${PAGE}, median of ${ROUNDS} rounds, rows/s:
  drain   ${perSecond(median(drained))}
  write   ${perSecond(median(written))}
  mirror  ${perSecond(own)}
mirror / slower limit: ${(limit / own).toFixed(2)}
peak memory of the mirroring process: ${Math.max(...mirrored.map(({ peakMb }) => peakMb))} MB\n`,
  );
} finally {
  sandbox.child.kill();
  await postgres.close();
  await rm(home, { recursive: true, force: true });
}
