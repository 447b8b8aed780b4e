import { randomUUID } from 'node:crypto';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import { groupBy } from '../../group-by.ts';
import { databaseNow } from '../../store/database-time.ts';
import { leaseOwner } from '../../store/engine/leases.ts';
import { changeRows } from '../../store/privacy/person-rows.ts';
import { readGone } from '../../store/privacy/retention.ts';
import type { TableSpec } from '../../stream.ts';
import { keptColumns } from './rules.ts';

/** At most so many rows of a table at once: the next round goes on. */
const LIMIT = 10_000;

/**
 * Removes rows that have been gone upstream for so many days. They are emptied first, so that the reports learn of it,
 * and deleted a day later. Returns how many were emptied, by table; `sync.erasures` has it as well.
 */
export async function removeGone(
  prisma: PrismaClient,
  tables: readonly TableSpec[],
  days: number,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const table of tables) {
    const name = `${table.schema}.${table.name}`;
    for (const isEmptied of [true, false]) {
      const rows = await readGone(prisma, table, { days, isEmptied, limit: LIMIT });
      for (const [connectionId, group] of groupBy(rows, ({ connection_id }) => connection_id)) {
        const change = isEmptied ? ('delete' as const) : ('empty' as const);
        const ids = group.map(({ id }) => id);
        const changed = await changeRows(prisma, table, { connectionId, ids, change, kept: keptColumns(table) });
        if (!isEmptied && changed.rows > 0) counts[name] = (counts[name] ?? 0) + changed.rows;
      }
    }
  }
  if (Object.keys(counts).length === 0) return counts;
  const now = await databaseNow(prisma);
  const log = { reason: 'upstream', actor: leaseOwner, state: 'done', requested_at: now, ended_at: now, counts };
  await prisma.syncErasure.create({ data: { id: randomUUID(), ...log } });
  return counts;
}
