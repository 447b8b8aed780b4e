import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { silentLogger } from '../../src/logger.ts';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { ensureTables } from '../../src/store/mirror/custom-tables.ts';
import { grantReadonly } from '../../src/store/reports/readonly-role.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

const ROLE = `reader_${randomBytes(4).toString('hex')}`;
let test: TestDatabase;
let database: Database;
let owner: pg.Client;
let reader: pg.Client;

beforeAll(async () => {
  test = await createTestDatabase();
  database = createDatabase({ url: test.url, logger: silentLogger() });
  owner = new pg.Client({ connectionString: test.url });
  await owner.connect();
  await owner.query(`create role ${ROLE} login password 'made-up'`);
  await owner.query(`
    insert into tiledesk.leads (connection_id, id, status, deleted_at, erased_at, raw, content_hash, run_id) values
      ('a', 'alive', 100, null, null, '{}', '', 1), ('b', 'other', 50, null, null, '{}', '', 1),
      ('a', 'gone', 1000, now(), null, '{}', '', 1), ('a', 'husk', 100, null, now(), '{"erased": true}', 'erased', 1);
    insert into tiledesk.requests (connection_id, id, status, raw, content_hash, run_id)
      select 'a', coalesce(s::text, 'none'), s, '{}', '', 1 from unnest(array[50, 100, 150, 200, 1000, 777, null]) s`);
  expect((await grantReadonly(database.prisma, ROLE)).outcome).toBe('granted');
  const url = new URL(test.url);
  [url.username, url.password] = [ROLE, 'made-up'];
  reader = new pg.Client({ connectionString: url.href });
  await reader.connect();
});
afterAll(async () => {
  await reader?.end();
  await owner.query(`drop owned by ${ROLE}; drop role ${ROLE}`);
  await owner.end();
  await database.close();
  await test.drop();
});

const idsOf = async (client: pg.Client, name: string) =>
  (await client.query<{ id: string }>(`select id from ${name} order by id`)).rows.map(({ id }) => id);
const make = (hasInvoker: boolean) =>
  owner.query("select sync.make_current_view('tiledesk', 'leads', $1)", [hasInvoker]);

it('shows what is there: neither what is gone upstream nor what is left of an erased person', async () => {
  expect(await idsOf(owner, 'tiledesk.leads_current')).toEqual(['alive', 'other']);
});

it('names the codes of the status, and shows a number that Tiledesk does not define', async () => {
  const { rows } = await owner.query('select id, status_name as name from tiledesk.requests_current order by status');
  expect(rows.map(({ id, name }) => [id, name])).toEqual([
    ['50', 'temporary'],
    ['100', 'unassigned'],
    ['150', 'abandoned'],
    ['200', 'assigned'],
    ['777', '777'],
    ['1000', 'closed'],
    ['none', null],
  ]);
  expect((await owner.query('select status_name from tiledesk.leads_current order by id')).rows).toEqual([
    { status_name: 'normal' },
    { status_name: 'temporary' },
  ]);
});

/** As on Postgres 15 and later, and as on 13 and 14. */
for (const hasInvoker of [true, false]) {
  const named = hasInvoker ? 'with the rights of the reader' : 'before Postgres 15';
  it(`${named}, opens nothing that the table hides from a role`, async () => {
    await make(hasInvoker);
    const view = 'tiledesk.leads_current';
    expect(await idsOf(owner, view)).toEqual(['alive', 'other']);
    expect(await idsOf(reader, view)).toEqual(['alive', 'other']);
    await owner.query(`alter table tiledesk.leads enable row level security;
      create policy own on tiledesk.leads for select to ${ROLE} using (connection_id = 'a')`);
    expect(await idsOf(reader, 'tiledesk.leads')).not.toContain('other');
    expect(await idsOf(reader, view)).toEqual(hasInvoker ? ['alive'] : []);
    expect(await idsOf(owner, view)).toEqual(['alive', 'other']);
    await owner.query('drop policy own on tiledesk.leads; alter table tiledesk.leads disable row level security');

    await owner.query(`revoke select on tiledesk.leads from ${ROLE}; grant select (id) on tiledesk.leads to ${ROLE}`);
    expect(await idsOf(reader, 'tiledesk.leads')).toContain('alive');
    const email = () => reader.query(`select email from ${view}`);
    if (hasInvoker) await expect(email()).rejects.toThrow('permission denied for table leads');
    else expect((await email()).rows).toEqual([]);
    await owner.query(`grant select on tiledesk.leads to ${ROLE}`);
  });
}

it('reads no more than the table', async () => {
  for (const hasInvoker of [true, false]) {
    await make(hasInvoker);
    const { rows } = await owner.query("explain select * from tiledesk.leads_current where connection_id = 'a'");
    expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toMatch(/Scan.* on leads/);
  }
});

const table = (more: object = {}) => ({
  schema: 'helpline',
  name: 'calls',
  columns: { status: 'text', ...more, created_at: 'timestamptz', updated_at: 'timestamptz' },
});
const columnsOf = async (view: string) =>
  (
    await owner.query<{ name: string }>(
      'select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 order by attnum',
      [view],
    )
  ).rows.map(({ name }) => name);

it('a custom table has one, which gets the columns that the table gets', async () => {
  await ensureTables(test.url, [table() as never]);
  const first = await columnsOf('helpline.calls_current');
  expect(first).toEqual(expect.arrayContaining(['connection_id', 'id', 'status', 'raw', 'created_at']));
  await owner.query('create view helpline.of_a_person as select id from helpline.calls_current');
  await ensureTables(test.url, [table({ minutes: 'integer' }) as never]);
  expect(await columnsOf('helpline.calls_current')).toEqual([...first, 'minutes']);
});

it('is made again when it is missing, and leaves another program’s view of that name', async () => {
  await owner.query('drop view helpline.calls_current cascade');
  await ensureTables(test.url, [table({ minutes: 'integer' }) as never]);
  expect(await columnsOf('helpline.calls_current')).toContain('minutes');
  await owner.query('drop view helpline.calls_current; create view helpline.calls_current as select 1 as one');
  await ensureTables(test.url, [table({ minutes: 'integer', later: 'text' }) as never]);
  expect(await columnsOf('helpline.calls_current')).toEqual(['one']);
});

it('what a migration adds to a table, or as a table, is in it', async () => {
  const script = `alter table tilkee.users add column nickname text;
    create table tilkee.folders (connection_id text, id text, content_hash text, deleted_at timestamptz, erased_at timestamptz)`;
  await migrate({ url: test.url, migrations: [...(await readMigrations()), { name: '29991231000000_later', script }] });
  expect(await columnsOf('tilkee.users_current')).toContain('nickname');
  expect(await columnsOf('tilkee.folders_current')).toEqual(['connection_id', 'id', 'content_hash']);
});
