/**
 * How fast is a first full read, and how much of what this machine can do is that? In each round, one after the other, so that a machine whose speed drifts
 * slows all alike:
 *
 *   drain    the same pages fetched by a bare client, parsed and forgotten
 *   write    the same rows written by the bare statement: a page, its checkpoint and its commit, on one connection
 *   mirror   leadmirror, in a process of its own: fetch, map, write, checkpoint
 *   again    leadmirror once more, over the same upstream: a full sync (reconcile) that finds nothing changed
 *   upserts  some of the same rows by Prisma's `upsert`, one after the other
 *
 * Each has a database of its own, so that none pays for what another left behind.
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { silentLogger } from '../../../src/logger.ts';
import { createLeadsStream } from '../../../src/sources/tiledesk/leads.ts';
import { createRequestsStream } from '../../../src/sources/tiledesk/requests.ts';
import { createDatabase } from '../../../src/store/database.ts';
import { encodeRows } from '../../../src/store/mirror/page-json.ts';
import { upsertSql } from '../../../src/store/mirror/pages.ts';
import { openSession } from '../../../src/store/session.ts';
import type { Row, Stream } from '../../../src/stream.ts';
import type { Cli } from '../cli.ts';
import { createTestDatabase } from '../postgres.ts';
import { type BenchStream, drain, type MirrorFigures, runMirror, startUpstream } from './children.ts';
import { type Figure, inRounds, median, type PartReport, perSecond, range, ratio } from './figures.ts';

export interface PipelineOptions {
  readonly cli: Cli;
  readonly stream: BenchStream;
  readonly rows: number;
  /** Rows that are shorter are filled up. */
  readonly bytesEach: number;
  readonly rounds: number;
  /** How many rows the loop of upserts takes; 0 leaves it out. */
  readonly upserts: number;
  readonly onProgress?: (text: string) => void;
}

export interface TableCounters {
  /** Rows in the table; what is deleted upstream is marked, not removed. */
  readonly rows: number;
  readonly inserted: number;
  /** Row versions written anew, and removed. */
  readonly updated: number;
  readonly deleted: number;
  /** Row versions that nobody sees any more; a vacuum takes them away. */
  readonly dead: number;
}

export interface PipelineRound {
  readonly drainMs: number;
  readonly writeMs: number;
  readonly mirror: MirrorFigures;
  readonly again: MirrorFigures;
  /** Per row; null: left out. */
  readonly upsertMs: number | null;
  readonly table: { readonly before: TableCounters; readonly after: TableCounters };
  /** Row versions that the second walk left behind in the tables of the mirror's own bookkeeping. */
  readonly deadElsewhere: number;
}

export interface PipelineMeasured {
  readonly options: Omit<PipelineOptions, 'cli' | 'onProgress'>;
  /** Of a row as the upstream sent it, on average. */
  readonly meanBytes: number;
  readonly rounds: readonly PipelineRound[];
}

export const PAGE = 100;
const CONNECTION = 'tiledesk:bench';

export async function measurePipeline(options: PipelineOptions): Promise<PipelineMeasured> {
  const { cli, stream, rows, bytesEach, rounds: wanted, upserts, onProgress } = options;
  const upstream = await startUpstream(cli, { [stream]: rows, bytesEach });
  try {
    const mapping = createMapping(stream);
    // Mapped and encoded outside of the time: the limit is what the database can do.
    const pages: Buffer[] = [];
    const some: Row[] = [];
    let bytes = 0;
    const keep = (records: readonly unknown[]) => {
      for (const record of records) bytes += Buffer.byteLength(JSON.stringify(record));
      const mapped = records.map((record) => mapping.mapRecord(mapping.redactRecord?.(record) ?? record));
      pages.push(encodeRows(mapped));
      some.push(...mapped.slice(0, Math.max(0, upserts - some.length)));
    };
    await drain(upstream, { stream, rows, pageSize: PAGE, keep });
    const rounds: PipelineRound[] = [];
    for (let round = 1; round <= wanted; round++) {
      const drainMs = await drain(upstream, { stream, rows, pageSize: PAGE });
      const writeMs = await onDatabase((url) => write(url, pages, mapping));
      const mirrored = await onDatabase(async (databaseUrl) => {
        const mirror = await runMirror(cli, upstream, { databaseUrl, stream, pass: 'backfill' });
        const before = await readCounters(databaseUrl, stream);
        const again = await runMirror(cli, upstream, { databaseUrl, stream, pass: 'reconcile' });
        const after = await readCounters(databaseUrl, stream);
        return {
          ...{ mirror, again, table: { before: before.table, after: after.table } },
          deadElsewhere: after.deadElsewhere - before.deadElsewhere,
        };
      });
      const upsertMs = upserts === 0 ? null : await onDatabase((url) => upsertEach(url, stream, some));
      rounds.push({ drainMs, writeMs, ...mirrored, upsertMs });
      const speeds = [drainMs, writeMs, mirrored.mirror.ms, mirrored.again.ms].map((ms) => perSecond(rows, ms));
      onProgress?.(`pipeline, round ${round} of ${wanted}: drain, write, mirror, again at ${speeds.join(', ')} rows/s`);
    }
    return {
      options: { stream, rows, bytesEach, rounds: wanted, upserts },
      meanBytes: Math.round(bytes / rows),
      rounds,
    };
  } finally {
    await upstream.close();
  }
}

