import pg from 'pg';
import { DatabaseError } from '../../errors.ts';
import type { ColumnType, TableSpec } from '../../stream.ts';
import { LOCKS } from '../locks.ts';
import { underLock, withSession } from '../session.ts';
import { quoteName, sqlType, tableName } from './table-sql.ts';

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
  erased_at: ['timestamptz(3)', 'A person of the row was erased (UTC): only key and dates are left; null: it was not'],
};

/**
 * Makes the tables ready; any number of processes may start at once. With nothing to make it needs no right to create.
 *
 * @throws DatabaseError `database_foreign` when a table of that name is none of ours or a column has another type
 */
export async function ensureTables(url: string, tables: readonly TableSpec[]): Promise<void> {
  if (tables.length === 0) return;
  await withSession(url, (client) =>
    underLock(client, LOCKS.customTables, async () => {
      for (const table of tables) await ensureTable(client, table);
    }),
  );
}

type Columns = Readonly<Record<string, string>>;

async function ensureTable(client: pg.Client, table: TableSpec): Promise<void> {
  const { schema, name } = table;
  const { rows } = await client.query<{ has_schema: boolean; has_view: boolean; columns: Columns | null }>(
    `select to_regnamespace(quote_ident($1)) is not null as has_schema,
      to_regclass(quote_ident($1) || '.' || quote_ident($2 || '_current')) is not null as has_view, (
        select json_object_agg(a.attname, format_type(a.atttypid, null))
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped) as columns`,
    [schema, name],
  );
  const { has_schema: hasSchema = false, has_view: hasView = false, columns = null } = rows[0] ?? {};
  const statements = columns === null ? createStatements(table, hasSchema) : addStatements(table, columns);
  if (statements.length === 0 && hasView) return;
  const makeView = `select sync.make_current_view(${pg.escapeLiteral(schema)}, ${pg.escapeLiteral(name)})`;
  await client.query([...statements, makeView].join(';\n'));
}

function addStatements(table: TableSpec, present: Columns): string[] {
  assertOurs(table, present);
  // Tables of earlier versions have no `erased_at`.
  const wanted = Object.entries<ColumnType>({ ...table.columns, erased_at: 'timestamptz' });
  const missing = wanted.filter(([name]) => !(name in present));
  return missing.map(
    ([name, type]) => `alter table ${tableName(table)} add column ${quoteName(name)} ${sqlType(type)}`,
  );
}

/** As `format_type` writes it, without the precision. */
const formatted = (type: ColumnType): string => (type === 'timestamptz' ? 'timestamp with time zone' : type);

function assertOurs(table: TableSpec, present: Columns): void {
  const title = `${table.schema}.${table.name}`;
  const missing = Object.keys(COMMON).filter((name) => !(name in present) && name !== 'erased_at');
  if (missing.length > 0) {
    const message = `the table ${title} exists and was not made by leadmirror (it has no ${missing.join(', ')}); rename it, or give the stream another name`;
    throw new DatabaseError('database_foreign', message);
  }
  for (const [name, type] of Object.entries(table.columns)) {
    const is = present[name];
    if (is === undefined || is === formatted(type)) continue;
    const message = `the column ${title}.${name} is ${is}, and the stream declares ${type}; change one of them (drop the column with cascade: it is made anew, and filled by a reproject)`;
    throw new DatabaseError('database_foreign', message);
  }
}

function createStatements(table: TableSpec, hasSchema: boolean): string[] {
  const target = tableName(table);
  const typed = Object.entries(table.columns).map(([name, type]) => `${quoteName(name)} ${sqlType(type)}`);
  const common = Object.entries(COMMON).map(([name, [type]]) => `${name} ${type}`);
  const index = quoteName(`${table.name}_connection_id_updated_at_idx`);
  return [
    // Even "if not exists" asks for the right to create.
    ...(hasSchema ? [] : [`create schema ${quoteName(table.schema)}`]),
    `create table ${target} (${[...common, ...typed].join(', ')},
      constraint ${quoteName(`${table.name}_pkey`)} primary key (connection_id, id))`,
    ...('updated_at' in table.columns ? [`create index ${index} on ${target} (connection_id, updated_at)`] : []),
    ...Object.entries(COMMON).map(([name, [, comment]]) => `comment on column ${target}.${name} is '${comment}'`),
  ];
}
