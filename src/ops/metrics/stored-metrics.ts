import { Counter, Gauge, Registry } from 'prom-client';
import { groupBy } from '../../group-by.ts';
import type { BudgetStatus } from '../../store/reports/budget-status.ts';
import type { MetricFacts, StreamMetrics } from '../../store/reports/metric-facts.ts';
import type { RowCounts } from '../../store/reports/status.ts';
import { STATES_BY_URGENCY } from '../status-document.ts';

/**
 * The facts of the database as gauges: the same from any process, for all workers together.
 */
interface StoredFacts extends MetricFacts {
  /** By stream and connection; null while they have not been counted yet. */
  readonly rows: ReadonlyMap<string, ReadonlyMap<string, RowCounts>> | null;
}

type Reading = keyof { [K in keyof StreamMetrics as StreamMetrics[K] extends number | null ? K : never]: unknown };

/** One series per connection and stream; none where nothing is known. */
const STREAM_GAUGES: readonly (readonly [name: string, fact: Reading, help: string])[] = [
  ['stream_lag_seconds', 'lag_seconds', 'Age of the last complete pass.'],
  ['stream_fresh_within_seconds', 'fresh_within_seconds', 'A lag beyond it is stale; no series if read by hand.'],
  ['stream_last_success_timestamp_seconds', 'last_success_at', 'When a pass last ended complete.'],
  ['stream_watermark_timestamp_seconds', 'watermark_at', 'Greatest change time stored, of its oldest list.'],
  ['stream_quarantine_open', 'open_quarantine', 'Records that could not be mapped or written.'],
  ['stream_schema_drift_fields', 'drift_fields', 'Fields that were new, or of another type than known.'],
  ['stream_verification_age_seconds', 'verification_age_seconds', 'Age of the last verify.'],
  ['stream_verified_rows', 'verified_rows', 'Rows upstream that the last verify compared.'],
  ['stream_verification_differences', 'verification_differences', 'Rows that differed and are not settled since.'],
];

/** Streams of which something is so, over all connections. */
const COUNT_GAUGES: readonly (readonly [name: string, isCounted: (line: StreamMetrics) => boolean, help: string])[] = [
  [
    'streams_overdue',
    ({ state, fresh_within_seconds, is_unanswered }) =>
      state === 'stale' && fresh_within_seconds !== null && !is_unanswered,
    'Stale streams, less those read by hand only and those whose upstream does not answer.',
  ],
  [
    'streams_action_required',
    ({ state, is_circuit_open }) => state === 'blocked' && !is_circuit_open,
    'Blocked streams, less those that go on by themselves when the upstream answers.',
  ],
];

const add = (one: number, other: number): number => one + other;

/** One series per stream, over all connections. */
const SUM_GAUGES: readonly (readonly [name: string, fact: Reading, reduce: typeof add, help: string])[] = [
  ['lag_seconds_max', 'lag_seconds', Math.max, 'Greatest lag of any connection.'],
  [
    'last_success_timestamp_seconds_min',
    'last_success_at',
    Math.min,
    'When a pass last ended complete, the longest ago.',
  ],
  ['quarantine_open', 'open_quarantine', add, 'Records that could not be mapped or written, in all.'],
  ['schema_drift_fields', 'drift_fields', add, 'Fields that were new or of another type, in all.'],
  ['verification_differences', 'verification_differences', add, 'Rows that differed and are not settled, in all.'],
];

const CIRCUITS = { open: 1, half_open: 0.5, closed: 0 };

/** One series per credential. Its name is the server and a digest of the account. Null: the credential has none. */
type BudgetGauge = readonly [name: string, help: string, read: (facts: BudgetStatus) => number | null];
const BUDGET_GAUGES: readonly BudgetGauge[] = [
  ['budget_requests_per_minute', 'Requests a minute at the present spacing.', (facts) => 60_000 / facts.spacing_ms],
  ['budget_spacing_seconds', 'Time between two requests now.', (facts) => facts.spacing_ms / 1000],
  [
    'budget_configured_spacing_seconds',
    'Time between two requests as configured.',
    (facts) => facts.base_spacing_ms / 1000,
  ],
  ['budget_blocked_seconds', 'How long requests wait as the server asked.', (facts) => facts.blocked_seconds],
  [
    'budget_circuit_open',
    '1: blocked after failures, 0.5: single ones are tried, else 0.',
    (facts) => CIRCUITS[facts.circuit],
  ],
  ['budget_day_limit', 'Requests of a day as configured; no series without a limit.', ({ day }) => day?.limit ?? null],
  ['budget_day_used', 'Of these, granted today.', ({ day }) => day?.used ?? null],
];

/**
 * The text of all stored gauges. Series of single streams and credentials are left out where there are more than
 * `maxStreams` of them: at ten thousand connections they would be a million series.
 */
