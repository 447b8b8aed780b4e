import { findRefused } from '../store/mirror/bisect-page.ts';
import { countStoredRecords, type DerivedRow, readStoredRecords, writeDerived } from '../store/mirror/reproject.ts';
import { withRetry } from '../store/with-retry.ts';
import type { Connection, Stream } from '../stream.ts';
import { mapRecord } from './map-page.ts';
import type { PassParts } from './run-pass.ts';

interface ReprojectJob {
  readonly connection: Connection;
  readonly stream: Stream;
  readonly signal: AbortSignal;
  readonly onProgress?: (counts: ReprojectCounts) => void;
}

interface ReprojectCounts {
  readonly rows: number;
  readonly read: number;
  readonly rewritten: number;
  /** Rows that the mapping does not take any more, or whose new columns the database refuses: left as they are. */
  readonly failed: number;
}

export interface ReprojectReport extends ReprojectCounts {
  readonly connection: string;
  readonly stream: string;
}

const BATCH = 100;

/**
 * Derives the typed columns of a stream again from what is stored, without a request: after an update that maps better.
 * It keeps no progress: a second one finds nothing to do where the first has been.
 */
export async function reproject(
  parts: Pick<PassParts, 'prisma' | 'clock' | 'logger'>,
  { connection, stream, signal, onProgress }: ReprojectJob,
): Promise<ReprojectReport> {
  const target = { connectionId: connection.id, table: stream.table };
  const work = { ...parts, stream: stream.name, signal };
  let counts: ReprojectCounts = {
    rows: await countStoredRecords(parts.prisma, target),
    read: 0,
    rewritten: 0,
    failed: 0,
  };
  for (let after = ''; ; ) {
    signal.throwIfAborted();
    const records = await withRetry(work, () => readStoredRecords(parts.prisma, target, { after, limit: BATCH }));
    const last = records.at(-1);
    if (last === undefined) return { connection: connection.id, stream: stream.name, ...counts };
    after = last.id;
    const derived = records.flatMap(({ raw, content_hash }): DerivedRow[] => {
      // The privacy settings hold for the columns too; they may be stricter than when the record was stored.
      const mapped = mapRecord(stream, JSON.parse(raw), { logger: parts.logger });
      return 'row' in mapped ? [{ row: mapped.row, contentHash: content_hash }] : [];
    });
    let rewritten = 0;
    const refused = await findRefused(derived, async (some) => {
      rewritten += await withRetry(work, () => writeDerived(parts.prisma, target, some));
    });
    counts = {
      rows: counts.rows,
      read: counts.read + records.length,
      rewritten: counts.rewritten + rewritten,
      failed: counts.failed + (records.length - derived.length) + refused.length,
    };
    onProgress?.(counts);
  }
}
