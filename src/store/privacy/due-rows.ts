import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import type { RetentionRule, TableSpec } from '../../stream.ts';
import { type Reader, selectBatches, selectRows } from '../mirror/select-rows.ts';

/** The statements of retention. Each is about one table of one account. */

/** A row with the time that a rule counts from, as far as the row itself knows it. */
export interface AgedRow {
  readonly id: string;
  readonly keys: readonly string[];
  readonly at: Date;
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
  readonly at?: string;
}

/** The rows that refer to one of these, with what they refer to, and the time in column `at`. */
export function readReferring(
  db: Reader,
  table: TableSpec,
  { connectionId, path, ids, at = 'created_at' }: ReferenceQuery,
): Promise<{ readonly id: string; readonly of: string; readonly at: Date | null }[]> {
  const where = { connection_id: connectionId, [path]: { in: ids }, erased_at: null };
  return selectRows(db, table, { select: { id: 'id', of: { text: path }, at }, where });
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
