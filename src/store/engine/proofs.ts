import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { StreamKey } from './streams.ts';

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
export async function keepProof(
  prisma: PrismaClient,
  { connectionId, stream }: StreamKey,
  proof: Proof,
): Promise<void> {
  await prisma.$executeRaw`
    insert into sync.proofs (connection_id, stream, proved_at, upstream_rows, compared_rows, missing, stale, extra, different,
      repaired, started_at)
    values (${connectionId}, ${stream}, now(), ${proof.upstreamRows}, ${proof.comparedRows}, ${proof.missing}, ${proof.stale},
      ${proof.extra}, ${proof.different}, ${proof.repaired}, ${proof.startedAt})
    on conflict (connection_id, stream) do update set proved_at = excluded.proved_at, upstream_rows = excluded.upstream_rows,
      compared_rows = excluded.compared_rows, missing = excluded.missing, stale = excluded.stale, extra = excluded.extra,
      different = excluded.different, repaired = excluded.repaired, started_at = excluded.started_at`;
}
