import { DatabaseError, LeadmirrorError } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import { ensureInitialized, readPassword } from './initialize.ts';
import { joinOrStart } from './join.ts';
import { findLocation } from './location.ts';
import { findNativeDirectory, preparePrograms } from './programs.ts';
import type { ServerParts } from './server.ts';
import { SharedServer } from './shared-server.ts';

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
  const { location, account } = await findLocation(options.home);
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
