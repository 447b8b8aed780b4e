import type { FastifyInstance } from 'fastify';
import type { OpsParts } from '../../src/ops/parts.ts';
import { createOpsServer } from '../../src/ops/server.ts';
import { type Store, setupStore } from '../store/support.ts';

export const TOKEN = 'a-token-for-the-tests-0123456789';
export const BEARER = { authorization: `Bearer ${TOKEN}` };

/** A queue that is there, without one. */
export const QUIET_QUEUE: NonNullable<OpsParts['queue']> = {
  ping: async () => {},
  health: async () => ({
    backend: 'postgres',
    ok: true,
    error: null,
    lanes: {
      fast: { waiting: 0, active: 0, delayed: 4, failed: 0 },
      bulk: { waiting: 0, active: 0, delayed: 4, failed: 0 },
    },
  }),
};

/** What was asked for, instead of doing it. */
export function createRecorder() {
  const asked: string[] = [];
  const note = (what: string) => async (key: { connectionId: string; stream: string }) => {
    asked.push([what, key.connectionId, key.stream].join(' '));
    return `${what}: asked for`;
  };
  const control: NonNullable<OpsParts['control']> = {
    trigger: async (key, { pass }) => {
      asked.push(['trigger', key.connectionId, key.stream, pass].join(' '));
      return 'trigger: asked for';
    },
    pause: note('pause'),
    resume: note('resume'),
    resync: note('resync'),
    'accept-deletions': note('accept'),
    cancel: note('cancel'),
    verify: (key, { repair }) => note(repair ? 'repair' : 'verify')(key),
    'retry-quarantine': note('retry'),
  };
  return { asked, control };
}

export interface OpsSetup {
  readonly store: Store;
  /** Made with `parts` over what every server here has; closed with the setup. */
  server(parts?: Partial<OpsParts>): FastifyInstance;
  close(): Promise<void>;
}

export async function setupOps(): Promise<OpsSetup> {
  const store = await setupStore();
  const servers: FastifyInstance[] = [];
  return {
    store,
    server(parts = {}) {
      const server = createOpsServer({ prisma: store.prisma, queue: QUIET_QUEUE, pollMs: 50, ...parts });
      servers.push(server);
      return server;
    },
    async close() {
      for (const server of servers) await server.close();
      await store.close();
    },
  };
}

export const ACCOUNT = 'tiledesk:agency';

/** The tables that the status is made from, as if nothing had been configured; a worker lives. */
export async function clear(store: Store): Promise<void> {
  await store.query(
    'truncate sync.streams, sync.checkpoints, sync.runs, sync.quarantine, sync.verifications, sync.budgets, sync.processes, sync.erasures restart identity',
  );
  await store.query(
    `insert into sync.processes (id, host, pid, roles, version, is_leading, queue_ok, running_runs, beat_at)
     values (gen_random_uuid(), 'host-a', 4711, '{worker}', '1', true, true, 0, now() + interval '1 hour')`,
  );
}

export const addStream = (store: Store, stream: string, connection = ACCOUNT): Promise<unknown> =>
  store.query(
    `insert into sync.streams (connection_id, stream, created_at) values ($1, $2, now() - interval '9 days')`,
    [connection, stream],
  );

export interface RunFacts {
  readonly connection?: string;
  readonly created?: number;
  readonly code?: string;
  readonly message?: string;
  /** Runs that found nothing, folded into this one. */
  readonly idle?: number;
}

type Ended = 'succeeded' | 'partial' | 'failed' | 'postponed';

