import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { selectRows } from '../mirror/select-rows.ts';

const DAY_MS = 86_400_000;

/** Removes texts from quarantine: of records that were written after all, and of those that were open for long. */
export async function pruneQuarantineTexts(
  prisma: PrismaClient,
  { resolvedDays, openDays }: { readonly resolvedDays: number; readonly openDays: number },
): Promise<number> {
  const now = await databaseNow(prisma);
  const { count } = await prisma.syncQuarantine.updateMany({
    where: {
      raw_text: { not: '' },
      OR: [
        { resolved_at: { lt: addMs(now, -resolvedDays * DAY_MS) } },
        { resolved_at: null, last_seen_at: { lt: addMs(now, -openDays * DAY_MS) } },
      ],
    },
    data: { raw_text: '' },
  });
  return count;
}

export interface GoneRow {
  readonly connection_id: string;
  readonly id: string;
}

/** Rows that have been gone upstream for so many days: whole ones, or those that were emptied more than a day ago. */
export async function readGone(
  prisma: PrismaClient,
  table: TableSpec,
  { days, isEmptied, limit }: { readonly days: number; readonly isEmptied: boolean; readonly limit: number },
): Promise<GoneRow[]> {
  const now = await databaseNow(prisma);
  const erased_at = isEmptied ? { lt: addMs(now, -DAY_MS) } : null;
  const where = { deleted_at: { lt: addMs(now, -days * DAY_MS) }, erased_at };
  return selectRows(prisma, table, { select: { connection_id: 'connection_id', id: 'id' }, where, limit });
}
