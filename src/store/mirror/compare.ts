import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Row, TableSpec } from '../../stream.ts';
import { bindBytes } from '../driver-adapter.ts';
import { encodeRows } from './page-json.ts';
import { selectRows } from './select-rows.ts';
import { differs, recordsetOf, tableName } from './table-sql.ts';

/** How a row of the mirror differs from the upstream's. */
export type DifferenceKind =
  /** Upstream has it, the mirror has not, or calls it deleted. */
  | 'missing'
  | 'stale'
  /** No older version, but other content: in `raw`, in a typed column or in what the store derives from them. */
  | 'different';

export interface RowDifference {
  readonly id: string;
  readonly kind: DifferenceKind;
  /** The mirror's row was written while this was going on. */
  readonly is_fresh: boolean;
  /** Of stale and different rows: top-level fields of the record that differ, and columns that differ; names only. */
  readonly fields: readonly string[];
  readonly columns: readonly string[];
}

interface Comparison {
  readonly connectionId: string;
  readonly table: TableSpec;
  readonly rows: readonly Row[];
  /** Ids to be compared by content; null: all. */
  readonly byContent: readonly string[] | null;
  /** The database's clock when the comparison began. */
  readonly since: Date;
}

/** Compares rows with the mirror without writing: all by id and version, those in `byContent` column by column, too. */
export async function compareRows(prisma: PrismaClient, { connectionId, table, rows, byContent, since }: Comparison) {
  if (rows.length === 0) return [];
  return bindBytes(encodeRows(rows), (json) =>
    prisma.$queryRawUnsafe<RowDifference[]>(compareSql(table), json, connectionId, byContent, since),
  );
}

export async function writtenSince(
  prisma: PrismaClient,
  { connectionId, table, ids, since }: Omit<Comparison, 'rows' | 'byContent'> & { readonly ids: readonly string[] },
): Promise<readonly string[]> {
  const where = { connection_id: connectionId, id: { in: ids }, synced_at: { gte: since } };
  const rows = await selectRows<{ id: string }>(prisma, table, { select: { id: 'id' }, where });
  return rows.map(({ id }) => id);
}

/** Parameters: $1 rows as a JSON array, $2 connection_id, $3 ids compared by content (null: all), $4 `since`. */
function compareSql(table: TableSpec): string {
  const columns = Object.keys(table.columns).map((name) => [name, differs(table, name, 'i')]);
  const named = [
    ...columns,
    ['deleted_at', differs(table, 'deleted_at', 'i')],
    ['content_hash', 't.raw is not distinct from i.raw and t.content_hash is distinct from md5(i.raw::text)'],
  ].map(([name, isOther]) => `case when ${isOther} then '${name}' end`);
  return `
with incoming as (
  select distinct on (r.id) r.*
  from jsonb_to_recordset($1::jsonb) as r(${recordsetOf(table, 'raw jsonb')})
  order by r.id, r.updated_at desc nulls last
), judged as (
  select i.id, t.raw as stored, i.raw as given, array_remove(array[${named.join(', ')}], null) as columns, case
    when t.id is null or (t.deleted_at is not null and i.deleted_at is null) then 'missing'
    when t.updated_at < i.updated_at then 'stale'
    when ($3::text[] is null or i.id = any($3::text[])) and (
      t.raw is distinct from i.raw or t.content_hash is distinct from md5(i.raw::text)
      or t.deleted_at is distinct from i.deleted_at or ${columns.map(([, isOther]) => isOther).join(' or ')}
    ) then 'different'
  end as kind, (t.synced_at >= $4::timestamptz) is true as is_fresh
  from incoming i
  left join lateral (
    select * from ${tableName(table)} s where s.connection_id = $2 and s.id = i.id limit 1
  ) t on true
  where t.erased_at is null
)
select id, kind, is_fresh, case when kind = 'missing' then '{}' else columns end as columns,
  array(select name from jsonb_object_keys(case when kind <> 'missing'
      and jsonb_typeof(stored) = 'object' and jsonb_typeof(given) = 'object' then stored || given else '{}' end) as name
    where stored -> name is distinct from given -> name order by 1) as fields
from judged where kind is not null order by id`.trim();
}
