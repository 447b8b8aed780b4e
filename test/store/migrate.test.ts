import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { LEADS } from '../../src/sources/tiledesk/leads.ts';
import { REQUESTS } from '../../src/sources/tiledesk/requests.ts';
import { createDatabase } from '../../src/store/database.ts';
import {
  adoptPreview,
  findPrismaDirectory,
  type Migration,
  migrate,
  migrationStatus,
  readMigrations,
} from '../../src/store/migrate.ts';
import { ensureHistory, stopHistory } from '../../src/store/mirror/history.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { variables } from '../helpers/mirror.ts';
import { startPooler } from '../helpers/pooler.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { findRoot } from '../helpers/recipes.ts';
import { createSchemaEngine } from '../helpers/schema-engine.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

interface Empty {
  readonly database: TestDatabase;
  readonly url: string;
  readonly client: pg.Client;
}

async function setup(options: { migrated?: boolean } = { migrated: false }): Promise<Empty> {
  const database = await createTestDatabase(options);
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => {});
  await client.connect();
  opened.push({ close: () => client.end().then(() => database.drop()) });
  return { database, url: database.url, client };
}

type Lines = readonly string[];

/** Everything the catalogs know of the tables in some schemas, as lines that compare and read well. */
async function catalog(client: pg.Client, schemas: readonly string[]): Promise<{ [kind: string]: Lines }> {
  const ask = async (sql: string): Promise<Lines> => {
    const { rows } = await client.query<{ line: string }>({ text: sql, values: [schemas] });
    return rows.map(({ line }) => line);
  };
  // Names are printed as the search path needs them.
  await client.query('reset search_path');
  const ours = `c.relnamespace = n.oid and n.nspname = any($1) and c.relname not like '\\_prisma%'`;
  return {
    relations: await ask(`select concat_ws(' ', c.relkind, n.nspname, c.relname) as line
      from pg_class c, pg_namespace n where ${ours} and c.relkind in ('r', 'S', 'p', 'f', 'm') order by 1`),
    columns: await ask(`select concat_ws(' ', n.nspname, c.relname, lpad(a.attnum::text, 3), a.attname,
        format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
        'default ' || pg_get_expr(d.adbin, d.adrelid)) as line
      from pg_namespace n, pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
      where ${ours} and c.relkind = 'r' order by 1`),
    constraints: await ask(`select concat_ws(' ', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid)) as line
      from pg_namespace n, pg_class c join pg_constraint k on k.conrelid = c.oid where ${ours} order by 1`),
    // Prisma's schema has no way to say that an index is partial, or on an expression.
    indexes: await ask(`select pg_get_indexdef(i.indexrelid) as line
      from pg_namespace n, pg_class c join pg_index i on i.indrelid = c.oid where ${ours} and i.indpred is null and i.indexprs is null order by 1`),
  };
}

/** What schema.prisma describes; the schema reporting has a test of its own. */
const OURS = ['sync', 'tiledesk', 'tilkee'];

const exists = async (client: pg.Client, name: string): Promise<boolean> =>
  (await client.query('select to_regclass($1) is not null as present', [name])).rows[0].present;

const appliedNames = async (client: pg.Client): Promise<string[]> =>
  (await client.query('select migration_name from sync._prisma_migrations order by 1')).rows.map(
    ({ migration_name }) => migration_name,
  );

/** A later migration of ours, as a newer version would bring it. */
const later = async (script: string): Promise<Migration[]> => [
  ...(await readMigrations()),
  { name: '20990101000000_later', script },
];