export function describePipeline({ options, meanBytes, rounds }: PipelineMeasured): PartReport {
  const { stream, rows, upserts } = options;
  const speeds = (msOf: (round: PipelineRound) => number) =>
    `${range(
      rounds.map((round) => perSecond(rows, msOf(round))),
      String,
    )} rows/s`;
  const share = median(rounds.map(({ drainMs, writeMs, mirror }) => Math.max(drainMs, writeMs) / mirror.ms));
  const loops = rounds.flatMap(({ upsertMs, mirror }) => (upsertMs === null ? [] : [(upsertMs * rows) / mirror.ms]));
  const faster = median(rounds.map(({ mirror, again }) => mirror.ms / again.ms));
  const rewritten = Math.max(...rounds.map(rewrittenIn));
  const dead = Math.max(...rounds.map(({ table }) => table.after.dead - table.before.dead));
  const figures: Figure[] = [
    {
      ...{ name: 'first read / slower limit', value: ratio(share), measured: share },
      ...{ goal: '0.80 or more', isReached: share >= 0.8 },
    },
    ...(loops.length === 0
      ? []
      : [
          {
            ...{ name: 'first read / loop of Prisma upserts', value: ratio(median(loops)), measured: median(loops) },
            ...{ goal: '10 or more', isReached: median(loops) >= 10 },
          },
        ]),
    {
      ...{ name: 'full sync with nothing changed / first read', value: ratio(faster), measured: faster },
      ...{ goal: '1.00 or more', isReached: faster >= 1 },
    },
    {
      ...{ name: 'rows that it wrote anew', value: String(rewritten), measured: rewritten },
      ...{ goal: '0', isReached: rewritten === 0 },
    },
    {
      ...{ name: 'dead row versions that it left in the table', value: String(dead), measured: dead },
      ...{ goal: '0', isReached: dead <= 0 },
    },
    { name: 'first read', value: speeds(({ mirror }) => mirror.ms) },
    { name: 'full sync with nothing changed', value: speeds(({ again }) => again.ms) },
    { name: 'limit: bare fetch', value: speeds(({ drainMs }) => drainMs) },
    { name: 'limit: bare write', value: speeds(({ writeMs }) => writeMs) },
    ...(loops.length === 0
      ? []
      : [
          {
            name: `loop of Prisma upserts (${upserts} rows, the speed per row taken for all)`,
            value: speeds(({ upsertMs }) => (upsertMs ?? 0) * rows),
          },
        ]),
    {
      name: 'pages of a first read / least number of pages (pages overlap, so that nothing is missed)',
      value: ratio(median(rounds.map(({ mirror }) => mirror.pages / Math.ceil(rows / PAGE)))),
    },
    {
      name: 'peak memory of the mirroring process, without the command line',
      value: range(
        rounds.map(({ mirror }) => mirror.peakMb),
        (mb) => `${mb} MB`,
      ),
    },
    {
      name: 'dead row versions in tables of its own bookkeeping',
      value: String(median(rounds.map(({ deadElsewhere }) => deadElsewhere))),
    },
  ];
  return {
    part: 'pipeline',
    subject: `${rows} ${stream} of ${meanBytes} bytes, ${PAGE} a page, ${inRounds(rounds.length)}`,
    figures,
    wrong: rounds.flatMap((round, index) => wrongIn(round, rows).map((what) => `round ${index + 1}: ${what}`)),
    notMeasured: [
      'a real server and the way to it: the upstream answers at once, from the same machine, and takes its part of the cores',
      'starting the process and opening the database (see cold-start)',
      ...(loops.length === 0
        ? []
        : [`the loop of upserts beyond ${upserts} rows; it fetches nothing and keeps no checkpoint`]),
    ],
    rounds,
  };
}

const rewrittenIn = ({ table: { before, after } }: PipelineRound): number =>
  after.inserted - before.inserted + after.updated - before.updated + after.deleted - before.deleted;

