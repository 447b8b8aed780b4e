import type { PrismaClient } from '../../generated/prisma/client.ts';

export interface ErasureCount {
  /** `other`: the operator wrote a reason of their own, which may name a person. */
  readonly reason: string;
  readonly state: string;
  readonly count: number;
  readonly last_ended_at: Date | null;
}

const REASONS: ReadonlySet<string> = new Set(['request', 'objection', 'upstream', 'retention']);

/** How many persons were erased, by reason and state; of whom is not known. */
export async function readErasureCounts(prisma: PrismaClient): Promise<ErasureCount[]> {
  const groups = await prisma.syncErasure.groupBy({
    by: ['reason', 'state'],
    _count: true,
    _max: { ended_at: true },
    orderBy: [{ reason: 'asc' }, { state: 'asc' }],
  });
  const counts = new Map<string, ErasureCount>();
  for (const { reason: given, state, _count, _max } of groups) {
    const reason = REASONS.has(given) ? given : 'other';
    const before = counts.get(`${reason} ${state}`);
    const ended = [before?.last_ended_at, _max.ended_at].flatMap((at) => at?.getTime() ?? []);
    const last_ended_at = ended.length === 0 ? null : new Date(Math.max(...ended));
    counts.set(`${reason} ${state}`, { reason, state, count: (before?.count ?? 0) + _count, last_ended_at });
  }
  return [...counts.values()];
}

export interface ErasureDay {
  /** When they were asked for, in UTC: `2026-11-28` */
  readonly day: string;
  readonly count: number;
}

/** Erasures by day, the newest first; lifted ones are left out. `unfinished`: stopped, or something was found afterwards. */
export async function readErasureDays(
  prisma: PrismaClient,
): Promise<{ readonly total: number; readonly unfinished: number; readonly days: readonly ErasureDay[] }> {
  const rows = await prisma.$queryRaw<(ErasureDay & { unfinished: number })[]>`
    select to_char(requested_at at time zone 'UTC', 'YYYY-MM-DD') as day, count(*)::int as count,
      count(*) filter (where state <> 'done')::int as unfinished
    from sync.erasures where state <> 'lifted' group by 1 order by 1 desc`;
  return {
    total: rows.reduce((sum, { count }) => sum + count, 0),
    unfinished: rows.reduce((sum, { unfinished }) => sum + unfinished, 0),
    days: rows.map(({ day, count }) => ({ day, count })),
  };
}
