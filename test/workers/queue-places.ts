import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import pRetry from 'p-retry';
import { isRetryableDatabaseError } from '../../src/store/faults.ts';
import type { Queues } from '../../workers/queues.ts';
import { type CuttableProxy, createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { createTestDatabase, databaseUrl, withClient } from '../helpers/postgres.ts';
import { startTestRedis, type TestRedis } from '../helpers/redis.ts';
import { startTestCluster, type TestCluster } from '../helpers/redis-cluster.ts';

/** One mirror database and one place for its queue, both empty and of this test alone. */
export interface QueuePlace {
  readonly databaseUrl: string;
  readonly redisUrl: string | null;
  readonly prefix: string | undefined;
  /** The queue loses everything: FLUSHALL, or what comes closest. */
  wipe(): Promise<void>;
  /** The Redis by way of a proxy that can take it away; not with the queue in Postgres. */
  cuttable(): Promise<CuttableProxy>;
  /** Connections that are still open. */
  openConnections(): Promise<number>;
  close(): Promise<void>;
}

export interface QueueBackendPlace {
  readonly name: string;
  open(): Promise<QueuePlace>;
}

export interface QueuePlaces {
  readonly list: readonly QueueBackendPlace[];
  /** Null where there is none, or none is wanted. */
  readonly redis: TestRedis | null;
  close(): Promise<void>;
}

/**
 * Postgres and Redis; without a Redis the first alone. `QUEUE_BACKENDS`, comma separated, chooses others: `postgres`, `redis`, `cluster`.
 * @throws for a place that is named there and cannot be had
 */
export async function openQueuePlaces(wanted = process.env.QUEUE_BACKENDS): Promise<QueuePlaces> {
  const names = (wanted ?? 'postgres,redis').split(',').map((name) => name.trim());
  const redis = names.includes('redis') ? await startTestRedis() : null;
  const cluster = names.includes('cluster') ? await startTestCluster() : null;
  const known: Readonly<Record<string, QueueBackendPlace | null>> = {
    postgres: { name: 'Postgres', open: openInPostgres },
    redis: redis && { name: 'Redis', open: () => openInRedis(redis) },
    cluster: cluster && clusterPlace(cluster),
  };
  const list = names.flatMap((name) => known[name] ?? []);
  if (wanted !== undefined && list.length < names.length) throw new Error(`not all of these can be had: ${wanted}`);
  return {
    list,
    redis,
    async close() {
      await redis?.close();
      await cluster?.close();
    },
  };
}

export const clusterPlace = (cluster: TestCluster): QueueBackendPlace => ({
  name: 'Redis Cluster',
  open: () => openInCluster(cluster),
});

async function openInPostgres(): Promise<QueuePlace> {
  const database = await createTestDatabase();
  return {
    databaseUrl: database.url,
    redisUrl: null,
    prefix: undefined,
    wipe: () =>
      withClient(database.url, async (client) => {
        // The daemon works in these tables meanwhile: Postgres may end this statement to resolve a deadlock.
        await pRetry(
          () => client.query('truncate bullmq.job, bullmq.scheduler, bullmq.dedup, bullmq.dedup_next cascade'),
          {
            ...{ retries: 20, minTimeout: 20, factor: 1 },
            shouldRetry: ({ error }) => isRetryableDatabaseError(error),
          },
        );
      }),
    cuttable: () => Promise.reject(new Error('no Redis')),
    openConnections: () => countConnections(database.url),
    close: () => database.drop(),
  };
}

async function openInRedis(redis: TestRedis): Promise<QueuePlace> {
  const database = await createTestDatabase();
  const prefix = newPrefix();
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
    cuttable: () => createCuttableProxy(redis.url),
    openConnections: async () =>
      (await countConnections(database.url)) + (redis.isOwn ? (await countClients(client)) - before : 0),
    async close() {
      await removeKeys(client, prefix);
      await client.quit();
      await database.drop();
    },
  };
}

async function openInCluster(cluster: TestCluster): Promise<QueuePlace> {
  const database = await createTestDatabase();
  const prefix = newPrefix();
  const admins = cluster.nodes.map(({ admin }) => admin);
  const count = async () => (await Promise.all(admins.map(countClients))).reduce((sum, n) => sum + n, 0);
  const forAll = async (work: (proxy: CuttableProxy) => Promise<void>) => {
    for (const { proxy } of cluster.nodes) await work(proxy);
  };
  const before = await count();
  return {
    databaseUrl: database.url,
    redisUrl: cluster.url,
    prefix,
    wipe: () => cluster.flushAll(),
    // Every client of a node comes through its proxy anyway, because that is the address that the nodes announce.
    cuttable: async () => ({
      url: cluster.url,
      cut: () => forAll((proxy) => proxy.cut()),
      restore: () => forAll((proxy) => proxy.restore()),
      silence: () => {},
      speak: () => {},
      freeze: () => {
        for (const { proxy } of cluster.nodes) proxy.freeze();
      },
      close: async () => {},
    }),
    openConnections: async () => (await countConnections(database.url)) + (await count()) - before,
    async close() {
      await Promise.all(admins.map((admin) => removeKeys(admin, prefix)));
      await database.drop();
    },
  };
}

/** In braces, as the real one. */
const newPrefix = (): string => `{test-${randomBytes(4).toString('hex')}}`;

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

/** Jobs that wait, run or are delayed, the ticks of the schedules left out. */
export async function countRuns(queues: Queues): Promise<number> {
  const lists = await Promise.all(
    Object.values(queues.lanes).map((queue) => queue.getJobs(['waiting', 'active', 'delayed'])),
  );
  return lists.flat().filter((job) => job?.name === 'run').length;
}
