import { Counter, Gauge, Registry } from 'prom-client';
import type { BudgetStatus } from '../../store/reports/budget-status.ts';
import type { MetricFacts, StreamFacts } from '../../store/reports/metric-facts.ts';
import type { RowCounts, StreamState } from '../../store/reports/status.ts';

/**
 * What the database says, as gauges: the same from any process, for all workers together. A table of them rather than code for each, so that one more is
 * one more line.
 */
export interface StoredFacts extends MetricFacts {
  /** By stream and connection; null while they have not been counted yet. */
  readonly rows: ReadonlyMap<string, ReadonlyMap<string, RowCounts>> | null;
}

const STATES: readonly StreamState[] = ['fresh', 'syncing', 'stale', 'partial', 'blocked', 'paused', 'never'];

interface StreamGauge {
  readonly name: string;
  readonly help: string;
  readonly read: (facts: StreamFacts) => number | null;
}

/** One series per connection and stream. Nothing is said where nothing is known. */
const STREAM_GAUGES: readonly StreamGauge[] = [
  {
    name: 'leadmirror_stream_lag_seconds',
    help: 'Age of the last complete pass: the mirror holds everything that was there then.',
    read: ({ lag_seconds }) => lag_seconds,
  },
  {
    name: 'leadmirror_stream_fresh_within_seconds',
    help: 'A lag beyond this makes the stream stale; without series for what is read by hand only.',
    read: ({ fresh_within_seconds }) => fresh_within_seconds,
  },
  {
    name: 'leadmirror_stream_last_success_timestamp_seconds',
    help: 'When a pass last ended complete.',
    read: ({ last_success_at }) => last_success_at,
  },
  {
    name: 'leadmirror_stream_watermark_timestamp_seconds',
    help: 'Greatest upstream change time safely stored, of the oldest list of the stream.',
    read: ({ watermark_at }) => watermark_at,
  },
  {
    name: 'leadmirror_stream_quarantine_open',
    help: 'Records that could not be mapped or written.',
    read: ({ open_quarantine }) => open_quarantine,
  },
  {
    name: 'leadmirror_stream_schema_drift_fields',
    help: 'Fields that were new, or of another type than known.',
    read: ({ drift_fields }) => drift_fields,
  },
  {
    name: 'leadmirror_stream_proof_age_seconds',
    help: 'Age of the last verify.',
    read: ({ proof_age_seconds }) => proof_age_seconds,
  },
  {
    name: 'leadmirror_stream_proof_rows',
    help: 'Rows upstream that the last verify compared.',
    read: ({ proof_rows }) => proof_rows,
  },
  {
    name: 'leadmirror_stream_proof_differences',
    help: 'Rows that differed in the last verify, were not repaired by it, and not read again by a complete full walk since.',
    read: ({ proof_differences }) => proof_differences,
  },
];

/** One series per stream, over all connections. */
const SUM_GAUGES: readonly (StreamGauge & { readonly reduce: (...values: number[]) => number })[] = [
  {
    name: 'leadmirror_lag_seconds_max',
    help: 'Greatest lag of any connection.',
    read: ({ lag_seconds }) => lag_seconds,
    reduce: Math.max,
  },
  {
    name: 'leadmirror_last_success_timestamp_seconds_min',
    help: 'When a pass last ended complete, for the connection where that is longest ago.',
    read: ({ last_success_at }) => last_success_at,
    reduce: Math.min,
  },
  {
    name: 'leadmirror_quarantine_open',
    help: 'Records that could not be mapped or written, all connections together.',
    read: ({ open_quarantine }) => open_quarantine,
    reduce: add,
  },
  {
    name: 'leadmirror_schema_drift_fields',
    help: 'Fields that were new, or of another type than known, all connections together.',
    read: ({ drift_fields }) => drift_fields,
    reduce: add,
  },
  {
    name: 'leadmirror_proof_differences',
    help: 'Rows that differed in the last verifies and are not settled, all connections together.',
    read: ({ proof_differences }) => proof_differences,
    reduce: add,
  },
];

