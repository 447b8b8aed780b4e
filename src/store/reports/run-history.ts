import type { PrismaClient, SyncStream } from '../../generated/prisma/client.ts';
import type { Outcome, Pass } from '../../stream.ts';
import { addMs, databaseNow } from '../database-time.ts';
import type { RunRecord } from '../engine/runs.ts';

/** Queries on past and current runs; read-only. */

/** A pass that holds its lease now, with the counts of its last written page. */
export interface RunningPass {
  readonly connection_id: string;
  readonly stream: string;
  readonly pass: Pass;
  readonly run_id: bigint | null;
  readonly started_at: Date;
  readonly pages: number;
  readonly requests: number;
  readonly read: number;
  /** Records that earlier runs of the same walk read, before it was postponed or stopped. */
  readonly read_before: number;
}

export async function readRunning(prisma: PrismaClient): Promise<RunningPass[]> {
  const rows = await prisma.syncCheckpoint.findMany({ where: { lease_until: { gt: await databaseNow(prisma) } } });
  return Promise.all(
    rows.map(async ({ connection_id, stream, pass, run_id, started_at, updated_at }) => {
      const id = run_id ?? 0n;
      const run = await prisma.syncRun.findUnique({ where: { id, outcome: null } });
      const before = await prisma.syncRun.aggregate({
        where: { connection_id, stream, pass, id: { lt: id }, started_at: { gte: started_at ?? updated_at } },
        _sum: { read: true },
      });
      return {
        ...{ connection_id, stream, pass: pass as Pass, run_id },
        started_at: run?.started_at ?? updated_at,
        pages: run?.pages ?? 0,
        requests: run?.requests ?? 0,
        read: run?.read ?? 0,
        read_before: before._sum.read ?? 0,
      };
    }),
  );
}

/** How the newest ended run of a pass went wrong. */
export interface PassError {
  readonly connection_id: string;
  readonly stream: string;
  readonly pass: Pass;
  readonly outcome: Outcome;
  readonly code: string;
  readonly message: string;
  readonly at: Date;
}

/** The newest ended run of each stream and pass, where it did not succeed; newest first. Cancelled runs do not count. */
export async function readPassErrors(prisma: PrismaClient): Promise<PassError[]> {
  return prisma.$queryRaw<PassError[]>`
    select s.connection_id, s.stream, r.pass, r.outcome, r.error_code as code, coalesce(r.error_message, r.error_code) as message, r.ended_at as at
    from sync.streams s
    cross join (values ('backfill'), ('incremental'), ('reconcile'), ('count')) as p(pass)
    cross join lateral (
      select * from sync.runs u
      where u.connection_id = s.connection_id and u.stream = s.stream and u.pass = p.pass
        and u.ended_at is not null and u.outcome <> 'cancelled'
      order by u.id desc limit 1
    ) r
    where s.enabled and r.outcome <> 'succeeded' and r.error_code is not null
    order by r.ended_at desc`;
}

/** A day in halves of hours: fine enough to see when it was, coarse enough to be read at a glance. */
export const SLOT_MINUTES = 30;
export const DAY_SLOTS = 48;

/** The runs of a stream that had the same outcome. */
export interface RunGroup {
  readonly connection_id: string;
  readonly stream: string;
  readonly outcome: Outcome;
  /** The half hours that any of them touched, as bits: the lowest is the one that ends now. */
  readonly slots: number;
  readonly runs: number;
  readonly changes: number;
}

/**
 * The ended runs of the last 24 hours. A line that idle runs were folded into spans from its start to the end of the last of them. One row for each stream and
 * outcome: as a row for each pair of slots, which were put together here, the page of 1,000 accounts waited for it for seconds.
 */
export async function readRunGroups(prisma: PrismaClient): Promise<RunGroup[]> {
  return prisma.$queryRaw<RunGroup[]>`
    select connection_id, stream, outcome, (count(*) + sum(idle_runs))::int as runs,
      sum(created + updated + deleted)::int as changes,
      bit_or((2::bigint << from_slot) - (1::bigint << to_slot))::float8 as slots
    from sync.runs, lateral (select extract(epoch from now() - started_at) / 60 as began,
        extract(epoch from now() - ended_at) / 60 as ended) as minutes_ago,
      lateral (select least(floor(began / ${SLOT_MINUTES}::int), ${DAY_SLOTS - 1}::int)::int as from_slot,
        greatest(floor(ended / ${SLOT_MINUTES}::int), 0)::int as to_slot) as slot
    where started_at > now() - interval '2 days' and ended_at > now() - interval '24 hours' and outcome <> 'cancelled'
    group by 1, 2, 3`;
}

export interface RunFilter {
  readonly limit: number;
  readonly connectionId?: string;
  readonly stream?: string;
  readonly outcome?: Outcome | 'running' | readonly Outcome[];
  readonly from?: Date;
  readonly until?: Date;
  readonly before?: bigint;
}

export async function findRuns(prisma: PrismaClient, filter: RunFilter): Promise<RunRecord[]> {
  const { limit, connectionId, stream, outcome, from, until, before } = filter;
  const rows = await prisma.syncRun.findMany({
    where: {
      connection_id: connectionId,
      stream,
      outcome: outcome === 'running' ? null : typeof outcome === 'object' ? { in: [...outcome] } : outcome,
      started_at: { gte: from, lt: until },
      id: { lt: before },
    },
    orderBy: { id: 'desc' },
    take: limit,
  });
  return rows as RunRecord[];
}

/**
 * Requests that went out in the last minute, by connection. A run that lasts longer counts with its share of that minute; one whose process vanished, and
 * which the run that took it over is counted beside, does not count.
 */
export async function readRequestRates(prisma: PrismaClient): Promise<Map<string, number>> {
  const now = await databaseNow(prisma);
  const { run_id } = prisma.syncCheckpoint.fields;
  const leased = await prisma.syncCheckpoint.findMany({
    where: { run_id: { not: null }, OR: [{ lease_until: { gt: now } }, { yielded_run_id: { equals: run_id } }] },
  });
  const runs = await prisma.syncRun.findMany({
    where: {
      started_at: { gt: addMs(now, -2 * DAY_MS) },
      idle_runs: 0,
      OR: [
        { ended_at: { gt: addMs(now, -MINUTE_MS) } },
        { ended_at: null, id: { in: leased.map((row) => row.run_id ?? 0n) } },
      ],
    },
  });
  const sums = new Map<string, number>();
  for (const { connection_id, requests, started_at, ended_at } of runs) {
    const tookMs = Math.max(1_000, (ended_at ?? now).getTime() - started_at.getTime());
    sums.set(connection_id, (sums.get(connection_id) ?? 0) + requests * Math.min(1, MINUTE_MS / tookMs));
  }
  return new Map([...sums].map(([connection, requests]) => [connection, Math.round(requests)]));
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Returns what persons decided about streams: they are paused, or blocked deletions are accepted until the next full sync uses that up. */
export const readDecisions = (prisma: PrismaClient): Promise<SyncStream[]> =>
  prisma.syncStream.findMany({
    where: { enabled: true, OR: [{ paused_at: { not: null } }, { deletions_accepted_at: { not: null } }] },
  });
