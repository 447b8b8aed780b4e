import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import type { RetentionRule, TableSpec } from '../../stream.ts';
import { databaseNow } from '../database-time.ts';
import { type Reader, selectBatches, selectRows, textOf } from '../mirror/select-rows.ts';
import { quoteName, tableName } from '../mirror/table-sql.ts';

/** The statements of retention. Each is about one table of one account. */

/** A row with the time that a rule counts from, as far as the row itself knows it. */
export interface AgedRow {
  readonly id: string;
  readonly keys: readonly string[];
  readonly at: Date;
}

/** What is older has been kept for long enough. Months are those of the calendar, as Postgres counts them. */
export const readHorizon = (prisma: PrismaClient, after: string): Promise<Date> => databaseNow(prisma, after);

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
  readonly limit: number;
}

/** Rows that were not erased and whose time is before this, by id. A row without that time has no age. */
export function selectAgedRows(db: Reader, table: TableSpec, { connectionId, since, before, limit }: AgedQuery) {
  const at = TIMES[since];
  return selectBatches<AgedRow>(db, table, {
    select: { id: 'id', keys: { texts: table.personal?.keys ?? [] }, at },
    where: { connection_id: connectionId, erased_at: null, [at]: { lt: before } },
    limit,
  });
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
    `select ${textOf(path)} as id, max(t.${quoteName(at)}) as at from ${tableName(table)} t
      where t.connection_id = $1 and ${textOf(path)} = any($2::text[]) and t.erased_at is null group by 1`,
    ...[connectionId, ids],
  );
}

/** The rows that refer to one of these, with what they refer to. */
export function readReferring(
  db: Reader,
  table: TableSpec,
  { connectionId, path, ids }: ReferenceQuery,
): Promise<{ readonly id: string; readonly of: string }[]> {
  const where = { connection_id: connectionId, [path]: { in: ids }, erased_at: null };
  return selectRows(db, table, { select: { id: 'id', of: { text: path } }, where });
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
