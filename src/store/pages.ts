import { LeaseLostError } from '../errors.ts';
import type { Prisma, PrismaClient } from '../generated/prisma/client.ts';
import type { Row, TableSpec } from '../stream.ts';
import { lendText } from './large-texts.ts';
import { LEASE_MS, type Lease } from './leases.ts';
import { encodeRows } from './page-json.ts';
import { type BadRecord, resolveWritten, setAside } from './quarantine.ts';
import { foldIdleRun, type RunCounts, type RunEnd, writeRun } from './runs.ts';
import { keepSeenIds } from './seen-ids.ts';
import { setTombstones } from './tombstones.ts';
import { upsertSql } from './upsert-sql.ts';

export interface PageWrite {
  readonly table: TableSpec;
  /** The rows as the statement takes them; null when there are none. */
  readonly json: string | null;
  readonly rowCount: number;
  readonly bad: readonly BadRecord[];
  /** A stored row written before this time may be replaced by an older version; null: never. */
  readonly replaceWrittenBefore: Date | null;
  /** Written whatever is stored: rows that were found to be wrong. */
  readonly isForced?: boolean;
}

/** Encodes rows for writing. Apart from the transaction, so that it can be done while the page before is being written. */
export function preparePage(page: Omit<PageWrite, 'json' | 'rowCount'> & { readonly rows: readonly Row[] }): PageWrite {
  const { rows, ...rest } = page;
  return { ...rest, json: rows.length === 0 ? null : encodeRows(rows), rowCount: rows.length };
}

/** Progress to store with a page. `cursor` null: no walk under way. */
export interface CheckpointWrite {
  readonly cursor: unknown;
  /** Null leaves the stored one as it is. */
  readonly watermark: Readonly<Record<string, string>> | null;
  /** As `watermark`. */
  readonly walkedAt: Readonly<Record<string, string>> | null;
  /** The walk ended complete: the pass is proven as of now. */
  readonly completed: boolean;
  /** Of a full walk: the newest change on this page. */
  readonly newestChange?: Date | null;
}

export interface SavePage {
  readonly lease: Lease;
  readonly startedAt: Date;
  readonly page: PageWrite | null;
  /** Ids that the walk met for the first time: kept with the page, so that they never claim more than the checkpoint. */
  readonly met?: { readonly list: string; readonly ids: readonly string[] };
  /** Rows found to be gone. */
  readonly tombstones?: { readonly table: TableSpec; readonly before: Date | null; readonly ids: readonly string[] };
  readonly checkpoint: CheckpointWrite;
  /** The run's counts before this page; the counts after it are returned, nothing is changed in place. */
  readonly counts: RunCounts;
  /** The run ends with this page. */
  readonly end: RunEnd | null;
  /** The run lets others have their turn: its lease ends with this page, its line stays open, and the next holder goes on with it. */
  readonly yields?: boolean;
  /** The rows are on their way: for some milliseconds this process has nothing to do. */
  readonly onSent?: () => void;
}

/**
 * One page = one transaction: the checkpoint row is locked first (and with it the lease is proven), then rows, quarantine and the run's line follow.
 * Stored progress therefore never claims a row that is not there, and never forgets one that is.
 *
 * @throws LeaseLostError when another run took over; nothing of the page is kept then
 */
