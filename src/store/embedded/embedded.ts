import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError, LeadmirrorError } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import { ensureInitialized, NAME, readPassword } from './initialize.ts';
import { type Joined, joinOrStart, type Presence } from './join.ts';
import { type DataLocation, findLocation } from './location.ts';
import { findPostmaster } from './postmaster.ts';
import { findNativeDirectory, preparePrograms } from './programs.ts';
import { HOST, requestStop, type ServerParts } from './server.ts';

/**
 * The built-in Postgres, for a leadmirror without DATABASE_URL: a real server on loopback, its files under
 * LEADMIRROR_HOME, shared by all leadmirror processes of that home. It has no parent process; the first process starts
 * it, the last one stops it, and one that was left behind by a crash is simply joined by the next.
 *
 * There is no lock file of our own. What could go wrong at the same time is arbitrated by what exists anyway: the
 * creation of the data by an atomic rename, the start by Postgres' lock file, the end by a lock in the database. All
 * processes must be able to see each other: one home is for one machine, or one container.
 */
export type EmbeddedPostgres = Pick<SharedServer, 'url' | 'psql' | 'joined' | 'close'>;

export interface EmbeddedPostgresOptions {
  readonly home: string;
  readonly logger: Logger;
  readonly signal?: AbortSignal;
  /** More server settings, used when this call starts the server. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Limit for all of the start, crash recovery included. */
  readonly timeoutMs?: number;
  /** The `native` directory of Postgres' programs; that of the installed package by default. */
  readonly nativeDirectory?: string;
  /** Where root keeps the data of a home that the server's account cannot reach. */
  readonly systemDirectory?: string;
}

const START_TIMEOUT_MS = 120_000;

/**
 * Starts or joins the built-in Postgres. Throws ConfigError (DATABASE_URL) where it cannot exist, DatabaseError where
 * it does not work.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { home, logger, timeoutMs = START_TIMEOUT_MS } = options;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  try {
    const parts = await prepare(options, signal);
    const password = await readPassword(parts.location);
    const joined = await joinOrStart(parts, password, signal);
    const { version } = parts.programs;
    const facts = { port: joined.port, directory: parts.location.directory };
    if (joined.started) logger.info({ ...facts, version }, 'built-in Postgres started');
    else logger.info(facts, 'joined the running built-in Postgres');
    return new SharedServer({ parts, password, logger, joined });
  } catch (error) {
    if (error instanceof LeadmirrorError) throw error;
    options.signal?.throwIfAborted();
    if (!deadline.aborted) throw explainFileFailure(error, home);
    const message =
      `The built-in Postgres of ${home} was not ready within ${timeoutMs} ms. After a crash it may still be recovering, ` +
      'then starting again helps; its server.log shows more.';
    throw new DatabaseError('database_unavailable', message, { cause: error });
  }
}

async function prepare(options: EmbeddedPostgresOptions, signal: AbortSignal): Promise<ServerParts> {
  const nativeDirectory = options.nativeDirectory ?? (await findNativeDirectory());
  const { location, account, isOutsideHome } = await findLocation(options.home, {
    signal,
    ...(options.systemDirectory && { systemDirectory: options.systemDirectory }),
  });
  if (isOutsideHome) {
    const facts = { directory: location.directory, user: account?.name };
    options.logger.info(
      facts,
      'built-in Postgres keeps its files outside of LEADMIRROR_HOME, which its user may not enter',
    );
  }
  const programs = await preparePrograms(nativeDirectory, { account, cwd: location.base, signal });
  const parts = { location, programs, account, settings: options.settings ?? {} };
  await ensureInitialized(parts, signal);
  return parts;
}

function explainFileFailure(error: unknown, home: string): unknown {
  const { code, path } = error as NodeJS.ErrnoException;
  if (code === undefined || path === undefined) return error;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  const message =
    `The built-in Postgres needs to read and write below ${home}, and ${path} does not allow it (${code}). Correct ` +
    'that, set LEADMIRROR_HOME to another directory, or set DATABASE_URL to a Postgres server.';
  return new DatabaseError(isFull ? 'database_disk_full' : 'database_refused', message, { cause: error });
}

const REJOIN_TIMEOUT_MS = 120_000;
const REJOIN_DELAY_MS = 2_000;
const STOP_TIMEOUT_MS = 60_000;
const POLL_MS = 25;

type SharedServerOptions = Readonly<{ parts: ServerParts; password: string; logger: Logger; joined: Joined }>;

/** Our presence on the shared server until `close`: when the server ends, it is started again at the same port. */
class SharedServer {
  readonly url: string;
  /** A line for a person's terminal that opens this database. Holds no password. */
  readonly psql: string;
  /** False when this process started the server, true when it was already running. */
  readonly joined: boolean;
  readonly #options: SharedServerOptions;
  readonly #closing = new AbortController();
  readonly #watching: Promise<void>;
  #presence: Presence | null;
  #closed: Promise<void> | null = null;

