import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { Queues } from '../../workers/queues.ts';
import { createTestDatabase, databaseUrl } from '../helpers/postgres.ts';
import type { TestRedis } from '../helpers/redis.ts';

/** One mirror database and one place for its queue, both empty and of this test alone. */
export interface QueuePlace {
  readonly databaseUrl: string;
  readonly redisUrl: string | null;
  readonly prefix: string | undefined;
  /** The queue loses everything: FLUSHALL, or what comes closest. */
  wipe(): Promise<void>;
  /** Connections that are still open. */
  openConnections(): Promise<number>;
  close(): Promise<void>;
}

export interface QueuePlaces {
  readonly name: string;
  open(): Promise<QueuePlace>;
}

/** The two backends; without a Redis the first alone. */
export function queuePlaces(redis: TestRedis | null): QueuePlaces[] {
  const postgres = { name: 'Postgres', open: openInPostgres };
  return redis === null ? [postgres] : [postgres, { name: 'Redis', open: () => openInRedis(redis) }];
}

async function openInPostgres(): Promise<QueuePlace> {
  const database = await createTestDatabase();
  return {
    databaseUrl: database.url,
    redisUrl: null,
    prefix: undefined,
    wipe: () =>
      withClient(database.url, async (client) => {
        await client.query('truncate bullmq.job, bullmq.scheduler, bullmq.dedup, bullmq.dedup_next cascade');
      }),
    openConnections: () => countConnections(database.url),
    close: () => database.drop(),
  };
}

async function openInRedis(redis: TestRedis): Promise<QueuePlace> {
  const database = await createTestDatabase();
  const prefix = `{test-${randomBytes(4).toString('hex')}}`;
  const client = new Redis(redis.url);
  client.on('error', () => {});
  const before = await countClients(client);
  return {
    databaseUrl: database.url,
    redisUrl: redis.url,
    prefix,
    async wipe() {
      if (redis.isOwn) await client.flushall();
      else await removeKeys(client, prefix);
    },
    openConnections: async () =>
      (await countConnections(database.url)) + (redis.isOwn ? (await countClients(client)) - before : 0),
    async close() {
      await removeKeys(client, prefix);
      await client.quit();
      await database.drop();
    },
  };
}

async function countClients(client: Redis): Promise<number> {
  return String(await client.client('LIST'))
    .trim()
    .split('\n').length;
}

async function removeKeys(client: Redis, prefix: string): Promise<void> {
  const keys = await client.keys(`${prefix.replaceAll(/[{}]/g, '\\$&')}*`);
  if (keys.length > 0) await client.del(keys);
}

async function countConnections(url: string): Promise<number> {
  const name = new URL(url).pathname.slice(1);
  return withClient(databaseUrl(url, 'postgres'), async (client) => {
    const { rows } = await client.query<{ count: number }>(
      'select count(*)::int as count from pg_stat_activity where datname = $1',
      [name],
    );
    return rows[0]?.count ?? 0;
  });
}

/** Cuts every connection to the mirror's database, as a restart of the server does. */
export async function cutConnections(url: string): Promise<void> {
  const name = new URL(url).pathname.slice(1);
  await withClient(databaseUrl(url, 'postgres'), async (client) => {
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]);
  });
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Jobs that wait, run or are delayed, the ticks of the schedules left out. */
export async function countRuns(queues: Queues): Promise<number> {
  const lists = await Promise.all(
    Object.values(queues.lanes).map((queue) => queue.getJobs(['waiting', 'active', 'delayed'])),
  );
  return lists.flat().filter((job) => job?.name === 'run').length;
}
