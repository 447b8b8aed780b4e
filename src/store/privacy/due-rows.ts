import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import type { RetentionRule, TableSpec } from '../../stream.ts';
import { quoteName, tableName } from '../mirror/table-sql.ts';
import { expressionOf, type Reader } from './person-rows.ts';

/** The statements of retention. Each is about one table of one account. */

/** A row with the time that a rule counts from, as far as the row itself knows it. */
export interface AgedRow {
  readonly id: string;
  readonly keys: readonly string[];
  readonly at: Date;
}

/** What is older has been kept for long enough. Months are those of the calendar, as Postgres counts them. */
export async function readHorizon(prisma: PrismaClient, after: string): Promise<Date> {
  const [row] = await prisma.$queryRaw<{ at: Date }[]>`select clock_timestamp() - ${after}::interval as at`;
  return row?.at ?? new Date(0);
}

const TIMES: Readonly<Record<RetentionRule['since'], string>> = {
  created: 'created_at',
  closed: 'closed_at',
  deleted_upstream: 'deleted_at',
  last_contact: 'created_at',
};

interface AgedQuery {
  readonly connectionId: string;
  readonly since: RetentionRule['since'];
  readonly before: Date;
  /** The id that the last batch ended with. */
  readonly after: string;
  readonly limit: number;
}

/** Rows that were not erased and whose time is before this, by id. A row without that time has no age. */
export function readAgedRows(
  db: Reader,
  table: TableSpec,
  { connectionId, since, before, after, limit }: AgedQuery,
): Promise<AgedRow[]> {
  const keys = (table.personal?.keys ?? []).map(expressionOf);
  const at = `t.${quoteName(TIMES[since])}`;
  return db.$queryRawUnsafe<AgedRow[]>(
    `select t.id, array_remove(array[${keys.join(', ')}]::text[], null) as keys, ${at} as at from ${tableName(table)} t
      where t.connection_id = $1 and t.id > $2 and t.erased_at is null and ${at} < $3::timestamptz order by t.id limit $4::int`,
    ...[connectionId, after, before, limit],
  );
}

interface ReferenceQuery {
  readonly connectionId: string;
  readonly path: string;
  readonly ids: readonly string[];
}

/** The newest value of a column among the rows that refer to each of these, by what they refer to. */
export function readNewest(
  db: Reader,
  table: TableSpec,
  { connectionId, path, ids, at }: ReferenceQuery & { readonly at: string },
): Promise<{ readonly id: string; readonly at: Date | null }[]> {
  return db.$queryRawUnsafe(
    `select ${expressionOf(path)} as id, max(t.${quoteName(at)}) as at from ${tableName(table)} t
      where t.connection_id = $1 and ${expressionOf(path)} = any($2::text[]) and t.erased_at is null group by 1`,
    ...[connectionId, ids],
  );
}

/** The rows that refer to one of these, with what they refer to. */
export function readReferring(
  db: Reader,
  table: TableSpec,
  { connectionId, path, ids }: ReferenceQuery,
): Promise<{ readonly id: string; readonly of: string }[]> {
  return db.$queryRawUnsafe(
    `select t.id, ${expressionOf(path)} as of from ${tableName(table)} t
      where t.connection_id = $1 and ${expressionOf(path)} = any($2::text[]) and t.erased_at is null`,
    ...[connectionId, ids],
  );
}

/** Emptied rows that a row refers to, with the newest time of those that do. */
export function readReferredHusks(
  db: Reader,
  { table, by }: { readonly table: TableSpec; readonly by: TableSpec },
  { connectionId, path, at }: { readonly connectionId: string; readonly path: string; readonly at: string },
): Promise<{ readonly id: string; readonly at: Date | null }[]> {
  return db.$queryRawUnsafe(
    `select e.id, max(t.${quoteName(at)}) as at from ${tableName(table)} e join ${tableName(by)} t on ${expressionOf(path)} = e.id
        and t.connection_id = e.connection_id and t.erased_at is null
      where e.connection_id = $1 and e.erased_at is not null group by 1`,
    connectionId,
  );
}

/** The records of these rows, as text. */
export function readRecords(
  db: Reader,
  table: TableSpec,
  { connectionId, ids }: { readonly connectionId: string; readonly ids: readonly string[] },
): Promise<{ readonly id: string; readonly content_hash: string; readonly raw: string }[]> {
  return db.$queryRawUnsafe(
    `select t.id, t.content_hash, t.raw::text as raw from ${tableName(table)} t
      where t.connection_id = $1 and t.id = any($2::text[]) and t.erased_at is null order by t.id`,
    ...[connectionId, ids],
  );
}

/** Adds to what the log has of an erasure; of two that add at once one waits for the other. */
export async function addErased(
  prisma: PrismaClient,
  id: string,
  counts: Readonly<Record<string, number>>,
): Promise<void> {
  await prisma.$transaction(async (tx) => {
    // Locks the line.
    const { counts: before } = await tx.syncErasure.update({ where: { id }, data: { ended_at: null } });
    const sums: Record<string, number> = { ...(before as Record<string, number>) };
    for (const [table, count] of Object.entries(counts)) sums[table] = (sums[table] ?? 0) + count;
    await tx.syncErasure.update({ where: { id }, data: { counts: sums satisfies Prisma.InputJsonValue } });
  });
}
