import type { PrismaClient } from '../../generated/prisma/client.ts';
import { addMs, databaseNow } from '../database-time.ts';
import type { StreamKey } from './streams.ts';

/** When something last changed in a stream, by its runs that are kept; null: they saw no change. */
export async function readLastChange(prisma: PrismaClient, { connectionId, stream }: StreamKey): Promise<Date | null> {
  const run = await prisma.syncRun.findFirst({
    where: {
      ...{ connection_id: connectionId, stream, pass: { in: ['incremental', 'reconcile', 'backfill'] } },
      OR: [{ created: { gt: 0 } }, { updated: { gt: 0 } }, { deleted: { gt: 0 } }],
    },
    orderBy: { id: 'desc' },
    select: { started_at: true, ended_at: true },
  });
  return run && (run.ended_at ?? run.started_at);
}

/** Notes when a stream is read next, for those who look; null: with the next tick of its schedule. */
export async function noteNextPoll(
  prisma: PrismaClient,
  { connectionId, stream }: StreamKey,
  intervalMs: number | null,
): Promise<void> {
  const where = { connection_id: connectionId, stream };
  if (intervalMs === null) {
    await prisma.syncStream.updateMany({
      where: { ...where, next_due_at: { not: null } },
      data: { next_due_at: null, interval_seconds: null },
    });
    return;
  }
  const data = { next_due_at: addMs(await databaseNow(prisma), intervalMs), interval_seconds: intervalMs / 1000 };
  await prisma.syncStream.updateMany({ where, data });
}

/** By `connection/stream`: when those are due that are read before the next tick of their schedule. */
export async function readNextPolls(prisma: PrismaClient): Promise<ReadonlyMap<string, Date>> {
  const rows = await prisma.syncStream.findMany({
    where: { enabled: true, next_due_at: { gt: await databaseNow(prisma) } },
    select: { connection_id: true, stream: true, next_due_at: true },
  });
  return new Map(
    rows.flatMap((row) => (row.next_due_at ? [[`${row.connection_id}/${row.stream}`, row.next_due_at]] : [])),
  );
}
