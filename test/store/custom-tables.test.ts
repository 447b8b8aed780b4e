import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ensureTables } from '../../src/store/mirror/custom-tables.ts';
import type { TableSpec } from '../../src/stream.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

const DATES = { created_at: 'timestamptz', updated_at: 'timestamptz' } as const;
const table = (columns: TableSpec['columns'] = {}, name = 'tickets'): TableSpec => ({
  schema: 'desk',
  name,
  columns: { ...columns, ...DATES },
});

describe('tables of sources that are not built in', () => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await createTestDatabase();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  async function columnsOf(name: string): Promise<Record<string, string>> {
    const { rows } = await client.query(
      `select attname, format_type(atttypid, atttypmod) || case when attnotnull then ' not null' else '' end as type
        from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped`,
      [name],
    );
    return Object.fromEntries(rows.map(({ attname, type }) => [attname, type]));
  }

  it('are made like those of the migrations, by any number of processes at once', async () => {
    const wanted = table({ subject: 'text', tags: 'text[]', priority: 'integer', body: 'jsonb' });
    await Promise.all(Array.from({ length: 4 }, () => ensureTables(database.url, [wanted])));
    const made = await columnsOf('desk.tickets');
    expect(made).toMatchObject({ subject: 'text', tags: 'text[]', priority: 'integer', body: 'jsonb' });
    const builtIn = await columnsOf('tiledesk.departments');
    const common = ['connection_id', 'id', 'raw', 'content_hash', 'text_repaired', 'first_seen_at', 'synced_at'];
    for (const name of [...common, 'deleted_at', 'run_id', ...Object.keys(DATES)])
      expect({ name, type: made[name] }).toEqual({ name, type: builtIn[name] });
    const { rows } = await client.query(
      `select indexdef from pg_indexes where schemaname = 'desk' and tablename = 'tickets' order by 1`,
    );
    expect(rows.map(({ indexdef }) => /\(.*\)$/.exec(indexdef)?.[0])).toEqual([
      '(connection_id, updated_at)',
      '(connection_id, id)',
    ]);
  });

  it('get the columns that they lack, and keep those that nobody names any more', async () => {
    await ensureTables(database.url, [table({ subject: 'text', channel: 'text' })]);
    expect(await columnsOf('desk.tickets')).toMatchObject({ subject: 'text', channel: 'text', tags: 'text[]' });
  });

  it('are refused when a column has another type, and nothing else is changed then', async () => {
    const wanted = table({ extra: 'text', subject: 'integer' });
    await expect(ensureTables(database.url, [table({}, 'others'), wanted])).rejects.toMatchObject({
      code: 'database_foreign',
      message: expect.stringContaining('desk.tickets.subject is text, and the stream declares integer'),
    });
    expect(await columnsOf('desk.tickets')).not.toHaveProperty('extra');
    expect((await client.query("select to_regclass('desk.others') as found")).rows).toEqual([{ found: null }]);
  });

  it('are refused when somebody else made one of that name', async () => {
    await client.query('create table desk.notes (id int)');
    await expect(ensureTables(database.url, [table({}, 'notes')])).rejects.toMatchObject({ code: 'database_foreign' });
  });

  it('need no right to create anything once they are there', async () => {
    await client.query("create role desk_reader login password 'x'");
    await client.query('grant usage on schema desk to desk_reader');
    try {
      const url = new URL(database.url);
      url.username = 'desk_reader';
      url.password = 'x';
      await ensureTables(url.href, [table({ subject: 'text' })]);
      await expect(ensureTables(url.href, [{ ...table(), schema: 'desk_two' }])).rejects.toMatchObject({
        code: 'database_refused',
      });
    } finally {
      await client.query('drop owned by desk_reader');
      await client.query('drop role desk_reader');
    }
  });
});
