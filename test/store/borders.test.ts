import { randomUUID } from 'node:crypto';
/** Databases as people have them: settings of roles and addresses, poolers, TLS, encodings, publications, few connections. */
import { afterEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { DatabaseError } from '../../src/errors.ts';
import { createDatabase } from '../../src/store/database.ts';
import { databaseError, describeDatabaseFault, isRefusedContent, passesByWaiting } from '../../src/store/faults.ts';
import { migrate } from '../../src/store/migrate.ts';
import { ensureTables } from '../../src/store/mirror/custom-tables.ts';
import { grantReadonly } from '../../src/store/reports/readonly-role.ts';
import { assertReachable, openSession } from '../../src/store/session.ts';
import { migrateQueue } from '../../workers/queue-postgres.ts';
import { CONNECTION_REFUSALS, SQLSTATES } from '../helpers/error-words.ts';
import { startFakePostgres } from '../helpers/fake-postgres.ts';
import { setupMirror } from '../helpers/mirror.ts';
import { createTestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { createSelfSigned } from '../http/self-signed.ts';

const CERTIFICATE = createSelfSigned('localhost');

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function setup(options: { migrated?: boolean } = {}) {
  const database = await createTestDatabase(options);
  const sql = new pg.Client({ connectionString: database.url });
  sql.on('error', () => {});
  await sql.connect();
  opened.push({ close: () => sql.end().then(() => database.drop()) });
  return { url: database.url, sql };
}

const withQuery = (url: string, query: string): string => `${url}${url.includes('?') ? '&' : '?'}${query}`;

/** A role of its own, with settings that sessions begin with. */
async function createRole(sql: pg.Client, url: string, settings: readonly string[] = []) {
  const name = `role_${randomUUID().slice(0, 8)}`;
  await sql.query(`create role ${name} login password 'pw'`);
  const { rows } = await sql.query('select current_database() as name');
  await sql.query(`grant create on database ${rows[0].name} to ${name}`);
  for (const setting of settings) await sql.query(`alter role ${name} ${setting}`);
  opened.push({
    close: async () => {
      await sql.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${name}'`);
      await sql.query(`drop owned by ${name} cascade; drop role ${name}`);
    },
  });
  const address = new URL(url);
  address.username = name;
  address.password = 'pw';
  return { name, url: address.href };
}

const failureOf = async (work: Promise<unknown>): Promise<Error> => {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing failed');
};

it('options of the address are merged with ours: nothing of the migrations is in public, now or later', async () => {
  const { url, sql } = await setup({ migrated: false });
  const address = withQuery(url, 'options=-c%20statement_timeout%3D120000%20-c%20search_path%3Dpublic');
  expect((await migrate({ url: address })).length).toBeGreaterThan(0);
  expect(await migrate({ url: address })).toEqual([]);
  const { rows } = await sql.query("select relname from pg_class where relnamespace = 'public'::regnamespace");
  expect(rows).toEqual([]);
  const session = await openSession(address);
  opened.push({ close: () => session.end() });
  expect((await session.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '2min' }]);
});

const ODD_ROLE = [
  "set datestyle = 'German'",
  "set timezone = 'Asia/Kathmandu'",
  "set intervalstyle = 'sql_standard'",
  "set default_transaction_isolation = 'repeatable read'",
  'set default_transaction_read_only = on',
  'set extra_float_digits = -15',
  "set bytea_output = 'escape'",
  'set standard_conforming_strings = off',
  'set array_nulls = off',
  'set transform_null_equals = on',
  "set client_encoding = 'LATIN1'",
  'set row_security = off',
  'set plan_cache_mode = force_generic_plan',
  'set search_path = nowhere',
];

it('what a role sets for its sessions never reaches ours', async () => {
  const { url, sql } = await setup();
  const odd = await createRole(sql, url, ODD_ROLE);
  const { url: plainUrl } = await createRole(sql, url);
  const settingsOf = async (address: string) => {
    const { prisma, close } = createDatabase({ url: address, logger: unheardLogger() });
    const session = await openSession(address);
    const ask = `select name, setting from pg_settings where name = any($1) order by 1`;
    const names = [
      ['DateStyle', 'TimeZone', 'IntervalStyle', 'default_transaction_isolation', 'default_transaction_read_only'],
      ['extra_float_digits', 'bytea_output', 'standard_conforming_strings', 'array_nulls', 'transform_null_equals'],
      ['client_encoding', 'row_security', 'plan_cache_mode', 'search_path', 'transaction_isolation'],
    ].flat();
    const inPool = await prisma.$queryRawUnsafe(ask, names);
    const alone = (await session.query(ask, [names])).rows;
    await session.end();
    await close();
    return { inPool, alone };
  };
  const ours = await settingsOf(plainUrl);
  expect(await settingsOf(odd.url)).toEqual(ours);
  expect(ours.inPool).toEqual(ours.alone);
});

it('a mirror under a role with odd settings mirrors, refreshes its reports and reads its dates', async () => {
  const { url, sql } = await setup({ migrated: false });
  const role = await createRole(sql, url, ODD_ROLE);
  const setting = await setupMirror({}, { DATABASE_URL: role.url });
  opened.push(setting);
  expect(await setting.run('leads', 'backfill')).toMatchObject({ outcome: 'succeeded' });
  await setting.app.database.prisma.$queryRaw`select * from sync.status`;
  await setting.app.database.prisma.$queryRaw`select reporting.refresh()`;
  await setting.app.database.prisma.$queryRaw`select reporting.refresh()`;
});

describe('an error of a database', () => {
  const errorOf = (code: string, message = 'words') => Object.assign(new Error(message), { code, severity: 'ERROR' });

  it('has its own sentence and never counts as a bug, whatever its state is', () => {
    const unnamed = SQLSTATES.filter((code) => !(databaseError(errorOf(code), 'host/db') instanceof DatabaseError));
    expect(unnamed).toEqual([]);
  });

  it('that passes by itself is waited for', () => {
    const passing = [
      '25006',
      '57014',
      '57P01',
      '57P03',
      '53300',
      '53100',
      '53200',
      '40001',
      '40P01',
      '55P03',
      '08006',
      '58030',
      'XX000',
      '26000',
      '42P05',
    ];
    expect(passing.filter((code) => !passesByWaiting(errorOf(code)))).toEqual([]);
    const staying = ['28P01', '3D000', '42501', '42P01', '22P02', '23505', '0A000', '57P04', 'XX001'];
    expect(staying.filter((code) => passesByWaiting(errorOf(code)))).toEqual([]);
    expect(['22001', '23505', '54000'].every((code) => isRefusedContent(errorOf(code)))).toBe(true);
  });

  it.each([
    ['08P01', 'password authentication failed', 'user or password refused'],
    ['08P01', 'no such user: app', 'user or password refused'],
    ['08P01', 'no such database: x', 'no database of this name'],
    ['08P01', 'unsupported startup parameter: options', 'refuses a setting of DATABASE_URL'],
    ['08P01', 'no more connections allowed (max_client_conn)', 'no connection left'],
    ['08P01', 'SSL required', 'sslmode'],
    ['XX000', 'Tenant or user not found', 'knows no such project or user'],
    ['28000', 'no pg_hba.conf entry for host "10.0.0.1", user "app", database "x", no encryption', 'sslmode'],
  ])('of a pooler, %s "%s", is told by its words: %s', (code, message, expected) => {
    expect(describeDatabaseFault(errorOf(code, message))?.message).toContain(expected);
  });

  it('at the start-up is a sentence for each way that servers, poolers and hosts refuse', async () => {
    const { url } = await setup();
    const fake = await startFakePostgres(url);
    opened.push(fake);
    for (const [sqlstate, message] of CONNECTION_REFUSALS) {
      fake.trouble = { startUp: () => ({ sqlstate, message }) };
      expect(await failureOf(assertReachable(fake.url))).toBeInstanceOf(DatabaseError);
    }
  });

  it('that never comes is a time-out', async () => {
    const { url } = await setup();
    const fake = await startFakePostgres(url, { connection: 'silence' });
    opened.push(fake);
    expect(await failureOf(assertReachable(fake.url))).toMatchObject({ code: 'database_unavailable' });
  });
});

describe('TLS', () => {
  it('is used without being asked for where the server wants it', async () => {
    const { url } = await setup();
    const plain = { sqlstate: '28000', message: 'no pg_hba.conf entry for host "1.2.3.4", no encryption' };
    const fake = await startFakePostgres(url, { tls: CERTIFICATE, plain });
    opened.push(fake);
    await assertReachable(fake.url);
    const { prisma, close } = createDatabase({ url: fake.url, logger: unheardLogger() });
    expect(await prisma.$queryRaw`select 1 as one`).toEqual([{ one: 1 }]);
    await close();
  });

  it.each(['', 'sslmode=prefer', 'sslmode=allow', 'sslmode=disable'])(
    'is left out with "%s" where the server has none',
    async (query) => {
      const { url } = await setup();
      const address = withQuery(url, query);
      await assertReachable(address);
      const { prisma, close } = createDatabase({ url: address, logger: unheardLogger() });
      expect(await prisma.$queryRaw`select 1 as one`).toEqual([{ one: 1 }]);
      await close();
    },
  );

  it.each([
    ['sslmode=require', undefined, 'the server has no TLS'],
    ['sslmode=verify-full', CERTIFICATE, 'authority that is not known'],
    ['sslmode=verify-ca', CERTIFICATE, 'sslrootcert'],
    ['sslmode=verify-full&sslrootcert=/nowhere/ca.pem', CERTIFICATE, '/nowhere/ca.pem'],
    ['sslmode=sometimes', CERTIFICATE, 'sslmode'],
  ])('with %s says what is wrong', async (query, tls, expected) => {
    const { url } = await setup();
    const fake = await startFakePostgres(url, tls === undefined ? {} : { tls });
    opened.push(fake);
    const error = await failureOf(assertReachable(withQuery(fake.url, query)));
    expect(error).toMatchObject({ code: 'database_refused', message: expect.stringContaining(expected) });
  });
});

it('a database of another encoding is refused, with the way to make one that can store every letter', async () => {
  const { sql, url } = await setup();
  await sql.query(
    `create database latin_${process.pid} encoding 'LATIN1' locale_provider 'libc' lc_collate 'C' lc_ctype 'C' template template0`,
  );
  const latin = new URL(url);
  latin.pathname = `/latin_${process.pid}`;
  opened.push({ close: () => sql.query(`drop database latin_${process.pid} with (force)`) });
  for (const work of [() => assertReachable(latin.href), () => migrate({ url: latin.href })]) {
    expect(await failureOf(work())).toMatchObject({
      code: 'database_unsupported',
      message: expect.stringContaining("encoding 'UTF8'"),
    });
  }
});

describe('tables of ours', () => {
  it('have a primary key each, so that logical replication can publish them', async () => {
    const { sql, url } = await setup();
    await migrateQueue(url);
    await ensureTables(url, [{ schema: 'help_desk', name: 'tickets', columns: { subject: 'text' } }]);
    const { rows } = await sql.query<{ name: string }>(
      `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_%' and c.relkind in ('r', 'p')
         and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary) order by 1`,
    );
    expect(rows).toEqual([]);
  });

  it('are written under a publication for all tables, the reports too', async () => {
    const setting = await setupMirror();
    opened.push(setting);
    await setting.app.database.prisma.$executeRaw`create publication everything for all tables`;
    expect(await setting.run('leads', 'backfill')).toMatchObject({ outcome: 'succeeded' });
    await setting.app.database.prisma.$queryRaw`select reporting.refresh()`;
    await setting.app.database.prisma.$queryRaw`select reporting.refresh()`;
  });
});

describe('grant-readonly', () => {
  it('says when row-level security hides the rows from the role, and is content when a policy shows them', async () => {
    const { sql, url } = await setup();
    const role = await createRole(sql, url);
    await sql.query(
      'alter table tiledesk.leads enable row level security; alter table tilkee.users enable row level security',
    );
    await sql.query(`create policy a_part on tilkee.users for select to ${role.name} using (connection_id = 'x')`);
    const { prisma, close } = createDatabase({ url, logger: unheardLogger() });
    opened.push({ close });
    expect(await grantReadonly(prisma, role.name)).toMatchObject({
      outcome: 'granted',
      hidden: ['tiledesk.leads', 'tilkee.users'],
      unreadable: [],
      closed: null,
    });
    await sql.query(`create policy whole on tiledesk.leads for select to ${role.name} using (true)`);
    await sql.query('create policy whole on tilkee.users using (true)');
    expect(await grantReadonly(prisma, role.name)).toMatchObject({ hidden: [] });
  });

  it.each([
    ['cannot log in', 'alter role $role nologin', 'no_login'],
    ['may not connect', 'revoke connect on database $database from public', 'no_connect'],
    ['has an expired password', "alter role $role valid until '2020-01-01'", 'expired'],
  ])('says when the role %s', async (_, statement, closed) => {
    const { sql, url } = await setup();
    const role = await createRole(sql, url);
    const { rows } = await sql.query('select current_database() as name');
    await sql.query(statement.replace('$role', role.name).replace('$database', rows[0].name));
    const { prisma, close } = createDatabase({ url, logger: unheardLogger() });
    opened.push({ close });
    expect(await grantReadonly(prisma, role.name)).toMatchObject({ outcome: 'granted', closed });
  });

  it('says what the role may still not read, when it is asked for by a role that may not grant it', async () => {
    const { sql, url } = await setup({ migrated: false });
    const owner = await createRole(sql, url);
    const reader = await createRole(sql, url);
    await migrate({ url: owner.url });
    await sql.query('create table tilkee.added (id int primary key); alter table tiledesk.leads owner to current_user');
    await sql.query(`grant select on tilkee.added, tiledesk.leads to ${owner.name}`);
    const { prisma, close } = createDatabase({ url: owner.url, logger: unheardLogger() });
    opened.push({ close });
    expect(await grantReadonly(prisma, reader.name)).toMatchObject({
      outcome: 'granted',
      unreadable: ['tiledesk.leads', 'tilkee.added'],
    });
  });
});