describe('a migrated database', () => {
  it('equals the Prisma schema: relations, columns, types, defaults, nullability, keys and indexes', async () => {
    const migrated = await setup({ migrated: true });
    const generated = await setup();
    const path = join(await findPrismaDirectory(), 'schema.prisma');
    const engine = await createSchemaEngine(generated.url);
    const diff = await engine.diff({
      from: { tag: 'empty' },
      to: { tag: 'schemaDatamodel', files: [{ path, content: await readFile(path, 'utf8') }] },
      script: true,
      exitCode: null,
      filters: { externalTables: [], externalEnums: [] },
    });
    engine.free();
    // The default of a column calls it; Prisma knows no functions.
    await generated.client.query(`create schema if not exists sync;
      create function sync.current_privacy_epoch() returns bigint language sql as 'select 0::bigint'`);
    await generated.client.query(`set search_path = sync;\n${diff.stdout}`);

    const expected = await catalog(generated.client, OURS);

    expect(expected.columns?.length).toBeGreaterThan(100);
    expect(expected.indexes?.length).toBeGreaterThan(15);
    expect(await catalog(migrated.client, OURS)).toEqual(expected);

    // History adds its own relations, and changes no other.
    const database = createDatabase({ url: migrated.url, logger: unheardLogger() });
    opened.push(database);
    const access = { prisma: database.prisma, url: migrated.url };
    const withoutHistory = async () => {
      const found = Object.entries(await catalog(migrated.client, OURS));
      return Object.fromEntries(
        found.map(([kind, lines]) => [kind, lines.filter((line) => !line.includes('_history'))]),
      );
    };
    await ensureHistory(access, [LEADS.table, REQUESTS.table], ['tiledesk.leads', 'tiledesk.requests']);
    expect((await catalog(migrated.client, OURS)).relations).toContain('p tiledesk requests_history');
    expect(await withoutHistory()).toEqual(expected);
    await stopHistory(access, ['tiledesk.leads', 'tiledesk.requests']);
    expect(await withoutHistory()).toEqual(expected);
    const ofTables = `select from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where not t.tgisinternal and c.relname not like '%\\_history'`;
    expect((await migrated.client.query(ofTables)).rowCount).toBe(0);
  });

  it('has the comment of schema.prisma on every table and column', async () => {
    const { client } = await setup({ migrated: true });
    const schema = await readFile(join(await findPrismaDirectory(), 'schema.prisma'), 'utf8');
    const { rows } = await client.query<{ name: string; comment: string | null }>(
      `select concat_ws('.', n.nspname, c.relname, a.attname) as name, col_description(c.oid, coalesce(a.attnum, 0)) as comment
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
         left join lateral (select attname, attnum from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
           union all select null, 0) a on true
       where n.nspname = any($1) and c.relkind = 'r' and c.relname not like '\\_prisma%' and a.attname is not null
       union all
       select concat_ws('.', n.nspname, c.relname), obj_description(c.oid, 'pg_class')
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = any($1) and c.relkind = 'r' and c.relname not like '\\_prisma%'`,
      [OURS],
    );
    const stored = Object.fromEntries(rows.map(({ name, comment }) => [name, comment]));

    expect(stored).toEqual(documentedNames(schema));
    expect(Object.values(stored)).not.toContain(null);
    expect(Object.values(stored)).not.toContain('');
  });

  it('has a comment on every view and on each of its columns', async () => {
    const { client } = await setup({ migrated: true });
    const { rows } = await client.query<{ name: string }>(
      `select concat_ws('.', n.nspname, c.relname, a.attname) as name
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute a on a.attrelid = c.oid and not a.attisdropped and a.attnum > 0
       where n.nspname = any($1) and c.relkind in ('v', 'm')
         and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null) order by 1`,
      [OURS],
    );
    expect(await exists(client, 'sync.status')).toBe(true);
    expect(rows.map(({ name }) => name)).toEqual([]);
  });
});

/** `schema.table` and `schema.table.column` with their `///` lines. */
function documentedNames(schema: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, docs = '', body = ''] of schema.matchAll(/((?:\/\/\/ .*\n)*)model \w+ \{\n([\s\S]*?)\n\}/g)) {
    const table = `${/@@schema\("(\w+)"\)/.exec(body)?.[1]}.${/@@map\("(\w+)"\)/.exec(body)?.[1]}`;
    found[table] = withoutSlashes(docs);
    for (const [, lines = '', column] of body.matchAll(
      /((?:[ \t]*\/\/\/ .*\n)*)[ \t]*(\w+)[ \t]+\w+(?:\[\]|\?)?.*(?:\n|$)/g,
    )) {
      found[`${table}.${column}`] = withoutSlashes(lines);
    }
  }
  return found;
}

const withoutSlashes = (lines: string): string =>
  lines
    .split('\n')
    .map((line) => line.trim().replace(/^\/\/\/ /, ''))
    .filter(Boolean)
    .join('\n');

