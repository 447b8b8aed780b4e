import pg from 'pg';
import { DatabaseError } from '../errors.ts';
import { addressOf, parseAddress } from './address.ts';
import { createAnswerTimeout } from './answer-timeout.ts';
import { type ConnectionRoom, readConnectionRoom } from './connection-room.ts';
import { databaseError, stateOf } from './faults.ts';
import { noteRefusal } from './refusal-detail.ts';
import { type TlsSettings, Wire } from './wire.ts';

/**
 * The one way to open a session of the mirror's database, for every pool and client. A session has the settings that
 * our statements and the reading of their answers rely on, whatever the role, the database or the address set;
 * `options` of the address are kept beside them.
 */

interface SessionOptions {
  /** Where names without a schema are looked for and made. */
  readonly searchPath?: string;
  /** Bounds one attempt to connect: some servers accept and never answer. */
  readonly connectTimeoutMs?: number;
  /** Bounds each statement, also where the server never answers. */
  readonly queryTimeoutMs?: number;
  /** The name in `pg_stat_activity`. */
  readonly name?: string;
}

/** Poolers carry these from client to server, and take them back: the server reports each change of them. */
const REPORTED = {
  client_encoding: 'UTF8',
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  standard_conforming_strings: 'on',
};

/** What a pooler does not carry; there, only transactions have it (see `localSettings`). */
const OTHERS = {
  search_path: '"$user", public',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  array_nulls: 'on',
  bytea_output: 'hex',
  extra_float_digits: '1',
  gin_fuzzy_search_limit: '0',
  plan_cache_mode: 'auto',
  quote_all_identifiers: 'off',
  restrict_nonsystem_relation_kind: '',
  row_security: 'on',
  transform_null_equals: 'off',
};

/** Limits that an address may set for us; a role's do not count. */
const LIMITS = {
  statement_timeout: '0',
  lock_timeout: '0',
  idle_session_timeout: '0',
  transaction_timeout: '0',
  // A process that is stopped in the middle of a page keeps its row locks; without the limit its successor would wait
  // for ever.
  idle_in_transaction_session_timeout: '10s',
};

/** Never the server's own default, and of no use to a single statement. */
const IDLE_LIMIT = 'idle_in_transaction_session_timeout';

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * One statement; a setting that this version of the server does not know is passed over. `where` selects whether those
 * are set that poolers do not carry. Answers with what was in force before.
 */
function settingStatement(settings: Readonly<Record<string, string>>, isLocal: boolean, where = 'true'): string {
  const values = Object.entries(settings).map(
    ([name, value]) => `(${quote(name)}, ${quote(value)}, ${name in REPORTED})`,
  );
  return `select pg_backend_pid() as pid, current_setting('server_encoding') as encoding, name, is_reported,
      before is distinct from value as is_other,
      case when is_reported or ${where} then set_config(name, value, ${isLocal}) end
    from (values ${values.join(', ')}) as settings (name, value, is_reported), current_setting(name, true) as before
    where before is not null`;
}

/** The settings of a transaction that goes through a pooler, to be sent at its beginning. */
export const LOCAL_SETTINGS = settingStatement({ ...REPORTED, ...OTHERS, ...LIMITS }, true);

type SettingRow = { pid: number; encoding: string; name: string; is_reported: boolean; is_other: boolean };

const PROBE_MS = 3_000;

/** A client with its settings made before its first use, that does not wait for a server that stopped answering. */
export class DatabaseSession extends pg.Client {
  readonly #config: SessionConfig;
  readonly #wire: Wire;
  /**
   * Whether it leads to the server itself. Behind a pooler the next transaction may get another connection of the
   * server, so nothing that belongs to a session can be relied upon. A pooler sends its clients a process number of its
   * own.
   */
  isDirect = false;
  /** Of the database. */
  encoding: string | undefined;
  /** It leads through a pooler, and what its statements begin with outside our transactions is not what we rely on. */
  hasOddDefaults = false;

  constructor(config: SessionConfig) {
    const wire = new Wire(config.tls);
    super({ ...config, connectionTimeoutMillis: config.connectTimeoutMs, stream: () => wire });
    this.#config = config;
    this.#wire = wire;
    const answerTimeout = createAnswerTimeout(wire, () => this.#isAtWork());
    this.on('drain', () => answerTimeout.end());
    this.on('end', () => answerTimeout.end());
    const query = this.query.bind(this) as (...parameters: readonly unknown[]) => unknown;
    const noting = (...parameters: readonly unknown[]) => {
      answerTimeout.begin();
      const answer = query(...parameters);
      if (answer instanceof Promise) answer.catch(noteRefusal);
      return answer;
    };
    this.query = noting as typeof this.query;
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: Error) => void): Promise<pg.Client> | undefined {
    const opening = this.#open();
    if (callback === undefined) return opening;
    opening.then(() => (callback as () => void)(), callback);
    return undefined;
  }

  async #open(): Promise<this> {
    // Until the caller can listen.
    const ignore = () => {};
    this.on('error', ignore);
    try {
      await super.connect();
      const processId = this.#processId;
      const { rows } = await this.query<SettingRow>(
        settingStatement(this.#config.settings, false, `pg_backend_pid() = ${processId}`),
      );
      this.isDirect = rows[0]?.pid === processId;
      this.encoding = rows[0]?.encoding;
      const isOdd = rows.some((row) => row.is_other && !row.is_reported && row.name !== IDLE_LIMIT);
      this.hasOddDefaults = !this.isDirect && isOdd;
      return this;
    } catch (error) {
      await this.end().catch(() => {});
      throw error;
    } finally {
      setImmediate(() => this.off('error', ignore));
    }
  }

