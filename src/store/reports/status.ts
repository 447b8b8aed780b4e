import type { PrismaClient } from '../../generated/prisma/client.ts';

export type StreamState = 'fresh' | 'syncing' | 'stale' | 'partial' | 'blocked' | 'paused' | 'never';

/** A line of the view `sync.status`: derived from facts, never set by anybody. */
export interface StreamStatus {
  readonly connection_id: string;
  readonly stream: string;
  readonly state: StreamState;
  readonly reason: string;
  /** The same as a stable word. */
  readonly reason_code: string;
  readonly since: Date | null;
  readonly running_pass: string | null;
  readonly last_success_at: Date | null;
  /** The mirror holds everything that was there then. */
  readonly as_of: Date | null;
  readonly lag_seconds: bigint | null;
  readonly watermark: Readonly<Record<string, string>> | null;
  readonly backfill_completed_at: Date | null;
  readonly open_quarantine: bigint;
  /** What people should know about how the stream is read; null: nothing out of the ordinary. */
  readonly notice: string | null;
  /** The last verify; null: never. */
  readonly proof_at: Date | null;
  /** Rows upstream that it compared by id and version. */
  readonly proof_rows: bigint | null;
  /** Share of them that it compared by content too, 0 to 1. */
  readonly proof_share: number | null;
  /** What differed and was not repaired. */
  readonly proof_differences: number | null;
}

export async function readStatus(prisma: PrismaClient): Promise<StreamStatus[]> {
  return prisma.$queryRaw<StreamStatus[]>`select * from sync.status order by connection_id, stream`;
}

/** The mirror of a stream holds everything that was there then; null: no full read yet. */
export async function readAsOf(
  prisma: PrismaClient,
  { connectionId, stream }: { readonly connectionId: string; readonly stream: string },
): Promise<Date | null> {
  const [row] = await prisma.$queryRaw<{ as_of: Date | null }[]>`
    select as_of from sync.status where connection_id = ${connectionId} and stream = ${stream}`;
  return row?.as_of ?? null;
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
