import pg from 'pg';
import { DatabaseError } from '../errors.ts';
import { placeOf } from './address.ts';
import { databaseError, stateOf } from './faults.ts';
import { isDirect } from './pooler.ts';

/** Bounds one attempt to connect: some servers accept and never answer. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * What our statements rely on. A role, a database or an address may set any of them otherwise (`alter role … set`), and a session begins with that.
 *
 * By SET, not as start-up options: PgBouncer refuses unknown start-up options, and the address may bring options of its own, which stay in force.
 * `statement_timeout`, `lock_timeout` and `synchronous_commit` are not touched: they are the administrator's.
 */
const TRACKED_BY_POOLERS = `set client_encoding to 'UTF8'; set datestyle to 'ISO, MDY'; set time zone 'UTC'; set intervalstyle to 'postgres';
  set standard_conforming_strings to on`;
/** A pooler gives the server's session to others afterwards, with these settings; so it gets none of them. */
const OF_THE_SESSION = `set default_transaction_isolation to 'read committed'; set default_transaction_read_only to off;
  set default_transaction_deferrable to off; set extra_float_digits to 1; set bytea_output to 'hex'; set array_nulls to on;
  set transform_null_equals to off; set row_security to on; set plan_cache_mode to auto; set search_path to pg_catalog`;
/** A process that is stopped in the middle of a page keeps its row locks; without the limit its successor would wait for ever. */
const IDLE_IN_TRANSACTION = `set idle_in_transaction_session_timeout to '10s'`;

/** Settings of every connection of ours, to be completed by `prepareSession` once it is open; a pool does both. */
export function poolConfig(url: string, max: number): pg.PoolConfig {
  return {
    ...connectionConfig(url),
    max,
    idleTimeoutMillis: 30_000,
    onConnect: async (client: pg.ClientBase) => void (await prepareSession(client)),
  } as pg.PoolConfig;
}

function connectionConfig(url: string): pg.ClientConfig {
  return {
    connectionString: withLibpqSslModes(url),
    // Named in pg_stat_activity.
    application_name: 'leadmirror',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    // Alive behind firewalls.
    keepAlive: true,
  };
}

/** Makes a new connection ours. Returns whether it leads to the server itself, not through a pooler. */
export async function prepareSession(client: pg.ClientBase): Promise<boolean> {
  const direct = await isDirect(client);
  await client.query([TRACKED_BY_POOLERS, ...(direct ? [OF_THE_SESSION] : []), IDLE_IN_TRANSACTION].join('; '));
  return direct;
}

export interface SessionOptions {
  readonly connectTimeoutMs?: number;
  /** Bounds each statement, also where the server never answers. */
  readonly queryTimeoutMs?: number;
}

/** Opens one connection outside the pool. The caller ends it. @throws DatabaseError, or what else the driver throws */
export async function openSession(url: string, options: SessionOptions = {}): Promise<pg.Client> {
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, queryTimeoutMs } = options;
  let client: pg.Client | null = null;
  try {
    client = new pg.Client({
      ...connectionConfig(url),
      connectionTimeoutMillis: connectTimeoutMs,
      ...(queryTimeoutMs === undefined ? {} : { query_timeout: queryTimeoutMs }),
    });
    // A connection that breaks fails the query under way; without a listener it would end the process.
    client.on('error', () => {});
    await client.connect();
    await prepareSession(client);
    return client;
  } catch (cause) {
    void client?.end().catch(() => {});
    throw explainTlsFiles(cause) ?? databaseError(cause, placeOf(url));
  }
}