  get #processId(): number {
    return (this as { processID?: number | null }).processID ?? 0;
  }

  /** Whether the server still has a statement of this session, as another sees it; behind a pooler: answers at all. */
  async #isAtWork(): Promise<boolean> {
    const other = new DatabaseSession({ ...this.#config, connectTimeoutMs: PROBE_MS, query_timeout: PROBE_MS });
    other.on('error', () => {});
    try {
      await other.connect();
      const { rows } = await other.query<{ is_idle: boolean }>(
        `select coalesce(state, '') like 'idle%' as is_idle from pg_stat_activity where pid = ${this.#processId}`,
      );
      return !this.isDirect || rows[0]?.is_idle === false;
    } catch (error) {
      // A refusal, such as "too many connections", is an answer, too.
      return stateOf(error) !== null;
    } finally {
      other.#wire.destroy();
    }
  }
}

interface SessionConfig extends pg.ClientConfig {
  readonly tls: TlsSettings;
  readonly settings: Readonly<Record<string, string>>;
  readonly connectTimeoutMs: number;
}

export const createSession = (url: string, options: SessionOptions = {}): DatabaseSession =>
  new DatabaseSession(sessionConfig(url, options));

/** Opens one connection outside the pool. The caller ends it. @throws DatabaseError, or what else the driver throws */
export async function openSession(url: string, options: SessionOptions = {}): Promise<DatabaseSession> {
  try {
    const session = createSession(url, options);
    // A connection that breaks fails the query under way; without a listener it would end the process.
    session.on('error', () => {});
    await session.connect();
    return session;
  } catch (cause) {
    throw databaseError(cause, addressOf(url));
  }
}

export async function withSession<T>(
  url: string,
  work: (client: DatabaseSession) => Promise<T>,
  options?: SessionOptions,
): Promise<T> {
  const client = await openSession(url, options);
  try {
    return await work(client);
  } catch (cause) {
    throw databaseError(cause, addressOf(url));
  } finally {
    // Not awaited for long: a server that is frozen never answers the farewell.
    await Promise.race([client.end().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
  }
}

/**
 * Runs `work` in a transaction that holds an advisory lock, so that the lock works behind PgBouncer and ends with the
 * connection whatever happens. The session is of no use after a failure.
 */
export async function underLock<T>(client: pg.Client, lock: bigint, work: () => Promise<T>): Promise<T> {
  await client.query(`begin isolation level read committed read write; select pg_advisory_xact_lock(${lock})`);
  const result = await work();
  await client.query('commit');
  return result;
}

/**
 * Connects once. Returns how many connections there may be. @throws DatabaseError `database_unavailable` when waiting
 * may help, `database_refused` when the address or the role is wrong, `database_unsupported`
 */
export async function assertReachable(url: string): Promise<ConnectionRoom | null> {
  const look = async (session: DatabaseSession) => {
    assertEncoding(session);
    return readConnectionRoom(session);
  };
  return withSession(url, look, { connectTimeoutMs: 5_000, queryTimeoutMs: 10_000 });
}

/** @throws DatabaseError `database_unsupported` where a letter could not be stored */
export function assertEncoding({ encoding }: DatabaseSession): void {
  if (encoding === undefined || encoding === 'UTF8') return;
  throw new DatabaseError(
    'database_unsupported',
    `the database has the encoding ${encoding} and cannot store every letter; make another one for leadmirror (create database leadmirror encoding 'UTF8' lc_collate 'C' lc_ctype 'C' template template0) and name it in DATABASE_URL`,
  );
}

export async function makeDatabase(url: string, name: string): Promise<void> {
  await withSession(url, (client) => client.query(`create database ${pg.escapeIdentifier(name)}`));
}

/** Fewer connections than this are waited for. */
export const FEW = 5;

export function poolConfig(url: string, max: number, options: SessionOptions = {}): pg.PoolConfig {
  // Also how long one waits for a connection that others have: longer where there are few of them.
  const connectionTimeoutMillis = max < FEW ? 60_000 : 10_000;
  // The types know neither that `Client` is given the pool's options nor what else they may hold.
  return {
    ...sessionConfig(url, options),
    max,
    connectionTimeoutMillis,
    // Where there are few, those that are not in use are left to others, such as a command beside the daemon.
    idleTimeoutMillis: max < FEW ? 250 : 30_000,
    Client: DatabaseSession,
  } as unknown as pg.PoolConfig;
}

function sessionConfig(url: string, options: SessionOptions): SessionConfig {
  const { searchPath, connectTimeoutMs = 10_000, queryTimeoutMs, name = 'leadmirror' } = options;
  const { connectionString, tls, limits } = parseAddress(url);
  const ours = Object.entries(LIMITS).filter(([limit]) => !limits.has(limit));
  return {
    connectionString,
    ssl: false,
    tls,
    settings: {
      ...REPORTED,
      ...OTHERS,
      ...Object.fromEntries(ours),
      ...(searchPath !== undefined && { search_path: searchPath }),
    },
    application_name: name,
    connectTimeoutMs,
    ...(queryTimeoutMs !== undefined && { query_timeout: queryTimeoutMs }),
    keepAlive: true,
  };
}
