import type { PrismaClient } from '../../generated/prisma/client.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { columnsOf, type StreamKey } from './streams.ts';

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

export interface PollDemand {
  /** When something last changed in it, as far as was seen; null: never. */
  readonly changedAt: Date | null;
  readonly requests: number;
}

/** The stream itself, null before its first pass, and the others whose requests are paid from the same budget. */
export async function readPollDemands(prisma: PrismaClient, key: StreamKey, credential: string | undefined) {
  const rows = await prisma.syncStream.findMany({
    where: {
      ...{ enabled: true, paused_at: null, pass_requests: { not: null }, interval_seconds: { not: null } },
      ...(credential === undefined ? columnsOf(key) : { credential }),
    },
    select: { connection_id: true, stream: true, changed_at: true, pass_requests: true },
  });
  const isOwn = (row: (typeof rows)[number]) => row.connection_id === key.connectionId && row.stream === key.stream;
  const demandOf = (row: (typeof rows)[number]) => ({ changedAt: row.changed_at, requests: row.pass_requests ?? 1 });
  const own = rows.find(isOwn);
  return { own: own ? demandOf(own) : null, others: rows.filter((row) => !isOwn(row)).map(demandOf) };
}

interface NextPoll extends PollDemand {
  readonly intervalMs: number;
  readonly isTick: boolean;
}

/** Notes when a stream is read next, for those who look. */
export async function noteNextPoll(
  prisma: PrismaClient,
  key: StreamKey,
  { intervalMs, isTick, changedAt, requests }: NextPoll,
): Promise<void> {
  const next_due_at = isTick ? null : addMs(await databaseNow(prisma), intervalMs);
  await prisma.syncStream.updateMany({
    where: columnsOf(key),
    data: { next_due_at, interval_seconds: intervalMs / 1000, changed_at: changedAt, pass_requests: requests },
  });
}

export interface Poll {
  /** When it is read before the next tick of its schedule; null: with that tick. */
  readonly dueAt: Date | null;
  readonly intervalSeconds: number;
}

/** By `connection/stream`; the others are read by a cron, or were not read yet. */
export async function readPolls(prisma: PrismaClient): Promise<ReadonlyMap<string, Poll>> {
  const [now, rows] = await Promise.all([
    databaseNow(prisma),
    prisma.syncStream.findMany({
      where: { enabled: true, interval_seconds: { not: null } },
      select: { connection_id: true, stream: true, next_due_at: true, interval_seconds: true },
    }),
  ]);
  return new Map(
    rows.map(({ connection_id, stream, next_due_at, interval_seconds }) => [
      `${connection_id}/${stream}`,
      { dueAt: next_due_at !== null && next_due_at > now ? next_due_at : null, intervalSeconds: interval_seconds ?? 0 },
    ]),
  );
}
