import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { unlessAborted } from '../../clock.ts';
import { DatabaseError } from '../../errors.ts';
import { stateOf } from '../faults.ts';
import { LOCKS } from '../locks.ts';
import { createSession, makeDatabase } from '../session.ts';
import { NAME } from './initialize.ts';
import { findPostmaster, removeStaleLockFile } from './postmaster.ts';
import { lastLines, programFailure } from './run-program.ts';
import { choosePort, HOST, type Launch, launchServer, type ServerParts } from './server.ts';

export type Joined = { readonly presence: Presence; readonly port: number; readonly started: boolean };

const POLL_MS = 25;

const UNKNOWN_DATABASE = '3D000';

/** 57: starting or stopping, 53: full. */
const PASSING_STATES = /^5[37]/;

/**
 * After a kill -9 the old server's children hold its memory until they notice, and a port can be taken between our look
 * and the start; both pass. A broken server does not, and should be reported soon.
 */
const RETRY_DELAYS_MS = [100, 400, 1_000, 2_000];

/**
 * Joins the server of this data directory, and starts it when there is none. Any number of processes may do so at once,
 * while another one stops it: each round only looks at what is there now, and they end when one holds a presence.
 */
export async function joinOrStart(parts: ServerParts, password: string, signal: AbortSignal): Promise<Joined> {
  const { location, account } = parts;
  const { dataDirectory } = location;
  let launch: Launch | null = null;
  let failures = 0;
  try {
    for (;;) {
      signal.throwIfAborted();
      const postmaster = await findPostmaster(dataDirectory);
      if (postmaster.state === 'running') {
        const joined = await tryToJoin(parts, { port: postmaster.port, password }, signal);
        if (joined) return { ...joined, started: launch?.isServer(postmaster.pid) ?? false };
        // Another process was faster.
        if (launch?.hasEnded()) launch = null;
      } else if (launch === null) {
        if (postmaster.state === 'stale')
          await removeStaleLockFile(dataDirectory, postmaster.text, { account, signal });
        launch = await launchServer(parts, await choosePort(location));
      } else if (launch.hasEnded()) {
        const delay = RETRY_DELAYS_MS[failures++];
        if (delay === undefined) {
          const log = lastLines(await launch.readLog());
          const message = `The built-in Postgres did not start. Its log, ${location.logFile}, ends with:\n${log}`;
          throw await programFailure(location.base, message);
        }
        launch = null;
        await sleep(delay, undefined, { signal });
      }
      await sleep(POLL_MS, undefined, { signal });
    }
  } catch (error) {
    // A start that was called off leaves no server behind. One that is only slow, recovering from a crash, goes on: the
    // next start finds it further.
    if (signal.reason?.name !== 'TimeoutError') launch?.interrupt();
    throw error;
  }
}

async function tryToJoin(
  { location }: ServerParts,
  { port, password }: { port: number | null; password: string },
  signal: AbortSignal,
): Promise<{ presence: Presence; port: number } | null> {
  if (port === null) return null;
  const address = { port, password };
  try {
    return { presence: await openPresence(address, signal), port };
  } catch (error) {
    if (signal.aborted) throw error;
    const state = stateOf(error);
    if (state === UNKNOWN_DATABASE) await createDatabase(address, signal).catch(() => signal.throwIfAborted());
    else if (state !== null && !PASSING_STATES.test(state)) throw refusal(error, state, location.passwordFile);
    return null;
  }
}

function refusal(cause: unknown, state: string, passwordFile: string): DatabaseError {
  return new DatabaseError(
    'database_refused',
    `The built-in Postgres refuses leadmirror (SQLSTATE ${state}). If its password was changed, write the new one to ` +
      `${passwordFile}.`,
    { cause },
  );
}

type Address = { readonly port: number; readonly password: string };

export type Presence = Awaited<ReturnType<typeof openPresence>>;

/**
 * Who uses the shared server is written in the server itself: every process holds one session with a shared advisory
 * lock. A process that ends loses its session, so there is nothing to clean up after a crash. A process that leaves and
 * then gets the lock exclusively is the last one.
 *
 * Waits while the last process of before is stopping the server; that ends this session, too.
 */
async function openPresence(address: Address, signal: AbortSignal) {
  const { client, ended } = await connect(address, signal);
  const lock = [LOCKS.presence.toString()];
  try {
    await unlessAborted(client.query('select pg_advisory_lock_shared($1)', lock), signal);
  } catch (error) {
    disconnect(client);
    throw error;
  }
  return {
    ended,
    /** True when no other process is here. None can join then until this session is closed or the server is down. */
    async leave(signal: AbortSignal): Promise<boolean> {
      const answer = client.query<{ alone: boolean }>(
        'select pg_advisory_unlock_shared($1), pg_try_advisory_lock($1) as alone',
        lock,
      );
      return (await unlessAborted(answer, signal)).rows[0]?.alone === true;
    },
    close: () => disconnect(client),
  };
}

/** Creates leadmirror's database. Several processes may do so at once; having lost that race is success. */
async function createDatabase(address: Address, signal: AbortSignal): Promise<void> {
  try {
    await unlessAborted(makeDatabase(urlOf(address, 'postgres'), NAME), signal);
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
    await unlessAborted(client.connect(), signal);
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
