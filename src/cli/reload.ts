import { type BigIntStats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { isatty } from 'node:tty';
import type { MirrorDatabase } from '../app/mirror-database.ts';
import { type LoadStored, loadWithStored } from '../app/stored-connections.ts';
import type { App } from '../app.ts';
import { type ConfigChanges, type ConfigSources, loadConfig } from '../config.ts';
import { ConfigError, DatabaseError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { readConnectionsState, stateOf } from '../store/engine/connections.ts';
import type { CommandProcess } from './command.ts';

const LOOK_MS = 2_000;
/** Thousands of secret files on a slow disk: looking takes at most this share of the time. */
const LOOK_SHARE = 0.1;
const LONGEST_MS = 30_000;
const LOOK_AT_DATABASE_MS = 10_000;

/** Differs between two states of a file, by path: which one it is behind all links, size, times, absence. */
type FileStamps = ReadonlyMap<string, string>;

interface ReloaderParts {
  readonly app: Pick<App, 'config' | 'reload' | 'clock'> & {
    readonly database: Pick<MirrorDatabase, 'prisma' | 'address'>;
  };
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** The files that the configuration in force was read from, as they were before it was read. */
  readonly files: FileStamps;
  /** Of the accounts that the database keeps, as they were read. */
  readonly state: string;
  readonly requests: ReloadRequests;
  readonly sources: ConfigSources;
}

/**
 * Follows the configuration of a running daemon until stopped: on SIGHUP, and when its files change. Files are looked
 * at, not watched: that is right on every file system, for editors that rename, and for links as Kubernetes makes them.
 * A change counts once two looks in a row agree, so that no file is read while it is being written.
 */
export async function followConfig(parts: ReloaderParts): Promise<void> {
  const { app, signal, requests } = parts;
  let known = parts.files;
  let before = known;
  let { state } = parts;
  let isChanged = false;
  let lookedAt = app.clock.now();
  while (!signal.aborted) {
    const startedAt = performance.now();
    const now = await stampsOf(known.keys());
    const lookedMs = performance.now() - startedAt;
    const isStill = isSameState(now, before);
    before = now;
    // Without a key nothing of them can be read.
    if (app.config.secretKey !== null && app.clock.now() - lookedAt >= LOOK_AT_DATABASE_MS) {
      lookedAt = app.clock.now();
      // A database that is away is looked at again later.
      isChanged = (await readConnectionsState(app.database.prisma).catch(() => state)) !== state;
    }
    if (requests.take() || isChanged || (isStill && !isSameState(now, known))) {
      const read = await reload(parts);
      // Without the database the accounts are not known: the next look tries again.
      isChanged = read === null;
      if (read !== null) {
        before = known = read.files;
        state = read.state;
      }
    }
    const pauseMs = Math.min(LONGEST_MS, Math.max(LOOK_MS, lookedMs / LOOK_SHARE));
    await app.clock.sleep(pauseMs, AbortSignal.any([signal, requests.next])).catch(() => {});
  }
}

interface WhatWasRead {
  /** To look at from now on, as they were before they were read. */
  readonly files: FileStamps;
  readonly state: string;
}

/** Reads and takes over; every problem is logged. Null when the database was not reached. */
async function reload({ app, logger, sources }: ReloaderParts): Promise<WhatWasRead | null> {
  const files = new Map<string, string>();
  let state = '';
  const load: LoadStored = (stored) => {
    state = stateOf(stored);
    return loadConfig(sources, {
      onFile: (path) => noteStamp(files, path),
      requireConnections: 'without_key',
      stored,
    });
  };
  try {
    const config = await loadWithStored(load, app.database, app.config.secretKey);
    for (const note of config.notes.filter((each) => !app.config.notes.includes(each))) logger.warn(note);
    logChanges(logger, await app.reload(config));
  } catch (error) {
    if (error instanceof DatabaseError) {
      logger.warn(`${error.message} The configuration is read again when it answers.`);
      return null;
    }
    if (error instanceof ConfigError) {
      for (const { variable, message } of error.problems) logger.error({ setting: variable }, message);
      logger.error({ problems: error.problems.length }, 'configuration not reloaded; the one before stays in force');
    } else {
      logger.error({ err: error }, 'unexpected error while the configuration was reloaded: please report it');
    }
  }
  return { files, state };
}

const SHOWN = 20;

const shown = (names: readonly string[]): readonly string[] =>
  names.length <= SHOWN ? names : [...names.slice(0, SHOWN), `and ${names.length - SHOWN} more`];

function logChanges(logger: Logger, { added, removed, changed, settings, restart }: ConfigChanges): void {
  if (restart.length > 0) logger.warn({ settings: restart }, 'changed settings that take effect after a restart');
  const isSame = [added, removed, changed, settings].every((names) => names.length === 0);
  if (isSame) logger.info('configuration read again; nothing in it takes effect now');
  else {
    const facts = { added: shown(added), removed: shown(removed), changed: shown(changed) };
    logger.info({ ...facts, ...(settings.length > 0 && { settings }) }, 'configuration reloaded');
  }
}

/** Requests to read the configuration again, from the start of the process on: SIGHUP would end it otherwise. */
export class ReloadRequests {
  #asked = new AbortController();
  readonly #wasTerminal = isatty(0);

  readonly #proc: CommandProcess;

  constructor(proc: CommandProcess) {
    this.#proc = proc;
    // On Windows the signal means that the console is closed.
    if (process.platform !== 'win32') proc.on('SIGHUP', this.#onSignal);
  }

  readonly #onSignal = (): void => {
    // A terminal that is gone sends the same signal as an operator. Who started us there expects us to go too.
    if (this.#wasTerminal && !isatty(0)) process.kill(process.pid, 'SIGTERM');
    else this.ask();
  };

  ask(): void {
    this.#asked.abort();
  }

  /** Fires at the next request, or at once when there is one. */
  get next(): AbortSignal {
    return this.#asked.signal;
  }

  /** Whether there was a request; clears it. */
  take(): boolean {
    if (!this.#asked.signal.aborted) return false;
    this.#asked = new AbortController();
    return true;
  }

  close(): void {
    this.#proc.off('SIGHUP', this.#onSignal);
  }
}

/** Notes a file as it is in the moment before it is read. */
export function noteStamp(stamps: Map<string, string>, path: string): void {
  try {
    stamps.set(path, stampOf(statSync(path, { bigint: true })));
  } catch (error) {
    stamps.set(path, absence(error));
  }
}

async function stampsOf(paths: Iterable<string>): Promise<FileStamps> {
  const stamped = [...paths].map(
    async (path) => [path, await stat(path, { bigint: true }).then(stampOf, absence)] as const,
  );
  return new Map(await Promise.all(stamped));
}

function isSameState(one: FileStamps, other: FileStamps): boolean {
  return one.size === other.size && [...one].every(([path, stamp]) => other.get(path) === stamp);
}

const stampOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
  [dev, ino, size, mtimeNs, ctimeNs].join(' ');

const absence = (error: unknown): string => String((error as NodeJS.ErrnoException).code);
