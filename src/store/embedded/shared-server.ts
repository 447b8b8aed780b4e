import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../logger.ts';
import { NAME } from './initialize.ts';
import { type Joined, joinOrStart, type Presence } from './join.ts';
import type { DataLocation } from './location.ts';
import { findPostmaster } from './postmaster.ts';
import { HOST, requestStop, type ServerParts } from './server.ts';

const REJOIN_TIMEOUT_MS = 120_000;
const REJOIN_DELAY_MS = 2_000;
const STOP_TIMEOUT_MS = 60_000;
const POLL_MS = 25;

type SharedServerOptions = Readonly<{ parts: ServerParts; password: string; logger: Logger; joined: Joined }>;

/** Our presence on the shared server until `close`: when the server ends, it is started again at the same port. */
export class SharedServer {
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
