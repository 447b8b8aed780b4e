import type { PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { columnsOf, type StreamKey } from './streams.ts';

export interface Verification {
  /** When it began: the mirror is compared with what the upstream showed from then on. */
  readonly startedAt: Date;
  readonly upstreamRows: number;
  readonly comparedRows: number;
  readonly missing: number;
  readonly stale: number;
  readonly extra: number;
  readonly different: number;
  readonly repaired: number;
}

export async function storeVerification(
  prisma: PrismaClient,
  key: StreamKey,
  verification: Verification,
): Promise<void> {
  const { missing, stale, extra, different, repaired } = verification;
  const row = {
    ...columnsOf(key),
    verified_at: await databaseNow(prisma),
    upstream_rows: verification.upstreamRows,
    compared_rows: verification.comparedRows,
    missing,
    stale,
    extra,
    different,
    repaired,
    started_at: verification.startedAt,
  };
  await prisma.syncVerification.upsert({ where: { connection_id_stream: columnsOf(key) }, create: row, update: row });
}
