/**
 * What history costs the writer: two databases on one server, one with history of requests and one without, get the same pages of 100 in turns. For each
 * kind of page (rows created, a tracked column of every row changed, another field of every row changed, nothing changed) it prints the median time of a
 * page and the bytes of WAL per row, and both as shares of off. Then what <stream>_as_of takes for one account with BENCH_VERSIONS versions, and what their
 * reports do.
 *
 *   BENCH_WHAT=feed measures the feed of changes instead, BENCH_WHAT=suppressions what BENCH_ERASED (100000) erased rows cost pages of leads, of which
 *   BENCH_ROWS (1000000) are there: time, and bytes of memory for each
 *   BENCH_PAGES pages of 100 (100), BENCH_ROUNDS rounds of each change (5), BENCH_VERSIONS (1000000; 0: not asked)
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { silentLogger } from '../../src/logger.ts';
import { LEADS } from '../../src/sources/tiledesk/leads.ts';
import { REQUESTS } from '../../src/sources/tiledesk/requests.ts';
import { createDatabase } from '../../src/store/database.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded/embedded.ts';
import { acquireLease } from '../../src/store/engine/leases.ts';
import { noCounts } from '../../src/store/engine/runs.ts';
import { migrate } from '../../src/store/migrate.ts';
import { ensureFeed } from '../../src/store/mirror/feed.ts';
import { ensureHistory } from '../../src/store/mirror/history.ts';
import { encodePage, writePage } from '../../src/store/mirror/pages.ts';
import { createPrivacyGuard } from '../../src/store/privacy/guard.ts';
import { ensurePrivacySecret } from '../../src/store/privacy/key.ts';
import { NO_SUPPRESSIONS, readPrivacyEpoch, type Suppressions } from '../../src/store/privacy/suppressions.ts';
import { openSession } from '../../src/store/session.ts';
import type { Stream } from '../../src/stream.ts';
import { suppress } from '../../src/sync/privacy/rules.ts';
import { printVerdicts, type Verdict } from '../helpers/bench/print.ts';

const PAGES = Number(process.env.BENCH_PAGES ?? 100);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const VERSIONS = Number(process.env.BENCH_VERSIONS ?? 1_000_000);
const WHAT = process.env.BENCH_WHAT ?? 'history';
const IS_LEADS = WHAT === 'suppressions';
const STREAM = IS_LEADS ? 'tiledesk.leads' : 'tiledesk.requests';
const { table, mapRecord } = IS_LEADS ? LEADS : REQUESTS;
const stream = { name: STREAM, table, mapRecord } as Stream;
const ERASED = Number(process.env.BENCH_ERASED ?? 100_000);
const ROWS = Number(process.env.BENCH_ROWS ?? 1_000_000);
const DAY = 86_400_000;

type Kind = 'created' | 'tracked' | 'untracked' | 'unchanged';
interface Cost {
  readonly ms: number;
  readonly wal: number;
}

const CHANGES: Readonly<Record<string, typeof ensureFeed | typeof ensureHistory>> = {
  feed: ensureFeed,
  history: ensureHistory,
};
const MOST = IS_LEADS ? 0.05 : 0.15;
const verdicts: Verdict[] = [];
const home = await mkdtemp(join(tmpdir(), 'leadmirror-bench-'));
const postgres = await startEmbeddedPostgres({ home, logger: silentLogger() });
const sql = await openSession(postgres.url);
const median = (all: readonly number[]): number => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;

/** About 1 KB, as leads have. */
function leadRecord(index: number, version: number, status: number): unknown {
  const at = new Date(Date.UTC(2026, 0, 1) + index * 1000 + version * DAY).toISOString();
  return {
    ...{ _id: String(index).padStart(24, '0'), lead_id: `lead-${index}`, status: 100, createdAt: at, updatedAt: at },
    ...{ fullname: `Invented ${index}`, email: `invented.${index}@example.com`, phone: `+39000${1_000_000 + index}` },
    ...{ company: `Company ${status}`, attributes: { text: textOf(index * 31 + version).slice(0, 600) } },
  };
}