interface BudgetGauge {
  readonly name: string;
  readonly help: string;
  readonly read: (facts: BudgetStatus) => number;
}

/** One series per credential. Its name is the server and a digest of the account. */
const BUDGET_GAUGES: readonly BudgetGauge[] = [
  {
    name: 'leadmirror_budget_requests_per_minute',
    help: 'Requests a minute at the present spacing.',
    read: ({ spacing_ms }) => 60_000 / spacing_ms,
  },
  {
    name: 'leadmirror_budget_spacing_seconds',
    help: 'Time between two requests now; larger after a refusal without guidance.',
    read: ({ spacing_ms }) => spacing_ms / 1000,
  },
  {
    name: 'leadmirror_budget_configured_spacing_seconds',
    help: 'Time between two requests as configured.',
    read: ({ base_spacing_ms }) => base_spacing_ms / 1000,
  },
  {
    name: 'leadmirror_budget_blocked_seconds',
    help: 'How long nobody asks because the server said so; 0 when it did not.',
    read: ({ blocked_seconds }) => blocked_seconds,
  },
  {
    name: 'leadmirror_budget_circuit_open',
    help: '1 while requests are held after repeated failures, 0.5 while single ones are tried, else 0.',
    read: ({ circuit }) => ({ open: 1, half_open: 0.5, closed: 0 })[circuit],
  },
];

/**
 * The text of all stored gauges. Series of single streams and credentials are left out where there are more than `maxStreams` of them: at ten thousand
 * connections they would be a million series.
 */
export function renderStored(facts: StoredFacts, { maxStreams }: { readonly maxStreams: number }): Promise<string> {
  const registry = new Registry();
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
  const isDetailed = facts.streams.length <= maxStreams;
  renderOverview(facts, gauge, isDetailed);
  renderStreams(isDetailed ? facts.streams : [], facts.rows, gauge);
  renderBudgets(facts.budgets.length <= maxStreams ? facts.budgets : [], gauge);
  renderRequests(facts.budgets, registry);
  return registry.metrics();
}

type CreateGauge = (name: string, help: string, labelNames?: string[]) => Gauge;

function renderOverview(
  { streams, budgets, activeRuns, alerts, rows }: StoredFacts,
  gauge: CreateGauge,
  isDetailed: boolean,
): void {
  gauge(
    'leadmirror_stream_series',
    '1 while there are series for each connection and stream, 0 above METRICS_MAX_STREAMS.',
  ).set(isDetailed ? 1 : 0);
  gauge('leadmirror_connections', 'Configured accounts.').set(new Set(streams.map((line) => line.connection_id)).size);

  const states = gauge('leadmirror_streams', 'Streams in each state, all connections together.', ['stream', 'state']);
  const overdue = gauge(
    'leadmirror_streams_overdue',
    'Streams that are stale, less those that are read by hand only and those whose upstream does not answer.',
    ['stream'],
  );
  const forPeople = gauge(
    'leadmirror_streams_needing_a_person',
    'Streams that are blocked, less those that go on by themselves as soon as the upstream answers.',
    ['stream'],
  );
  const running = gauge('leadmirror_runs_active', 'Runs under way in any process.', ['pass']);
  for (const [stream, lines] of groupByStream(streams)) {
    for (const state of STATES) states.set({ stream, state }, lines.filter((line) => line.state === state).length);
    overdue.set({ stream }, lines.filter(isOverdue).length);
    forPeople.set({ stream }, lines.filter(({ state, is_held }) => state === 'blocked' && !is_held).length);
  }
  for (const pass of ['backfill', 'incremental', 'reconcile', 'verify']) {
    running.set({ pass }, activeRuns.get(pass) ?? 0);
  }
  for (const { name, help, read, reduce } of SUM_GAUGES) {
    const sums = gauge(name, help, ['stream']);
    for (const [stream, lines] of groupByStream(streams)) {
      const values = lines.map(read).filter((value) => value !== null);
      if (values.length > 0)
        sums.set(
          { stream },
          values.reduce((one, other) => reduce(one, other)),
        );
    }
  }
  const rowSums = gauge('leadmirror_rows', 'Rows of the mirror, all connections together.', ['stream', 'state']);
  for (const [stream, byConnection] of rows ?? []) {
    const counts = [...byConnection.values()];
    for (const state of ['alive', 'deleted'] as const) {
      rowSums.set({ stream, state }, counts.map((count) => count[state]).reduce(add, 0));
    }
  }
  const budgetStates = gauge('leadmirror_budgets', 'Request budgets (one per credential) in each state.', ['state']);
  for (const state of ['free', 'slowed', 'blocked', 'circuit_open'] as const) {
    budgetStates.set({ state }, budgets.filter((budget) => budgetState(budget) === state).length);
  }
  const open = gauge('leadmirror_alerts_open', 'Alerts that are open now.', ['kind']);
  for (const [kind, count] of alerts) open.set({ kind }, count);
}

