import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Row, TableSpec } from '../../stream.ts';
import { databaseNow } from '../database-time.ts';
import type { QuarantineEntry } from '../engine/quarantine.ts';
import { isRefusedContent } from '../faults.ts';
import { upsertRows } from './pages.ts';
import { selectCount } from './select-rows.ts';

/** `written`: this record or a newer one is stored. `gone`: it vanished upstream. `closed`: another was faster. */
type RetryOutcome = 'written' | 'gone' | 'refused' | 'closed';

/**
 * Writes one quarantined record after all and closes its row, in one transaction.
 *
 * No lease: no checkpoint is touched. Of two writers of one row the version guard keeps the newer. Records without a
 * date have no such guard; so the quarantine row is closed (and locked) first, as every page does: once a newer version
 * was written, it is closed, and this one is not written any more.
 */
export async function writeQuarantined(
  prisma: PrismaClient,
  entry: QuarantineEntry,
  { table, row }: { readonly table: TableSpec; readonly row: Row },
): Promise<RetryOutcome> {
  try {
    return await prisma.$transaction(async (tx) => {
      const open = { where: { id: entry.id, resolved_at: null }, data: { resolved_at: await databaseNow(tx) } };
      if ((await tx.syncQuarantine.updateMany(open)).count === 0) return 'closed';
      const { connection_id, run_id: runId, last_seen_at } = entry;
      // An older version of the record was in the mirror, and was found to be gone after the record was seen last.
      const isMarked = { connection_id, id: row.id, deleted_at: { not: null }, synced_at: { gt: last_seen_at } };
      if ((await selectCount(tx, table, isMarked)) > 0) return 'gone';
      // Null: the version guard holds.
      await upsertRows(tx, table, [row], { connectionId: connection_id, runId, replaceWrittenBefore: null });
      return 'written';
    });
  } catch (error) {
    if (isRefusedContent(error)) return 'refused';
    throw error;
  }
}
