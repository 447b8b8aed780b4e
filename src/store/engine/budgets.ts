import type { PrismaClient } from '../../generated/prisma/client.ts';
import {
  type BudgetOptions,
  type BudgetState,
  type BudgetStorage,
  createBudget,
  type RequestBudget,
  spacingMs,
} from '../../http/budget.ts';

export interface DatabaseBudgetOptions extends BudgetOptions {
  /** Instead of the database's clock, for simulations. */
  readonly now?: () => Date;
}

/** Times in ms since 1970 by the database's clock. */
interface StateRow {
  readonly now: number;
  readonly version: bigint;
  readonly base_spacing_ms: number;
  readonly spacing_ms: number;
  readonly next_free: number;
  readonly fast_free: number | null;
  readonly blocked: number | null;
  readonly blocked_reason: string | null;
  readonly fast_busy: number | null;
  readonly bulk_busy: number | null;
  readonly learnt_spacing_ms: number | null;
  readonly learnt_limit: number | null;
  readonly learnt: number | null;
  readonly failures: number;
  readonly failing_since: number | null;
  readonly failure_reason: string | null;
  readonly opened: number | null;
  readonly wake: number | null;
  readonly probe: number | null;
  readonly probes: number;
  readonly requests: number;
  readonly day_requests: number;
  readonly day_ends: number | null;
  readonly day_limit: number | null;
}

/**
 * The request budget of one credential as a row in Postgres, shared by every process on every machine, in both queue modes. The rules are those of
 * `http/budget.ts`, applied by the database's clock, so that processes whose clocks differ still stand in one line. A row is read, decided on, and written
 * where its version is still the same, else all again: no lock lasts across a round trip, so a stopped process blocks no other.
 */
export function createDatabaseBudget(
  prisma: PrismaClient,
  credential: string,
  requestsPerMinute: number,
  options: DatabaseBudgetOptions = {},
): RequestBudget {
  return createBudget(createStorage(prisma, credential, requestsPerMinute, options), requestsPerMinute, options);
}

