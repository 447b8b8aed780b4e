import { ErasedMeanwhileError, LeaseLostError } from '../../errors.ts';
import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import type { Row, TableSpec } from '../../stream.ts';
import { bindBytes } from '../driver-adapter.ts';
import { goesOnAfterErasure, LEASE_MS, type Lease, type Watermarks } from '../engine/leases.ts';
import { type BadRecord, quarantineSql, resolveWrittenSql } from '../engine/quarantine.ts';
import { foldIdleRunSql, type RunCounts, type RunEnd, runLineSql } from '../engine/runs.ts';
import { encodeRows, joinRows } from './page-json.ts';
import { seenIdsSql } from './seen-ids.ts';
import { differs, quoteName, recordsetOf, tableName } from './table-sql.ts';
import { tombstonesSql } from './tombstones.ts';

export interface PageWrite {
  readonly table: TableSpec;
  /** The rows as `encodeRows` returns them; null when there are none. */
  readonly json: Buffer | null;
  readonly rowCount: number;
  readonly bad: readonly BadRecord[];
  /** Records that the upstream showed and that are not written, because their person was erased. */
  readonly suppressed?: number;
  /** A stored row written before this time may be replaced by an older version; null: never. */
  readonly replaceWrittenBefore: Date | null;
  /** Written whatever is stored: rows that were found to be wrong. */
  readonly isForced?: boolean;
}

/** Encodes rows apart from the transaction, so that it is done while the page before is being written. */
export function encodePage(page: Omit<PageWrite, 'json' | 'rowCount'> & { readonly rows: readonly Row[] }): PageWrite {
  const { rows, ...rest } = page;
  return { ...rest, json: rows.length === 0 ? null : encodeRows(rows), rowCount: rows.length };
}

export function joinPages(pages: readonly PageWrite[]): PageWrite {
  const [first, ...others] = pages;
  if (first === undefined) throw new Error('there is no page');
  if (others.length === 0) return first;
  const texts = pages.flatMap(({ json }) => json ?? []);
  return {
    ...first,
    json: texts.length === 0 ? null : joinRows(texts),
    rowCount: pages.reduce((sum, { rowCount }) => sum + rowCount, 0),
    bad: pages.flatMap(({ bad }) => bad),
    suppressed: pages.reduce((sum, { suppressed = 0 }) => sum + suppressed, 0),
  };
}

/** Progress to store with a page. `cursor` null: no walk under way. */
interface CheckpointWrite {
  readonly cursor: unknown;
  /** Null or absent: the stored one stays. */
  readonly watermark?: Watermarks | null;
  readonly walkedAt?: Watermarks | null;
  /** The walk ended complete: the pass is verified as of now. */
  readonly completed?: boolean;
  /** The newest change on this page, only of a full sync. */
  readonly newestChange?: Date | null;
}

export interface PageToWrite {
  readonly lease: Lease;
  readonly startedAt: Date;
  readonly page: PageWrite | null;
  /** Ids that the walk saw first on this page, kept with it: they never claim more than the checkpoint. */
  readonly seen?: { readonly list: string; readonly ids: readonly string[] };
  readonly tombstones?: { readonly table: TableSpec; readonly before: Date | null; readonly ids: readonly string[] };
  readonly checkpoint: CheckpointWrite;
  readonly counts: RunCounts;
  readonly end: RunEnd | null;
  /** The run yields: its lease ends with this page, and its next holder goes on with it. */
  readonly yields?: boolean;
}

type Counted = Pick<RunCounts, 'read' | 'created' | 'updated' | 'deleted'>;

/** Nothing is written without it: the checkpoint's row is locked first, and the lease checked with it. */
const LOCKED = Prisma.sql`exists (select from locked)`;

/**
 * Writes a page and its progress in one statement, which is its own transaction: stored progress never claims a row
 * that is not there, and never omits one that is. Returns the run's counts after the page.
 * @throws LeaseLostError when another run took over, ErasedMeanwhileError when a person was erased since the run began;
 * nothing of the page is kept then
 */
export async function writePage(prisma: PrismaClient, write: PageToWrite): Promise<RunCounts> {
  const [counted] = await bindBytes(write.page?.json ?? null, (json) =>
    prisma.$queryRaw<Counted[]>(pageSql(write, json)),
  );
  if (counted === undefined) {
    const { stream, pass, connectionId } = write.lease;
    if (await goesOnAfterErasure(prisma, write.lease)) throw new ErasedMeanwhileError(`${stream} of ${connectionId}`);
    throw new LeaseLostError(
      `${stream} ${pass} of ${connectionId} was taken over by another run; this one stops, nothing is lost`,
    );
  }
  const before = countsBefore(write);
  const { read, created, updated, deleted } = counted;
  return {
    ...before,
    created: before.created + created,
    updated: before.updated + updated,
    unchanged: before.unchanged + read - created - updated,
    deleted: before.deleted + deleted,
  };
}

