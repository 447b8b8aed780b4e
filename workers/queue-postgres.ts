import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { type BackendFactory, createPostgresBackend, DEFAULT_SCHEMA, type QueueOptions, runMigrations } from 'bullmq';
import pg from 'pg';
import { DatabaseError } from '../src/errors.ts';
import { describeDatabaseFault } from '../src/store/faults.ts';
import { poolConfig, withSession } from '../src/store/session.ts';
import type { QueueBackend } from './queue-backend.ts';
import { describeError } from './queue-watch.ts';

export interface PostgresBackendOptions {
  readonly databaseUrl: string;
  /** Upper bound for all queues of the process together; each worker holds one of them for LISTEN. */
  readonly maxConnections?: number;
  readonly onError: (error: Error) => void;
}

/** Brings schema `bullmq` to BullMQ's version; any number of processes may do so at once. @throws DatabaseError */
export async function migrateQueue(databaseUrl: string): Promise<void> {
  await withSession(databaseUrl, async (client) => {
    if (!client.isDirect) await assertDirectSession(client, databaseUrl);
    await runMigrations(client);
  });
}

const NOTICE_MS = 1_500;

/** A pooler that shares sessions loses who listens, so no worker is ever called; one that keeps a session works. */
async function assertDirectSession(client: pg.Client, databaseUrl: string): Promise<void> {
  const channel = `leadmirror_${randomUUID().replaceAll('-', '')}`;
  const notified = once(client, 'notification', { signal: AbortSignal.timeout(NOTICE_MS) });
  // Awaited below; until then a time-out must not count as unhandled.
  notified.catch(() => {});
  await client.query(`listen ${channel}`);
  await withSession(databaseUrl, (other) => other.query(`notify ${channel}`));
  await notified.catch(() => {
    throw new DatabaseError(
      'database_refused',
      'DATABASE_URL leads through a pooler that shares its sessions (transaction pooling), and the queue in Postgres needs sessions of its own; name the server itself in DATABASE_URL, or set REDIS_URL',
    );
  });
}

/** BullMQ's own backend on one pool for the process, made here: for such a pool BullMQ knows no schema but `bullmq`. */
export function createPostgresQueueBackend(options: PostgresBackendOptions): QueueBackend {
  const { databaseUrl, maxConnections = 8, onError } = options;
  const closing = new AbortController();
  const pool = new pg.Pool(poolConfig(databaseUrl, maxConnections, { searchPath: DEFAULT_SCHEMA }));
  pool.on('error', onError);
  const slowly = <T>(work: () => Promise<T>) => failSlowly(work, closing.signal);
  const connection = {
    options: { keepAlive: true },
    connect: () => slowly(() => pool.connect()),
    query: (text: string, values?: unknown[]) => slowly(() => pool.query(text, values)),
    end: () => pool.end(),
    on: (event: 'error', listener: (error: Error) => void) => pool.on(event, listener),
    removeAllListeners: () => connection,
  };
  return {
    kind: 'postgres',
    factory: createPostgresBackend as unknown as BackendFactory,
    options: { connection: connection as unknown as QueueOptions['connection'] },
    async ping() {
      await pool.query('select 1');
    },
    explain: describeError,
    disconnect: async () => closing.abort(),
    async close() {
      closing.abort();
      await pool.end();
    },
  };
}

const PAUSE_MS = 1_000;

/** A worker asks again at once when an answer fails: while the server is away each failure is made to last. */
async function failSlowly<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (describeDatabaseFault(error) !== null) await delay(PAUSE_MS, undefined, { signal }).catch(() => {});
    throw error;
  }
}
