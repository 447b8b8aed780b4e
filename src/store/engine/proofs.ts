import type { PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { columnsOf, type StreamKey } from './streams.ts';

/** What the last verify of a stream found. */
export interface Proof {
  /** When it began: the mirror is compared with what the upstream showed from then on. */
  readonly startedAt: Date;
  readonly upstreamRows: number;
  /** Rows compared by content too. */
  readonly comparedRows: number;
  readonly missing: number;
  readonly stale: number;
  readonly extra: number;
  readonly different: number;
  readonly repaired: number;
}

/** Keeps the last proof of a stream. */
export async function keepProof(prisma: PrismaClient, key: StreamKey, proof: Proof): Promise<void> {
  const { missing, stale, extra, different, repaired } = proof;
  const row = {
    ...columnsOf(key),
    proved_at: await databaseNow(prisma),
    upstream_rows: proof.upstreamRows,
    compared_rows: proof.comparedRows,
    missing,
    stale,
    extra,
    different,
    repaired,
    started_at: proof.startedAt,
  };
  await prisma.syncProof.upsert({ where: { connection_id_stream: columnsOf(key) }, create: row, update: row });
}
