import { LeaseLostError } from '../errors.ts';
import { Prisma, type PrismaClient } from '../generated/prisma/client.ts';
import type { Row, TableSpec } from '../stream.ts';
import { lendText } from './large-texts.ts';
import { LEASE_MS, type Lease } from './leases.ts';
import { encodeRows } from './page-json.ts';
import { type BadRecord, resolveWritten, setAside } from './quarantine.ts';
import { foldIdleRun, type RunCounts, type RunEnd, runLineSql, writeRun } from './runs.ts';
import { keepSeenIds, seenIdsSql } from './seen-ids.ts';
import { setTombstones } from './tombstones.ts';
import { bindUpsertParts, upsertSql } from './upsert-sql.ts';

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
  /** The run's counts before this page; nothing is changed in place. */
  readonly counts: RunCounts;
  /** The run ends with this page. */
  readonly end: RunEnd | null;
  /** The run lets others have their turn: its lease ends with this page, its line stays open, and the next holder goes on with it. */
  readonly yields?: boolean;
  /** What the page before was answered; not given: not known. */
  readonly hasOpenQuarantine?: boolean;
  /** The rows are on their way: for some milliseconds this process has nothing to do. */
  readonly onSent?: () => void;
}

/** What the next page of the same run has to know. */
export interface SavedPage {
  /** The run's counts after the page. */
  readonly counts: RunCounts;
  /** Records of this stream waited in quarantine when the page was written. */
  readonly hasOpenQuarantine: boolean;
}

/**
 * One page = one transaction: the checkpoint row is locked first (and with it the lease is proven), then rows, quarantine and the run's line follow.
 * Stored progress therefore never claims a row that is not there, and never forgets one that is.
 *
 * A plain page in the middle of a walk is one statement and one round trip, which is its own transaction; the others, with more to do, go step by step.
 *
 * @throws LeaseLostError when another run took over; nothing of the page is kept then
 */