/** The counts as far as they are known before the database has answered. */
function countsBefore({ counts, page }: PageToWrite): RunCounts {
  if (page === null) return counts;
  const { rowCount, bad, suppressed = 0 } = page;
  return {
    ...counts,
    pages: counts.pages + 1,
    read: counts.read + rowCount + bad.length + suppressed,
    unchanged: counts.unchanged + suppressed,
    quarantined: counts.quarantined + bad.length,
  };
}

/** `json`: stands for the page's rows, by reference. */
function pageSql(write: PageToWrite, json: string): Prisma.Sql {
  const { lease, page, seen, tombstones, end } = write;
  const parts = [Prisma.sql`locked as (${lockedSql(write)} returning true)`];
  if (page === null || page.json === null) {
    parts.push(Prisma.sql`counted as (select 0 as read, 0 as created, 0 as updated)`);
  } else {
    const { table, replaceWrittenBefore, isForced } = page;
    const { connectionId, runId } = lease;
    // Quarantine before the rows, as when a record is retried by hand: all processes take these locks in one order.
    const condition = Prisma.sql`${LOCKED} and (select count(*) from resolved) >= 0`;
    parts.push(
      incomingPart(table, json),
      Prisma.sql`resolved as (${resolveWrittenSql(lease, page)} and ${LOCKED} returning true)`,
      upsertParts(table, { connectionId, runId, replaceWrittenBefore, isForced, condition }),
    );
  }
  if (page !== null && page.bad.length > 0) {
    parts.push(Prisma.sql`quarantined as (${quarantineSql(lease, page.bad, Prisma.sql`from locked, counted`)})`);
  }
  if (seen !== undefined && seen.ids.length > 0) {
    parts.push(Prisma.sql`seen as (${seenIdsSql(lease, seen.list, { ids: seen.ids, from: Prisma.sql`from locked` })})`);
  }
  parts.push(
    tombstones === undefined || tombstones.ids.length === 0
      ? Prisma.sql`deleted as (select 0 as deleted)`
      : Prisma.sql`marked as (${tombstonesSql(lease, tombstones)} and ${LOCKED} returning true),
          deleted as (select count(*)::int as deleted from marked)`,
  );
  const before = countsBefore(write);
  const hasNews = !isIdle(before) || end !== null || write.yields === true || before.pages > 1;
  const isNews = Prisma.sql`(${hasNews} or created + updated + deleted > 0)`;
  const mayFold = end?.outcome === 'succeeded' && isIdle(before);
  if (mayFold) {
    const isIdleToo = Prisma.sql`${LOCKED} and (select created + updated + deleted from counted, deleted) = 0`;
    parts.push(Prisma.sql`folded as (${foldIdleRunSql(lease)} and ${isIdleToo} returning true)`);
  }
  const line = {
    ...before,
    created: Prisma.sql`${before.created}::int + created`,
    updated: Prisma.sql`${before.updated}::int + updated`,
    unchanged: Prisma.sql`${before.unchanged}::int + read - created - updated`,
    deleted: Prisma.sql`${before.deleted}::int + deleted`,
  };
  const isFolded = mayFold ? Prisma.sql`exists (select from folded)` : Prisma.sql`false`;
  const from = Prisma.sql`from locked, counted, deleted where ${isNews} and not ${isFolded}`;
  parts.push(Prisma.sql`line as (${runLineSql(lease, write.startedAt, { counts: line, end, from })})`);
  return Prisma.sql`with ${Prisma.join(parts)} select read, created, updated, deleted from locked, counted, deleted`;
}

/** Stores the progress under the lease; matches no row when the lease was lost. */
function lockedSql({ lease, checkpoint, end, yields = false }: PageToWrite): Prisma.Sql {
  const { completed = false, newestChange = null } = checkpoint;
  const text = (value: unknown) => (value == null ? null : JSON.stringify(value));
  // The lease ends with the run: so that others need not wait for its expiry.
  const leaseSeconds = end === null && !yields ? LEASE_MS / 1000 : null;
  return Prisma.sql`
    update sync.checkpoints set cursor = ${text(checkpoint.cursor)}::jsonb,
      watermark = coalesce(${text(checkpoint.watermark)}::jsonb, watermark),
      walked_at = coalesce(${text(checkpoint.walkedAt)}::jsonb, walked_at),
      completed_at = case when ${completed} then now() else completed_at end,
      -- A walk begins where there is no cursor yet.
      newest_change = case when cursor is null then ${newestChange}::timestamptz
        else greatest(newest_change, ${newestChange}::timestamptz) end,
      lease_until = clock_timestamp() + make_interval(secs => ${leaseSeconds}::float8),
      yielded_run_id = case when ${yields} then run_id end, updated_at = now()
    where connection_id = ${lease.connectionId} and stream = ${lease.stream} and pass = ${lease.pass}
      and lease_token = ${lease.token} and lease_until is not null and privacy_epoch = ${lease.privacyEpoch}`;
}

function isIdle(counts: RunCounts): boolean {
  return counts.created + counts.updated + counts.deleted + counts.quarantined === 0;
}

/** What the parts of a page's statement need beside the table. */
interface UpsertValues extends Pick<PageWrite, 'replaceWrittenBefore' | 'isForced'> {
  readonly connectionId: string;
  readonly runId: bigint;
  /** An expression without which nothing is written. */
  readonly condition?: Prisma.Sql;
}

