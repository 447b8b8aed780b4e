import type { PrismaClient } from '../generated/prisma/client.ts';
import {
  type BudgetOptions,
  burstOf,
  CIRCUIT_FAILURES,
  DEFAULT_REQUEST_TIMEOUT_MS,
  EARLY,
  FAST_AHEAD_MS,
  FAST_SHARE,
  FIRST_WAIT_MS,
  jitterOf,
  KEPT_FOR_FAST,
  LEARNT_FOR_MS,
  learntSpacingMs,
  MAX_SLOWDOWN,
  MAX_WAIT_MS,
  type OpenCircuit,
  PROBE_POLL_MS,
  PROBE_SLACK_MS,
  RECOVERY,
  type RequestBudget,
  spacingMs,
  type Taken,
} from '../http/budget.ts';

export interface DatabaseBudgetOptions extends BudgetOptions {
  /** Instead of the database's clock, for simulations. */
  readonly now?: () => Date;
}

interface OpenRow {
  readonly opened_at: Date | null;
  readonly failing_since: Date | null;
  readonly failure_reason: string | null;
  readonly failures: number;
  readonly wake_at: Date | null;
  readonly circuit_wait_ms: number;
}

interface TakenRow extends OpenRow {
  readonly granted: boolean;
  readonly wait_ms: number;
  readonly spacing_ms: number;
  readonly slowed: boolean;
  readonly learnt: boolean;
  readonly probes: number;
}

interface FailedRow extends OpenRow {
  readonly opened: boolean;
}

interface AnsweredRow {
  readonly was_open: boolean;
  readonly reason: string;
  readonly outage_ms: number;
}

/** Far beyond any wait; the database knows no Infinity among JSON numbers. */
const LONGEST_MS = 1e12;
/** An announced limit is noted again this often, so that it is not forgotten while it is still announced. */
const NOTE_AGAIN_MS = LEARNT_FOR_MS / 6;

/**
 * The request budget of one credential as a row in Postgres, shared by every process on every machine, in both queue modes. Each `take` is one
 * statement by the database's clock, so that processes whose clocks differ still stand in one line. The rules are those of `createLocalBudget`, word for
 * word in SQL; a test holds the two together.
 *
 * What the last take saw (`seen`) spares the statements that would change nothing: as long as all is well, a request costs its take and no more.
 */
