import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { tableName } from '../mirror/table-sql.ts';

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
export function readGone(
  prisma: PrismaClient,
  table: TableSpec,
  { days, isEmptied, limit }: { readonly days: number; readonly isEmptied: boolean; readonly limit: number },
): Promise<GoneRow[]> {
  const condition = isEmptied ? `t.erased_at < now() - interval '1 day'` : 't.erased_at is null';
  return prisma.$queryRawUnsafe<GoneRow[]>(
    `select t.connection_id, t.id from ${tableName(table)} t
      where t.deleted_at < now() - make_interval(days => $1::int) and ${condition} limit $2::int`,
    days,
    limit,
  );
}
