/**
 * How soon is a change in the mirror where the intervals adapt, and what does that cost? The simulated Tiledesk and Tilkee, each with its own request
 * limit, change at random, and a daemon follows them with the schedule that is the default.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../../sandbox/tiledesk.ts';
import { createTilkeeSandbox, type TilkeeSandbox } from '../../../sandbox/tilkee.ts';
import { groupBy } from '../../../src/group-by.ts';
import { type Cli, until } from '../cli.ts';
import { variables } from '../mirror.ts';
import { createTestDatabase } from '../postgres.ts';
import { tilkeeVariables } from '../tilkee-mirror.ts';
import { percentile } from './print.ts';
import { Daemons, openQueue, type QueueKind } from './processes.ts';

export interface FreshnessOptions {
  readonly cli: Cli;
  readonly queue: QueueKind;
  /** How often something changes, in all streams of a source together. */
  readonly tiledeskChangesPerSecond: number;
  readonly tilkeeChangesPerSecond: number;
  readonly tiledeskPerMinute: number;
  readonly tilkeePerMinute: number;
  readonly warmUpMs: number;
  readonly forMs: number;
}

export interface StreamFreshness {
  readonly stream: string;
  readonly changes: number;
  /** Changes that the mirror did not have in the end. */
  readonly missed: number;
  readonly medianMs: number;
  readonly p95Ms: number;
  readonly maxMs: number;
  readonly passesPerMinute: number;
  /** Of those that found something. */
  readonly requestsPerPass: number;
}

export interface SourceFreshness {
  readonly source: 'tiledesk' | 'tilkee';
  readonly requestsPerMinute: number;
  readonly allowedPerMinute: number;
  readonly streams: readonly StreamFreshness[];
}

interface Change {
  readonly stream: string;
  readonly id: string;
  readonly at: number;
  seenAt: number | null;
}

const LOOK_MS = 250;
/** What changed last gets so long to arrive. */
const REST_MS = 120_000;

/** Null where there is no Redis. */
export async function measureFreshness(options: FreshnessOptions): Promise<readonly SourceFreshness[] | null> {
  const { cli, warmUpMs, forMs, tiledeskPerMinute, tilkeePerMinute } = options;
  const queue = await openQueue(options.queue);
  if (queue === null) return null;
  const tiledesk = createTiledeskSandbox({ requestsPerMinute: tiledeskPerMinute });
  const tilkee = createTilkeeSandbox({ requestsPerMinute: tilkeePerMinute });
  cli.guard(tiledesk);
  const database = await createTestDatabase();
  const daemons = new Daemons(cli, {
    ...variables(tiledesk, (await tiledesk.listen()).url, database.url),
    ...tilkeeVariables(tilkee, await tilkee.listen(), database.url),
    ...queue.env,
    ...{ TILEDESK_MAX_PAGE_SIZE: '1000', TILEDESK_REQUESTS_PER_MINUTE: String(tiledeskPerMinute) },
    TILKEE_REQUESTS_PER_MINUTE: String(tilkeePerMinute),
  });
  const client = new pg.Client({ connectionString: database.url });
  const stopping = new AbortController();
  try {
    await client.connect();
    await daemons.start('scheduler,worker');
    await until('the first full reads are complete', () => isRead(client), 600_000);
    const changes: Change[] = [];
    const watching = watch({ client, changes, look: createLook(tiledesk, tilkee), signal: stopping.signal });
    tiledesk.startLive({ changesPerSecond: options.tiledeskChangesPerSecond });
    tilkee.startLive({ changesPerSecond: options.tilkeeChangesPerSecond });
    await delay(warmUpMs);
    const startedAt = Date.now();
    const before = { tiledesk: tiledesk.log.length, tilkee: tilkee.log.length };
    await delay(forMs);
    const endedAt = Date.now();
    const requests = { tiledesk: tiledesk.log.length - before.tiledesk, tilkee: tilkee.log.length - before.tilkee };
    await delay(REST_MS);
    stopping.abort();
    await watching;
    const passes = await readPasses(client, startedAt, endedAt);
    // Archived before a pass has read it: as documented, the full sync brings it.
    const isLeft = ({ stream, id, seenAt }: Change) =>
      seenAt === null && stream === 'tilkee.tokens' && tilkee.data.get('token', Number(id))?.archived_at !== null;
    const byStream = groupBy(
      changes.filter((change) => change.at >= startedAt && change.at < endedAt && !isLeft(change)),
      ({ stream }) => stream,
    );
    const minutes = (endedAt - startedAt) / 60_000;
    const reportOf = (source: SourceFreshness['source'], allowedPerMinute: number): SourceFreshness => ({
      ...{ source, allowedPerMinute, requestsPerMinute: requests[source] / minutes },
      streams: passes
        .filter(({ stream }) => stream.startsWith(`${source}.`))
        .map(({ stream, passes, requests }) => ({
          ...{ stream, passesPerMinute: passes / minutes, requestsPerPass: requests },
          ...summarize(byStream.get(stream) ?? []),
        })),
    });
    return [reportOf('tiledesk', tiledeskPerMinute), reportOf('tilkee', tilkeePerMinute)];
  } finally {
    stopping.abort();
    await daemons.stop();
    await Promise.all([tiledesk.close(), tilkee.close(), client.end()]);
    await database.drop();
    await queue.close();
  }
}