function renderStreams(streams: readonly StreamFacts[], rows: StoredFacts['rows'], gauge: CreateGauge): void {
  const labels = ['connection', 'stream'];
  const states = gauge('leadmirror_stream_state', '1 for the state that the stream is in, 0 for the others.', [
    ...labels,
    'state',
  ]);
  const counted = gauge('leadmirror_stream_rows', 'Rows of the mirror.', [...labels, 'state']);
  for (const { connection_id: connection, stream, state } of streams) {
    for (const candidate of STATES) states.set({ connection, stream, state: candidate }, state === candidate ? 1 : 0);
    if (rows === null) continue;
    const { alive, deleted } = rows.get(stream)?.get(connection) ?? { alive: 0, deleted: 0 };
    counted.set({ connection, stream, state: 'alive' }, alive);
    counted.set({ connection, stream, state: 'deleted' }, deleted);
  }
  for (const { name, help, read } of STREAM_GAUGES) {
    const series = gauge(name, help, labels);
    for (const facts of streams) {
      const value = read(facts);
      if (value !== null) series.set({ connection: facts.connection_id, stream: facts.stream }, value);
    }
  }
}

function renderBudgets(budgets: readonly BudgetStatus[], gauge: CreateGauge): void {
  for (const { name, help, read } of BUDGET_GAUGES) {
    const series = gauge(name, help, ['credential']);
    for (const facts of budgets) series.set({ credential: facts.credential }, read(facts));
  }
}

/** The only total that the database keeps: it grows with every request that any process was granted. */
function renderRequests(budgets: readonly BudgetStatus[], registry: Registry): void {
  const total = new Counter({
    name: 'leadmirror_budget_requests_total',
    help: 'Requests granted by the budgets, all processes and credentials together.',
    labelNames: ['source'],
    registers: [registry],
  });
  for (const { credential, requests } of budgets) total.inc({ source: credential.split(':')[0] ?? '' }, requests);
}

function groupByStream(streams: readonly StreamFacts[]): ReadonlyMap<string, readonly StreamFacts[]> {
  const groups = new Map<string, StreamFacts[]>();
  for (const facts of streams) {
    const group = groups.get(facts.stream);
    if (group === undefined) groups.set(facts.stream, [facts]);
    else group.push(facts);
  }
  return groups;
}

function isOverdue({ state, fresh_within_seconds, is_unanswered }: StreamFacts): boolean {
  return state === 'stale' && fresh_within_seconds !== null && !is_unanswered;
}

function budgetState({ circuit, blocked_seconds, spacing_ms, base_spacing_ms }: BudgetStatus) {
  if (circuit !== 'closed') return 'circuit_open';
  if (blocked_seconds > 0) return 'blocked';
  return spacing_ms > base_spacing_ms ? 'slowed' : 'free';
}

function add(one: number, other: number): number {
  return one + other;
}
