import type { PrismaClient } from '../generated/prisma/client.ts';
import { burstToleranceMs, MAX_SLOWDOWN, type RequestBudget, spacingMs } from '../http/budget.ts';

interface Taken {
  granted: boolean;
  wait_ms: number;
  spacing_ms: number;
}

/**
 * The request budget of one credential as a row in Postgres, shared by every process on every machine, in both queue modes. Each `take` is one
 * statement by the database's clock, so that processes whose clocks differ still stand in one line.
 */
export function createDatabaseBudget(
  prisma: PrismaClient,
  credential: string,
  requestsPerMinute: number,
): RequestBudget {
  const base = spacingMs(requestsPerMinute);
  const tolerance = burstToleranceMs(base, requestsPerMinute);
  let ensured: Promise<unknown> | null = null;
  // As seen by the last take: spares the statement that would recover nothing.
  let isSlowed = false;

  function ensureRow(): Promise<unknown> {
    ensured ??= prisma.$executeRaw`
      insert into sync.budgets (credential, base_spacing_ms, spacing_ms) values (${credential}, ${base}, ${base})
      on conflict (credential) do update set base_spacing_ms = excluded.base_spacing_ms, spacing_ms = excluded.spacing_ms
      where sync.budgets.base_spacing_ms <> excluded.base_spacing_ms`.catch((error) => {
      ensured = null;
      throw error;
    });
    return ensured;
  }

  return {
    async take(maxWaitMs) {
      await ensureRow();
      const [taken] = await prisma.$queryRaw<Taken[]>`
        with held as (
          select credential, clock_timestamp() as now, blocked_until, next_free_at
            - make_interval(secs => case when spacing_ms > base_spacing_ms then 0 else ${tolerance / 1000}::float8 end) as earliest
          from sync.budgets where credential = ${credential} for update
        ), slot as (
          -- One reading of the clock: with two, a free slot would always lie a moment ahead, and be refused to who may not wait.
          select credential, now, greatest(now, blocked_until, earliest) as at from held
        )
        update sync.budgets b
        set next_free_at = case when s.at - s.now <= make_interval(secs => ${maxWaitMs / 1000}::float8)
          then greatest(b.next_free_at, s.at) + make_interval(secs => b.spacing_ms / 1000) else b.next_free_at end, updated_at = now()
        from slot s where b.credential = s.credential
        returning s.at - s.now <= make_interval(secs => ${maxWaitMs / 1000}::float8) as granted,
          (extract(epoch from s.at - s.now) * 1000)::float8 as wait_ms, b.spacing_ms`;
      if (taken === undefined) {
        // The row was removed under us: make it again next time, and go on.
        ensured = null;
        return { granted: true, waitMs: base };
      }
      isSlowed = taken.spacing_ms > base;
      return { granted: taken.granted, waitMs: Math.max(0, Math.ceil(taken.wait_ms)) };
    },
    async block(waitMs, reason) {
      await ensureRow();
      await prisma.$executeRaw`
        update sync.budgets set blocked_until = greatest(blocked_until, clock_timestamp() + make_interval(secs => ${waitMs / 1000}::float8)),
          blocked_reason = ${reason}, updated_at = now()
        where credential = ${credential}`;
    },
    async slowDown() {
      await ensureRow();
      isSlowed = true;
      await prisma.$executeRaw`
        update sync.budgets set spacing_ms = least(spacing_ms * 2, base_spacing_ms * ${MAX_SLOWDOWN}::float8), updated_at = now()
        where credential = ${credential}`;
    },
    async recover() {
      if (!isSlowed) return;
      await prisma.$executeRaw`
        update sync.budgets set spacing_ms = greatest(spacing_ms * 0.9, base_spacing_ms), updated_at = now()
        where credential = ${credential}`;
    },
  };
}
