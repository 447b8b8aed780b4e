import type pg from 'pg';
import { DatabaseError } from '../../errors.ts';
import type { ColumnType, TableSpec } from '../../stream.ts';
import { LOCKS } from '../locks.ts';
import { withSession } from '../session.ts';
import { quoteName, tableName } from './table-sql.ts';

/**
 * Tables of streams that are not built in: made where they are missing, and given the columns that they lack. Nothing
 * is taken away or changed: a column of another type is refused, and a person decides.
 */

/** What every mirrored table has beside its typed columns, as the migrations write it: type and comment. */
const COMMON: Readonly<Record<string, readonly [type: string, comment: string]>> = {
  connection_id: ['text not null', 'Configured account'],
  id: ['text not null', 'Upstream id'],
  raw: ['jsonb not null', 'The upstream object as received, less what the stream drops'],
  content_hash: ['text not null', 'md5 of raw in its canonical text form; equal means unchanged'],
  text_repaired: [
    'boolean not null default false',
    'True when NUL characters or lone surrogates were replaced by U+FFFD, because Postgres cannot store them',
  ],
  first_seen_at: ['timestamptz(3) not null default current_timestamp', 'First written to the mirror (UTC)'],
  synced_at: ['timestamptz(3) not null default current_timestamp', 'Last time this row was written (UTC)'],
  deleted_at: ['timestamptz(3)', 'Found to be gone upstream (UTC); null while it is there'],
  run_id: ['bigint not null', 'sync.runs.id of the run that wrote it last'],
};

const sqlType = (type: ColumnType): string => (type === 'timestamptz' ? 'timestamptz(3)' : type);

/**
 * Makes the tables ready; any number of processes may start at once. With nothing to make it needs no right to create.
 *
 * @throws DatabaseError `database_foreign` when a table of that name is none of ours or a column has another type
 */
export async function ensureTables(url: string, tables: readonly TableSpec[]): Promise<void> {
  if (tables.length === 0) return;
  await withSession(url, async (client) => {
    await client.query('begin isolation level read committed read write');
    // In a transaction of its own, so that it works behind PgBouncer and ends with the connection whatever happens.
    await client.query('select pg_advisory_xact_lock($1)', [LOCKS.ownTables.toString()]);
    for (const table of tables) await ensureTable(client, table);
    await client.query('commit');
  });
}

async function ensureTable(client: pg.Client, table: TableSpec): Promise<void> {
  const present = await columnsOf(client, table);
  if (present === null) {
    // Even "if not exists" asks for the right to create.
    const { rows } = await client.query('select 1 from pg_namespace where nspname = $1', [table.schema]);
    if (rows.length === 0) await client.query(`create schema ${quoteName(table.schema)}`);
    for (const statement of createStatements(table)) await client.query(statement);
    return;
  }
  assertOurs(table, present);
  for (const [name, type] of Object.entries(table.columns)) {
    if (!present.has(name)) {
      await client.query(`alter table ${tableName(table)} add column ${quoteName(name)} ${sqlType(type)}`);
    }
  }
}

/** Column names with their types, without the precision; null when there is no such table. */
async function columnsOf(client: pg.Client, { schema, name }: TableSpec): Promise<Map<string, string> | null> {
  const { rows } = await client.query<{ name: string; type: string }>(
    `select a.attname as name, format_type(a.atttypid, null) as type
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped`,
    [schema, name],
  );
  return rows.length === 0 ? null : new Map(rows.map((row) => [row.name, row.type]));
}

/** As `format_type` writes it, without the precision. */
const formatted = (type: ColumnType): string => (type === 'timestamptz' ? 'timestamp with time zone' : type);

function assertOurs(table: TableSpec, present: ReadonlyMap<string, string>): void {
  const said = `${table.schema}.${table.name}`;
  const missing = Object.keys(COMMON).filter((name) => !present.has(name));
  if (missing.length > 0) {
    const message = `the table ${said} exists and was not made by leadmirror (it has no ${missing.join(', ')}); rename it, or give the stream another name`;
    throw new DatabaseError('database_foreign', message);
  }
  for (const [name, type] of Object.entries(table.columns)) {
    const is = present.get(name);
    if (is === undefined || is === formatted(type)) continue;
    const message = `the column ${said}.${name} is ${is}, and the stream says ${type}; change one of them (a column that was dropped is made anew, and filled by a reproject)`;
    throw new DatabaseError('database_foreign', message);
  }
}

function createStatements(table: TableSpec): string[] {
  const target = tableName(table);
  const typed = Object.entries(table.columns).map(([name, type]) => `${quoteName(name)} ${sqlType(type)}`);
  const common = Object.entries(COMMON).map(([name, [type]]) => `${name} ${type}`);
  const index = quoteName(`${table.name}_connection_id_updated_at_idx`);
  return [
    `create table ${target} (${[...common, ...typed].join(', ')},
      constraint ${quoteName(`${table.name}_pkey`)} primary key (connection_id, id))`,
    ...('updated_at' in table.columns ? [`create index ${index} on ${target} (connection_id, updated_at)`] : []),
    ...Object.entries(COMMON).map(([name, [, comment]]) => `comment on column ${target}.${name} is '${comment}'`),
  ];
}
