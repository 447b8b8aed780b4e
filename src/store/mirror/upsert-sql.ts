import { Prisma } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { differs, quoteName, recordsetOf, tableName } from './table-sql.ts';

/** What the parts of a page's statement need beside the table. */
interface UpsertValues {
  readonly connectionId: string;
  readonly runId: bigint;
  /** A stored row written before this time may be replaced by an older version, because a full sync requested it afterwards. Null: never. */
  readonly replaceWrittenBefore: Date | null;
  /** Every row is written, whatever is stored: for rows that were found to be wrong. */
  readonly isForced?: boolean;
  /** An expression without which nothing is written. */
  readonly condition?: Prisma.Sql;
}

/**
 * The rows of a page as the common table expression `incoming`. `json` is a JSON array of rows: one bind parameter, because a statement takes at most
 * 65,535 of them.
 */
export function incomingPart(table: TableSpec, json: string): Prisma.Sql {
  const { recordset, incoming } = fragmentsOf(table);
  // `distinct on … order by id`: the same id twice in one page is legal (keep the newer), and two lanes writing the same rows take their locks in one order.
  return Prisma.sql`
incoming as materialized (
  select distinct on (r.id) ${incoming}, md5(r.raw::text) as content_hash, coalesce(r.text_repaired, false) as text_repaired
  from jsonb_to_recordset(${json}::jsonb) as r(${recordset})
  order by r.id, r.updated_at desc nulls last
)`;
}

/** The upsert of `incoming` as common table expressions: `changed`, `written`, and `counted` with one line: `read` (distinct ids), `created`, `updated`. */
export function upsertParts(table: TableSpec, values: UpsertValues): Prisma.Sql {
  const { connectionId, runId, replaceWrittenBefore, isForced = false, condition = Prisma.sql`true` } = values;
  const { target, stored, assignments, isDifferent } = fragmentsOf(table);
  const mayReplace = (row: 'i' | 'excluded') =>
    // Not older than what is stored; rows without dates are always written.
    Prisma.sql`((t.updated_at > ${Prisma.raw(row)}.updated_at) is not true or t.synced_at < ${replaceWrittenBefore}::timestamptz)`;
  const isWanted = isForced
    ? Prisma.sql`true`
    : Prisma.sql`(t.id is null or (${isDifferent('i')} and ${mayReplace('i')}))`;
  const isStillWanted = isForced
    ? Prisma.sql`true`
    : Prisma.sql`${isDifferent('excluded')} and ${mayReplace('excluded')}`;
  // Unchanged rows are left out by the join already, so that they are not even locked; the conflict clause
  // repeats the test, because another run may have written the row since this statement's snapshot was taken. `lateral … limit 1` keeps the planner
  // to one look-up by key per row: on a young table without statistics it would read and sort all rows of the connection for every page.
  return Prisma.sql`
changed as (
  select i.*
  from incoming i
  left join lateral (
    select * from ${target} s where s.connection_id = ${connectionId} and s.id = i.id limit 1
  ) t on true
  where ${condition} and ${isWanted}
), written as (
  insert into ${target} as t (connection_id, id, ${stored}, run_id, first_seen_at, synced_at)
  select ${connectionId}::text, id, ${stored}, ${runId}::bigint, now(), now() from changed order by id
  on conflict (connection_id, id) do update set
    ${assignments}, run_id = excluded.run_id, synced_at = excluded.synced_at
  where ${isStillWanted}
  returning (xmax = 0) as is_new
), counted as (
  select (select count(*) from incoming)::int as read,
    (count(*) filter (where is_new))::int as created,
    (count(*) filter (where not is_new))::int as updated
  from written
)`;
}

/** The upsert as a statement of its own. */
export function upsertSql(table: TableSpec, json: string, values: UpsertValues): Prisma.Sql {
  return Prisma.sql`with ${incomingPart(table, json)}, ${upsertParts(table, values)} select read, created, updated from counted`;
}

/** What follows from the table alone. */
function fragmentsOf(table: TableSpec) {
  const typed = Object.keys(table.columns);
  const stored = [...typed, 'raw', 'content_hash', 'text_repaired', 'deleted_at'];
  const list = (names: readonly string[], prefix = '') =>
    Prisma.raw(names.map((name) => `${prefix}${quoteName(name)}`).join(', '));
  const isDifferent = (given: string) => {
    // `raw` need not show what an attributed column is told.
    const told = (table.attributed ?? []).map((name) => differs(table, name, given));
    const names = ['content_hash', 'deleted_at'].map((name) => differs(table, name, given));
    return Prisma.raw(`(${[...names, ...told].join(' or ')})`);
  };
  const assignments = stored.map((name) => {
    const column = quoteName(name);
    // What is stored in an attributed column stays when the answer does not tell.
    const isKept = table.attributed?.includes(name);
    return `${column} = ${isKept ? `coalesce(excluded.${column}, t.${column})` : `excluded.${column}`}`;
  });
  return {
    target: Prisma.raw(tableName(table)),
    recordset: Prisma.raw(recordsetOf(table, 'raw jsonb', 'text_repaired boolean')),
    incoming: list(['id', ...typed, 'raw', 'deleted_at'], 'r.'),
    stored: list(stored),
    assignments: Prisma.raw(assignments.join(', ')),
    isDifferent,
  };
}
