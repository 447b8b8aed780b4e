import { setTimeout as delay } from 'node:timers/promises';
import { type BackendFactory, createRedisBackend, type QueueOptions } from 'bullmq';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Logger } from '../src/logger.ts';
import type { QueueBackend } from './queue-backend.ts';

/** In braces: a cluster keeps all keys with this prefix in one slot, and BullMQ's scripts touch several keys at once. */
export const REDIS_PREFIX = '{leadmirror}';

export interface RedisBackendOptions {
  /** One server, or the nodes of one cluster. */
  readonly urls: readonly string[];
  readonly prefix?: string;
  readonly onError: (error: Error) => void;
}

/** One connection for all queues of the process; each worker adds one for its blocking wait. Connects in the background, and again for ever. */
export function createRedisQueueBackend(options: RedisBackendOptions): QueueBackend {
  let isEnding = false;
  // The workers' own connections are copies with the same rule: all of them give up together.
  const client = createClient(options.urls, (times) => (isEnding ? null : Math.min(times * 50, LONGEST_RETRY_MS)));
  client.on('error', options.onError);
  return {
    kind: 'redis',
    factory: createRedisBackend as unknown as BackendFactory,
    options: {
      connection: client as unknown as QueueOptions['connection'],
      prefix: options.prefix ?? REDIS_PREFIX,
    },
    async ping() {
      // While it reconnects, a command would wait in ioredis' own queue instead of failing.
      if (client.status !== 'ready') throw new Error(`Redis is not connected (${client.status})`);
      await client.ping();
    },
    async disconnect() {
      isEnding = true;
      // While it waits for its next try, ioredis would neither connect nor end nor answer; the try itself then ends it.
      if (client.status !== 'reconnecting') client.disconnect();
      await delay(LONGEST_RETRY_MS + 200);
    },
    async close() {
      const isClosed =
        client.status === 'ready' &&
        (await client
          .quit()
          .then(() => true)
          .catch(() => false));
      // On a connection that is closed already it would hold the process for two seconds more.
      if (!isClosed && client.status !== 'end') client.disconnect();
      isEnding = true;
    },
  };
}

/** BullMQ keeps its state in keys without expiry: a server that evicts keys when memory is short loses jobs without a word. */
export async function warnAboutEviction(backend: QueueBackend, logger: Logger): Promise<void> {
  if (backend.kind !== 'redis') return;
  const client = backend.options.connection as unknown as Redis | Cluster;
  const servers = client instanceof Cluster ? client.nodes('master') : [client];
  for (const server of servers) {
    const policy = /^maxmemory_policy:(\S+)/m.exec(await server.info('memory'))?.[1];
    if (policy === undefined || policy === 'noeviction') continue;
    logger.warn(
      { policy },
      'Redis may evict jobs when its memory is short: set maxmemory-policy to noeviction. Lost schedules are put back within a minute.',
    );
    return;
  }
}

type RetryStrategy = (times: number) => number | null;

function createClient(urls: readonly string[], retryStrategy: RetryStrategy): Redis | Cluster {
  const [first] = urls;
  if (first === undefined) throw new Error('no Redis URL');
  if (urls.length === 1) return new Redis(first, { ...COMMON, retryStrategy });
  const nodes = urls.map((url) => new URL(url));
  const [{ username, password, protocol }] = nodes as [URL];
  return new Cluster(
    nodes.map(({ hostname, port }) => ({ host: hostname, port: Number(port || 6379) })),
    {
      clusterRetryStrategy: retryStrategy,
      redisOptions: {
        ...COMMON,
        ...(username && { username: decodeURIComponent(username) }),
        ...(password && { password: decodeURIComponent(password) }),
        ...(protocol === 'rediss:' && { tls: {} }),
      },
    },
  );
}

const LONGEST_RETRY_MS = 2_000;

const COMMON: RedisOptions = {
  connectionName: 'leadmirror',
  // Workers wait as long as an outage lasts; callers that cannot wait limit their own time.
  maxRetriesPerRequest: null,
  keepAlive: 10_000,
  // After a failover the old master answers, but refuses writes: find the new one.
  reconnectOnError: (error) => error.message.startsWith('READONLY'),
};
