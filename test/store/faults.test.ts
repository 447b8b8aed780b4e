import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { type DatabaseError, errorCode } from '../../src/errors.ts';
import { Prisma } from '../../src/generated/prisma/client.ts';
import { createDatabase } from '../../src/store/database.ts';
import { findNativeDirectory } from '../../src/store/embedded/programs.ts';
import {
  databaseError,
  describeDatabaseFault,
  isRetryableDatabaseError,
  passesByWaiting,
} from '../../src/store/faults.ts';
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
  ])('%s is final, and about that statement only', async (_, sql) => {
    const error = await failureOf(store.prisma.$executeRawUnsafe(sql));
    expect(isRetryableDatabaseError(error)).toBe(false);
    expect(describeDatabaseFault(error)).toMatchObject({ code: 'database_mismatch' });
  });
});

/** As node-postgres and Prisma's adapter pass on what a server answers. */
const serverError = (code: string, message = 'words of the server') =>
  Object.assign(new Error(message), { code, severity: 'ERROR' });
const adapterError = (code: string, message = 'words of the server') =>
  Object.assign(new Error(message), {
    cause: { kind: 'postgres', code, originalCode: code, originalMessage: message },
  });

describe('the table of SQLSTATE classes', () => {
  it('knows every code of Postgres’ list, and calls none of them a mistake of ours', async () => {
    const list = await readFile(join(await findNativeDirectory(), 'share/postgresql/errcodes.txt'), 'utf8');
    const codes = [...list.matchAll(/^([0-9A-Z]{5}) /gm)].map(([, code]) => code as string);
    expect(codes.length).toBeGreaterThan(250);
    for (const code of codes) {
      for (const error of [serverError(code), adapterError(code)]) {
        const fault = databaseError(error, 'there') as DatabaseError;
        expect([code, errorCode(fault)]).toEqual([code, expect.stringMatching(/^database_/)]);
        expect(fault.message).not.toContain('words of the server');
        expect(fault.message).not.toContain('which leadmirror does not know; it is tried again');
      }
    }
  });

  it.each([
    ['08006', 'database_unavailable'],
    ['25006', 'database_unavailable'],
    ['25P03', 'database_unavailable'],
    ['26000', 'database_unavailable'],
    ['40001', 'database_unavailable'],
    ['40P01', 'database_unavailable'],
    ['53200', 'database_unavailable'],
    ['53300', 'database_unavailable'],
    ['53400', 'database_unavailable'],
    ['55P03', 'database_unavailable'],
    ['55006', 'database_unavailable'],
    ['57014', 'database_unavailable'],
    ['57P01', 'database_unavailable'],
    ['57P02', 'database_unavailable'],
    ['57P03', 'database_unavailable'],
    ['57P05', 'database_unavailable'],
    ['58000', 'database_unavailable'],
    ['58030', 'database_unavailable'],
    ['XX000', 'database_unavailable'],
    ['CR000', 'database_unavailable'],
    ['ZZZ99', 'database_unavailable'],
    ['53100', 'database_disk_full'],
    ['28000', 'database_refused'],
    ['28P01', 'database_refused'],
    ['3D000', 'database_refused'],
    ['42501', 'database_refused'],
    ['57P04', 'database_refused'],
    ['XX001', 'database_refused'],
    ['0A000', 'database_mismatch'],
    ['22P02', 'database_mismatch'],
    ['23505', 'database_mismatch'],
    ['42601', 'database_mismatch'],
    ['42P01', 'database_mismatch'],
    ['P0001', 'database_mismatch'],
  ])('%s is %s', (code, meaning) => {
    expect(describeDatabaseFault(serverError(code))).toMatchObject({ code: meaning });
    const passes = meaning === 'database_unavailable' || meaning === 'database_disk_full';
    expect(passesByWaiting(serverError(code))).toBe(passes);
    expect(passesByWaiting(databaseError(adapterError(code), 'there'))).toBe(passes);
    expect(isRetryableDatabaseError(serverError(code))).toBe(meaning === 'database_unavailable');
  });

  it.each([
    ['08P01', 'no such user: project_tls', 'user or password'],
    ['08P01', 'password authentication failed', 'user or password'],
    ['08P01', 'SASL authentication failed', 'user or password'],
    ['08P01', 'server login failed: FATAL password authentication failed for user "x"', 'user or password'],
    ['28000', 'role "tenant not found" does not exist', 'user or password'],
    ['XX000', 'Authentication error, reason: "Wrong password"', 'user or password'],
    ['08P01', 'no such database: insecure', 'no database of this name'],
    ['58000', 'No pool configured for database: "x", user: "y"', 'no database of this name'],
    ['08P01', 'unsupported startup parameter: options', 'ignore_startup_parameters'],
    ['08P01', 'unsupported startup parameter in options: search_path', 'ignore_startup_parameters'],
    ['28000', 'no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", no encryption', 'pg_hba.conf'],
    ['28000', 'keine Worte, die leadmirror kennt', 'pg_hba.conf'],
    ['28000', 'connection requires a valid client certificate', 'sslcert'],
    ['28000', 'role "r" is not permitted to log in', 'may not log in'],
    ['08P01', 'SSL required', 'encrypted connections only'],
    ['28000', 'SSL connection is required. Please specify SSL options and retry.', 'encrypted connections only'],
    ['28000', 'This RDS Proxy requires TLS connections', 'encrypted connections only'],
    ['XX000', 'connection is insecure (try using `sslmode=require`)', 'encrypted connections only'],
    ['XX000', 'Tenant or user not found', 'no such project or user'],
    ['XX000', 'Endpoint ID is not specified. Either please upgrade the library', 'no such project or user'],
    ['08P01', 'no more connections allowed (max_client_conn)', 'no connection left'],
    ['XX000', 'MaxClientsInSessionMode: max clients reached', 'no connection left'],
    ['XX000', 'Unable to check out process from the pool due to timeout', 'no connection left'],
    ['08P01', 'query_wait_timeout', 'no connection left'],
    ['08P01', 'server login has been failing, try again later (server_login_retry)', 'cannot be reached'],
    ['08P01', 'pgbouncer cannot connect to server', 'cannot be reached'],
    ['08P01', 'something new', 'cannot be reached'],
    ['28P01', 'password authentication failed for user "Tenant or user not found"', 'user or password'],
  ])('%s “%s” is answered in our words', (code, words, answer) => {
    expect(describeDatabaseFault(serverError(code, words))?.message).toContain(answer);
    expect(describeDatabaseFault(adapterError(code, words))?.message).toContain(answer);
  });

  it.each([
    [
      'a password that is asked for and not there',
      'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string',
    ],
    ['a sign-in that the driver does not know', 'SASL: Only mechanism(s) SCRAM-SHA-256 are supported'],
    ['an answer that is not Postgres’', 'received invalid response: 2b'],
    ['a query without an answer', 'Query read timeout'],
  ])('%s is no mistake of ours', (_, message) => {
    expect(describeDatabaseFault(new Error(message))?.code).toMatch(/^database_/);
  });

  it('leaves alone what has nothing to do with a database', () => {
    for (const error of [
      new TypeError('x is not a function'),
      Object.assign(new Error('no file'), { code: 'ENOENT' }),
    ]) {
      expect(databaseError(error, 'there')).toBe(error);
    }
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
