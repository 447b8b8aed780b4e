import type { PrismaClient, SyncStatus } from '../../generated/prisma/client.ts';
import { columnsOf, type StreamKey } from '../engine/streams.ts';

export type StreamState = 'fresh' | 'syncing' | 'stale' | 'partial' | 'blocked' | 'paused' | 'never';

/** A line of the view `sync.status`: derived from facts, never set. */
export interface StreamStatus extends Omit<SyncStatus, 'state' | 'watermark'> {
  readonly state: StreamState;
  readonly watermark: Readonly<Record<string, string>> | null;
}

export const readStatus = async (prisma: PrismaClient): Promise<StreamStatus[]> =>
  (await prisma.syncStatus.findMany({ orderBy: [{ connection_id: 'asc' }, { stream: 'asc' }] })) as StreamStatus[];

/** The mirror of a stream holds everything that was there then; null: no full read yet. */
export async function readAsOf(prisma: PrismaClient, key: StreamKey): Promise<Date | null> {
  const line = await prisma.syncStatus.findUnique({ where: { connection_id_stream: columnsOf(key) } });
  return line?.as_of ?? null;
}

export interface RowCounts {
  readonly alive: number;
  readonly deleted: number;
}

/** Rows of one mirrored table by connection. The name comes from a stream's definition, `<schema>.<table>`. */
export async function countRows(prisma: PrismaClient, streamName: string): Promise<Map<string, RowCounts>> {
  const [schema = '', table = ''] = streamName.split('.');
  if (!/^[a-z_]+$/.test(schema) || !/^[a-z_]+$/.test(table)) throw new Error(`not a table: ${streamName}`);
  const rows = await prisma.$queryRawUnsafe<{ connection_id: string; alive: bigint; deleted: bigint }[]>(
    `select connection_id, count(*) filter (where deleted_at is null) as alive,
      count(*) filter (where deleted_at is not null) as deleted
     from ${schema}.${table} group by connection_id`,
  );
  return new Map(
    rows.map((row) => [row.connection_id, { alive: Number(row.alive), deleted: Number(row.deleted) }] as const),
  );
}
