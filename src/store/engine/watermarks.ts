import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Pass } from '../../stream.ts';

export interface StreamOfConnection {
  readonly connectionId: string;
  readonly stream: string;
}

type Watermarks = Readonly<Record<string, string>>;

/** The stored watermark of a pass; null when none was ever stored. */
export async function readWatermark(
  prisma: PrismaClient,
  { connectionId, stream }: StreamOfConnection,
  pass: Pass,
): Promise<Watermarks | null> {
  const row = await prisma.syncCheckpoint.findUnique({
    where: { connection_id_stream_pass: { connection_id: connectionId, stream, pass } },
    select: { watermark: true },
  });
  return (row?.watermark ?? null) as Watermarks | null;
}

/** Writes the incremental pass's first watermark; one that is there already stays. */
export async function seedIncremental(
  prisma: PrismaClient,
  { connectionId, stream }: StreamOfConnection,
  progress: { readonly watermark: Watermarks; readonly walkedAt: Watermarks },
): Promise<void> {
  await prisma.$executeRaw`
    insert into sync.checkpoints (connection_id, stream, pass, watermark, walked_at)
    values (${connectionId}, ${stream}, 'incremental', ${JSON.stringify(progress.watermark)}::jsonb,
      ${JSON.stringify(progress.walkedAt)}::jsonb)
    on conflict (connection_id, stream, pass) do update set watermark = excluded.watermark,
      walked_at = excluded.walked_at
    where sync.checkpoints.watermark is null`;
}

export async function isBackfillComplete(
  prisma: PrismaClient,
  { connectionId, stream }: StreamOfConnection,
): Promise<boolean> {
  const row = await prisma.syncCheckpoint.findUnique({
    where: { connection_id_stream_pass: { connection_id: connectionId, stream, pass: 'backfill' } },
    select: { completed_at: true },
  });
  return (row?.completed_at ?? null) !== null;
}

/** How far the incremental pass of a stream is. */
export async function readProgress(
  prisma: PrismaClient,
  { connectionId, stream }: StreamOfConnection,
): Promise<{ readonly watermark: Watermarks | null; readonly walkedAt: Watermarks | null }> {
  const row = await prisma.syncCheckpoint.findUnique({
    where: { connection_id_stream_pass: { connection_id: connectionId, stream, pass: 'incremental' } },
    select: { watermark: true, walked_at: true },
  });
  return {
    watermark: (row?.watermark ?? null) as Watermarks | null,
    walkedAt: (row?.walked_at ?? null) as Watermarks | null,
  };
}
