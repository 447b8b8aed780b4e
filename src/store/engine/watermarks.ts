import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import type { Pass } from '../../stream.ts';
import { columnsOf, type StreamKey } from './streams.ts';

type StoredWatermarks = Readonly<Record<string, string>>;

export interface StreamProgress {
  readonly watermark: StoredWatermarks | null;
  /** The server's time when each list was last read to its stop. */
  readonly walkedAt: StoredWatermarks | null;
}

const readCheckpoint = (prisma: PrismaClient, key: StreamKey, pass: Pass) =>
  prisma.syncCheckpoint.findUnique({ where: { connection_id_stream_pass: { ...columnsOf(key), pass } } });

export async function readProgress(prisma: PrismaClient, key: StreamKey, pass: Pass): Promise<StreamProgress> {
  const row = await readCheckpoint(prisma, key, pass);
  return {
    watermark: (row?.watermark ?? null) as StoredWatermarks | null,
    walkedAt: (row?.walked_at ?? null) as StoredWatermarks | null,
  };
}

/** Writes the incremental pass's first watermark; one that is there already stays. */
export async function seedIncremental(prisma: PrismaClient, key: StreamKey, progress: StreamProgress): Promise<void> {
  const data = { watermark: progress.watermark ?? Prisma.DbNull, walked_at: progress.walkedAt ?? Prisma.DbNull };
  const row = { ...columnsOf(key), pass: 'incremental' };
  const { count } = await prisma.syncCheckpoint.createMany({ data: [{ ...row, ...data }], skipDuplicates: true });
  if (count > 0) return;
  await prisma.syncCheckpoint.updateMany({ where: { ...row, watermark: { equals: Prisma.DbNull } }, data });
}

export const isBackfillComplete = async (prisma: PrismaClient, key: StreamKey): Promise<boolean> =>
  ((await readCheckpoint(prisma, key, 'backfill'))?.completed_at ?? null) !== null;