export function renderStored(facts: StoredFacts, { maxStreams }: { readonly maxStreams: number }): Promise<string> {
  const registry = new Registry();
  const gauge: CreateGauge = (name, help, ...labelNames) =>
    new Gauge({ name: `leadmirror_${name}`, help, labelNames, registers: [registry] });
  const isDetailed = facts.streams.length <= maxStreams;
  gauge('stream_series', '1 while there are series for each connection and stream, 0 above METRICS_MAX_STREAMS.').set(
    isDetailed ? 1 : 0,
  );
  renderOverview(facts, gauge);
  renderStreams(isDetailed ? facts.streams : [], facts.rows, gauge);
  renderBudgets(facts.budgets.length <= maxStreams ? facts.budgets : [], gauge);
  renderRequests(facts.budgets, registry);
  return registry.metrics();
}

type CreateGauge = (name: string, help: string, ...labelNames: string[]) => Gauge;

function renderOverview({ streams, budgets, activeRuns, alerts, rows, feed }: StoredFacts, gauge: CreateGauge): void {
  gauge('connections', 'Configured accounts.').set(new Set(streams.map((line) => line.connection_id)).size);
  const byStream = groupBy(streams, ({ stream }) => stream);
  const states = gauge('streams', 'Streams in each state, all connections together.', 'stream', 'state');
  for (const [stream, lines] of byStream) {
    for (const state of STATES_BY_URGENCY) {
      states.set({ stream, state }, lines.filter((line) => line.state === state).length);
    }
  }
  for (const [name, isCounted, help] of COUNT_GAUGES) {
    const counts = gauge(name, help, 'stream');
    for (const [stream, lines] of byStream) counts.set({ stream }, lines.filter(isCounted).length);
  }
  for (const [name, fact, reduce, help] of SUM_GAUGES) {
    const sums = gauge(name, help, 'stream');
    for (const [stream, lines] of byStream) {
      const values = lines.map((line) => line[fact]).filter((value) => value !== null);
      if (values.length > 0) sums.set({ stream }, values.reduce(reduce));
    }
  }
  const running = gauge('runs_active', 'Runs under way in any process.', 'pass');
  for (const pass of ['backfill', 'incremental', 'reconcile', 'count', 'verify'])
    running.set({ pass }, activeRuns.get(pass) ?? 0);
  const rowSums = gauge('rows', 'Rows of the mirror, all connections together.', 'stream', 'state');
  for (const [stream, byConnection] of rows ?? []) {
    const counts = [...byConnection.values()];
    for (const state of ['alive', 'deleted'] as const) {
      rowSums.set({ stream, state }, counts.map((count) => count[state]).reduce(add, 0));
    }
  }
  const budgetStates = gauge('budgets', 'Request budgets (one per credential) in each state.', 'state');
  for (const state of ['free', 'slowed', 'blocked', 'circuit_open'] as const) {
    budgetStates.set({ state }, budgets.filter((budget) => budgetState(budget) === state).length);
  }
  const open = gauge('alerts_open', 'Alerts that are open now.', 'kind');
  for (const [kind, count] of alerts) open.set({ kind }, count);
  const lag = gauge('feed_lag_seconds', 'Age of the oldest change that a consumer has not acknowledged.', 'consumer');
  for (const { consumer, lag_seconds } of feed) lag.set({ consumer }, lag_seconds);
}

function renderStreams(streams: readonly StreamMetrics[], rows: StoredFacts['rows'], gauge: CreateGauge): void {
  const labels = ['connection', 'stream'];
  const states = gauge('stream_state', '1 for the state that the stream is in, 0 for the others.', ...labels, 'state');
  const counted = gauge('stream_rows', 'Rows of the mirror.', ...labels, 'state');
  for (const { connection_id: connection, stream, state } of streams) {
    for (const one of STATES_BY_URGENCY) states.set({ connection, stream, state: one }, state === one ? 1 : 0);
    if (rows === null) continue;
    const { alive, deleted } = rows.get(stream)?.get(connection) ?? { alive: 0, deleted: 0 };
    counted.set({ connection, stream, state: 'alive' }, alive);
    counted.set({ connection, stream, state: 'deleted' }, deleted);
  }
  for (const [name, fact, help] of STREAM_GAUGES) {
    const series = gauge(name, help, ...labels);
    for (const { connection_id: connection, stream, [fact]: value } of streams) {
      if (value !== null) series.set({ connection, stream }, value);
    }
  }
}

function renderBudgets(budgets: readonly BudgetStatus[], gauge: CreateGauge): void {
  for (const [name, help, read] of BUDGET_GAUGES) {
    const series = gauge(name, help, 'credential');
    for (const facts of budgets) {
      const value = read(facts);
      if (value !== null) series.set({ credential: facts.credential }, value);
    }
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

function budgetState({ circuit, blocked_seconds, spacing_ms, base_spacing_ms }: BudgetStatus) {
  if (circuit !== 'closed') return 'circuit_open';
  if (blocked_seconds > 0) return 'blocked';
  return spacing_ms > base_spacing_ms ? 'slowed' : 'free';
}