describe('migrating', () => {
  it('says what it applied, and a second time does nothing', async () => {
    const { url, client } = await setup();
    const names = (await readMigrations()).map(({ name }) => name);

    expect(await migrationStatus({ url })).toEqual({ applied: [], pending: names });
    expect(await migrate({ url })).toEqual(names);
    const before = await client.query('select * from sync._prisma_migrations');
    expect(await migrate({ url })).toEqual([]);

    expect((await client.query('select * from sync._prisma_migrations')).rows).toEqual(before.rows);
    expect(await migrationStatus({ url })).toEqual({ applied: names, pending: [] });
  });

  it('asking for the status changes nothing', async () => {
    const { url, client } = await setup();
    await migrationStatus({ url });
    expect((await client.query(`select from pg_namespace where nspname = any($1)`, [OURS])).rowCount).toBe(0);
  });

  it('five times at once applies everything once', async () => {
    const { url, client } = await setup();
    const names = (await readMigrations()).map(({ name }) => name);

    const results = await Promise.all(Array.from({ length: 5 }, () => migrate({ url })));

    expect(results.flat().sort()).toEqual(names);
    expect(await appliedNames(client)).toEqual(names);
  });

  it('leaves another application beside it alone, one that uses Prisma itself included', async () => {
    const { url, client } = await setup();
    await client.query(`
      create table public._prisma_migrations (id varchar(36) primary key, migration_name text, finished_at timestamptz);
      insert into public._prisma_migrations values ('1', 'somebody_elses', null);
      create table public.leads (id serial primary key, name text not null default 'x', unique (name));
      insert into public.leads (name) values ('a'), ('b');
      create schema shop; create table shop.orders (id int primary key)`);
    const before = await catalog(client, ['public', 'shop']);

    await migrate({ url });

    expect(await catalog(client, ['public', 'shop'])).toEqual(before);
    expect((await client.query('select name from public.leads order by id')).rows).toEqual([
      { name: 'a' },
      { name: 'b' },
    ]);
    expect((await client.query('select * from public._prisma_migrations')).rows).toEqual([
      { id: '1', migration_name: 'somebody_elses', finished_at: null },
    ]);
    const others = await client.query(`select nspname from pg_namespace where nspname !~ '^pg_' order by 1`);
    expect(others.rows.map(({ nspname }) => nspname)).toEqual([
      'information_schema',
      'public',
      'reporting',
      'shop',
      ...OURS,
    ]);
  });

  it('and mirroring need no more than a role that may create schemas', async () => {
    const { database, client } = await setup();
    const role = `limited_${randomBytes(4).toString('hex')}`;
    const url = new URL(database.url);
    await client.query(`create role ${role} login password 'invented'`);
    opened.unshift({ close: () => dropRole(role) });
    await client.query(`grant create on database "${url.pathname.slice(1)}" to ${role};
      create table public.secret (id int); revoke create on schema public from public`);
    url.username = role;
    url.password = 'invented';
    const sandbox = createTiledeskSandbox({ leads: 30, requests: 5 });
    opened.push(sandbox);
    const env = variables(sandbox, (await sandbox.listen()).url, url.href);
    const { signal } = new AbortController();
    const app = await createApp(loadConfig({ env, cwd: '/', isTerminal: false }), { logger: unheardLogger(), signal });
    opened.push(app);
    const found = app.findStream(app.connections[0]?.id ?? '', 'tiledesk.leads');
    if (found === undefined) throw new Error('no stream');

    const result = await app.runPass({ ...found, pass: 'backfill', signal, maxWaitMs: 1000, leaseWaitMs: 0 });

    expect(result).toMatchObject({ outcome: 'succeeded', error: null });
    expect(await compareMirror(database.url, sandbox, 'leads')).toEqual(EQUAL);
    const owners = await client.query(
      `select distinct pg_get_userbyid(c.relowner) as owner from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any($1)`,
      [OURS],
    );
    expect(owners.rows).toEqual([{ owner: role }]);
  });

  it('with a role that may not even do that says which right is missing', async () => {
    const { database, client } = await setup();
    const role = `powerless_${randomBytes(4).toString('hex')}`;
    await client.query(`create role ${role} login password 'invented'`);
    opened.unshift({ close: () => dropRole(role) });
    const url = new URL(database.url);
    url.username = role;
    url.password = 'invented';

    await expect(migrate({ url: url.href })).rejects.toMatchObject({ code: 'database_refused' });
  });

  it('works through a pooler that refuses start-up options, too', async () => {
    const { url } = await setup();
    const pooler = await startPooler(url);
    opened.push(pooler);
    expect(await migrate({ url: pooler.url })).toEqual((await readMigrations()).map(({ name }) => name));
    expect(await migrate({ url: pooler.url })).toEqual([]);
  });

  it('accepts schemas that were made for it and are empty', async () => {
    const { url, client } = await setup();
    await client.query('create schema sync; create schema tiledesk');
    await migrate({ url });
    expect(await exists(client, 'tiledesk.leads')).toBe(true);
  });
});