export async function savePage(prisma: PrismaClient, save: SavePage): Promise<RunCounts> {
  const { lease, page, end } = save;
  const { json } = page ?? { json: null };
  return lendText(prisma, json ?? '', (reference) =>
    prisma.$transaction(async (tx) => {
      const { has_open_quarantine: hasOpen } = await lockCheckpoint(tx, save);
      const counts = { ...save.counts };
      if (page !== null) {
        counts.pages += 1;
        // Before the rows, as when a record is tried again by hand: everybody takes these locks in one order.
        if (json !== null && hasOpen) await resolveWritten(tx, lease, reference, page.replaceWrittenBefore);
        if (json !== null) await upsertRows(tx, { save, page, json: reference, counts });
        for (const record of page.bad) await setAside(tx, lease, record);
        counts.quarantined += page.bad.length;
        counts.read += page.bad.length;
      }
      if (save.met !== undefined) await keepSeenIds(tx, lease, save.met.list, save.met.ids);
      if (save.tombstones !== undefined) counts.deleted += await setTombstones(tx, lease, save.tombstones);
      if (end !== null && isIdle(counts) && end.outcome === 'succeeded') {
        await foldIdleRun(tx, lease, save.startedAt, counts, end);
      } else if (end !== null || save.yields === true || !isIdle(counts) || counts.pages > 1) {
        await writeRun(tx, lease, save.startedAt, counts, end);
      }
      return counts;
    }),
  );
}

interface Locked {
  /** Records of this stream wait in quarantine: only then is it worth looking which of them the page holds. */
  readonly has_open_quarantine: boolean;
}

async function lockCheckpoint(tx: Prisma.TransactionClient, save: SavePage): Promise<Locked> {
  const { lease, checkpoint, end } = save;
  const cursor = checkpoint.cursor === null ? null : JSON.stringify(checkpoint.cursor);
  const watermark = checkpoint.watermark === null ? null : JSON.stringify(checkpoint.watermark);
  const walkedAt = checkpoint.walkedAt === null ? null : JSON.stringify(checkpoint.walkedAt);
  // The lease ends with the run: whoever waits for it need not wait for its expiry.
  const yields = save.yields === true;
  const leaseSeconds = end === null && !yields ? LEASE_MS / 1000 : null;
  const [held] = await tx.$queryRaw<Locked[]>`
    update sync.checkpoints set cursor = ${cursor}::jsonb, watermark = coalesce(${watermark}::jsonb, watermark),
      walked_at = coalesce(${walkedAt}::jsonb, walked_at),
      completed_at = case when ${checkpoint.completed} then now() else completed_at end,
      -- A walk begins where there is no cursor yet.
      newest_change = case when cursor is null then ${checkpoint.newestChange ?? null}::timestamptz
        else greatest(newest_change, ${checkpoint.newestChange ?? null}::timestamptz) end,
      lease_until = clock_timestamp() + make_interval(secs => ${leaseSeconds}::float8),
      yielded_run_id = case when ${yields} then run_id end, updated_at = now()
    where connection_id = ${lease.connectionId} and stream = ${lease.stream} and pass = ${lease.pass}
      and lease_token = ${lease.token} and lease_until is not null
    returning exists (
      select 1 from sync.quarantine q
      where q.connection_id = ${lease.connectionId} and q.stream = ${lease.stream} and q.resolved_at is null
    ) as has_open_quarantine`;
  if (held !== undefined) return held;
  throw new LeaseLostError(
    `${lease.stream} ${lease.pass} of ${lease.connectionId} was taken over by another run; this one stops, nothing is lost`,
  );
}

interface UpsertPart {
  readonly save: SavePage;
  readonly page: PageWrite;
  readonly json: string;
  readonly counts: RunCounts;
}

async function upsertRows(tx: Prisma.TransactionClient, { save, page, json, counts }: UpsertPart): Promise<void> {
  const answer = tx.$queryRawUnsafe<{ read: number; created: number; updated: number }[]>(
    upsertSql(page.table, page.isForced === true),
    json,
    save.lease.connectionId,
    save.lease.runId,
    page.replaceWrittenBefore,
  );
  // Prisma sends when somebody waits; only then is there time to spare.
  const sent = answer.then((rows) => rows);
  save.onSent?.();
  const [result] = await sent;
  if (result === undefined) throw new Error('the upsert answered no line');
  counts.read += page.rowCount;
  counts.created += result.created;
  counts.updated += result.updated;
  counts.unchanged += result.read - result.created - result.updated;
}

function isIdle(counts: RunCounts): boolean {
  return counts.created + counts.updated + counts.deleted + counts.quarantined === 0;
}