function wrongIn({ mirror, again, table }: PipelineRound, rows: number): string[] {
  const wrong: string[] = [];
  if (mirror.created !== rows) wrong.push(`the first read created ${mirror.created} of ${rows} rows`);
  if (table.before.rows !== rows) wrong.push(`the table had ${table.before.rows} of ${rows} rows afterwards`);
  if (table.after.rows !== rows) wrong.push(`the table had ${table.after.rows} of ${rows} rows after the second walk`);
  if (again.read < rows) wrong.push(`the second walk read ${again.read} of ${rows} rows`);
  if (again.deleted > 0) wrong.push(`the second walk marked ${again.deleted} rows as deleted`);
  return wrong;
}

/** The stream's own mapping and table; nothing is asked. */
export function createMapping(stream: BenchStream): Stream {
  const notAsked = () => Promise.reject(new Error('not asked'));
  const create = stream === 'leads' ? createLeadsStream : createRequestsStream;
  return create({
    ...{
      api: { get: notAsked, exists: notAsked, verify: notAsked, fetchName: notAsked },
      pageSize: PAGE,
      maxPageSize: PAGE,
      fullSyncKey: 'id',
    },
    privacy: { storeVisitorPii: false, storeLinks: false },
  });
}

export async function onDatabase<T>(work: (url: string) => Promise<T>): Promise<T> {
  const database = await createTestDatabase();
  try {
    return await work(database.url);
  } finally {
    await database.drop();
  }
}

/** One transaction a page, with its checkpoint: what the mirror promises, and nothing else. */
export async function write(url: string, pages: readonly Buffer[], { table, name }: Stream): Promise<number> {
  const client = await openSession(url);
  try {
    await client.query(`insert into sync.checkpoints (connection_id, stream, pass) values ($1, $2, 'backfill')`, [
      CONNECTION,
      name,
    ]);
    const checkpoint =
      'update sync.checkpoints set cursor = $3::jsonb, updated_at = now() where connection_id = $1 and stream = $2';
    const from = performance.now();
    for (const [page, json] of pages.entries()) {
      await client.query('begin');
      await client.query(checkpoint, [CONNECTION, name, JSON.stringify({ page })]);
      const { text, values } = upsertSql(table, json, {
        connectionId: CONNECTION,
        runId: 1n,
        replaceWrittenBefore: null,
      });
      await client.query(text, values);
      await client.query('commit');
    }
    return performance.now() - from;
  } finally {
    await client.end();
  }
}

/** Milliseconds a row. */
async function upsertEach(url: string, stream: BenchStream, rows: readonly Row[]): Promise<number> {
  const { prisma, close } = createDatabase({ url, logger: silentLogger(), maxConnections: 1 });
  try {
    // The table's columns are only known to the mapping; Prisma checks them when it is called.
    const model = (stream === 'leads' ? prisma.tiledeskLead : prisma.tiledeskRequest) as unknown as {
      upsert(args: { where: object; create: object; update: object }): Promise<unknown>;
    };
    await prisma.$queryRaw`select 1`;
    const from = performance.now();
    for (const row of rows) {
      const given = Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
      const content_hash = createHash('md5').update(JSON.stringify(row.raw)).digest('hex');
      const data = { ...given, connection_id: CONNECTION, content_hash, run_id: 1n };
      const where = { connection_id_id: { connection_id: CONNECTION, id: row.id } };
      await model.upsert({ where, create: data, update: data });
    }
    return (performance.now() - from) / rows.length;
  } finally {
    await close();
  }
}

interface Counters {
  readonly table: TableCounters;
  readonly deadElsewhere: number;
}

/** What the database's own statistics say; those of a connection are complete when it is closed. */
async function readCounters(url: string, stream: BenchStream): Promise<Counters> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const others = 'select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()';
    const areLeaving = async () =>
      ((await client.query(`${others} and backend_type = 'client backend'`)).rowCount ?? 0) > 0;
    for (let waits = 0; waits < 100 && (await areLeaving()); waits++) await delay(20);
    const { rows } = await client.query<{ name: string } & Record<keyof TableCounters, string>>(
      `select schemaname || '.' || relname as name, n_tup_ins as inserted, n_tup_upd as updated, n_tup_del as deleted, n_dead_tup as dead
       from pg_stat_user_tables`,
    );
    const count = await client.query<{ rows: string }>(`select count(*) as rows from tiledesk.${stream}`);
    const own = rows.find(({ name }) => name === `tiledesk.${stream}`);
    const rest = rows.filter((row) => row !== own);
    return {
      table: {
        rows: Number(count.rows[0]?.rows),
        ...{ inserted: Number(own?.inserted), updated: Number(own?.updated), deleted: Number(own?.deleted) },
        dead: Number(own?.dead),
      },
      deadElsewhere: rest.reduce((sum, { dead }) => sum + Number(dead), 0),
    };
  } finally {
    await client.end();
  }
}
