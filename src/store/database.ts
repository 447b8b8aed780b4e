import pg from 'pg';
import { DatabaseError, LeadmirrorError } from '../errors.ts';
import { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import type { Tracer } from '../trace.ts';
import { createDriverAdapter } from './driver-adapter.ts';
import { describeDatabaseFault } from './faults.ts';
import { PreparedStatements } from './prepared.ts';

export interface Database {
  readonly prisma: PrismaClient;
  /** `host:port/name`, for messages: never the user or password. */
  readonly place: string;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly logger: Logger;
  /** Upper bound of connections that this process opens through Prisma. */
  readonly maxConnections?: number;
  readonly tracer?: Tracer;
}

/** Settings shared by every connection of ours: named in pg_stat_activity, in UTC, alive behind firewalls. */
export function poolConfig(url: string, max: number): pg.PoolConfig {
  return {
    connectionString: withLibpqSslModes(url),
    max,
    application_name: 'leadmirror',
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    // By SET, not by a start-up option: PgBouncer refuses unknown start-up options, but carries TimeZone from client to server.
    // A process that is stopped in the middle of a page keeps its row locks; without the limit its successor would wait for ever.
    onConnect: async (client: pg.ClientBase) => {
      await client.query("set time zone 'UTC'; set idle_in_transaction_session_timeout = '10s'");
    },
  } as pg.PoolConfig;
}

/** Opens the pool lazily: nothing connects before the first query. Call `assertReachable` to know. */
export function createDatabase(options: DatabaseOptions): Database {
  const { url, logger, maxConnections = 10 } = options;
  const prepared = new PreparedStatements();
  const config = poolConfig(url, maxConnections);
  const onConnect = async (client: pg.ClientBase) => {
    await config.onConnect?.(client);
    await prepared.lookAt(client);
  };
  const adapter = createDriverAdapter(options.tracer, { ...config, onConnect } as pg.PoolConfig, {
    statementNameGenerator: (query) => prepared.nameOf(query),
    // An idle connection that the server closed is replaced by the next query; without a listener it would end the process.
    onPoolError: (error) => logger.debug({ err: error.message }, 'idle database connection closed'),
    onConnectionError: (error) => logger.debug({ err: error.message }, 'database connection closed'),
  });
  const prisma = new PrismaClient({
    adapter,
    errorFormat: 'minimal',
    transactionOptions: { maxWait: 15_000, timeout: 60_000 },
  });
  return { prisma, place: placeOf(url), close: () => prisma.$disconnect() };
}

/**
 * One round trip.
 * @throws DatabaseError `database_unavailable` when waiting may help, `database_refused` when the URL or role is wrong
 */
export async function assertReachable(url: string): Promise<void> {
  const client = new pg.Client({ ...poolConfig(url, 1), connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
  } catch (cause) {
    throw databaseError(cause, placeOf(url));
  } finally {
    await client.end().catch(() => {});
  }
}

/** Wraps whatever the driver threw into the one error that callers act on; other errors pass unchanged. */
export function databaseError(cause: unknown, place: string): unknown {
  // Named already; its own cause may be a network error too, of another server.
  if (cause instanceof LeadmirrorError) return cause;
  const fault = describeDatabaseFault(cause);
  return fault === null ? cause : new DatabaseError(fault.code, `database ${place}: ${fault.message}`, { cause });
}

/** `host:port/name`, without user and password. */
export function placeOf(url: string): string {
  try {
    const { hostname, port, pathname } = new URL(url);
    return `${hostname || 'localhost'}:${port || '5432'}${pathname}`;
  } catch {
    return 'given by DATABASE_URL';
  }
}

/** `sslmode` means here what it means to psql; the driver alone would treat `require` as `verify-full`. */
function withLibpqSslModes(url: string): string {
  const parsed = new URL(url);
  if (!parsed.searchParams.has('sslmode') || parsed.searchParams.has('uselibpqcompat')) return url;
  parsed.searchParams.set('uselibpqcompat', 'true');
  return parsed.href;
}