/** A run that ended so many minutes ago and took one, and the checkpoint that it leaves behind. */
export async function addRun(
  store: Store,
  stream: string,
  pass: string,
  minutesAgo: number,
  outcome: Ended,
  { connection = ACCOUNT, created = 0, code, message, idle = 0 }: RunFacts = {},
): Promise<void> {
  await store.query(
    `insert into sync.runs (connection_id, stream, pass, outcome, error_code, error_message, created, read, requests, pages, idle_runs, watermark, started_at, ended_at)
     values ($1, $2, $3, $4, $5, $6, $7, $7, 3, 2, $8, '{"all": "2026-11-20T10:00:00.000Z"}', now() - make_interval(mins => $9 + 1), now() - make_interval(mins => $9))`,
    [connection, stream, pass, outcome, code ?? null, message ?? null, created, idle, minutesAgo],
  );
  await store.query(
    `insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at, watermark)
     values ($1, $2, $3, now() - make_interval(mins => $4 + 1), case when $5 then now() - make_interval(mins => $4) end, '{"all": "2026-11-20T10:00:00.000Z"}')
     on conflict (connection_id, stream, pass) do update set started_at = excluded.started_at,
       completed_at = coalesce(excluded.completed_at, checkpoints.completed_at)`,
    [connection, stream, pass, minutesAgo, outcome === 'succeeded'],
  );
}

/** Read whole two days ago, walked in full last night, looked at five minutes ago. */
export async function addFreshStream(store: Store, stream: string, connection = ACCOUNT): Promise<void> {
  await addStream(store, stream, connection);
  await addRun(store, stream, 'backfill', 2880, 'succeeded', { connection, created: 900 });
  await addRun(store, stream, 'reconcile', 600, 'succeeded', { connection });
  await addRun(store, stream, 'incremental', 4, 'succeeded', { connection, created: 3 });
}

/** A pass that holds its lease now. */
export async function addRunning(store: Store, stream: string, pass: string, read: number): Promise<void> {
  await store.query(
    `with run as (
       insert into sync.runs (connection_id, stream, pass, read, pages, requests, started_at)
       values ($1, $2, $3, $4, $4 / 100, $4 / 100, now() - interval '10 seconds') returning id
     )
     insert into sync.checkpoints (connection_id, stream, pass, run_id, lease_token, lease_until, started_at)
     select $1, $2, $3, id, 1, now() + interval '1 hour', now() - interval '11 seconds' from run
     on conflict (connection_id, stream, pass) do update set run_id = excluded.run_id, lease_until = excluded.lease_until, started_at = excluded.started_at`,
    [ACCOUNT, stream, pass, read],
  );
}

/** Erasures, by how many days ago they were asked for. */
export async function addErasures(store: Store, erasures: readonly (readonly [daysAgo: number, state: string])[]) {
  for (const [daysAgo, state] of erasures) {
    await store.query(
      `insert into sync.erasures (id, reason, reference, actor, state, requested_at)
       values (gen_random_uuid(), 'asked by Jane Canary', 'T-1', 'host', $2, date_trunc('day', now(), 'UTC') - make_interval(days => $1))`,
      [daysAgo, state],
    );
  }
}

export const pause = (store: Store, stream: string): Promise<unknown> =>
  store.query(
    `update sync.streams set paused_at = now() - interval '2 hours' where connection_id = $1 and stream = $2`,
    [ACCOUNT, stream],
  );

/** One stream in each state. */
export async function addEveryState(store: Store): Promise<void> {
  await addFreshStream(store, 'tiledesk.departments');
  await addStream(store, 'tiledesk.leads');
  await addRunning(store, 'tiledesk.leads', 'backfill', 1200);
  await addFreshStream(store, 'tiledesk.requests');
  await store.query(
    `update sync.checkpoints set started_at = now() - interval '2 days', completed_at = now() - interval '2 days' where stream = 'tiledesk.requests'`,
  );
  await addFreshStream(store, 'tiledesk.project_users');
  await addRun(store, 'tiledesk.project_users', 'reconcile', 30, 'partial', {
    code: 'deletion_brake',
    message: '40 of 90 rows would be marked as deleted',
  });
  await addFreshStream(store, 'tilkee.users');
  await pause(store, 'tilkee.users');
  await addStream(store, 'tiledesk.leads', 'tiledesk:new');
  await addStream(store, 'tilkee.projects', 'tilkee:default');
  await addRun(store, 'tilkee.projects', 'backfill', 12, 'failed', {
    connection: 'tilkee:default',
    code: 'auth_failed',
    message: 'Tilkee does not accept the refresh token any more',
  });
}