/** The driver reads the files of the address itself, and knows one combination that it refuses. */
function explainTlsFiles(cause: unknown): DatabaseError | null {
  const { code, syscall, path, message } = cause as NodeJS.ErrnoException;
  if (syscall === 'open' && path !== undefined) {
    const remedy = 'correct sslrootcert, sslcert or sslkey in DATABASE_URL';
    return new DatabaseError('database_refused', `cannot read ${path} (${code}); ${remedy}`, { cause });
  }
  if (!/^SECURITY WARNING: Using sslmode=verify-ca/.test(String(message))) return null;
  const remedy = 'name its file with sslrootcert=/path/ca.pem in DATABASE_URL, or use sslmode=verify-full';
  return new DatabaseError('database_refused', `sslmode=verify-ca needs the authority's certificate; ${remedy}`, {
    cause,
  });
}

/** Runs `work` with a connection of its own. @throws DatabaseError, or what else `work` throws */
export async function withSession<T>(
  url: string,
  work: (client: pg.Client) => Promise<T>,
  options?: SessionOptions,
): Promise<T> {
  const client = await openSession(url, options);
  try {
    return await work(client);
  } catch (cause) {
    throw databaseError(cause, placeOf(url));
  } finally {
    // Not awaited for long: a server that is frozen never answers the farewell.
    await Promise.race([client.end().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
  }
}

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];
/** Modes of libpq that begin with TLS, or without, and try the other way when the server does not take it. */
const FALLBACK: Readonly<Record<string, readonly string[]>> = {
  prefer: ['require', 'disable'],
  allow: ['disable', 'require'],
};

/**
 * Connects once and returns the address to use from then on: with `sslmode` decided where it leaves a choice (`prefer`, the default, and `allow`), as
 * libpq decides it for each connection.
 *
 * @throws DatabaseError `database_unavailable` when waiting may help, `database_refused` when the address or the role is wrong, `database_unsupported`
 */
export async function assertReachable(url: string): Promise<string> {
  const mode = new URL(url).searchParams.get('sslmode') ?? 'prefer';
  if (!SSL_MODES.includes(mode)) {
    throw new DatabaseError('database_refused', `sslmode in DATABASE_URL must be one of ${SSL_MODES.join(', ')}`);
  }
  const modes = isSocket(url) ? ['disable'] : (FALLBACK[mode] ?? [mode]);
  let first: unknown = null;
  for (const each of modes) {
    const candidate = withParameter(url, 'sslmode', each);
    try {
      await withSession(candidate, assertEncoding, { connectTimeoutMs: 5_000, queryTimeoutMs: 10_000 });
      return candidate;
    } catch (error) {
      first ??= error;
      if (!isAboutTls(error)) throw error;
    }
  }
  throw first;
}

/** The server speaks no TLS, or has no entry for this way of connecting: the other way may work. */
function isAboutTls(error: unknown): boolean {
  const { cause } = error as { cause?: unknown };
  return /SSL|TLS/i.test(String((cause as Error | undefined)?.message)) || stateOf(error) === '28000';
}

/** @throws DatabaseError `database_unsupported` where a letter could not be stored */
export async function assertEncoding(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ encoding: string }>(
    'select pg_encoding_to_char(encoding) as encoding from pg_database where datname = current_database()',
  );
  const encoding = rows[0]?.encoding;
  if (encoding === undefined || encoding === 'UTF8') return;
  throw new DatabaseError(
    'database_unsupported',
    `the database has the encoding ${encoding} and cannot store every letter; make another one for leadmirror (create database leadmirror encoding 'UTF8' template template0) and name it in DATABASE_URL`,
  );
}

const isSocket = (url: string): boolean => {
  const { hostname, searchParams } = new URL(url);
  const host = searchParams.get('host') ?? decodeURIComponent(hostname);
  return host.startsWith('/') || host === '';
};

/** `sslmode` means here what it means to psql; the driver alone would treat `require` as `verify-full`. */
function withLibpqSslModes(url: string): string {
  const { searchParams } = new URL(url);
  if (!searchParams.has('sslmode') || searchParams.has('uselibpqcompat')) return url;
  return withParameter(url, 'uselibpqcompat', 'true');
}

function withParameter(url: string, name: string, value: string): string {
  const changed = new URL(url);
  changed.searchParams.set(name, value);
  return changed.href;
}
