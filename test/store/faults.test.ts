import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Prisma } from '../../src/generated/prisma/client.ts';
import { createDatabase } from '../../src/store/database.ts';
import { describeDatabaseFault, isRetryableDatabaseError } from '../../src/store/faults.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { setupMirror } from '../helpers/mirror.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { lead, type Store, setupStore } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.query('truncate tiledesk.leads, sync.checkpoints, sync.runs');
  await store.save(await store.lease(), [lead('a', 1), lead('b', 1)]);
});

const failureOf = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('nothing failed');
};

const touch = (tx: Prisma.TransactionClient, id: string) =>
  tx.$executeRaw`update tiledesk.leads set fullname = fullname || '!' where id = ${id}`;

/** Resolves for each when all have come. */
function meetingOf(count: number): () => Promise<void> {
  let open = () => {};
  const met = new Promise<void>((resolve) => {
    open = resolve;
  });
  let came = 0;
  return () => {
    came += 1;
    if (came === count) open();
    return met;
  };
}

describe('a failure that passes is told from one that stays', () => {
  it('a deadlock', async () => {
    const meet = meetingOf(2);
    const lane = (first: string, second: string) =>
      store.prisma.$transaction(async (tx) => {
        await tx.$executeRaw`set local deadlock_timeout = '20ms'`;
        await touch(tx, first);
        await meet();
        await touch(tx, second);
      });
    const results = await Promise.allSettled([lane('a', 'b'), lane('b', 'a')]);
    const failed = results.filter((result) => result.status === 'rejected');
    expect(failed).toHaveLength(1);
    expect(isRetryableDatabaseError(failed[0]?.reason)).toBe(true);
    expect(describeDatabaseFault(failed[0]?.reason)).toBeNull();
  });

  it('a serialisation failure', async () => {
    const error = await failureOf(
      store.prisma.$transaction(
        async (tx) => {
          await tx.$queryRaw`select * from tiledesk.leads`;
          await store.query(`update tiledesk.leads set fullname = 'meanwhile'`);
          await touch(tx, 'a');
        },
        { isolationLevel: Prisma.TransactionIsolationLevel.RepeatableRead },
      ),
    );
    expect(isRetryableDatabaseError(error)).toBe(true);
  });

  it.each([['between its statements'], ['during a statement']])('a connection that is cut %s', async (when) => {
    const error = await failureOf(
      store.prisma.$transaction(async (tx) => {
        const [row] = await tx.$queryRaw<{ pid: number }[]>`select pg_backend_pid() as pid`;
        await touch(tx, 'a');
        const sleeping = when === 'during a statement' ? tx.$executeRaw`select pg_sleep(30)` : null;
        sleeping?.catch(() => {});
        const active = `select from pg_stat_activity where pid = $1 and query like '%pg_sleep%' and state = 'active'`;
        while (sleeping !== null && (await store.query(active, [row?.pid])).length === 0);
        await store.query('select pg_terminate_backend($1)', [row?.pid]);
        await (sleeping ?? touch(tx, 'b'));
      }),
    );
    expect(isRetryableDatabaseError(error)).toBe(true);
    expect(describeDatabaseFault(error)).toMatchObject({ code: 'database_unavailable' });
    const rows = await store.query<{ fullname: string }>('select fullname from tiledesk.leads order by id');
    expect(rows.map(({ fullname }) => fullname)).toEqual(['version 1', 'version 1']);
  });

  it('a server that is not there', async () => {
    const { prisma, close } = createDatabase({ url: 'postgres://nobody@127.0.0.1:1/none', logger: unheardLogger() });
    const error = await failureOf(prisma.$queryRaw`select 1`);
    expect(isRetryableDatabaseError(error)).toBe(true);
    expect(describeDatabaseFault(error)).toMatchObject({ code: 'database_unavailable' });
    await close();
  });

  it.each([
    ['a wrong password', (url: URL) => Object.assign(url, { password: 'wrong' })],
    ['a database of another name', (url: URL) => Object.assign(url, { pathname: '/not_there' })],
  ])('%s is final', async (_, change) => {
    const { prisma, close } = createDatabase({ url: change(new URL(store.url)).href, logger: unheardLogger() });
    const error = await failureOf(prisma.$queryRaw`select 1`);
    expect(isRetryableDatabaseError(error)).toBe(false);
    expect(describeDatabaseFault(error)).toMatchObject({ code: 'database_refused' });
    await close();
  });

  it.each([
    [
      'a broken rule',
      `insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id) select connection_id, id, raw, content_hash, 1 from tiledesk.leads`,
    ],
    ['a mistake of ours', 'select * from tiledesk.nothing'],
    ['a number that does not fit', 'select 99999999999::int'],
  ])('%s is final, and not about the database’s state', async (_, sql) => {
    const error = await failureOf(store.prisma.$executeRawUnsafe(sql));
    expect(isRetryableDatabaseError(error)).toBe(false);
    expect(describeDatabaseFault(error)).toBeNull();
  });
});

it('a run whose connection is cut while it writes a page writes that page again', async () => {
  const setup = await setupMirror({ leads: 120, requests: 10 });
  const holder = new pg.Client({ connectionString: setup.database.url });
  // Statistics stand still inside a transaction: who holds the lock cannot watch who waits for it.
  const watcher = new pg.Client({ connectionString: setup.database.url });
  try {
    await holder.connect();
    await watcher.connect();
    await holder.query('begin');
    await holder.query('lock table tiledesk.leads in share mode');
    const running = setup.run('leads', 'backfill');
    const cut = `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%incoming as materialized%'`;
    while ((await watcher.query(cut)).rowCount === 0);
    await holder.query('rollback');

    expect(await running).toMatchObject({ outcome: 'succeeded', created: setup.sandbox.data.listable().leads.length });
    expect(await compareMirror(setup.database.url, setup.sandbox, 'leads')).toEqual(EQUAL);
  } finally {
    await holder.end();
    await watcher.end();
    await setup.close();
  }
});
