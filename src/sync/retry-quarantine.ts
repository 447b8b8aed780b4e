import { type QuarantinedRecord, readOpenQuarantine } from '../store/engine/quarantine.ts';
import { writeQuarantined } from '../store/mirror/write-quarantined.ts';
import { readPrivacyEpoch, type Suppressions } from '../store/privacy/suppressions.ts';
import { withRetry } from '../store/with-retry.ts';
import type { Connection, Stream } from '../stream.ts';
import { mapRecord, recordOf } from './map-page.ts';
import { suppress } from './privacy/rules.ts';
import type { PassParts } from './run-pass.ts';

type RetryParts = Pick<PassParts, 'prisma' | 'clock' | 'logger' | 'privacy'>;

type RetryJob = { readonly connection: Connection; readonly stream: Stream; readonly signal: AbortSignal };

export interface RetryReport {
  readonly connection: string;
  readonly stream: string;
  readonly tried: number;
  /** Written, or found to be gone upstream: no longer in quarantine. */
  readonly resolved: number;
  readonly left: number;
}

/** Texts may be large: a few at a time. */
const BATCH = 20;

/**
 * Maps and writes every open record of a stream again from its text, without a request. What only a request returns
 * (see `ListPage.known`) is not in the text; the next full sync adds it.
 */
export async function retryQuarantine(
  parts: RetryParts,
  { connection, stream, signal }: RetryJob,
): Promise<RetryReport> {
  const filter = { connectionId: connection.id, streams: [stream.name] };
  // Texts of persons who are erased from now on are deleted: then there is nothing left to be written.
  const suppressions = await parts.privacy.load(connection.id, await readPrivacyEpoch(parts.prisma));
  let [tried, resolved] = [0, 0];
  for (let after = 0n; ; ) {
    const records = await readOpenQuarantine(parts.prisma, filter, { after, limit: BATCH });
    const last = records.at(-1);
    if (last === undefined) break;
    after = last.id;
    for (const record of records) {
      signal.throwIfAborted();
      tried += 1;
      if (await retryRecord(parts, { stream, signal, record, suppressions })) resolved += 1;
    }
  }
  return { connection: connection.id, stream: stream.name, tried, resolved, left: tried - resolved };
}

interface RecordJob extends Pick<RetryJob, 'stream' | 'signal'> {
  readonly record: QuarantinedRecord;
  readonly suppressions: Suppressions;
}

async function retryRecord(parts: RetryParts, { stream, signal, record, suppressions }: RecordJob): Promise<boolean> {
  const parsed = recordOf(record.raw_text);
  if (parsed === undefined) return false;
  // Redacted again: the privacy settings may be stricter than they were.
  const mapped = mapRecord(stream, parsed, { logger: parts.logger });
  if ('bad' in mapped) return false;
  const { rows } = await suppress(suppressions, stream, { rows: [mapped.row], bad: [] });
  const [row] = rows;
  if (row === undefined) return false;
  const written = await withRetry({ ...parts, stream: stream.name, signal }, () =>
    writeQuarantined(parts.prisma, record, { table: stream.table, row }),
  );
  return written !== 'refused';
}