export async function savePage(prisma: PrismaClient, save: SavePage): Promise<SavedPage> {
  const { lease, page, end } = save;
  const { json } = page ?? { json: null };
  return lendText(prisma, json ?? '', async (reference) => {
    const plain = plainPage(save);
    const saved = plain === null ? null : await writeAtOnce(prisma, save, plain, reference);
    if (saved !== null) return saved;
    return prisma.$transaction(async (tx) => {
      const { has_open_quarantine: hasOpenQuarantine } = await lockCheckpoint(tx, save);
      const counts = { ...save.counts };
      if (page !== null) {
        counts.pages += 1;
        // Before the rows, as when a record is tried again by hand: everybody takes these locks in one order.
        if (json !== null && hasOpenQuarantine) await resolveWritten(tx, lease, reference, page.replaceWrittenBefore);
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
      return { counts, hasOpenQuarantine };
    });
  });
}

/** The page, when rows, checkpoint and the run's counts are all there is to write. */
function plainPage({ page, end, tombstones, hasOpenQuarantine }: SavePage): PageWrite | null {
  if (page === null || page.json === null || page.isForced === true || page.bad.length > 0) return null;
  return end === null && tombstones === undefined && hasOpenQuarantine !== true ? page : null;
}

interface Tally {
  readonly read: number;
  readonly created: number;
  readonly updated: number;
}

/**
 * Null, and nothing written, when the lease was lost or records wait in quarantine. Everything depends on `held`, so the checkpoint's lock comes before all
 * others here, too.
 */
async function writeAtOnce(
  prisma: PrismaClient,
  save: SavePage,
  page: PageWrite,
  json: string,
): Promise<SavedPage | null> {
  const { lease, met } = save;
  const before = { ...save.counts, pages: save.counts.pages + 1, read: save.counts.read + page.rowCount };
  const counts = {
    ...before,
    created: Prisma.sql`${before.created}::int + created`,
    updated: Prisma.sql`${before.updated}::int + updated`,
    unchanged: Prisma.sql`${before.unchanged}::int + read - created - updated`,
  };
  const isTold = save.yields === true || !isIdle(before) || before.pages > 1;
  const line = runLineSql(lease, save.startedAt, {
    ...{ counts, end: null },
    from: Prisma.sql`from held, tally where ${isTold} or created + updated > 0`,
  });
  const seen =
    met === undefined || met.ids.length === 0
      ? Prisma.empty
      : Prisma.sql`, seen as (${seenIdsSql(lease, met.list, { ids: met.ids, from: Prisma.sql`from held` })})`;
  const rows = bindUpsertParts(page.table, {
    condition: 'exists (select from held)',
    values: [json, lease.connectionId, lease.runId, page.replaceWrittenBefore],
  });
  const answer = prisma.$queryRaw<Tally[]>`
    with held as (${holdSql(save)} and not ${isQuarantineOpen(lease)} returning true), ${rows}${seen}, line as (${line})
    select read, created, updated from held, tally`;
  // Prisma sends when somebody waits; only then is there time to spare.
  const sent = answer.then((tallies) => tallies);
  save.onSent?.();
  const [tally] = await sent;
  if (tally === undefined) return null;
  return { counts: counted(before, tally), hasOpenQuarantine: false };
}

interface Locked {
  /** Records of this stream wait in quarantine: only then is it worth looking which of them the page holds. */
  readonly has_open_quarantine: boolean;
}

async function lockCheckpoint(tx: Prisma.TransactionClient, save: SavePage): Promise<Locked> {
  const { lease } = save;
  const [held] = await tx.$queryRaw<Locked[]>`
    ${holdSql(save)} returning ${isQuarantineOpen(lease)} as has_open_quarantine`;
  if (held !== undefined) return held;
  throw new LeaseLostError(
    `${lease.stream} ${lease.pass} of ${lease.connectionId} was taken over by another run; this one stops, nothing is lost`,
  );
}

const isQuarantineOpen = ({ connectionId, stream }: Lease) => Prisma.sql`exists (
  select 1 from sync.quarantine q
  where q.connection_id = ${connectionId} and q.stream = ${stream} and q.resolved_at is null
)`;

/** Stores the progress under the lease; no row is met when the lease was lost. */
function holdSql(save: SavePage): Prisma.Sql {
  const { lease, checkpoint, end } = save;
  const cursor = checkpoint.cursor === null ? null : JSON.stringify(checkpoint.cursor);
  const watermark = checkpoint.watermark === null ? null : JSON.stringify(checkpoint.watermark);
  const walkedAt = checkpoint.walkedAt === null ? null : JSON.stringify(checkpoint.walkedAt);
  // The lease ends with the run: whoever waits for it need not wait for its expiry.
  const yields = save.yields === true;
  const leaseSeconds = end === null && !yields ? LEASE_MS / 1000 : null;
  return Prisma.sql`
    update sync.checkpoints set cursor = ${cursor}::jsonb, watermark = coalesce(${watermark}::jsonb, watermark),
      walked_at = coalesce(${walkedAt}::jsonb, walked_at),
      completed_at = case when ${checkpoint.completed} then now() else completed_at end,
      -- A walk begins where there is no cursor yet.
      newest_change = case when cursor is null then ${checkpoint.newestChange ?? null}::timestamptz
        else greatest(newest_change, ${checkpoint.newestChange ?? null}::timestamptz) end,
      lease_until = clock_timestamp() + make_interval(secs => ${leaseSeconds}::float8),
      yielded_run_id = case when ${yields} then run_id end, updated_at = now()
    where connection_id = ${lease.connectionId} and stream = ${lease.stream} and pass = ${lease.pass}
      and lease_token = ${lease.token} and lease_until is not null`;
}

interface UpsertPart {
  readonly save: SavePage;
  readonly page: PageWrite;
  readonly json: string;
  readonly counts: RunCounts;
}

async function upsertRows(tx: Prisma.TransactionClient, { save, page, json, counts }: UpsertPart): Promise<void> {
  const answer = tx.$queryRawUnsafe<Tally[]>(
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
  Object.assign(counts, counted(counts, result));
}

function counted(counts: RunCounts, { read, created, updated }: Tally): RunCounts {
  return {
    ...counts,
    created: counts.created + created,
    updated: counts.updated + updated,
    unchanged: counts.unchanged + read - created - updated,
  };
}

function isIdle(counts: RunCounts): boolean {
  return counts.created + counts.updated + counts.deleted + counts.quarantined === 0;
}