/** Roles belong to the server, not to a database: removed after the database that holds what they own. */
async function dropRole(role: string): Promise<void> {
  const { url, drop } = await createTestDatabase({ migrated: false });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`drop role ${role}`);
  await client.end();
  await drop();
}

describe('a schema that is not ours', () => {
  it.each([
    ['a table named as ours', 'sync', 'create table sync.runs (id int)'],
    ['a view', 'tiledesk', "create view tiledesk.report as select 'x' as name"],
    ['a sequence', 'tiledesk', 'create sequence tiledesk.numbers'],
    [
      'the tables of another application with Prisma',
      'sync',
      `create table sync._prisma_migrations (id varchar(36) primary key, checksum varchar(64), finished_at timestamptz,
         migration_name varchar(255), logs text, rolled_back_at timestamptz, started_at timestamptz, applied_steps_count int);
       insert into sync._prisma_migrations (id, migration_name, finished_at) values ('1', '20200101000000_theirs', now());
       create table sync.jobs (id int)`,
    ],
  ])('is refused and stays as it was: %s', async (_, schema, script) => {
    const { url, client } = await setup();
    await client.query(`create schema ${schema}; ${script}`);
    const before = await catalog(client, OURS);
    const schemas = 'select nspname from pg_namespace order by 1';
    const schemasBefore = (await client.query(schemas)).rows;

    await expect(migrate({ url })).rejects.toMatchObject({
      code: 'database_foreign',
      message: expect.stringContaining(schema),
    });

    expect(await catalog(client, OURS)).toEqual(before);
    expect((await client.query(schemas)).rows).toEqual(schemasBefore);
  });
});

describe('a database of a newer version', () => {
  it('is refused, by name, and stays as it was', async () => {
    const { url, client } = await setup();
    await migrate({ url, migrations: await later('create table sync.future (id int)') });
    const before = await catalog(client, OURS);

    await expect(migrate({ url })).rejects.toMatchObject({
      code: 'database_newer',
      message: expect.stringContaining('20990101000000_later'),
    });

    expect(await catalog(client, OURS)).toEqual(before);
  });
});