  constructor(options: SharedServerOptions) {
    const { parts, password, joined } = options;
    this.#options = options;
    this.#presence = joined.presence;
    this.url = `postgresql://${NAME}:${password}@${HOST}:${joined.port}/${NAME}`;
    this.psql = psqlLine(parts.location, joined.port);
    this.joined = !joined.started;
    this.#watching = this.#watch();
  }

  /** Leaves, and stops the server when no other process uses it. Never throws: what went wrong is logged. */
  close(): Promise<void> {
    this.#closed ??= this.#leave();
    return this.#closed;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closing;
    const closing = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    while (!signal.aborted) {
      if (this.#presence) {
        await Promise.race([this.#presence.ended, closing]);
        if (signal.aborted) return;
        this.#presence = null;
        this.#options.logger.warn('the built-in Postgres went away; starting it again');
      }
      await this.#rejoin(signal);
    }
  }

  async #rejoin(signal: AbortSignal): Promise<void> {
    const { parts, password, logger, joined } = this.#options;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(REJOIN_TIMEOUT_MS)]);
    try {
      const { presence, port } = await joinOrStart(parts, password, limit);
      this.#presence = presence;
      logger.info({ port }, 'the built-in Postgres is back');
      // All clients have the old port from `url`.
      if (port !== joined.port)
        logger.error({ port }, 'the built-in Postgres had to take another port; restart leadmirror');
    } catch (error) {
      if (signal.aborted) return;
      logger.error({ err: error }, 'the built-in Postgres did not restart; trying again');
      await sleep(REJOIN_DELAY_MS, undefined, { signal }).catch(() => {});
    }
  }

  async #leave(): Promise<void> {
    this.#closing.abort();
    await this.#watching;
    const { logger, parts } = this.#options;
    // Lost and not found again: the process that starts the server next also stops it.
    if (!this.#presence) return;
    const signal = AbortSignal.timeout(STOP_TIMEOUT_MS);
    try {
      if (!(await this.#presence.leave(signal))) return;
      await stopServer(parts, signal);
      logger.info('built-in Postgres stopped');
    } catch (error) {
      logger.warn({ err: error }, 'the built-in Postgres may still be running; the next start will join it');
    } finally {
      this.#presence.close();
    }
  }
}

async function stopServer(parts: ServerParts, signal: AbortSignal): Promise<void> {
  const { dataDirectory } = parts.location;
  const before = await findPostmaster(dataDirectory);
  if (before.state !== 'running') return;
  await requestStop(parts, signal);
  for (;;) {
    const now = await findPostmaster(dataDirectory);
    // Another process id is a server that another process started since.
    if (now.state !== 'running' || now.pid !== before.pid) return;
    await sleep(POLL_MS, undefined, { signal });
  }
}

function psqlLine({ passwordFile }: DataLocation, port: number): string {
  const rest = `psql -h ${HOST} -p ${port} -U ${NAME} ${NAME}`;
  if (process.platform === 'win32') return `$env:PGPASSFILE = '${passwordFile.replaceAll("'", "''")}'; ${rest}`;
  const quoted = /^[\w./-]+$/.test(passwordFile) ? passwordFile : `'${passwordFile.replaceAll("'", "'\\''")}'`;
  return `PGPASSFILE=${quoted} ${rest}`;
}