function summarize(changes: readonly Change[]) {
  const lags = changes.flatMap(({ at, seenAt }) => (seenAt === null ? [] : [seenAt - at]));
  return {
    ...{ changes: changes.length, missed: changes.length - lags.length },
    ...{ medianMs: percentile(lags, 0.5), p95Ms: percentile(lags, 0.95), maxMs: percentile(lags, 1) },
  };
}

async function isRead(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ isRead: boolean }>(
    `select bool_and(state = 'fresh') as "isRead" from sync.status`,
  );
  return rows[0]?.isRead === true;
}

async function readPasses(client: pg.Client, fromMs: number, toMs: number) {
  const { rows } = await client.query<{ stream: string; passes: number; requests: number }>(
    `select stream, sum(1 + idle_runs)::float8 as passes, avg(requests)::float8 as requests from sync.runs
     where pass = 'incremental' and started_at between to_timestamp($1::float8 / 1000) and to_timestamp($2::float8 / 1000)
     group by stream order by stream`,
    [fromMs, toMs],
  );
  return rows;
}

/** When each object last changed, by stream and id. Of Tilkee only new ones: what is edited is left to its full syncs. */
function createLook(tiledesk: TiledeskSandbox, tilkee: TilkeeSandbox) {
  const { leads, requests } = tiledesk.data;
  const ms = (time: string | undefined): number => Date.parse(time ?? '');
  return () => [
    ...[...leads.values()].map(({ _id, updatedAt }) => ['tiledesk.leads', _id, ms(updatedAt)] as const),
    ...[...requests.values()].map(({ _id, updatedAt }) => ['tiledesk.requests', _id, ms(updatedAt)] as const),
    ...tilkee.data.all('project').map(({ _id, created_at }) => ['tilkee.projects', _id, created_at] as const),
    ...tilkee.data.all('item').map(({ _id, created_at }) => ['tilkee.items', _id, created_at] as const),
    ...tilkee.data.all('token').map(({ _id, created_at }) => ['tilkee.tokens', _id, created_at] as const),
    ...tilkee.data.all('connexion').map(({ _id, created_at }) => ['tilkee.connexions', _id, created_at] as const),
  ];
}

interface Watched {
  readonly client: pg.Client;
  readonly changes: Change[];
  readonly look: ReturnType<typeof createLook>;
  readonly signal: AbortSignal;
}

/** A row that was written after a change has it. */
async function watch({ client, changes, look, signal }: Watched): Promise<void> {
  const known = new Map(look().map(([stream, id, at]) => [`${stream} ${id}`, at]));
  let open: Change[] = [];
  while (!signal.aborted) {
    for (const [stream, id, at] of look()) {
      if (known.get(`${stream} ${id}`) === at) continue;
      known.set(`${stream} ${id}`, at);
      const change = { stream, id, at, seenAt: null };
      changes.push(change);
      open.push(change);
    }
    for (const [stream, own] of groupBy(open, (change) => change.stream)) {
      const { rows } = await client.query<{ id: string; at: number }>(
        `select id, (extract(epoch from synced_at) * 1000)::float8 as at from ${stream} where id = any($1)`,
        [own.map(({ id }) => id)],
      );
      const writtenAt = new Map(rows.map(({ id, at }) => [id, at]));
      for (const change of own) {
        const at = writtenAt.get(change.id);
        if (at !== undefined && at > change.at) change.seenAt = at;
      }
    }
    open = open.filter(({ seenAt }) => seenAt === null);
    await delay(LOOK_MS, undefined, { signal }).catch(() => {});
  }
}
