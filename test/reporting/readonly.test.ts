import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { silentLogger } from '../../src/logger.ts';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { grantReadonly } from '../../src/store/reports/readonly-role.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

const ROLE = `Analyst "${randomBytes(4).toString('hex')}"`;
const QUOTED = `"${ROLE.replaceAll('"', '""')}"`;
let test: TestDatabase;
let database: Database;
let owner: pg.Client;
let analyst: pg.Client;

beforeAll(async () => {
  test = await createTestDatabase();
  database = createDatabase({ url: test.url, logger: silentLogger() });
  owner = new pg.Client({ connectionString: test.url });
  await owner.connect();
  await owner.query(`create role ${QUOTED} login password 'made-up'`);
  const url = new URL(test.url);
  [url.username, url.password] = [encodeURIComponent(ROLE), 'made-up'];
  analyst = new pg.Client({ connectionString: url.href });
  await analyst.connect();
});
afterAll(async () => {
  await analyst?.end();
  await owner.query(`drop owned by ${QUOTED}; drop role ${QUOTED}`);
  await owner.end();
  await database.close();
  await test.drop();
});

it('before it was granted anything, the role reads nothing', async () => {
  await expect(analyst.query('select * from reporting.csat')).rejects.toThrow('permission denied');
});

it('reads every view and every mirrored table, those of a later version too, and the state of the streams', async () => {
  expect(await grantReadonly(database.prisma, ROLE)).toMatchObject({ outcome: 'granted' });
  expect(await grantReadonly(database.prisma, ROLE)).toMatchObject({ outcome: 'granted' });
  await owner.query('create table tilkee.later (id text); create view reporting.later as select 1 as one');
  const { rows } = await owner.query<{ name: string }>(
    `select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('reporting', 'tiledesk', 'tilkee') and c.relkind in ('r', 'v')`,
  );
  expect(rows.length).toBeGreaterThan(30);
  for (const { name } of [...rows, { name: 'sync.status' }, { name: 'sync.runs' }])
    await analyst.query(`select * from ${name}`);
});

it('reads neither secrets nor quarantined texts, and writes nothing', async () => {
  for (const table of ['sync.secrets', 'sync.quarantine', 'sync.checkpoints']) {
    await expect(analyst.query(`select * from ${table}`)).rejects.toThrow('permission denied');
  }
  for (const statement of [
    'delete from tiledesk.leads',
    "insert into reporting.settings values ('x', 'UTC')",
    'select reporting.refresh()',
    'create table reporting.own (id text)',
    'truncate tilkee.tokens',
  ]) {
    await expect(analyst.query(statement)).rejects.toThrow('permission denied');
  }
});

it('is not promised to a role that does not exist, nor to one that may write', async () => {
  expect(await grantReadonly(database.prisma, 'nobody-of-that-name')).toMatchObject({ outcome: 'no_such_role' });
  const { rows } = await owner.query('select current_user as name');
  expect(await grantReadonly(database.prisma, rows[0].name)).toMatchObject({ outcome: 'may_write' });
});
