import { createHash } from 'node:crypto';
import { Prisma, type PrismaClient, type SyncQuarantine } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { repairText } from '../mirror/page-json.ts';
import type { QuarantineDetail } from '../refusal-detail.ts';
import type { Lease } from './leases.ts';
import { columnsOf, type StreamKey } from './streams.ts';

export interface BadRecord {
  readonly recordId: string | null;
  readonly reason: string;
  readonly detail?: QuarantineDetail | null;
  readonly rawText: string;
}

/**
 * Records that could not be mapped or written: the reason and the text (redacted like everything that is stored), once
 * per record. A row is open until its record is written, by a run that meets it again or by hand; or until it is known
 * to be gone.
 */
export type QuarantinedRecord = Omit<SyncQuarantine, 'resolved_at'>;

/** An open row without its text, which is personal data. */
export type QuarantineEntry = Omit<QuarantinedRecord, 'raw_text'>;

/** An absent member matches any row. */
interface QuarantineFilter {
  readonly connectionId?: string;
  /** `tiledesk.leads`. */
  readonly streams?: string[];
}

/** A record without a usable id is kept under a digest of its text. */
const WITHOUT_ID = 'sha256:';

/** Longer ids are kept as a digest: this one stands in an index, which may be what refused the record. */
const RECORD_ID_MAX = 256;

/** Puts records into quarantine, or opens their rows again. `from`: the condition under which it happens. */
export function quarantineSql(lease: Lease, bad: readonly BadRecord[], from: Prisma.Sql): Prisma.Sql {
  // The last of several records with one id counts: a statement cannot write a row twice.
  const byId = new Map(bad.map((record) => [storedIdOf(record), record]));
  const rows = [...byId].map(([record_id, { reason, detail = null, rawText }]) => ({
    record_id,
    reason,
    detail,
    raw_text: repairText(rawText),
  }));
  return Prisma.sql`
    insert into sync.quarantine (connection_id, stream, record_id, reason, detail, raw_text, run_id)
    select ${lease.connectionId}, ${lease.stream}, r.record_id, r.reason, r.detail, r.raw_text, ${lease.runId}
    ${from}, jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(record_id text, reason text, detail jsonb,
      raw_text text)
    on conflict (connection_id, stream, record_id) do update set reason = excluded.reason, detail = excluded.detail,
      raw_text = excluded.raw_text,
      run_id = excluded.run_id, last_seen_at = now(), resolved_at = null`;
}

function storedIdOf({ recordId, rawText }: BadRecord): string {
  if (recordId !== null && recordId.length <= RECORD_ID_MAX) return repairText(recordId);
  return `${WITHOUT_ID}${createHash('sha256')
    .update(recordId ?? repairText(rawText))
    .digest('hex')
    .slice(0, 32)}`;
}

/**
 * Closes the rows of records that this page writes. A page of a full sync that was asked for before a record was
 * quarantined may contain an older version of it, and does not close it.
 */
export function resolveWrittenSql(
  { connectionId, stream }: Pick<Lease, 'connectionId' | 'stream'>,
  { replaceWrittenBefore, bad }: { readonly replaceWrittenBefore: Date | null; readonly bad: readonly BadRecord[] },
): Prisma.Sql {
  return Prisma.sql`
    update sync.quarantine q set resolved_at = now() from incoming
    where q.connection_id = ${connectionId} and q.stream = ${stream} and q.record_id = incoming.id
      and q.resolved_at is null
      and (q.last_seen_at < ${replaceWrittenBefore}::timestamptz or ${replaceWrittenBefore}::timestamptz is null)
      and q.record_id <> all(${bad.map(storedIdOf)}::text[])`;
}

export function listOpenQuarantine(
  prisma: PrismaClient,
  { limit, ...filter }: QuarantineFilter & { readonly limit?: number },
): Promise<QuarantineEntry[]> {
  return prisma.syncQuarantine.findMany({
    ...openRows(filter),
    take: limit,
    omit: { raw_text: true, resolved_at: true },
  });
}

/** Returns the same with the texts; only those behind `page.after`. */
export function readOpenQuarantine(
  prisma: PrismaClient,
  filter: QuarantineFilter,
  page?: { readonly after: bigint; readonly limit: number },
): Promise<QuarantinedRecord[]> {
  const { where, orderBy } = openRows(filter);
  return prisma.syncQuarantine.findMany({
    where: { ...where, id: { gt: page?.after } },
    orderBy,
    take: page?.limit,
    omit: { resolved_at: true },
  });
}

export type QuarantineReason = { readonly reason: string; readonly detail: unknown; readonly records: number };

export async function listQuarantineReasons(
  prisma: PrismaClient,
  { limit, ...key }: StreamKey & { readonly limit: number },
): Promise<QuarantineReason[]> {
  const rows = await prisma.syncQuarantine.groupBy({
    by: ['reason', 'detail'],
    where: { ...columnsOf(key), resolved_at: null },
    _count: true,
    orderBy: [{ _count: { id: 'desc' } }, { reason: 'asc' }],
    take: limit,
  });
  return rows.map(({ reason, detail, _count: records }) => ({ reason, detail, records }));
}

const openRows = ({ connectionId, streams }: QuarantineFilter) => ({
  where: { resolved_at: null, connection_id: connectionId, stream: { in: streams } },
  orderBy: { id: 'asc' as const },
});

/** True when the walk saw records without a usable id: then the absence of an id is no evidence of a deletion. */
export async function hasFreshQuarantine(db: PrismaClient, key: StreamKey, since: Date): Promise<boolean> {
  const found = await db.syncQuarantine.findFirst({
    // Those with an id are kept under it, and are among the ids that the walk saw.
    where: { ...columnsOf(key), last_seen_at: { gte: since }, record_id: { startsWith: WITHOUT_ID } },
    select: { id: true },
  });
  return found !== null;
}

/** Closes records that a complete read of what they were part of did not show any more. */
export async function resolveGone(
  prisma: PrismaClient,
  key: StreamKey,
  { ids, before }: { readonly ids: string[]; readonly before: Date },
): Promise<void> {
  if (ids.length === 0) return;
  await prisma.syncQuarantine.updateMany({
    where: { ...columnsOf(key), record_id: { in: ids }, resolved_at: null, last_seen_at: { lt: before } },
    data: { resolved_at: await databaseNow(prisma) },
  });
}
