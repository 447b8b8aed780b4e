import type { PrismaClient } from '../generated/prisma/client.ts';

/** The request budget of one credential as people see it. */
export interface BudgetStatus {
  readonly credential: string;
  /** Milliseconds between two requests in a steady row, as configured and now: longer after a refusal without guidance, or by an announced limit. */
  readonly base_spacing_ms: number;
  readonly spacing_ms: number;
  /** Nobody asks before then; null while nothing blocks. Past while a request tries whether the upstream answers again. */
  readonly blocked_until: Date | null;
  /** A stable word. */
  readonly blocked_reason: string | null;
  /** Granted so far; only grows. */
  readonly requests: number;
}

export async function readBudgets(prisma: PrismaClient): Promise<BudgetStatus[]> {
  return prisma.$queryRaw<BudgetStatus[]>`
    select credential, base_spacing_ms,
      greatest(spacing_ms, case when learnt_at > now() - interval '1 hour' then learnt_spacing_ms end) as spacing_ms,
      case when opened_at is not null then wake_at when blocked_until > now() then blocked_until end as blocked_until,
      case when opened_at is not null then 'circuit open: ' || coalesce(failure_reason, 'network')
        when blocked_until > now() then blocked_reason end as blocked_reason,
      requests::float8 as requests
    from sync.budgets order by credential`;
}
