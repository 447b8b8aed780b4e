/**
 * Do small connections stay fresh beside a very large first full read? Either small ones that are mirrored already are joined by one of a million rows, or
 * the large full read is at the head of the queue when the small ones join it, with first reads of their own. One worker does it all. The lag of each small
 * stream, as `sync.status` tells it, is looked at every second.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../../sandbox/tiledesk.ts';
import { type Cli, type Running, until } from '../cli.ts';
import { ENDLESS_ACCOUNT, endlessProjectId, startEndlessTiledesk } from '../endless-tiledesk.ts';
import { createTestDatabase } from '../postgres.ts';
import { writeConnections } from './connections.ts';
import { Daemons, openQueue, type QueueKind, useOf } from './processes.ts';

export interface FairnessOptions {
  readonly cli: Cli;
  readonly queue: QueueKind;
  readonly bulkConcurrency: number;
  /** Who comes second. */
  readonly joins: 'large' | 'small';
  readonly rows: number;
  /** Of the large connection, which all of the rows are shared by: `leads,requests` keeps two places of the bulk lane busy. */
  readonly largeStreams: string;
  /** Of the large connection: its budget may hold a worker up, or not. */
  readonly requestsPerMinute: number;
  readonly smallConnections: number;
  readonly smallRows: number;
  readonly intervalSeconds: number;
  readonly incrementalCron: string;
  readonly reconcileCron: string;
  /** The longest time to look, from when both are there; it ends earlier when the large full read does. */
  readonly forMs: number;
  /** And this long after the last small stream was read for the first time; unless told, it goes on. */
  readonly enoughMs?: number;
}

export interface SmallStream {
  readonly connection: string;
  readonly stream: string;
  /** From the start of the look to the end of the first full read, negative when it was before; null: not within the time. */
  readonly firstReadMs: number | null;
  /** The worst lag seen after that: how old the mirror was. Null before it. */
  readonly maxLagMs: number | null;
}

export interface FairnessReport {
  readonly queue: QueueKind;
  readonly lookedForMs: number;
  /** How long the large first full read took beside the others; null: it was still going on. */
  readonly largeReadMs: number | null;
  /** Rows of it in the mirror at the end. */
  readonly largeRows: number;
  readonly small: readonly SmallStream[];
  readonly failedRuns: number;
  readonly peakMemoryMb: number;
}

const LARGE = 'tiledesk:large';
/** Rows of the large connection arrive four times a minute, as they would. */
const SPACING_MS = 15_000;