describe('a database of the last preview', () => {
  /** As it was dumped, with some rows in its tables. */
  async function setupPreview(): Promise<Empty> {
    const preview = await setup();
    await preview.client.query(await readFile(join(findRoot(), 'test/fixtures/preview/database.sql'), 'utf8'));
    await preview.client.query('reset all');
    return preview;
  }

  /**
   * Views, functions and comments, as the catalogs print them. A view that was dumped has names for columns that nobody reads, and the fixture holds its
   * functions without their blank lines.
   */
  const definitions = async (client: pg.Client): Promise<Lines> =>
    (
      await client.query<{ line: string }>({
        text: `with n as (select oid, nspname from pg_namespace where nspname = any($1))
          select concat_ws(' ', 'view', n.nspname, c.relname, replace(pg_get_viewdef(c.oid), '::text AS text', '::text')) as line
            from n join pg_class c on c.relnamespace = n.oid where c.relkind = 'v'
          union all select pg_get_functiondef(p.oid) from n join pg_proc p on p.pronamespace = n.oid
          union all select concat_ws(' ', 'comment', n.nspname, coalesce(c.relname, p.proname), d.objsubid, d.description)
            from pg_description d left join pg_class c on c.oid = d.objoid left join pg_proc p on p.oid = d.objoid
            join n on n.oid in (c.relnamespace, p.pronamespace)
          order by 1`,
        values: [[...OURS, 'reporting']],
      })
    ).rows.map(({ line }) => line.replace(/\n(\s*\n)+/g, '\n'));

  /** The rows of every table of ours but the migrations. */
  async function contents(client: pg.Client): Promise<Record<string, unknown[]>> {
    const { rows } = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname = any($1) and tablename not like '\\_prisma%' order by 1`,
      [[...OURS, 'reporting']],
    );
    const found: Record<string, unknown[]> = {};
    for (const { name } of rows) {
      found[name] = (await client.query(`select to_jsonb(t) as row from ${name} t order by 1`)).rows;
    }
    return found;
  }

  it('is refused with the command that takes it over, and stays as it was', async () => {
    const { url, client } = await setupPreview();
    const before = [await contents(client), await appliedNames(client)];

    await expect(migrate({ url })).rejects.toMatchObject({
      code: 'database_preview',
      message: expect.stringContaining('leadmirror migrate --from-preview'),
    });

    expect([await contents(client), await appliedNames(client)]).toEqual(before);
  });

  it('is taken over with everything in it, and equals a new one', async () => {
    const { url, client } = await setupPreview();
    const fresh = await setup({ migrated: true });
    const { 'sync.proofs': proofs, 'reporting.people': people, ...before } = await contents(client);
    const names = (await readMigrations()).map(({ name }) => name);

    expect(await Promise.all([adoptPreview({ url }), adoptPreview({ url })])).toEqual(
      expect.arrayContaining([true, false]),
    );
    const { 'sync.verifications': verifications, ...after } = await contents(client);
    expect(after).toMatchObject(before);
    expect(verifications).toMatchObject(
      (proofs as { row: { proved_at: string } }[]).map(({ row: { proved_at, ...row } }) => ({
        row: { ...row, verified_at: proved_at },
      })),
    );
    // Who is one lead and no more is no longer stored twice.
    expect([people?.length, after['reporting.people']?.length]).toEqual([1, 0]);
    expect(await migrate({ url })).toEqual(names.slice(1));

    expect(await migrationStatus({ url })).toEqual({ applied: names, pending: [] });
    const entries = 'select migration_name, checksum, applied_steps_count from sync._prisma_migrations';
    expect((await client.query(entries)).rows).toEqual((await fresh.client.query(entries)).rows);
    expect(before['tiledesk.leads']).toHaveLength(2);
    // With their first rows, the reporting tables get their secondary indexes.
    await fresh.client.query(`
      insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id) values ('tiledesk:p', 'a', '{}', '', 1);
      insert into tiledesk.requests (connection_id, id, raw, content_hash, run_id) values ('tiledesk:p', 'a', '{}', '', 1);
      select reporting.refresh()`);
    await client.query('select reporting.refresh()');
    const schemas = [...OURS, 'reporting'];
    expect(await catalog(client, schemas)).toEqual(await catalog(fresh.client, schemas));
    expect(await definitions(client)).toEqual(await definitions(fresh.client));
    const { rows } = await client.query('select stream, state, reason_code from sync.status order by 1');
    expect(rows).toEqual([
      { stream: 'tiledesk.leads', state: 'stale', reason_code: 'overdue' },
      { stream: 'tiledesk.requests', state: 'partial', reason_code: 'quarantined' },
      { stream: 'tilkee.projects', state: 'never', reason_code: 'no_run' },
    ]);
  });

  it('is refused by both ways when it lacks the last changes, with what to do', async () => {
    const { url, client } = await setupPreview();
    await client.query(`delete from sync._prisma_migrations where migration_name > '20261127201'`);
    const before = await appliedNames(client);

    await expect(migrate({ url })).rejects.toMatchObject({ code: 'database_preview' });
    await expect(adoptPreview({ url })).rejects.toMatchObject({
      code: 'database_preview',
      message: expect.stringContaining('an empty database'),
    });

    expect(await appliedNames(client)).toEqual(before);
  });

  it('is taken over when its tables are those of a new one already, and nothing changes', async () => {
    const { url, client } = await setup({ migrated: true });
    const names = await appliedNames(client);
    const before = [await contents(client), await catalog(client, OURS), await definitions(client)];
    await client.query(`
      update sync._prisma_migrations set migration_name = '20261128120000_init';
      insert into sync._prisma_migrations (id, checksum, migration_name, finished_at) values ('2', '', '20261128224500_messages_search', now())`);

    await expect(migrate({ url })).rejects.toMatchObject({ code: 'database_preview' });
    expect(await adoptPreview({ url })).toBe(true);

    expect(await appliedNames(client)).toEqual(names.slice(0, 1));
    expect([await contents(client), await catalog(client, OURS), await definitions(client)]).toEqual(before);
  });

  it('is told from a new and from an empty one', async () => {
    const { url } = await setup({ migrated: true });
    expect(await adoptPreview({ url })).toBe(false);
    expect(await adoptPreview({ url: (await setup()).url })).toBe(false);
  });
});

describe('a migration that is cut off', () => {
  it('in its second statement leaves nothing of itself, keeps those before it, and is applied the next time', async () => {
    const { url, client } = await setup();
    const broken = await later('create table sync.half (id int);\ninsert into sync.half values (1);\nselect 1 / 0;');

    await expect(migrate({ url, migrations: broken })).rejects.toMatchObject({
      message: expect.stringContaining('22012'),
    });

    expect(await exists(client, 'sync.half')).toBe(false);
    expect(await exists(client, 'tiledesk.leads')).toBe(true);
    const mended = await later('create table sync.half (id int);\ninsert into sync.half values (2);');
    expect(await migrationStatus({ url, migrations: mended })).toMatchObject({ pending: ['20990101000000_later'] });
    expect(await migrate({ url, migrations: mended })).toEqual(['20990101000000_later']);
    expect((await client.query('select id from sync.half')).rows).toEqual([{ id: 2 }]);
  });

  it('by a lost connection leaves nothing of itself, and is applied the next time', async () => {
    const { url, client } = await setup();
    await migrate({ url });
    const slow = await later('create table sync.half (id int); select pg_sleep(60);');

    const cut = expect(migrate({ url, migrations: slow })).rejects.toMatchObject({ code: 'database_unavailable' });
    const sleeping = `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`;
    while ((await client.query(sleeping)).rowCount === 0);
    await cut;

    expect(await exists(client, 'sync.half')).toBe(false);
    expect(await migrate({ url, migrations: await later('create table sync.half (id int)') })).toEqual([
      '20990101000000_later',
    ]);
    expect(await exists(client, 'sync.half')).toBe(true);
  });

  it('and left an unfinished entry behind is applied the next time', async () => {
    const { url, client } = await setup();
    await migrate({ url });
    await client.query(`insert into sync._prisma_migrations (id, checksum, migration_name, started_at, applied_steps_count)
      values ('00000000-0000-0000-0000-000000000000', 'x', '20990101000000_later', now(), 0)`);

    const pending = await later('create table sync.half (id int)');
    expect(await migrate({ url, migrations: pending })).toEqual(['20990101000000_later']);

    expect(await exists(client, 'sync.half')).toBe(true);
    const { rows } = await client.query(
      `select finished_at is not null as finished from sync._prisma_migrations where migration_name = '20990101000000_later'`,
    );
    expect(rows).toEqual([{ finished: true }]);
  });

  it('before anything else was there is applied the next time', async () => {
    const { url, client } = await setup();
    const [first] = await readMigrations();
    const broken = [{ name: first?.name ?? '', script: `${first?.script};\nselect 1 / 0;` }];

    await expect(migrate({ url, migrations: broken })).rejects.toThrow();

    expect(await exists(client, 'tiledesk.leads')).toBe(false);
    expect(await migrate({ url })).toEqual((await readMigrations()).map(({ name }) => name));
    expect(await exists(client, 'tiledesk.leads')).toBe(true);
  });
});

describe('a script', () => {
  it('with semicolons in comments, quotes and $$ bodies is taken as it is', async () => {
    const { url, client } = await setup();
    const script = `
-- one; two; it's a comment
create function sync.three() returns int language plpgsql as $$
begin
  perform 1; -- inside; too
  return 3;
end;
$$;
/* four; five */
comment on function sync.three() is 'says; three';
create table sync.odd (word text default ';');
insert into sync.odd default values
-- the last line is a comment;`;

    expect(await migrate({ url, migrations: await later(script) })).toContain('20990101000000_later');

    const { rows } = await client.query(
      `select sync.three() as three, obj_description('sync.three'::regproc) as comment, (select word from sync.odd) as word`,
    );
    expect(rows).toEqual([{ three: 3, comment: 'says; three', word: ';' }]);
  });
});