/**
 * The rows of a page as the common table expression `incoming`. `json` is one bind parameter: a statement takes 65,535.
 */
function incomingPart(table: TableSpec, json: string | Buffer): Prisma.Sql {
  const { recordset, incoming } = fragmentsOf(table);
  // The same id twice in one page is legal (keep the newer); by id, so that all writers take their locks in one order.
  return Prisma.sql`
incoming as materialized (
  select distinct on (r.id) ${incoming}, coalesce(r.text_repaired, false) as text_repaired,
    case when r.erased_at is null then md5(r.raw::text) else 'erased' end as content_hash
  from jsonb_to_recordset(${json}::jsonb) as r(${recordset})
  order by r.id, r.updated_at desc nulls last
)`;
}

/** The upsert of `incoming` as `changed`, `written` and `counted` (`read`: distinct ids; `created`; `updated`). */
function upsertParts(table: TableSpec, values: UpsertValues): Prisma.Sql {
  const { connectionId, runId, replaceWrittenBefore, isForced = false, condition = Prisma.sql`true` } = values;
  const { target, stored, assignments, isDifferent } = fragmentsOf(table);
  const mayReplace = (row: 'i' | 'excluded') =>
    // Not older than what is stored; rows without dates are always written.
    Prisma.sql`((t.updated_at > ${Prisma.raw(row)}.updated_at) is not true
      or t.synced_at < ${replaceWrittenBefore}::timestamptz)`;
  const isWanted = isForced
    ? Prisma.sql`true`
    : Prisma.sql`(t.id is null or (${isDifferent('i')} and ${mayReplace('i')}))`;
  // What was erased meanwhile stays erased, whatever this page has of it.
  const isStillWanted = isForced
    ? Prisma.sql`t.erased_at is null`
    : Prisma.sql`t.erased_at is null and ${isDifferent('excluded')} and ${mayReplace('excluded')}`;
  // The join leaves unchanged rows out, so that they are not even locked; the conflict clause repeats the test, because
  // another run may have written the row meanwhile. `lateral … limit 1` keeps the planner to one look-up by key per
  // row: without statistics it would read and sort all rows of the connection for every page.
  return Prisma.sql`
changed as (
  select i.*
  from incoming i
  left join lateral (
    select * from ${target} s where s.connection_id = ${connectionId} and s.id = i.id limit 1
  ) t on true
  where ${condition} and t.erased_at is null and ${isWanted}
), written as (
  insert into ${target} as t (connection_id, id, ${stored}, run_id, first_seen_at, synced_at)
  select ${connectionId}::text, id, ${stored}, ${runId}::bigint, now(), now() from changed order by id
  on conflict (connection_id, id) do update set
    ${assignments}, run_id = excluded.run_id, synced_at = excluded.synced_at
  where ${isStillWanted}
  returning (xmax = 0) as is_new
), counted as (
  select (select count(*) from incoming)::int as read,
    (count(*) filter (where is_new))::int as created,
    (count(*) filter (where not is_new))::int as updated
  from written
)`;
}

export function upsertSql(table: TableSpec, json: string | Buffer, values: UpsertValues): Prisma.Sql {
  return Prisma.sql`
with ${incomingPart(table, json)}, ${upsertParts(table, values)} select read, created, updated from counted`;
}

/** Writes rows without a page: a record that was in quarantine, or a trial that is rolled back. */
export const upsertRows = (
  tx: Prisma.TransactionClient,
  table: TableSpec,
  rows: readonly Row[],
  values: UpsertValues,
) => bindBytes(encodeRows(rows), (json) => tx.$queryRaw(upsertSql(table, json, values)));

function fragmentsOf(table: TableSpec) {
  const typed = Object.keys(table.columns);
  const stored = [...typed, 'raw', 'content_hash', 'text_repaired', 'deleted_at', 'erased_at'];
  const list = (names: readonly string[], prefix = '') =>
    Prisma.raw(names.map((name) => `${prefix}${quoteName(name)}`).join(', '));
  const isDifferent = (given: string) => {
    // `raw` need not contain the values of attributed columns.
    const attributed = (table.attributed ?? []).map((name) => differs(table, name, given));
    const names = ['content_hash', 'deleted_at'].map((name) => differs(table, name, given));
    return Prisma.raw(`(${[...names, ...attributed].join(' or ')})`);
  };
  const assignments = stored.map((name) => {
    const column = quoteName(name);
    // What is stored in an attributed column stays when the response does not contain it.
    const isKept = table.attributed?.includes(name);
    return `${column} = ${isKept ? `coalesce(excluded.${column}, t.${column})` : `excluded.${column}`}`;
  });
  return {
    target: Prisma.raw(tableName(table)),
    recordset: Prisma.raw(recordsetOf(table, 'raw jsonb', 'text_repaired boolean')),
    incoming: list(['id', ...typed, 'raw', 'deleted_at', 'erased_at'], 'r.'),
    stored: list(stored),
    assignments: Prisma.raw(assignments.join(', ')),
    isDifferent,
  };
}