export function createDatabaseBudget(
  prisma: PrismaClient,
  credential: string,
  requestsPerMinute: number,
  options: DatabaseBudgetOptions = {},
): RequestBudget {
  const { requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS, random = Math.random } = options;
  const base = spacingMs(requestsPerMinute);
  const configuredBurst = burstOf(requestsPerMinute);
  const clock = () => options.now?.() ?? null;
  let ensured: Promise<unknown> | null = null;
  const seen = { isSlowed: false, isFailing: false, hasLearnt: false };
  let noted = { limit: '', at: Number.NEGATIVE_INFINITY };

  function ensureRow(): Promise<unknown> {
    ensured ??= prisma.$executeRaw`
      insert into sync.budgets (credential, base_spacing_ms, spacing_ms, next_free_at)
      values (${credential}, ${base}, ${base}, coalesce(${clock()}::timestamptz, now()))
      on conflict (credential) do update set base_spacing_ms = excluded.base_spacing_ms, spacing_ms = excluded.spacing_ms
      where sync.budgets.base_spacing_ms <> excluded.base_spacing_ms`.catch((error) => {
      ensured = null;
      throw error;
    });
    return ensured;
  }

  /** `lane` null: the circuit alone is asked. */
  async function ask(lane: 'fast' | 'bulk' | null, maxWaitMs: number): Promise<Taken> {
    await ensureRow();
    const [row] = await prisma.$queryRaw<TakenRow[]>`
      /* prepared: take */ with held as (
        -- Every other step is materialized: put into one another, the expressions would double with each.
        -- One reading of the clock: with two, a free slot would always lie a moment ahead, and be refused to who may not wait.
        select credential, base_spacing_ms, spacing_ms, next_free_at, fast_free_at, blocked_until, fast_busy_until, bulk_busy_until, learnt_spacing_ms,
          learnt_limit, learnt_at, opened_at, wake_at, probe_until, coalesce(${clock()}::timestamptz, clock_timestamp()) as now,
          -- For this statement alone: a slot forgotten in a crash of the database is nothing beside a disk's flush for every request.
          set_config('synchronous_commit', 'off', true)
        from sync.budgets where credential = ${credential} for update
      ), learnt as (
        select *, coalesce(learnt_at + make_interval(secs => ${LEARNT_FOR_MS / 1000}::float8) > now and learnt_spacing_ms > base_spacing_ms, false) as is_learnt
        from held
      ), pace as materialized (
        -- All times in ms from now.
        select credential, now, opened_at, case when is_learnt then learnt_spacing_ms else base_spacing_ms end as normal,
          greatest(spacing_ms, case when is_learnt then learnt_spacing_ms end) as spacing,
          case when is_learnt and learnt_limit <= ${configuredBurst}::int then 1 else ${configuredBurst}::int end as burst,
          (extract(epoch from next_free_at - now) * 1000)::float8 as shared_free,
          (extract(epoch from coalesce(fast_free_at, next_free_at) - now) * 1000)::float8 as fast_free,
          greatest(0, (extract(epoch from blocked_until - now) * 1000)::float8) as start,
          coalesce(now < fast_busy_until, false) as is_fast_busy,
          coalesce(now < bulk_busy_until, false) as is_bulk_busy,
          (case when opened_at is null then 0
            when now < wake_at then ceil(extract(epoch from wake_at - now) * 1000)
            when now < probe_until then ceil(least(extract(epoch from probe_until - now) * 1000, ${PROBE_POLL_MS}::float8))
            else 0 end)::float8 as circuit_wait
        from learnt
      ), early as (
        select *, burst > 1 as has_lanes,
          case when spacing > normal then 0 else (burst - 1) * spacing end as early_whole,
          case when spacing > normal then 0 else ${EARLY}::float8 * spacing end as early_part
        from pace
      ), place as materialized (
        select *, greatest(start, greatest(shared_free, fast_free) - early_whole) as whole,
          greatest(start, shared_free - early_part) as shared, greatest(start, fast_free - early_part) as fast
        from early
      ), allowed as (
        select *,
          case when not has_lanes or ${lane === 'fast'}::boolean and (not is_bulk_busy or whole <= start + ${FAST_AHEAD_MS}::float8) then whole end as whole_at,
          case when has_lanes and (${lane !== 'fast'}::boolean or not is_bulk_busy or shared <= start + ${FAST_AHEAD_MS}::float8) then shared end as shared_at,
          case when has_lanes and (${lane === 'fast'}::boolean or fast <= start and not is_fast_busy) then fast end as fast_at
        from place
      ), slot as materialized (
        select *, case when ${lane === null}::boolean then 0 else least(whole_at, shared_at, fast_at) end as at from allowed
      ), wait as (
        select *, greatest(0, ceil(at - 0.01)) as wait_ms from slot
      ), answer as (
        select *, circuit_wait = 0 and wait_ms <= ${Math.min(maxWaitMs, LONGEST_MS)}::float8 as granted,
          ${lane === null}::boolean or circuit_wait > 0 or wait_ms > ${Math.min(maxWaitMs, LONGEST_MS)}::float8 as is_still,
          circuit_wait = 0 and wait_ms > 0 as is_waiting
        from wait
      )
      update sync.budgets b set
        next_free_at = case when s.is_still then b.next_free_at
          when s.at = s.whole_at then s.now + make_interval(secs => (greatest(s.shared_free, s.at) + s.spacing) / 1000)
          when s.at = s.shared_at then s.now + make_interval(secs => (greatest(s.shared_free, s.at) + s.spacing / ${1 - FAST_SHARE}::float8) / 1000)
          else b.next_free_at end,
        fast_free_at = case when s.is_still then b.fast_free_at
          when s.at = s.whole_at then s.now + make_interval(secs => (greatest(s.fast_free, s.at) + s.spacing) / 1000)
          when s.at = s.shared_at then coalesce(b.fast_free_at, b.next_free_at)
          else s.now + make_interval(secs => (greatest(s.fast_free, s.at) + s.spacing / ${FAST_SHARE}::float8) / 1000) end,
        fast_busy_until = case when s.is_waiting and ${lane === 'fast'}::boolean
          then greatest(b.fast_busy_until, s.now + make_interval(secs => (s.at + s.spacing * ${KEPT_FOR_FAST}::float8) / 1000)) else b.fast_busy_until end,
        bulk_busy_until = case when s.is_waiting and ${lane === 'bulk'}::boolean
          then greatest(b.bulk_busy_until, s.now + make_interval(secs => (s.at + s.spacing / ${1 - FAST_SHARE}::float8) / 1000)) else b.bulk_busy_until end,
        probes = b.probes + case when s.granted and s.opened_at is not null then 1 else 0 end,
        probe_until = case when s.granted and s.opened_at is not null
          then s.now + make_interval(secs => (s.wait_ms + ${requestTimeoutMs + PROBE_SLACK_MS}::float8) / 1000) else b.probe_until end,
        requests = b.requests + case when s.granted and ${lane !== null}::boolean then 1 else 0 end,
        updated_at = s.now
      from answer s where b.credential = s.credential
      returning s.granted, s.wait_ms::float8, s.spacing as spacing_ms, s.spacing > s.normal as slowed, b.learnt_at is not null as learnt, b.probes,
        b.opened_at, b.failing_since, b.failure_reason, b.failures, b.wake_at, s.circuit_wait as circuit_wait_ms`;
    if (row === undefined) {
      // The row was removed under us: make it again next time, and go on.
      ensured = null;
      return { granted: true, waitMs: base };
    }
    seen.isSlowed = row.slowed;
    seen.isFailing = row.failures > 0 || row.opened_at !== null;
    seen.hasLearnt = row.learnt;
    return { ...takenFrom(row), ...(lane !== null && row.spacing_ms > base ? { spacingMs: row.spacing_ms } : {}) };
  }

  return {
    take: (maxWaitMs, lane = 'fast') => ask(lane, maxWaitMs),
    async isClosed() {
      const [row] = await prisma.$queryRaw<{ closed: boolean }[]>`
        select coalesce(b.blocked_until > c.now, false)
          or b.opened_at is not null and coalesce(b.wake_at > c.now or b.probe_until > c.now, false) as closed
        from sync.budgets b, (select coalesce(${clock()}::timestamptz, clock_timestamp()) as now) c where b.credential = ${credential}`;
      return row?.closed ?? false;
    },
    async block(waitMs, reason) {
      await ensureRow();
      await prisma.$executeRaw`
        with held as (
          select credential, coalesce(${clock()}::timestamptz, clock_timestamp()) as now from sync.budgets where credential = ${credential} for update
        )
        update sync.budgets b set blocked_until = greatest(b.blocked_until, h.now + make_interval(secs => ${waitMs / 1000}::float8)),
          blocked_reason = ${reason}, updated_at = h.now
        from held h where b.credential = h.credential`;
    },
    async slowDown(refused) {
      await ensureRow();
      seen.isSlowed = true;
      // What was taken at the usual pace does not name it.
      const pace = refused === undefined ? null : (refused.spacingMs ?? base);
      await prisma.$executeRaw`
        with held as (
          select credential, spacing_ms, coalesce(${clock()}::timestamptz, clock_timestamp()) as now,
            greatest(base_spacing_ms, case when learnt_at + make_interval(secs => ${LEARNT_FOR_MS / 1000}::float8)
              > coalesce(${clock()}::timestamptz, clock_timestamp()) then learnt_spacing_ms end) as normal
          from sync.budgets where credential = ${credential} for update
        )
        update sync.budgets b set updated_at = h.now, spacing_ms = greatest(h.spacing_ms, h.normal,
          least(2 * greatest(h.normal, coalesce(${pace}::float8, h.spacing_ms)), h.normal * ${MAX_SLOWDOWN}::float8))
        from held h where b.credential = h.credential`;
    },
    async recover() {
      if (!seen.isSlowed) return;
      await prisma.$executeRaw`
        update sync.budgets set spacing_ms = greatest(spacing_ms * ${RECOVERY}::float8, base_spacing_ms), updated_at = now()
        where credential = ${credential}`;
    },
    async learn(limit) {
      const spacing = learntSpacingMs(limit, requestsPerMinute);
      if (spacing === null && !seen.hasLearnt) return;
      const word = `${limit.requests}/${limit.windowMs}`;
      const now = clock()?.getTime() ?? performance.now();
      if (spacing !== null && noted.limit === word && now - noted.at < NOTE_AGAIN_MS) return;
      await ensureRow();
      await prisma.$executeRaw`
        update sync.budgets set learnt_spacing_ms = ${spacing}::float8, learnt_limit = ${spacing === null ? null : Math.floor(limit.requests)}::int,
          learnt_at = case when ${spacing !== null}::boolean then coalesce(${clock()}::timestamptz, clock_timestamp()) end, updated_at = now()
        where credential = ${credential}`;
      noted = { limit: spacing === null ? '' : word, at: now };
      seen.hasLearnt = spacing !== null;
    },
    circuit: {
      enter: () => ask(null, 0),
      async failed(reason, probe) {
        await ensureRow();
        const jitter = jitterOf(random());
        seen.isFailing = true;
        const [row] = await prisma.$queryRaw<FailedRow[]>`
          with held as (
            select *, coalesce(${clock()}::timestamptz, clock_timestamp()) as now from sync.budgets where credential = ${credential} for update
          ), told as (
            select *, opened_at is null and failures + 1 >= ${CIRCUIT_FAILURES}::int as opens,
              opened_at is not null and probe_until is not null and probes = ${probe ?? -1}::int as is_probe,
              make_interval(secs => ${jitter}::float8 / 1000 * least(${MAX_WAIT_MS}::float8,
                ${FIRST_WAIT_MS}::float8 * 2 ^ (case when opened_at is null then 0 else least(probes, 20) end))) as wait
            from held
          )
          update sync.budgets b set failures = b.failures + 1, failure_reason = ${reason}, failing_since = coalesce(b.failing_since, t.now),
            opened_at = case when t.opens then t.now else b.opened_at end,
            wake_at = case when t.opens or t.is_probe then t.now + t.wait else b.wake_at end,
            probe_until = case when t.is_probe then null else b.probe_until end,
            probes = case when t.opens then 0 else b.probes end, updated_at = t.now
          from told t where b.credential = t.credential
          returning t.opens as opened, b.opened_at, b.failing_since, b.failure_reason, b.failures, b.wake_at,
            greatest(0, ceil(extract(epoch from b.wake_at - t.now) * 1000))::float8 as circuit_wait_ms`;
        return { opened: row?.opened ?? false, open: row === undefined ? null : openFrom(row) };
      },
      async answered() {
        if (!seen.isFailing) return null;
        const [row] = await prisma.$queryRaw<AnsweredRow[]>`
          with held as (
            select *, coalesce(${clock()}::timestamptz, clock_timestamp()) as now from sync.budgets
            where credential = ${credential} and (failures > 0 or opened_at is not null) for update
          )
          update sync.budgets b set failures = 0, failing_since = null, failure_reason = null, opened_at = null, wake_at = null,
            probe_until = null, probes = 0, updated_at = h.now
          from held h where b.credential = h.credential
          returning h.opened_at is not null as was_open, coalesce(h.failure_reason, 'network') as reason,
            round(extract(epoch from h.now - coalesce(h.failing_since, h.opened_at)) * 1000)::float8 as outage_ms`;
        seen.isFailing = false;
        return row?.was_open ? { reason: row.reason, outageMs: row.outage_ms } : null;
      },
      async release(probe) {
        await prisma.$executeRaw`
          update sync.budgets set probe_until = null, updated_at = now() where credential = ${credential} and probes = ${probe}::int`;
      },
    },
  };
}

function takenFrom(row: TakenRow): Taken {
  const open = openFrom(row);
  if (row.circuit_wait_ms > 0 && open !== null) return { granted: false, waitMs: row.circuit_wait_ms, open };
  const { granted, wait_ms: waitMs, probes } = row;
  return open !== null && granted ? { granted, waitMs, probe: probes } : { granted, waitMs };
}

function openFrom(row: OpenRow): OpenCircuit | null {
  if (row.opened_at === null) return null;
  return {
    reason: row.failure_reason ?? 'network',
    failingSince: row.failing_since ?? row.opened_at,
    failures: row.failures,
    nextTryAt: row.wake_at ?? row.opened_at,
    waitMs: row.circuit_wait_ms,
  };
}
