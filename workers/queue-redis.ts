import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { type BackendFactory, createRedisBackend, type QueueOptions } from 'bullmq';
import { AbstractConnector, Cluster, Redis, type RedisOptions, ReplyError } from 'ioredis';
import { succeeds } from '../src/clock.ts';
import type { Logger } from '../src/logger.ts';
import { type QueueBackend, QueueRefusedError } from './queue-backend.ts';
import { describeError } from './queue-watch.ts';

/** In braces: a cluster keeps these keys in one slot, and BullMQ's scripts touch several keys at once. */
const REDIS_PREFIX = '{leadmirror}';

interface RedisBackendOptions {
  readonly urls: readonly string[];
  readonly prefix?: string;
  /** A connection that owes an answer for so long is broken off and made anew. Longer than a worker's blocking wait. */
  readonly timeoutMs?: number;
  readonly onError: (error: Error) => void;
}

/** One connection for all queues of the process, and one more for each worker's wait. Reconnects for ever. */
export function createRedisQueueBackend(options: RedisBackendOptions): QueueBackend {
  const { urls, prefix = REDIS_PREFIX, timeoutMs = TIMEOUT_MS, onError } = options;
  let isEnding = false;
  // The workers' connections are copies with the same rule: all of them give up together.
  const retryStrategy = (times: number) => (isEnding ? null : Math.min(times * 50, LONGEST_RETRY_MS));
  const client = createClient(urls, { retryStrategy, socketTimeout: timeoutMs });
  const how = urls[0]?.startsWith('rediss:') ? ', over TLS' : '';
  let failure: Error | null = null;
  client.on('error', (error: Error) => {
    // A cluster reports only that no node could be asked; the reason is known of the last one.
    failure = (error as { lastNodeError?: Error }).lastNodeError ?? error;
    onError(failure);
  });
  client.on('ready', () => {
    failure = null;
  });
  return {
    kind: 'redis',
    factory: createRedisBackend as unknown as BackendFactory,
    options: { connection: client as unknown as QueueOptions['connection'], prefix },
    async ping() {
      // While it reconnects, a command would wait in ioredis' own queue instead of failing.
      if (client.status !== 'ready') throw failure ?? new Error(`Redis is not connected (${client.status}${how})`);
      // The client stays on database 0 when SELECT is refused, which may contain the queue of another program.
      if (!(client instanceof Cluster) && (client.options.db ?? 0) !== 0) await assertSelected(client);
      // Of a cluster, the node that holds the queue has to answer, not just any.
      await client.exists(`${prefix}:ping`);
    },
    explain,
    async disconnect() {
      isEnding = true;
      // While it waits for its next try, ioredis would neither connect nor end nor answer; the try itself then ends it.
      if (client.status !== 'reconnecting') client.disconnect();
      await delay(LONGEST_RETRY_MS + 200);
    },
    async close() {
      const isClosed = client.status === 'ready' && (await succeeds(client.quit()));
      // On a connection that is closed already it would hold the process for two seconds more.
      if (!isClosed && client.status !== 'end') client.disconnect();
      isEnding = true;
    },
  };
}

/** A server that evicts keys when memory is short loses jobs without an error. */
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

async function assertSelected(client: Redis): Promise<void> {
  const db = client.options.db ?? 0;
  try {
    await client.select(db);
  } catch (cause) {
    // Not the server's answer: the connection broke.
    if (!(cause instanceof ReplyError)) throw cause;
    throw new QueueRefusedError(
      `Redis refuses database ${db} of REDIS_URL (${describeError(cause)}): name one that it has, or none at all, and give each installation a server of its own`,
      { cause },
    );
  }
}

function explain(error: unknown): string {
  const text = describeError(error);
  const hint = HINTS.find(([pattern]) => pattern.test(text))?.[1];
  return hint === undefined ? text : `${text}: ${hint}`;
}

const HINTS: readonly (readonly [RegExp, string])[] = [
  [/ALTNAME/, 'its certificate is for another name; check the host in REDIS_URL'],
  [/CERT_(HAS_EXPIRED|NOT_YET_VALID)/, 'its certificate is outside its dates; check the clock of this machine'],
  [
    /CERT|SELF_SIGNED|UNABLE_TO_/,
    'its certificate is signed by an authority that is not known here; put that authority in a PEM file and name it in NODE_EXTRA_CA_CERTS',
  ],
  [
    /EPROTO|ERR_SSL_|over TLS/,
    'check that the port speaks TLS; without TLS, write redis:// instead of rediss:// in REDIS_URL',
  ],
  [
    /^MOVED/,
    'this is one node of a Redis Cluster: name two or more in REDIS_URL, comma separated; where there is one address for all of them, name it twice',
  ],
  [/Unknown RESP type|Protocol error/, 'what answers there is not Redis; check host and port in REDIS_URL'],
  [/WRONGPASS|NOAUTH|invalid password/, 'check user and password in REDIS_URL'],
  [/NOPERM/, 'the user in REDIS_URL needs more rights: +@all on the keys ~{leadmirror}*, INFO among them'],
];

function createClient(
  urls: readonly string[],
  { retryStrategy, socketTimeout }: { retryStrategy: (times: number) => number | null; socketTimeout: number },
): Redis | Cluster {
  const [first] = urls;
  if (first === undefined) throw new Error('no Redis URL');
  const common = { ...COMMON, socketTimeout };
  if (urls.length === 1) {
    return new Redis(first, {
      ...common,
      ...(first.startsWith('rediss:') && { Connector: TlsConnector }),
      retryStrategy,
    });
  }
  const nodes = urls.map((url) => new URL(url));
  const [{ username, password, protocol }] = nodes as [URL];
  const isEncrypted = protocol === 'rediss:';
  return new Cluster(
    nodes.map(({ hostname, port }) => ({ host: hostname.replaceAll(/[[\]]/g, ''), port: Number(port || 6379) })),
    {
      clusterRetryStrategy: retryStrategy,
      // A certificate names the host, so the host must not be replaced by its address.
      ...(isEncrypted && { dnsLookup: (host, found) => found(null, host) }),
      redisOptions: {
        ...common,
        ...(username && { username: decodeURIComponent(username) }),
        ...(password && { password: decodeURIComponent(password) }),
        ...(isEncrypted && { tls: {}, Connector: TlsConnector }),
      },
    },
  );
}

/**
 * A TLS connection that is given up while its certificate is being refused fails twice: for the certificate, and for
 * the server's answer to the hang-up. The connector of ioredis 6.0 listens for the first only, and an error without a
 * listener ends the process (tried: 128 of 150).
 */
class TlsConnector extends AbstractConnector {
  readonly #options: RedisOptions;

  constructor(options: unknown) {
    const known = options as RedisOptions;
    super(known.disconnectTimeout ?? 2_000);
    this.#options = known;
  }

  async connect() {
    const { port, host, family, tls } = this.#options;
    this.connecting = true;
    this.stream = connectTls({ port, host, family, ...tls } as ConnectionOptions).on('error', (error) => {
      this.firstError = error;
    });
    return this.stream;
  }
}

const LONGEST_RETRY_MS = 2_000;
const TIMEOUT_MS = 30_000;

const COMMON: RedisOptions = {
  connectionName: 'leadmirror',
  // Workers wait as long as an outage lasts; callers that cannot wait limit their own time.
  maxRetriesPerRequest: null,
  keepAlive: 10_000,
  // After a failover the old master answers, but refuses writes: find the new one.
  reconnectOnError: (error) => error.message.startsWith('READONLY'),
};