function createStorage(
  prisma: PrismaClient,
  credential: string,
  requestsPerMinute: number,
  options: DatabaseBudgetOptions,
): BudgetStorage {
  const base = spacingMs(requestsPerMinute);
  const dayLimit = options.day?.requests ?? null;
  const clock = () => options.now?.() ?? null;
  let last: BudgetState | null = null;

  /** Makes the row, or takes over other limits. */
  const ensureRow = async () => {
    const spacing = { base_spacing_ms: base, spacing_ms: base };
    const row = { credential, ...spacing, ...(options.now && { next_free_at: options.now() }) };
    await prisma.syncBudget.createMany({ data: [row], skipDuplicates: true });
    await prisma.syncBudget.updateMany({
      where: { credential, base_spacing_ms: { not: base } },
      data: { ...spacing, version: { increment: 1 } },
    });
    const others = dayLimit === null ? [] : [{ day_limit: null }];
    await prisma.syncBudget.updateMany({
      where: { credential, OR: [{ day_limit: { not: dayLimit } }, ...others] },
      data: { day_limit: dayLimit, version: { increment: 1 } },
    });
  };

  const readRow = async (): Promise<StateRow | undefined> => {
    const [row] = await prisma.$queryRaw<StateRow[]>`
      select (extract(epoch from coalesce(${clock()}::timestamptz, clock_timestamp())) * 1000)::float8 as now, version,
        base_spacing_ms, spacing_ms, blocked_reason, learnt_spacing_ms, learnt_limit, failures, failure_reason, probes, requests::float8 as requests,
        day_requests, day_limit, (extract(epoch from day_ends_at) * 1000)::float8 as day_ends,
        (extract(epoch from next_free_at) * 1000)::float8 as next_free, (extract(epoch from fast_free_at) * 1000)::float8 as fast_free,
        (extract(epoch from blocked_until) * 1000)::float8 as blocked, (extract(epoch from fast_busy_until) * 1000)::float8 as fast_busy,
        (extract(epoch from bulk_busy_until) * 1000)::float8 as bulk_busy, (extract(epoch from learnt_at) * 1000)::float8 as learnt,
        (extract(epoch from failing_since) * 1000)::float8 as failing_since, (extract(epoch from opened_at) * 1000)::float8 as opened,
        (extract(epoch from wake_at) * 1000)::float8 as wake, (extract(epoch from probe_until) * 1000)::float8 as probe
      from sync.budgets where credential = ${credential}`;
    return row;
  };

  /** Returns the database's time; null when another process was faster. */
  const writeRow = async (
    version: bigint,
    { line, circuit, learnt, ...state }: BudgetState,
  ): Promise<number | null> => {
    const [written] = await prisma.$queryRaw<{ now: number }[]>`
      with quick as (
        -- For this statement only: a slot lost in a crash of the database costs less than a disk's flush for every request.
        select set_config('synchronous_commit', 'off', true)
      )
      update sync.budgets set version = version + 1, updated_at = now(), spacing_ms = ${state.slowedMs}::float8, requests = ${state.requests}::float8::bigint,
        next_free_at = to_timestamp(${line.sharedAt}::float8 / 1000), fast_free_at = to_timestamp(${line.fastAt}::float8 / 1000),
        blocked_until = to_timestamp(${finite(line.blockedUntil)}::float8 / 1000), blocked_reason = ${state.blockedReason},
        fast_busy_until = to_timestamp(${finite(line.fastBusyUntil)}::float8 / 1000),
        bulk_busy_until = to_timestamp(${finite(line.bulkBusyUntil)}::float8 / 1000),
        learnt_spacing_ms = ${learnt?.spacingMs ?? null}::float8, learnt_limit = ${learnt?.requests ?? null}::int,
        learnt_at = to_timestamp(${learnt?.at ?? null}::float8 / 1000), failures = ${circuit.failures}::int, failure_reason = ${circuit.reason},
        failing_since = to_timestamp(${circuit.failingSince}::float8 / 1000), opened_at = to_timestamp(${circuit.openedAt}::float8 / 1000),
        wake_at = to_timestamp(${circuit.wakeAt}::float8 / 1000), probe_until = to_timestamp(${circuit.probeUntil}::float8 / 1000),
        probes = ${circuit.probes}::int, day_requests = ${state.day?.requests ?? 0}::int, day_ends_at = to_timestamp(${state.day?.endsAt ?? null}::float8 / 1000)
      from quick where credential = ${credential} and version = ${version}
      returning (extract(epoch from coalesce(${clock()}::timestamptz, clock_timestamp())) * 1000)::float8 as now`;
    return written?.now ?? null;
  };

  const read = async (): Promise<KnownBudget> => {
    for (;;) {
      const row = await readRow();
      if (row?.base_spacing_ms === base && row.day_limit === dayLimit)
        return { version: row.version, state: stateOf(row), now: row.now, at: performance.now() };
      await ensureRow();
    }
  };

  /** The row as this process wrote it last. */
  let written: KnownBudget | null = null;
  /** No other process changed the row between two changes of this one. */
  let isAlone = false;

  const changeNow: BudgetStorage['change'] = async (rule) => {
    for (let mayGuess = isAlone; ; mayGuess = false) {
      // A process that is alone does not read what it wrote itself a moment ago: one statement a request instead of two. Its time is
      // behind the database's by one answer at most, so no request goes out early.
      const guess = mayGuess && written !== null ? ahead(written, performance.now()) : null;
      const known = guess ?? (await read());
      if (guess === null) isAlone = known.version === written?.version;
      const [next, result] = rule(known.state, options.now?.().getTime() ?? known.now);
      if (next === known.state) {
        if (guess !== null) continue;
        last = next;
        return result;
      }
      const now = await writeRow(known.version, next);
      if (now === null) continue;
      written = { version: known.version + 1n, state: next, now, at: performance.now() };
      last = next;
      return result;
    }
  };

  /** Those of this process follow each other: at once, they would only take each other's version. */
  let previous: Promise<unknown> = Promise.resolve();
  return {
    get last() {
      return last;
    },
    change(rule) {
      const change = previous.then(() => changeNow(rule));
      previous = change.catch(() => {});
      return change;
    },
  };
}

interface KnownBudget {
  readonly version: bigint;
  readonly state: BudgetState;
  /** The database's time when the row was read or written, and `performance.now()` then or later. */
  readonly now: number;
  readonly at: number;
}

const GUESSED_FOR_MS = 1_000;

function ahead(known: KnownBudget, at: number): KnownBudget | null {
  const elapsedMs = at - known.at;
  return elapsedMs > GUESSED_FOR_MS ? null : { ...known, now: known.now + elapsedMs, at };
}

const finite = (ms: number): number | null => (Number.isFinite(ms) ? ms : null);

function stateOf(row: StateRow): BudgetState {
  const { learnt_spacing_ms, learnt_limit, learnt } = row;
  return {
    line: {
      sharedAt: row.next_free,
      fastAt: row.fast_free ?? row.next_free,
      blockedUntil: row.blocked ?? Number.NEGATIVE_INFINITY,
      fastBusyUntil: row.fast_busy ?? Number.NEGATIVE_INFINITY,
      bulkBusyUntil: row.bulk_busy ?? Number.NEGATIVE_INFINITY,
    },
    blockedReason: row.blocked_reason,
    slowedMs: row.spacing_ms,
    learnt:
      learnt_spacing_ms === null || learnt === null
        ? null
        : { spacingMs: learnt_spacing_ms, requests: learnt_limit ?? 0, at: learnt },
    circuit: {
      failures: row.failures,
      failingSince: row.failing_since,
      reason: row.failure_reason,
      openedAt: row.opened,
      wakeAt: row.wake,
      probeUntil: row.probe,
      probes: row.probes,
    },
    requests: row.requests,
    day: row.day_ends === null ? null : { requests: row.day_requests, endsAt: row.day_ends },
  };
}
