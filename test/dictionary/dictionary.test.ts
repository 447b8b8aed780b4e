import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { parse } from 'yaml';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { findRoot } from '../helpers/recipes.ts';
import { readCatalog, withoutComment } from './catalog.ts';
import { renderDictionary, renderSources } from './render.ts';

let test: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  test = await createTestDatabase();
  client = new pg.Client({ connectionString: test.url });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await test.drop();
});

const read = (path: string): string => readFileSync(join(findRoot(), path), 'utf8');

it('every table, view and column has a comment', async () => {
  const tables = await readCatalog(client);
  expect(tables.length).toBeGreaterThan(45);
  expect(withoutComment(tables)).toEqual([]);
});

it('a column without a comment is found', async () => {
  await client.query('begin; create table tilkee.later (id text, what text)');
  await client.query("comment on table tilkee.later is 'Later'; comment on column tilkee.later.id is 'Id'");
  expect(withoutComment(await readCatalog(client))).toEqual(['tilkee.later.what']);
  await client.query('rollback');
});

it('every mirrored table has a view of the rows that are there, with its columns', async () => {
  const tables = (await readCatalog(client)).filter(({ schema }) => ['tiledesk', 'tilkee'].includes(schema));
  const columns = new Map(tables.map(({ name, schema, columns }) => [`${schema}.${name}`, columns]));
  const mirrored = tables.filter((table) => !table.isView && table.columns.some(({ name }) => name === 'content_hash'));
  expect(mirrored.length).toBeGreaterThan(12);
  for (const { schema, name, columns: own } of mirrored) {
    const shown = columns.get(`${schema}.${name}_current`)?.filter((column) => column.name !== 'status_name');
    expect({ name, shown }).toEqual({
      name,
      shown: own.filter((column) => !/^(deleted|erased)_at$/.test(column.name)),
    });
  }
});

it('every function of schema reporting has a comment', async () => {
  const { rows } = await client.query(
    `select proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'reporting' and obj_description(p.oid, 'pg_proc') is null`,
  );
  expect(rows).toEqual([]);
});

it('docs/data-dictionary.md is current: npm run docs:dictionary', async () => {
  expect(read('docs/data-dictionary.md')).toBe(renderDictionary(await readCatalog(client)));
});

it('and names every model of schema.prisma', () => {
  const dictionary = read('docs/data-dictionary.md');
  const models = [...read('prisma/schema.prisma').matchAll(/@@map\("(\w+)"\)\n\s*@@schema\("(\w+)"\)/g)];
  expect(models.length).toBeGreaterThan(20);
  expect(
    models.map(([, table, schema]) => `\`${schema}.${table}\``).filter((name) => !dictionary.includes(name)),
  ).toEqual([]);
});

it('deploy/dbt/models/sources.yml is current: npm run docs:dictionary', async () => {
  expect(read('deploy/dbt/models/sources.yml')).toBe(renderSources(await readCatalog(client)));
});

interface Source {
  readonly schema: string;
  readonly tables: readonly { readonly name: string; readonly config?: { readonly loaded_at_field?: string } }[];
}

it('its freshness tests ask as dbt does, and get the age of the oldest account', async () => {
  await client.query(`
    insert into sync.streams (connection_id, stream) values ('tiledesk:a', 'tiledesk.requests'), ('tiledesk:b', 'tiledesk.requests');
    insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at) values
      ('tiledesk:a', 'tiledesk.requests', 'backfill', now() - interval '2 hours', now()),
      ('tiledesk:b', 'tiledesk.requests', 'backfill', now() - interval '3 hours', now());
    insert into tiledesk.requests (connection_id, id, status, created_at, raw, content_hash, run_id)
      select 'tiledesk:' || c, c, 100, now(), '{}', '', 1 from unnest(array['a', 'b']) c`);
  await client.query('select reporting.refresh()');
  const { sources } = parse(read('deploy/dbt/models/sources.yml')) as { sources: Source[] };
  const asked: Record<string, unknown> = {};
  for (const { schema, tables } of sources) {
    for (const { name, config } of tables) {
      const field = config?.loaded_at_field ?? 'now()';
      const { rows } = await client.query(
        `select round(extract(epoch from now() - max(${field})) / 3600)::int as hours, now() as snapshotted_at from ${schema}.${name}`,
      );
      if (config?.loaded_at_field !== undefined) asked[name] = rows[0].hours;
    }
  }
  expect(Object.keys(asked)).toHaveLength(8);
  expect(asked).toMatchObject({
    requests: 3,
    requests_daily: 3,
    agent_activity: null,
    response_times: 3,
    freshness: 3,
  });
});
