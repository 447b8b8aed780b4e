import type { PrismaClient } from '../../generated/prisma/client.ts';
import { groupBy } from '../../group-by.ts';
import { addMs, databaseNow } from '../../store/database-time.ts';
import { selectRows } from '../../store/mirror/select-rows.ts';
import { addCounts, type Counts, endErasure, openErasure } from '../../store/privacy/erasure-log.ts';
import { changeRows } from '../../store/privacy/person-rows.ts';
import type { TableSpec } from '../../stream.ts';

const DAY_MS = 86_400_000;

/** At most so many rows of a table at once: the next round goes on. */
const LIMIT = 10_000;

/**
 * Removes rows that have been gone upstream for so many days. They are emptied first, so that the reports learn of it,
 * and deleted a day later. Returns how many were emptied, by table; `sync.erasures` has it as well.
 */
export async function removeGone(prisma: PrismaClient, tables: readonly TableSpec[], days: number): Promise<Counts> {
  const now = await databaseNow(prisma);
  const deleted_at = { lt: addMs(now, -days * DAY_MS) };
  const steps = [
    { change: 'delete', erased_at: { lt: addMs(now, -DAY_MS) } },
    { change: 'empty', erased_at: null },
  ] as const;
  let counts: Counts = {};
  for (const table of tables) {
    for (const { change, erased_at } of steps) {
      const select = { connection_id: 'connection_id', id: 'id' };
      const selection = { select, where: { deleted_at, erased_at }, limit: LIMIT };
      const rows = await selectRows<{ connection_id: string; id: string }>(prisma, table, selection);
      for (const [connectionId, group] of groupBy(rows, ({ connection_id }) => connection_id)) {
        const ids = group.map(({ id }) => id);
        const erasure = change === 'empty' ? await openErasure(prisma, REASON) : null;
        const changed = await changeRows(prisma, table, { connectionId, ids, change, erasure });
        if (change === 'empty') counts = addCounts(counts, changed);
      }
    }
  }
  await endErasure(prisma, REASON);
  return counts;
}

const REASON = 'upstream';
