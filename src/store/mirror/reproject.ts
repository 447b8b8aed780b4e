import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Row, TableSpec } from '../../stream.ts';
import { bindBytes } from '../driver-adapter.ts';
import { encodeRows } from './page-json.ts';
import { type Reader, selectCount, selectRows } from './select-rows.ts';
import { differs, quoteName, recordsetOf, tableName } from './table-sql.ts';

interface StoredRecord {
  readonly id: string;
  readonly content_hash: string;
  /** Text, because Prisma would look at every value of JSON. */
  readonly raw: string;
}

type Target = { readonly connectionId: string; readonly table: TableSpec };

/** The stored records of a table by id, behind `after`, deleted ones included. */
export function readStoredRecords(
  prisma: PrismaClient,
  { connectionId, table }: Target,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<StoredRecord[]> {
  const where = { connection_id: connectionId, id: { gt: after }, erased_at: null };
  return selectRows(prisma, table, { select: STORED, where, orderBy: ['id'], limit });
}

export function readRecords(
  prisma: PrismaClient,
  table: TableSpec,
  { connectionId, ids }: { readonly connectionId: string; readonly ids: readonly string[] },
): Promise<StoredRecord[]> {
  const where = { connection_id: connectionId, id: { in: ids }, erased_at: null };
  return selectRows(prisma, table, { select: STORED, where, orderBy: ['id'] });
}

const STORED = { id: 'id', content_hash: 'content_hash', raw: { text: 'raw' } };

export const countStoredRecords = (prisma: PrismaClient, { connectionId, table }: Target): Promise<number> =>
  selectCount(prisma, table, { connection_id: connectionId, erased_at: null });

export type DerivedRow = { readonly row: Row; readonly contentHash: string };

/** Writes what differs of the typed columns and of `raw`, which may hold less by now; returns how many rows. */
export async function writeDerived(
  prisma: Reader,
  { connectionId, table }: Target,
  derived: readonly DerivedRow[],
): Promise<number> {
  const rows = derived.map(({ row, contentHash }) => ({ ...row, content_hash: contentHash }));
  const written = await bindBytes(encodeRows(rows), (json) =>
    prisma.$queryRawUnsafe<{ count: number }[]>(reprojectSql(table), json, connectionId),
  );
  return written[0]?.count ?? 0;
}

/**
 * Parameters: $1 rows as a JSON array, each with the `content_hash` that it was derived from; $2 connection_id.
 *
 * A row that a run wrote meanwhile has other content, or was mapped by that run: it is skipped, so no lease is needed.
 * Rows are locked in the order of their ids, as pages do. `synced_at` moves, being the last write. An attributed column
 * stays when the record does not contain it, and so does `deleted_at`, which a full sync may have set.
 */
function reprojectSql(table: TableSpec): string {
  const target = tableName(table);
  const kept = { ...table, attributed: [...(table.attributed ?? []), 'deleted_at'] };
  const names = [...Object.keys(table.columns), 'raw', 'deleted_at'];
  const isOther = names.map((name) => differs(kept, name, 'd')).join(' or ');
  const assigned = names.map(quoteName).map((column, index) => {
    const isKept = kept.attributed.includes(names[index] ?? '');
    return `${column} = ${isKept ? `coalesce(d.${column}, t.${column})` : `d.${column}`}`;
  });
  return `
with derived as materialized (
  select * from jsonb_to_recordset($1::jsonb) as r(${recordsetOf(table, 'raw jsonb', 'content_hash text')})
), locked as materialized (
  select t.id
  from derived d join ${target} t on t.connection_id = $2 and t.id = d.id and t.content_hash = d.content_hash
  where t.erased_at is null and (${isOther})
  order by t.id for update of t
), written as (
  update ${target} t set ${assigned.join(', ')}, content_hash = md5(d.raw::text), synced_at = now()
  from derived d join locked l on l.id = d.id
  where t.connection_id = $2 and t.id = d.id
  returning 1
)
-- History marks these as mapped anew: the triggers run when the statement is through.
select count(*)::int as count, set_config('leadmirror.cause', 'm', true) from written`.trim();
}
