import type { PrismaClient } from '../../generated/prisma/client.ts';
import { addMs, databaseNow } from '../database-time.ts';

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
