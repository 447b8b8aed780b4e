import { Prisma } from '../generated/prisma/client.ts';
import type { ColumnType, TableSpec } from '../stream.ts';

/**
 * The one statement that writes a page. Pure: a table in, SQL out; rows travel as one JSON parameter (65,535 is the limit of bind parameters).
 *
 * Parameters: $1 rows as a JSON array, $2 connection_id, $3 run_id, $4 time (or null): a stored row written before it may be replaced by
 * an older version, because a full walk asked for it afterwards.
 *
 * `isForced` writes every row, whatever is stored: for rows that were found to be wrong.
 *
 * Answers one line: `read` (distinct ids), `created`, `updated`.
 */
export function buildUpsertSql(table: TableSpec, { isForced = false } = {}): string {
  return `with ${buildUpsertParts(table, { isForced })}\nselect read, created, updated from tally`;
}

/**
 * The same as parts of a larger statement: `incoming`, `changed`, `written`, and `tally` with the one line. `condition`: an expression without which
 * nothing is written.
 */
export function buildUpsertParts(table: TableSpec, { isForced = false, condition = '' } = {}): string {
  const target = tableName(table);
  const typed = Object.keys(table.columns);
  const stored = [...typed, 'raw', 'content_hash', 'text_repaired', 'deleted_at'];
  const recordset = [
    'id text',
    ...Object.entries(table.columns).map(([name, type]: [string, ColumnType]) => `${quoteName(name)} ${type}`),
    'raw jsonb',
    'text_repaired boolean',
    'deleted_at timestamptz',
  ].join(', ');
  const list = (names: readonly string[], prefix = '') => names.map((name) => `${prefix}${quoteName(name)}`).join(', ');

  // `distinct on … order by id`: the same id twice in one page is legal (keep the newer), and two lanes writing the same rows take
  // their locks in one order. Unchanged rows are left out by the join already, so that they are not even locked; the conflict clause
  // repeats the test, because another run may have written the row since this statement's snapshot was taken. `lateral … limit 1` keeps the planner
  // to one look-up by key per row: on a young table without statistics it would read and sort all rows of the connection for every page.
  const isWanted = isForced ? ALWAYS : `t.id is null or (${isDifferent(table, 'i')} and ${mayReplace('i')})`;
  return `
incoming as materialized (
  select distinct on (r.id) ${list(['id', ...typed, 'raw', 'deleted_at'], 'r.')}, md5(r.raw::text) as content_hash,
    coalesce(r.text_repaired, false) as text_repaired
  from jsonb_to_recordset($1::jsonb) as r(${recordset})
  order by r.id, r.updated_at desc nulls last
), changed as (
  select i.*
  from incoming i
  left join lateral (
    select * from ${target} s where s.connection_id = $2 and s.id = i.id limit 1
  ) t on true
  where ${condition === '' ? isWanted : `${condition} and (${isWanted})`}
), written as (
  insert into ${target} as t (connection_id, id, ${list(stored)}, run_id, first_seen_at, synced_at)
  select $2::text, id, ${list(stored)}, $3::bigint, now(), now() from changed order by id
  on conflict (connection_id, id) do update set
    ${stored.map((name) => `${quoteName(name)} = ${replacement(table, name)}`).join(', ')}, run_id = excluded.run_id, synced_at = excluded.synced_at
  where ${isForced ? ALWAYS : `${isDifferent(table, 'excluded')} and ${mayReplace('excluded')}`}
  returning (xmax = 0) as is_new
), tally as (
  select (select count(*) from incoming)::int as read,
    (count(*) filter (where is_new))::int as created,
    (count(*) filter (where not is_new))::int as updated
  from written
)`.trim();
}

const upsertSqlByTable = { plain: new WeakMap<TableSpec, string>(), forced: new WeakMap<TableSpec, string>() };

/** As `buildUpsertSql`, built once per table. */
export function upsertSql(table: TableSpec, isForced = false): string {
  const known = isForced ? upsertSqlByTable.forced : upsertSqlByTable.plain;
  let sql = known.get(table);
  if (sql === undefined) {
    sql = buildUpsertSql(table, { isForced });
    known.set(table, sql);
  }
  return sql;
}

/** The parts of `buildUpsertParts` for one page, with its values in their places. */
export function bindUpsertParts(
  table: TableSpec,
  { condition, values }: { readonly condition: string; readonly values: readonly unknown[] },
): Prisma.Sql {
  let parts = partsByTable.get(table);
  if (parts?.condition !== condition) {
    const texts = buildUpsertParts(table, { condition }).split(/\$(\d+)/);
    const strings = texts.filter((_, index) => index % 2 === 0);
    const places = texts.filter((_, index) => index % 2 === 1).map((place) => Number(place) - 1);
    parts = { condition, strings, places };
    partsByTable.set(table, parts);
  }
  return new Prisma.Sql(
    parts.strings,
    parts.places.map((place) => values[place]),
  );
}

const partsByTable = new WeakMap<
  TableSpec,
  { readonly condition: string; readonly strings: readonly string[]; readonly places: readonly number[] }
>();

/** Names $4, which the driver sends in any case. */
const ALWAYS = '($4::timestamptz is null or true)';

/** The content changed, the row vanished or came back, or an attributed column is told what it did not hold; `raw` need not show the latter. */
function isDifferent(table: TableSpec, incoming: string): string {
  const told = (table.attributed ?? []).map((name) => {
    const column = quoteName(name);
    return ` or (${incoming}.${column} is not null and t.${column} is distinct from ${incoming}.${column})`;
  });
  return `(t.content_hash is distinct from ${incoming}.content_hash or t.deleted_at is distinct from ${incoming}.deleted_at${told.join('')})`;
}

/** What is stored in an attributed column stays when the answer does not tell. */
function replacement(table: TableSpec, name: string): string {
  const column = quoteName(name);
  return table.attributed?.includes(name) ? `coalesce(excluded.${column}, t.${column})` : `excluded.${column}`;
}

/** Not older than what is stored; rows without dates are always written. */
function mayReplace(incoming: string): string {
  return `((t.updated_at > ${incoming}.updated_at) is not true or t.synced_at < $4::timestamptz)`;
}

/** Schema and table, as SQL writes them. */
export function tableName({ schema, name }: Pick<TableSpec, 'schema' | 'name'>): string {
  return `${quoteName(schema)}.${quoteName(name)}`;
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
