import type { QueryResult } from 'pg';
import { LOCKS } from '../src/store/locks.ts';
import { openSession } from '../src/store/session.ts';

const HEARTBEAT_MS = 4_000;
/** The server ends a leader after so long without a statement: frozen, or cut off. */
const TIMEOUT_MS = 12_000;

export interface Leadership {
  /** Aborted when the lock is gone; the leader must do nothing more. */
  readonly lost: AbortSignal;
  resign(): Promise<void>;
}

/**
 * Takes the lead if no process has it; null otherwise. The lock belongs to an open transaction on a connection of its
 * own: it ends with the process, and works through PgBouncer, which would give a session's lock to others. The
 * transaction has no snapshot between its statements and does not hold up vacuum.
 */
export async function tryLead(databaseUrl: string): Promise<Leadership | null> {
  const client = await openSession(databaseUrl, { queryTimeoutMs: 10_000 });
  const lost = new AbortController();
  client.on('error', () => lost.abort());
  client.on('end', () => lost.abort());
  try {
    // The driver's type does not know that several statements have several results.
    const results: unknown = await client.query(
      `begin read only; set local idle_in_transaction_session_timeout = ${TIMEOUT_MS}; select pg_try_advisory_xact_lock(${LOCKS.lead}) as locked`,
    );
    if ((results as QueryResult<{ locked: boolean }>[])[2]?.rows[0]?.locked !== true) {
      await client.end();
      return null;
    }
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
  let isAsking = false;
  const heartbeat = setInterval(() => {
    if (isAsking) return;
    isAsking = true;
    client.query('select 1').then(
      () => {
        isAsking = false;
      },
      () => lost.abort(),
    );
  }, HEARTBEAT_MS);
  lost.signal.addEventListener('abort', () => clearInterval(heartbeat), { once: true });
  if (lost.signal.aborted) clearInterval(heartbeat);
  return {
    lost: lost.signal,
    async resign() {
      lost.abort();
      await client.end().catch(() => {});
    },
  };
}