/** About 3 KB, as conversations with their snapshot have. */
function record(index: number, version: number, status: number): unknown {
  const at = new Date(Date.UTC(2026, 0, 1) + index * 1000 + version * DAY).toISOString();
  return {
    ...{
      _id: String(index).padStart(24, '0'),
      request_id: `support-group-${index}`,
      status,
      createdAt: at,
      updatedAt: at,
    },
    ...{ department: 'd'.repeat(24), participants: [`a${index % 9}`], participantsAgents: [`a${index % 9}`], tags: [] },
    ...{
      channel: { name: 'chat21' },
      attributes: { last_message: `message ${version}` },
      snapshot: { text: textOf(index * 31 + version), index },
    },
  };
}

/** Invented words: as far compressible as a transcript is. */
function textOf(seed: number): string {
  let state = seed + 1;
  const next = (below: number): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  const words = Array.from({ length: 380 }, () =>
    String.fromCharCode(...Array.from({ length: 2 + next(8) }, () => 97 + next(26))),
  );
  return words.join(' ');
}

/** Other leads of the account. */
async function fill(url: string): Promise<void> {
  const own = await openSession(url);
  await own.query(
    `insert into tiledesk.leads (connection_id, id, lead_id, email, status, raw, content_hash, synced_at, first_seen_at, created_at, run_id)
      select 'tiledesk:bench', 'old-' || n, 'lead-old-' || n, 'old.' || n || '@example.com', 100, '{}', md5(n::text), now(), now(), now(), 1
      from generate_series(1, $1::int) n`,
    [ROWS],
  );
  await own.query('vacuum analyze tiledesk.leads');
  await own.end();
}

