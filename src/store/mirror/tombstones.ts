import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import type { ListWindow, MirroredRow, TableSpec } from '../../stream.ts';
import type { CheckpointKey, Lease } from '../engine/leases.ts';
import { selectCount } from './select-rows.ts';
import { tableName } from './table-sql.ts';

/** Alive rows that a full sync was not shown and no run wrote since. They mean something only when it is complete. */
export interface SuspectQuery {
  readonly key: CheckpointKey;
  readonly table: TableSpec;
  /** Rows written after this time are none: the database's clock at the walk's beginning. */
  readonly before: Date;
  /** Only rows that were created inside of these, which do not overlap; absent: all. */
  readonly windows?: readonly ListWindow[];
}

export async function countSuspects(prisma: PrismaClient, query: SuspectQuery): Promise<number> {
  const [row] = await askForSuspects<{ count: number }>(prisma, query, null);
  return row?.count ?? 0;
}

/** The next suspects by id, behind `after`. */
export async function readSuspects(prisma: PrismaClient, query: SuspectQuery, page: SuspectPage) {
  const rows = await askForSuspects<{ row: MirroredRow }>(prisma, query, page);
  return rows.map(({ row }) => row);
}

type SuspectPage = { readonly after: string; readonly limit: number };

/** `page` null: how many. */
function askForSuspects<T>(prisma: PrismaClient, query: SuspectQuery, page: SuspectPage | null): Promise<T[]> {
  const field = page === null ? 'count(*)::int as count' : `to_jsonb(t) - 'raw' as row`;
  const rest = page === null ? '' : 'and t.id > $7 order by t.id limit $8';
  const behind = page === null ? [] : [page.after, page.limit];
  const sql = `select ${field} ${suspectsOf(query)} ${rest}`;
  return prisma.$queryRawUnsafe<T[]>(sql, ...parameters(query), ...behind);
}

/** Some alive rows that the walk saw: the answers about them show whether the upstream can be asked. */
export async function readSeenRows(prisma: PrismaClient, { key, table }: SuspectQuery) {
  const found = await prisma.$queryRawUnsafe<{ row: MirroredRow }[]>(
    `select to_jsonb(t) - 'raw' as row from sync.seen_ids s
      cross join lateral (
        select * from ${tableName(table)} m
        where m.connection_id = $1 and m.id = s.id and m.deleted_at is null and m.erased_at is null limit 1
      ) t
      where s.connection_id = $1 and s.stream = $2 and s.pass = $3 and s.list <> '@asked' limit 20`,
    key.connectionId,
    key.stream,
    key.pass,
  );
  return found.map(({ row }) => row);
}

/**
 * Emptied rows are never marked as deleted, so that counts of past days stay. Those that a complete read was not shown
 * are noted as gone upstream, and the others as there: the upstream does not count the former any more.
 */
export async function noteErased(prisma: PrismaClient, query: SuspectQuery): Promise<void> {
  await prisma.$executeRawUnsafe(
    `with noted as materialized (
      select t.id, case when seen.is_seen then 'erased' else '${GONE}' end as hash ${readOf(query)}
        and t.erased_at is not null
    ), locked as materialized (
      select m.id from ${tableName(query.table)} m join noted n on n.id = m.id
      where m.connection_id = $1 and m.content_hash is distinct from n.hash order by m.id for update of m
    )
    update ${tableName(query.table)} t set content_hash = n.hash from locked l join noted n on n.id = l.id
    where t.connection_id = $1 and t.id = l.id and t.erased_at is not null`,
    ...parameters(query),
  );
}

/** The `content_hash` of an emptied row that is gone upstream. */
export const GONE = 'gone';

const suspectsOf = (query: SuspectQuery): string => `${readOf(query)} and t.erased_at is null and seen.is_seen is null`;

/** Rows that the upstream should have shown, and whether it did. */
function readOf({ table, windows }: SuspectQuery): string {
  // From the index, window by window; the planner would rather read the whole table.
  const rows =
    windows === undefined
      ? `${tableName(table)} t`
      : `unnest($5::timestamptz[], $6::timestamptz[]) as w(first, last) cross join lateral (
          select * from ${tableName(table)} m
          where m.connection_id = $1 and m.created_at >= w.first and m.created_at <= w.last offset 0
        ) t`;
  // One look-up by key per row, whatever the planner believes about a table that fills and empties: see seen-ids.ts.
  return `from ${rows}
    left join lateral (
      select true as is_seen from sync.seen_ids s
      where s.connection_id = $1 and s.stream = $2 and s.pass = $3 and s.id = t.id limit 1
    ) seen on true
    where t.connection_id = $1 and t.deleted_at is null and t.synced_at < $4::timestamptz
      and ($5::timestamptz[] is null) = ($6::timestamptz[] is null)`;
}

function parameters({ key, before, windows }: SuspectQuery) {
  const times = (end: 'fromMs' | 'toMs', open: string) =>
    windows?.map((window) => (window[end] === undefined ? open : new Date(window[end]).toISOString())) ?? null;
  const bounds = [times('fromMs', '-infinity'), times('toMs', 'infinity')] as const;
  return [key.connectionId, key.stream, key.pass, before, ...bounds] as const;
}

export const countAliveRows = (prisma: PrismaClient, connectionId: string, table: TableSpec): Promise<number> =>
  selectCount(prisma, table, { connection_id: connectionId, deleted_at: null, erased_at: null });

/** The statement that sets tombstones, unless a row was written meanwhile (`before` null: in any case). */
export function tombstonesSql(
  lease: Lease,
  { table, before, ids }: { table: TableSpec; before: Date | null; ids: readonly string[] },
): Prisma.Sql {
  return Prisma.sql`
    update ${Prisma.raw(tableName(table))} set deleted_at = now(), synced_at = now(), run_id = ${lease.runId}
    where connection_id = ${lease.connectionId} and id = any(${ids}::text[]) and deleted_at is null
      and erased_at is null and (synced_at < ${before}::timestamptz or ${before}::timestamptz is null)`;
}