/** Null where there is no Redis. */
export async function measureFairness(options: FairnessOptions): Promise<FairnessReport | null> {
  const { cli, rows, smallConnections, smallRows, forMs } = options;
  const queue = await openQueue(options.queue);
  if (queue === null) return null;
  const leads = options.largeStreams.includes('leads') ? Math.round(rows / 5) : 0;
  const lists = {
    leads: { rows: leads, spacingMs: SPACING_MS, isGrowing: true },
    requests: { rows: rows - leads, spacingMs: SPACING_MS, isGrowing: true },
  };
  const upstream = await startEndlessTiledesk({ project: () => lists });
  const sandboxes = Array.from({ length: smallConnections }, (_, n) =>
    createTiledeskSandbox({ seed: n + 1, leads: Math.round(smallRows / 3), requests: Math.round((smallRows * 2) / 3) }),
  );
  const small = await Promise.all(sandboxes.map(connectionOf));
  const large = {
    ...{ id: LARGE, source: 'tiledesk', baseUrl: upstream.url, projectId: endlessProjectId(1), ...ENDLESS_ACCOUNT },
    ...{ streams: options.largeStreams, requestsPerMinute: String(options.requestsPerMinute) },
  };
  const database = await createTestDatabase();
  const client = new pg.Client({ connectionString: database.url });
  const folder = await writeConnections(options.joins === 'small' ? [large] : small);
  const daemons = new Daemons(
    cli,
    {
      ...queue.env,
      DATABASE_URL: database.url,
      BULK_CONCURRENCY: String(options.bulkConcurrency),
      SYNC_INCREMENTAL_CRON: options.incrementalCron,
      SYNC_RECONCILE_CRON: options.reconcileCron,
    },
    folder.path,
  );

  /** The large one alone first: its job is then the oldest of the queue, and stays so over the restart. */
  async function joinSmall(): Promise<Running> {
    await daemons.start('scheduler,worker');
    await until('the large full read is under way', async () => (await countRows(client)) > 0, 60_000);
    await daemons.stop();
    await folder.write([large, ...small]);
    const daemon = await daemons.start('scheduler,worker');
    startChanges();
    return daemon;
  }

  /** The daemon reads its changed file by itself. */
  async function joinLarge(): Promise<Running> {
    const daemon = await daemons.start('scheduler,worker');
    startChanges();
    await until('the small ones are mirrored', () => areMirrored(client, smallConnections), 240_000);
    await folder.write([...small, large]);
    await until('the large full read is under way', async () => (await countRows(client)) > 0, 120_000);
    return daemon;
  }

  function startChanges(): void {
    for (const sandbox of sandboxes) sandbox.startLive({ changesPerSecond: 0.5 });
  }

  try {
    await client.connect();
    const daemon = await (options.joins === 'small' ? joinSmall() : joinLarge());
    const startedAt = Date.now();
    const lags = new Lags(startedAt);
    let largeReadMs: number | null = null;
    let peakMemoryMb = 0;
    let endAt = Date.now() + forMs;
    let isEnough = false;
    while (Date.now() < endAt) {
      await lags.look(client);
      peakMemoryMb = Math.max(peakMemoryMb, (await useOf(daemon.pid)).memoryMb);
      if (largeReadMs === null && (await isLargeRead(client))) {
        largeReadMs = Date.now() - startedAt;
        // One interval more, so that the last lags are seen to their end.
        endAt = Math.min(endAt, Date.now() + options.intervalSeconds * 1000);
      }
      if (!isEnough && options.enoughMs !== undefined && lags.areAllRead(smallConnections)) {
        isEnough = true;
        endAt = Math.min(endAt, Date.now() + options.enoughMs);
      }
      await delay(Math.min(1_000, options.intervalSeconds * 100));
    }
    const { rows: failed } = await client.query<{ n: number }>(
      "select count(*)::int as n from sync.runs where outcome = 'failed'",
    );
    const lookedForMs = Date.now() - startedAt;
    await daemons.stop();
    return {
      ...{ queue: options.queue, lookedForMs, largeReadMs, peakMemoryMb, small: lags.small },
      largeRows: await countRows(client),
      failedRuns: failed[0]?.n ?? 0,
    };
  } finally {
    await daemons.stop();
    await client.end();
    await upstream.close();
    await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
    await folder.remove();
    await database.drop();
    await queue.close();
  }
}

async function connectionOf(sandbox: TiledeskSandbox, n: number): Promise<Record<string, string>> {
  const { url } = await sandbox.listen();
  const { projectId, email, password } = sandbox;
  return { id: `tiledesk:small-${n + 1}`, source: 'tiledesk', baseUrl: url, projectId, email, password };
}

class Lags {
  readonly #startedAt: number;
  readonly #streams = new Map<
    string,
    { connection: string; stream: string; firstReadMs: number | null; maxLagMs: number | null }
  >();

  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  get small(): SmallStream[] {
    return [...this.#streams.values()];
  }

  areAllRead(connections: number): boolean {
    const known = this.small;
    return (
      new Set(known.map(({ connection }) => connection)).size === connections &&
      known.every(({ firstReadMs }) => firstReadMs !== null)
    );
  }

  async look(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{
      connection_id: string;
      stream: string;
      read_at: Date | null;
      lag_ms: number | null;
    }>(
      `select connection_id, stream, backfill_completed_at as read_at, (extract(epoch from clock_timestamp() - as_of) * 1000)::float8 as lag_ms
       from sync.status where connection_id <> '${LARGE}'`,
    );
    for (const { connection_id: connection, stream, read_at, lag_ms } of rows) {
      const key = `${connection} ${stream}`;
      const known = this.#streams.get(key) ?? { connection, stream, firstReadMs: null, maxLagMs: null };
      this.#streams.set(key, known);
      if (read_at === null) continue;
      known.firstReadMs ??= read_at.getTime() - this.#startedAt;
      known.maxLagMs = Math.max(known.maxLagMs ?? 0, lag_ms ?? Number.POSITIVE_INFINITY);
    }
  }
}

async function isLargeRead(client: pg.Client): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from sync.status where connection_id = '${LARGE}' and backfill_completed_at is null`,
  );
  return rowCount === 0;
}

async function areMirrored(client: pg.Client, connections: number): Promise<boolean> {
  const { rows } = await client.query<{ are: boolean }>(
    'select count(distinct connection_id) = $1 and bool_and(backfill_completed_at is not null) as are from sync.status',
    [connections],
  );
  return rows[0]?.are ?? false;
}

async function countRows(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    `select ((select count(*) from tiledesk.leads where connection_id = '${LARGE}')
      + (select count(*) from tiledesk.requests where connection_id = '${LARGE}'))::int as n`,
  );
  return rows[0]?.n ?? 0;
}
