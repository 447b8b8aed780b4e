import type { PrismaClient, SyncBudget } from '../../generated/prisma/client.ts';
import { REFUSED_FOR_MS } from '../../stream.ts';
import { addMs, databaseNow } from '../database-time.ts';

/** The request budget of one credential as people and programs see it. */
export interface BudgetStatus {
  readonly credential: string;
  /** Milliseconds between two requests in a steady row, as configured and now: longer after a refusal without guidance, or by an announced limit. */
  readonly base_spacing_ms: number;
  readonly spacing_ms: number;
  /** No request is sent before then; null while nothing blocks. Past while a request tries whether the upstream answers again. */
  readonly blocked_until: Date | null;
  readonly blocked_reason: string | null;
  /** The rest of a wait that the server asked for; 0: none. */
  readonly blocked_seconds: number;
  /** `closed` too where no request is sent any more: no enabled, unpaused stream is paid from it. */
  readonly circuit: 'closed' | 'half_open' | 'open';
  /** Granted so far to all processes; only grows. */
  readonly requests: number;
  /** Of the day that is now; null: no limit of a day. */
  readonly day: { readonly used: number; readonly limit: number; readonly endsAt: Date | null } | null;
}

/** An announced limit counts for so long. */
const LEARNT_FOR_MS = 3_600_000;

export async function readBudgets(prisma: PrismaClient): Promise<BudgetStatus[]> {
  const [now, rows, streams] = await Promise.all([
    databaseNow(prisma),
    prisma.syncBudget.findMany({ orderBy: { credential: 'asc' } }),
    prisma.syncStream.findMany({ where: { enabled: true, paused_at: null }, select: { credential: true } }),
  ]);
  const inUse = new Set(streams.map(({ credential }) => credential));
  return rows.map((row) => {
    const { credential, base_spacing_ms, spacing_ms, blocked_until, opened_at, probe_until } = row;
    const isBlocked = blocked_until !== null && blocked_until > now;
    const isLearnt = row.learnt_at !== null && addMs(row.learnt_at, LEARNT_FOR_MS) > now;
    const isProbed = probe_until !== null && probe_until > now;
    const isOpen = opened_at !== null;
    const blockedReason = isBlocked ? row.blocked_reason : null;
    const day = dayOf(row, now);
    const dayEnds = day !== null && day.used >= day.limit ? day.endsAt : null;
    return {
      credential,
      base_spacing_ms,
      spacing_ms: Math.max(spacing_ms, (isLearnt && row.learnt_spacing_ms) || 0),
      blocked_until: dayEnds ?? (isOpen ? row.wake_at : isBlocked ? blocked_until : null),
      blocked_reason:
        dayEnds !== null ? 'day_limit' : isOpen ? `circuit open: ${row.failure_reason ?? 'network'}` : blockedReason,
      blocked_seconds: isBlocked ? (blocked_until.getTime() - now.getTime()) / 1000 : 0,
      circuit: !isOpen || !inUse.has(credential) ? 'closed' : isProbed ? 'half_open' : 'open',
      requests: Number(row.requests),
      day,
    };
  });
}

type DayColumns = Pick<SyncBudget, 'day_limit' | 'day_requests' | 'day_ends_at'>;

/** What was used of the limit of the day; nothing yet where the last request was on another day. */
function dayOf({ day_limit, day_requests, day_ends_at }: DayColumns, now: Date): BudgetStatus['day'] {
  if (day_limit === null) return null;
  const isToday = day_ends_at !== null && day_ends_at > now;
  return { used: isToday ? day_requests : 0, limit: day_limit, endsAt: isToday ? day_ends_at : null };
}

/** What is left of the day for one credential, and for how long; null: no limit of a day, or no request of this day yet. */
export async function readDayLeft(prisma: PrismaClient, credential: string) {
  const [now, row] = await Promise.all([databaseNow(prisma), prisma.syncBudget.findUnique({ where: { credential } })]);
  const day = row && dayOf(row, now);
  if (day === null || day.endsAt === null) return null;
  return { requests: Math.max(0, day.limit - day.used), forMs: day.endsAt.getTime() - now.getTime() };
}

/** Until when nothing is asked for an account: the server asked to wait, it does not answer, or it refused the credential. By connection. */
export async function readPauses(prisma: PrismaClient): Promise<ReadonlyMap<string, Date>> {
  const [now, budgets, streams] = await Promise.all([
    databaseNow(prisma),
    prisma.syncBudget.findMany(),
    prisma.syncStream.findMany({ where: { credential: { not: null } } }),
  ]);
  const ends = new Map(
    budgets.map((budget) => {
      const { credential, blocked_until, opened_at, wake_at, refused_at } = budget;
      const day = dayOf(budget, now);
      const dayEnds = day !== null && day.used >= day.limit ? day.endsAt : null;
      const waits = [blocked_until, opened_at && wake_at, refused_at && addMs(refused_at, REFUSED_FOR_MS), dayEnds];
      return [credential, new Date(Math.max(...waits.map((at) => at?.getTime() ?? 0)))] as const;
    }),
  );
  const until = ({ credential }: { credential: string | null }) => ends.get(credential ?? '') ?? now;
  return new Map(streams.filter((row) => until(row) > now).map((row) => [row.connection_id, until(row)]));
}