/** Erased rows, of which no page has one. Prints what their list takes. */
async function suppressAll(prisma: ReturnType<typeof createDatabase>['prisma'], url: string): Promise<Suppressions> {
  const secretKey = 'a-key-of-the-benchmark-0123456789';
  const signal = new AbortController().signal;
  await ensurePrivacySecret(prisma, secretKey, { given: null, signal });
  const own = await openSession(url);
  await own.query(
    `insert into sync.suppressions (connection_id, hash, erasure_id, kind, stream)
      select 'tiledesk:bench', decode(md5(n::text), 'hex'), gen_random_uuid(), 'row', 'tiledesk.leads' from generate_series(1, $1::int) n`,
    [ERASED],
  );
  await own.end();
  const memory = async () => {
    // What is freed by one collection lets the next one free more.
    for (let n = 0; n < 3; n++) {
      globalThis.gc?.();
      await delay(50);
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = await memory();
  const guard = createPrivacyGuard(prisma, { secretKey, journal: null });
  const list = await guard.load('tiledesk:bench', await readPrivacyEpoch(prisma));
  const bytes = ((await memory()) - before) / ERASED;
  const value = globalThis.gc === undefined ? 'not measured without --expose-gc' : `${Math.round(bytes)} bytes each`;
  verdicts.push({ name: 'memory', value, isWell: globalThis.gc === undefined || bytes <= 60, bound: 'at most 60' });
  return list;
}

async function open(name: string) {
  await sql.query(`create database ${name}`);
  const url = postgres.url.replace(/\/[^/?]+(\?|$)/, `/${name}$1`);
  await migrate({ url });
  const { prisma, close } = createDatabase({ url, logger: silentLogger(), maxConnections: 1 });
  if (name === 'history_on') await CHANGES[WHAT]?.({ prisma, url }, [table], [STREAM]);
  if (IS_LEADS) await fill(url);
  const list = IS_LEADS && name === 'history_on' ? await suppressAll(prisma, url) : NO_SUPPRESSIONS;
  const lease = await acquireLease(prisma, { connectionId: 'tiledesk:bench', stream: STREAM, pass: 'incremental' });
  if (lease === null) throw new Error('the lease is busy');
  const checkpoint = { cursor: {} };
  const write = async (records: readonly unknown[]): Promise<Cost> => {
    const before = (await sql.query<{ at: string }>('select pg_current_wal_insert_lsn() as at')).rows[0]?.at;
    const from = performance.now();
    const kept = await suppress(list, stream, { rows: records.map(mapRecord), bad: [] });
    const page = encodePage({ table, rows: kept.rows, bad: [], replaceWrittenBefore: null });
    await writePage(prisma, { lease, startedAt: new Date(), page, checkpoint, counts: noCounts(), end: null });
    const ms = performance.now() - from;
    const { rows } = await sql.query<{ wal: string }>('select pg_current_wal_insert_lsn() - $1::pg_lsn as wal', [
      before,
    ]);
    return { ms, wal: Number(rows[0]?.wal) / records.length };
  };
  return { url, write, close };
}

try {
  // The first change of a block after a checkpoint is written whole: there is one at the beginning only.
  await sql.query("alter system set max_wal_size = '20GB'");
  await sql.query("alter system set checkpoint_timeout = '1d'");
  await sql.query('select pg_reload_conf()');
  const [off, on] = [await open('history_off'), await open('history_on')];
  const costs = new Map<Kind, { off: Cost[]; on: Cost[] }>();
  const round = async (kind: Kind, version: number, status: number) => {
    const cost = costs.get(kind) ?? { off: [], on: [] };
    costs.set(kind, cost);
    for (let page = 0; page < PAGES; page++) {
      const records = Array.from({ length: 100 }, (_, n) =>
        (IS_LEADS ? leadRecord : record)(page * 100 + n, version, status),
      );
      const order = page % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const);
      for (const which of order) cost[which].push(await (which === 'on' ? on : off).write(records));
    }
  };
  await round('created', 0, 100);
  for (let n = 1; n <= ROUNDS; n++) {
    await round('tracked', 2 * n - 1, 100 + n);
    await round('untracked', 2 * n, 100 + n);
    await round('unchanged', 2 * n, 100 + n);
  }
  for (const [kind, cost] of costs) {
    const of = (which: 'off' | 'on', what: keyof Cost) => median(cost[which].map((one) => one[what]));
    const [ms, wal] = [
      of('on', 'ms') / of('off', 'ms') - 1,
      kind === 'unchanged' ? 0 : of('on', 'wal') / of('off', 'wal') - 1,
    ];
    const percent = (share: number) => `${share < 0 ? '' : '+'}${(share * 100).toFixed(1)} %`;
    const value = `${of('off', 'ms').toFixed(1)} -> ${of('on', 'ms').toFixed(1)} ms a page (${percent(ms)}), ${Math.round(of('off', 'wal'))} -> ${Math.round(of('on', 'wal'))} bytes of WAL a row (${percent(wal)})`;
    verdicts.push({
      name: kind,
      value,
      isWell: ms < MOST && wal < 0.2,
      bound: `time within ${MOST * 100} %, WAL within 20 %`,
    });
  }
  if (VERSIONS > 0 && WHAT === 'history') {
    const history = await openSession(on.url);
    await history.query(
      `insert into tiledesk.requests_history (connection_id, id, op, status, updated_at, changed_after, changed_before, seen_at, run_id)
      select 'tiledesk:many', lpad((n % ($1::int / 5))::text, 24, '0'), 'u', 100 + n % 2, at, at, at, at, 1
      from (select n, now() - interval '20 days' + n * interval '1 second' as at from generate_series(1, $1::int) n) v`,
      [VERSIONS],
    );
    await history.query('vacuum analyze tiledesk.requests_history');
    for (const by of ['seen', 'upstream']) {
      const from = performance.now();
      await history.query(
        `select status, count(*) from tiledesk.requests_as_of(now() - interval '15 days', $1) where connection_id = 'tiledesk:many' group by 1`,
        [by],
      );
      const ms = performance.now() - from;
      verdicts.push({
        name: `as_of, by ${by}`,
        value: `${Math.round(ms)} ms for ${VERSIONS} versions`,
        isWell: ms < 1000,
        bound: 'under 1 s',
      });
    }
    const time = async (name: string, statement: string, boundMs: number) => {
      const from = performance.now();
      await history.query(statement);
      const ms = performance.now() - from;
      verdicts.push({ name, value: `${Math.round(ms)} ms`, isWell: ms < boundMs, bound: `under ${boundMs} ms` });
    };
    await time('backlog, first computation', 'select reporting.refresh()', 60_000);
    await history.query('update tiledesk.requests set status = status + 1 where id < $1', ['300'.padStart(24, '0')]);
    await time('backlog, after 300 changes', 'select reporting.refresh()', 300);
    const month = 'select day, sum(open) from reporting.backlog_daily where day >= current_date - 30 group by day';
    await time('backlog, 30 days of it', month, 1_000);
    await history.end();
  }
  printVerdicts(WHAT, verdicts);
  await off.close();
  await on.close();
} finally {
  await sql.end();
  await postgres.close();
  await rm(home, { recursive: true, force: true });
}
