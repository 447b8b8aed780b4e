import { Prisma, type PrismaClient, type SyncBudget } from '../../generated/prisma/client.ts';
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

const VALUES = Prisma.raw(
  'version, base_spacing_ms, spacing_ms, blocked_reason, learnt_spacing_ms, learnt_limit, failures, failure_reason, ' +
    'probes, requests, day_requests, day_limit',
);
const TIMES =
  'next_free_at fast_free_at blocked_until fast_busy_until bulk_busy_until learnt_at failing_since opened_at wake_at ' +
  'probe_until day_ends_at';
type Time = Extract<keyof SyncBudget, `${string}_${'at' | 'until' | 'since'}`>;
/** Times in ms since 1970 by the database's clock. */
type StateRow = Omit<SyncBudget, Time> & Readonly<Record<Time, number | null> & { now: number }>;

const timeOf = (ms: number | null): Prisma.Sql =>
  Prisma.sql`to_timestamp(${ms !== null && Number.isFinite(ms) ? ms : null}::float8 / 1000)`;

/**
 * The request budget of one credential as a row in Postgres, shared by all processes. The rules are those of
 * `http/budget.ts`, applied by the database's clock. A row is read, decided on, and written where its version is still
 * the same, else all again: no lock lasts across a round trip, so a stopped process blocks no other.
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
  const now = () => Prisma.sql`coalesce(${options.now?.() ?? null}::timestamptz, clock_timestamp())`;
  const nowMs = () => Prisma.sql`(extract(epoch from ${now()}) * 1000)::float8 as now`;
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
    const times = TIMES.split(' ').map((name) => `(extract(epoch from ${name}) * 1000)::float8 as ${name}`);
    const [row] = await prisma.$queryRaw<StateRow[]>`
      select ${nowMs()}, ${VALUES}, ${Prisma.raw(times.join(', '))} from sync.budgets where credential = ${credential}`;
    return row;
  };

  /** Returns the database's time; null when another process was faster. */
  const writeRow = async (version: bigint, state: BudgetState): Promise<number | null> => {
    const { line, circuit, learnt, day } = state;
    // `quick` is for this statement only: a slot lost in a crash of the database costs less than a flush for every
    // request.
    const [written] = await prisma.$queryRaw<{ now: number }[]>`
      with quick as (select set_config('synchronous_commit', 'off', true))
      update sync.budgets set version = version + 1, updated_at = now(), spacing_ms = ${state.slowedMs}::float8,
        requests = ${state.requests}::float8::bigint, blocked_reason = ${state.blockedReason},
        next_free_at = ${timeOf(line.sharedAt)}, fast_free_at = ${timeOf(line.fastAt)},
        blocked_until = ${timeOf(line.blockedUntil)}, fast_busy_until = ${timeOf(line.fastBusyUntil)},
        bulk_busy_until = ${timeOf(line.bulkBusyUntil)}, learnt_spacing_ms = ${learnt?.spacingMs ?? null}::float8,
        learnt_limit = ${learnt?.requests ?? null}::int, learnt_at = ${timeOf(learnt?.at ?? null)},
        failures = ${circuit.failures}::int, failure_reason = ${circuit.reason}, probes = ${circuit.probes}::int,
        failing_since = ${timeOf(circuit.failingSince)}, opened_at = ${timeOf(circuit.openedAt)},
        wake_at = ${timeOf(circuit.wakeAt)}, probe_until = ${timeOf(circuit.probeUntil)},
        day_requests = ${day?.requests ?? 0}::int, day_ends_at = ${timeOf(day?.endsAt ?? null)}
      from quick where credential = ${credential} and version = ${version} returning ${nowMs()}`;
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

  let written: KnownBudget | null = null;
  /** No other process changed the row between two changes of this one. */
  let isAlone = false;

  const changeNow: BudgetStorage['change'] = async (rule) => {
    for (let mayGuess = isAlone; ; mayGuess = false) {
      // A process that is alone does not read what it wrote itself a moment ago: one statement a request instead of
      // two. Its time is behind the database's by one answer at most, so no request goes out early.
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

function stateOf(row: StateRow): BudgetState {
  const { learnt_spacing_ms: spacingMs, learnt_limit, learnt_at, failures, failing_since: failingSince, probes } = row;
  const never = Number.NEGATIVE_INFINITY;
  const sharedAt = row.next_free_at ?? never;
  return {
    line: {
      sharedAt,
      fastAt: row.fast_free_at ?? sharedAt,
      blockedUntil: row.blocked_until ?? never,
      fastBusyUntil: row.fast_busy_until ?? never,
      bulkBusyUntil: row.bulk_busy_until ?? never,
    },
    blockedReason: row.blocked_reason,
    slowedMs: row.spacing_ms,
    learnt: spacingMs === null || learnt_at === null ? null : { spacingMs, requests: learnt_limit ?? 0, at: learnt_at },
    circuit: {
      failures,
      failingSince,
      probes,
      reason: row.failure_reason,
      openedAt: row.opened_at,
      wakeAt: row.wake_at,
      probeUntil: row.probe_until,
    },
    requests: Number(row.requests),
    day: row.day_ends_at === null ? null : { requests: row.day_requests, endsAt: row.day_ends_at },
  };
}
