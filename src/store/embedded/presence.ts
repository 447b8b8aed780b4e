import { type Client, DatabaseError as ServerError } from 'pg';
import { LOCKS } from '../locks.ts';
import { createSession } from '../session.ts';
import { NAME } from './initialize.ts';
import { HOST } from './port.ts';

export interface Address {
  readonly port: number;
  readonly password: string;
}

export type Presence = Awaited<ReturnType<typeof openPresence>>;

/**
 * Joins. Who uses the shared server is written in the server itself: every process holds one session with a shared
 * advisory lock. A process that ends loses its session, so there is nothing to clean up after a crash. A process that leaves and
 * then gets the lock exclusively is the last one.
 *
 * Waits while the last process of before is stopping the server; that ends this session, too.
 */
export async function openPresence(address: Address, signal: AbortSignal) {
  const { client, ended } = await connect(address, NAME, signal);
  const lock = [LOCKS.presence.toString()];
  try {
    await abortable(client.query('select pg_advisory_lock_shared($1)', lock), signal);
  } catch (error) {
    disconnect(client);
    throw error;
  }
  return {
    /** Settles when the session is over, for whatever reason. */
    ended,
    /** True when no other process is here. None can join then until this session is closed or the server is down. */
    async leave(signal: AbortSignal): Promise<boolean> {
      const answer = client.query<{ alone: boolean }>(
        'select pg_advisory_unlock_shared($1), pg_try_advisory_lock($1) as alone',
        lock,
      );
      return (await abortable(answer, signal)).rows[0]?.alone === true;
    },
    close: () => disconnect(client),
  };
}

/** Returns the server's code for its refusal; null when the network failed. */
export function sqlState(error: unknown): string | null {
  return error instanceof ServerError ? (error.code ?? null) : null;
}

/** Creates leadmirror's database. Several processes may do so at once; having lost that race is success. */
export async function createDatabase(address: Address, signal: AbortSignal): Promise<void> {
  const { client } = await connect(address, 'postgres', signal);
  try {
    await abortable(client.query(`create database ${NAME}`), signal);
  } catch (error) {
    const state = sqlState(error);
    if (state !== '42P04' && state !== '23505') throw error;
  } finally {
    disconnect(client);
  }
}

/** A port that accepts and then does not answer must not block. */
const CONNECT_TIMEOUT_MS = 5_000;

async function connect({ port, password }: Address, database: string, signal: AbortSignal) {
  const url = `postgres://${NAME}:${encodeURIComponent(password)}@${HOST}:${port}/${database}?sslmode=disable`;
  const client = createSession(url, { name: 'leadmirror presence', connectTimeoutMs: CONNECT_TIMEOUT_MS });
  // Without a listener the end of the server would be an uncaught exception. What follows from it is done on 'end'.
  client.on('error', () => {});
  const ended = new Promise<void>((resolve) => client.once('end', () => resolve()));
  try {
    await abortable(client.connect(), signal);
    return { client, ended };
  } catch (error) {
    disconnect(client);
    throw error;
  }
}

/** Ends the connection without waiting for an answer, which a dead server would never give. */
function disconnect(client: Client): void {
  client.end().catch(() => {});
}

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
