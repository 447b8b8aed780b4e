import { Prisma, type PrismaClient, type SyncRun } from '../../generated/prisma/client.ts';
import type { Outcome, Pass } from '../../stream.ts';
import { databaseNow } from '../database-time.ts';
import { type Lease, leaseOwner, type Watermarks } from './leases.ts';
import { columnsOf, type StreamKey } from './streams.ts';

const COUNTS = ['requests', 'pages', 'read', 'created', 'updated', 'unchanged', 'deleted', 'quarantined'] as const;

/** `read` = created + updated + unchanged + quarantined, except for rows that a response contained twice. */
export type RunCounts = Record<(typeof COUNTS)[number], number>;

const countsOf = (line: Partial<RunCounts> | null): RunCounts =>
  Object.fromEntries(COUNTS.map((name) => [name, line?.[name] ?? 0])) as RunCounts;

export const noCounts = (): RunCounts => countsOf(null);

export interface RunEnd {
  readonly outcome: Outcome;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly watermark: Watermarks | null;
}

export interface RunRecord extends Omit<SyncRun, 'pass' | 'outcome' | 'watermark' | 'worker'> {
  readonly pass: Pass;
  readonly outcome: Outcome | null;
  readonly watermark: Watermarks | null;
}

type CountValues = { readonly [name in keyof RunCounts]: number | Prisma.Sql };

/** The statement that writes the run's line. `from`: where the counts come from, and whether it is written at all. */
export function runLineSql(
  lease: Lease,
  startedAt: Date,
  { counts, end, from }: { counts: CountValues; end: RunEnd | null; from: Prisma.Sql },
): Prisma.Sql {
  const watermark = end?.watermark ? JSON.stringify(end.watermark) : null;
  return Prisma.sql`
    insert into sync.runs (id, connection_id, stream, pass, outcome, requests, pages, read, created, updated, unchanged,
      deleted, quarantined, watermark, error_code, error_message, worker, started_at, ended_at)
    select ${lease.runId}, ${lease.connectionId}, ${lease.stream}, ${lease.pass}, ${end?.outcome ?? null},
      ${counts.requests}, ${counts.pages}, ${counts.read}, ${counts.created}, ${counts.updated}, ${counts.unchanged}, ${counts.deleted},
      ${counts.quarantined}, ${watermark}::jsonb, ${end?.error?.code ?? null}, ${end?.error?.message ?? null}, ${leaseOwner},
      ${startedAt}, case when ${end !== null} then now() end
    ${from}
    on conflict (id) do update set outcome = excluded.outcome, requests = excluded.requests, pages = excluded.pages,
      read = excluded.read, created = excluded.created, updated = excluded.updated, unchanged = excluded.unchanged,
      deleted = excluded.deleted, quarantined = excluded.quarantined, watermark = excluded.watermark,
      error_code = excluded.error_code, error_message = excluded.error_message, ended_at = excluded.ended_at
    where sync.runs.outcome is null`;
}

/**
 * The statement that counts an idle run on the last line of its stream and pass, when that line is a success that the
 * idle run only confirms. Three hundred connections every five minutes would otherwise write 346,000 empty lines a day.
 */
export function foldIdleRunSql(lease: Lease): Prisma.Sql {
  return Prisma.sql`
    update sync.runs r set idle_runs = idle_runs + 1, ended_at = now()
    where r.id = (
      select id from sync.runs
      where connection_id = ${lease.connectionId} and stream = ${lease.stream} and pass = ${lease.pass}
      order by id desc limit 1
    ) and r.outcome = 'succeeded' and r.created + r.updated + r.deleted + r.quarantined = 0
      and r.started_at > now() - interval '1 day'`;
}

export async function readCounts(prisma: PrismaClient, runId: bigint): Promise<RunCounts> {
  return countsOf(await prisma.syncRun.findUnique({ where: { id: runId } }));
}

export async function countDeletedToday(prisma: PrismaClient, key: StreamKey): Promise<number> {
  const where = { ...columnsOf(key), started_at: { gt: await databaseNow(prisma, '1 day') } };
  return (await prisma.syncRun.aggregate({ where, _sum: { deleted: true } }))._sum.deleted ?? 0;
}

/** Ends a run outside a page: its line and its lease in one statement, unless another run took over meanwhile. */
export async function endRun(prisma: PrismaClient, lease: Lease, startedAt: Date, counts: RunCounts, end: RunEnd) {
  await prisma.$executeRaw`
    with locked as (
      update sync.checkpoints set lease_until = null, lease_owner = null, updated_at = now()
      where connection_id = ${lease.connectionId} and stream = ${lease.stream} and pass = ${lease.pass}
        and lease_token = ${lease.token} and lease_until is not null
      returning true
    ) ${runLineSql(lease, startedAt, { counts, end, from: Prisma.sql`from locked` })}`;
}

type Verification = Omit<Prisma.SyncVerificationUncheckedCreateInput, 'connection_id' | 'stream' | 'verified_at'>;

export async function storeVerification(prisma: PrismaClient, key: StreamKey, found: Verification): Promise<void> {
  const row = { ...columnsOf(key), ...found, verified_at: await databaseNow(prisma) };
  await prisma.syncVerification.upsert({ where: { connection_id_stream: columnsOf(key) }, create: row, update: row });
}

/** Removes ended runs after the retention, but the newest of each stream and pass: the status is derived from it. */
export async function pruneRuns(prisma: PrismaClient, retentionDays: number): Promise<number> {
  return prisma.$executeRaw`
    delete from sync.runs r
    where r.ended_at < now() - make_interval(days => ${retentionDays}::int)
      and r.id < (select max(n.id) from sync.runs n
        where n.connection_id = r.connection_id and n.stream = r.stream and n.pass = r.pass)`;
}
