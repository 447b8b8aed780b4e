import type { Client } from 'pg';
import { stateOf } from '../faults.ts';
import { LOCKS } from '../locks.ts';
import { createSession, makeDatabase } from '../session.ts';
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
  const { client, ended } = await connect(address, signal);
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

/** Creates leadmirror's database. Several processes may do so at once; having lost that race is success. */
export async function createDatabase(address: Address, signal: AbortSignal): Promise<void> {
  try {
    await abortable(makeDatabase(urlOf(address, 'postgres'), NAME), signal);
  } catch (error) {
    if (!['42P04', '23505'].includes(stateOf(error) ?? '')) throw error;
  }
}

/** A port that accepts and then does not answer must not block. */
const CONNECT_TIMEOUT_MS = 5_000;

const urlOf = ({ port, password }: Address, database: string): string =>
  `postgres://${NAME}:${encodeURIComponent(password)}@${HOST}:${port}/${database}?sslmode=disable`;

async function connect(address: Address, signal: AbortSignal) {
  const client = createSession(urlOf(address, NAME), {
    name: 'leadmirror presence',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
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
