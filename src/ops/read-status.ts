import type { SyncStream } from '../generated/prisma/client.ts';
import { groupBy } from '../group-by.ts';
import { readLabels } from '../store/engine/account-names.ts';
import { type Poll, readPolls } from '../store/engine/polls.ts';
import { readProcesses } from '../store/engine/processes.ts';
import type { RunRecord } from '../store/engine/runs.ts';
import { readErasureDays } from '../store/privacy/erasure-counts.ts';
import { type BudgetStatus, readBudgets, readPauses } from '../store/reports/budget-status.ts';
import * as history from '../store/reports/run-history.ts';
import { countRows, type RowCounts, readStatus, type StreamState, type StreamStatus } from '../store/reports/status.ts';
import { laneOf } from '../stream.ts';
import { summarizeDay } from './day-strip.ts';
import type { OpsConnection, OpsParts } from './parts.ts';
import { progressOf } from './progress.ts';
import { nextStep } from './reasons.ts';
import { Remembered } from './remembered.ts';
import { RequestRates } from './request-rates.ts';
import {
  type BudgetFacts,
  type ConnectionStatus,
  type ErasureFacts,
  type RunFacts,
  STATES_BY_URGENCY,
  STATUS_VERSION,
  type StatusDocument,
  type StreamFacts,
  type Summary,
  urgencyOf,
} from './status-document.ts';

/** Not asked more often than that: whole tables are counted, and the runs of a day are gone through. */
const COSTLY = { minAgeMs: 5_000, restShare: 20 };
const LAST_RUNS = 20;
const ERASURE_DAYS = 10;

/** Reads the whole status: a handful of set-based questions, whatever the number of streams. */
export class StatusReader {
  readonly #parts: OpsParts;
  readonly #days: Remembered<ReadonlyMap<string, readonly history.RunGroup[]>>;
  readonly #rates = new RequestRates();
  readonly #counts = new Map<string, Remembered<Map<string, RowCounts>>>();

  constructor(parts: OpsParts) {
    this.#parts = parts;
    this.#days = new Remembered(async () => groupBy(await history.readRunGroups(parts.prisma), keyOf), COSTLY);
  }

  async read(): Promise<StatusDocument> {
    const { prisma, queue } = this.#parts;
    const connections = this.#parts.connections?.() ?? [];
    const [
      lines,
      running,
      errors,
      decisions,
      budgets,
      byRuns,
      days,
      runs,
      processes,
      health,
      pauses,
      polls,
      erasures,
      labels,
    ] = await Promise.all([
      readStatus(prisma),
      history.readRunning(prisma),
      history.readPassErrors(prisma),
      history.readDecisions(prisma),
      readBudgets(prisma),
      history.readRequestRates(prisma),
      this.#days.get(),
      history.findRuns(prisma, { limit: LAST_RUNS }),
      readProcesses(prisma),
      queue?.health() ?? null,
      readPauses(prisma),
      readPolls(prisma),
      this.#readErasures(),
      readLabels(prisma, this.#parts.names?.()),
    ]);
    const kinds = [...new Set(lines.map(({ stream }) => stream))];
    const counts = new Map(await Promise.all(kinds.map(async (name) => [name, await this.#count(name)] as const)));
    const nowMs = Date.now();
    const names = new Map(this.#parts.names?.().map((each) => [each.id, each]));
    const known: StatusInput = {
      nowMs,
      running: groupBy(running, keyOf),
      errors: groupBy(errors, keyOf),
      decisions: new Map(decisions.map((row) => [keyOf(row), row])),
      days,
      configuredIn: ({ connection_id }) => names.get(connection_id)?.configuredIn ?? null,
      intervalOf: (line) => polls.get(keyOf(line))?.intervalSeconds ?? null,
      counts: ({ connection_id, stream }) => counts.get(stream)?.get(connection_id) ?? { alive: 0, deleted: 0 },
      nextRuns: nextTries(this.#parts.nextRuns ?? (() => []), { pauses, polls }),
    };
    const streams = lines.map((line) => toFacts(line, known));
    return {
      version: STATUS_VERSION,
      generated_at: new Date(nowMs),
      summary: summarize(streams),
      connections: toConnections(streams, connections, labels),
      streams,
      budgets: toBudgets(budgets, connections, this.#rates.note(budgets, nowMs), byRuns),
      queue: health,
      processes,
      runs: runs.map(toRunFacts),
      erasures,
    };
  }

  async #readErasures(): Promise<ErasureFacts> {
    const { prisma, privacy } = this.#parts;
    const { days, ...counts } = await readErasureDays(prisma);
    const problem = await privacy?.problem();
    return {
      ...counts,
      days: days.slice(0, ERASURE_DAYS),
      problem: problem ? { code: problem.code, message: problem.message } : null,
    };
  }

  #count(name: string): Promise<Map<string, RowCounts>> {
    const { prisma } = this.#parts;
    const kept = this.#counts.get(name) ?? new Remembered(() => countRows(prisma, name), COSTLY);
    this.#counts.set(name, kept);
    return kept.get();
  }
}

/** A pass may be due before the next tick; and during a pause of the account nothing is tried before its end. */
export function nextTries(
  nextRuns: NonNullable<OpsParts['nextRuns']>,
  { pauses, polls }: { readonly pauses: ReadonlyMap<string, Date>; readonly polls: ReadonlyMap<string, Poll> },
): NonNullable<OpsParts['nextRuns']> {
  return (key, nowMs) => {
    const until = pauses.get(key.connectionId);
    const due = polls.get(`${key.connectionId}/${key.stream}`)?.dueAt ?? null;
    return nextRuns(key, nowMs).map((run) => {
      const at = run.pass === 'incremental' && due !== null && due < run.at ? due : run.at;
      return { ...run, at: until !== undefined && at < until ? until : at };
    });
  };
}

type StreamName = Pick<StreamStatus, 'connection_id' | 'stream'>;

const keyOf = ({ connection_id, stream }: StreamName): string => `${connection_id}/${stream}`;

interface StatusInput {
  readonly nowMs: number;
  readonly running: ReadonlyMap<string, readonly history.RunningPass[]>;
  readonly errors: ReadonlyMap<string, readonly history.PassError[]>;
  readonly decisions: ReadonlyMap<string, SyncStream>;
  readonly days: ReadonlyMap<string, readonly history.RunGroup[]>;
  readonly counts: (line: StreamName) => RowCounts;
  readonly nextRuns: NonNullable<OpsParts['nextRuns']>;
  readonly intervalOf: (line: StreamName) => number | null;
  readonly configuredIn: (line: StreamName) => string | null;
}

const numberOf = (value: bigint | null): number | null => (value === null ? null : Number(value));

function toFacts(line: StreamStatus, known: StatusInput): StreamFacts {
  const { connection_id, stream, backfill_completed_at } = line;
  const key = keyOf(line);
  const { alive, deleted } = known.counts(line);
  const decided = known.decisions.get(key);
  const own = known.errors.get(key) ?? [];
  const isBlocked = own.some(({ code }) => code === 'deletion_brake' || code === 'suddenly_empty');
  const areDeletionsAccepted = (decided?.deletions_accepted_at ?? null) !== null;
  const isRead = backfill_completed_at !== null;
  const running = known.running.get(key)?.find(({ pass }) => pass === line.running_pass) ?? null;
  const [error] = own;
  return {
    ...line,
    lag_seconds: numberOf(line.lag_seconds),
    verified_rows: numberOf(line.verified_rows),
    unlisted_rows: numberOf(line.unlisted_rows),
    open_quarantine: Number(line.open_quarantine),
    next_step: nextStep({ ...line, isRead, areDeletionsAccepted, configuredIn: known.configuredIn(line) }),
    rows: alive,
    deleted_rows: deleted,
    running: running && progressOf(running, { aliveRows: alive, isFirstRead: !isRead, nowMs: known.nowMs }),
    next_runs: known.nextRuns({ connectionId: connection_id, stream }, known.nowMs),
    interval_seconds: known.intervalOf(line),
    paused_at: decided?.paused_at ?? null,
    deletions: areDeletionsAccepted ? 'accepted' : isBlocked ? 'blocked' : null,
    last_error:
      error === undefined
        ? null
        : { pass: error.pass, outcome: error.outcome, code: error.code, message: error.message, at: error.at },
    last_24h: summarizeDay(known.days.get(key) ?? []),
  };
}

function summarize(streams: readonly StreamFacts[]): Summary {
  const byState = Object.fromEntries(STATES_BY_URGENCY.map((state) => [state, 0])) as Record<StreamState, number>;
  for (const { state } of streams) byState[state]++;
  return {
    streams: streams.length,
    worst: STATES_BY_URGENCY.find((state) => byState[state] > 0) ?? null,
    by_state: byState,
  };
}

/** Those that most need a person first, then by name. */
function toConnections(
  streams: readonly StreamFacts[],
  configured: readonly OpsConnection[],
  labels: ReadonlyMap<string, string>,
): readonly ConnectionStatus[] {
  const credentials = new Map(configured.map(({ id, credential }) => [id, credential]));
  const byId = groupBy(streams, ({ connection_id }) => connection_id);
  const connections = [...byId].map(([id, own]) => ({
    id,
    label: labels.get(id) ?? null,
    source: own[0]?.stream.split('.')[0] ?? '',
    state: STATES_BY_URGENCY.find((state) => own.some((stream) => stream.state === state)) ?? ('never' as const),
    credential: credentials.get(id) ?? null,
  }));
  return connections.sort((a, b) => urgencyOf(a.state) - urgencyOf(b.state) || a.id.localeCompare(b.id));
}

/** Requests per minute: `exact` by credential, as far as it was looked at for long enough; `byRuns` by connection. */
function toBudgets(
  rows: readonly BudgetStatus[],
  configured: readonly OpsConnection[],
  exact: ReadonlyMap<string, number>,
  byRuns: ReadonlyMap<string, number>,
): BudgetFacts[] {
  const byCredential = groupBy(configured, ({ credential }) => credential);
  return rows.flatMap(({ credential, base_spacing_ms, spacing_ms, blocked_until, blocked_reason, day }) => {
    const sharers = byCredential.get(credential) ?? [];
    // A row that is no longer used is left out.
    if (configured.length > 0 && sharers.length === 0) return [];
    const limit = sharers[0]?.requestsPerMinute ?? Math.round(60_000 / base_spacing_ms);
    return [
      {
        credential,
        connections: sharers.map(({ id }) => id),
        used_per_minute: exact.get(credential) ?? sharers.reduce((sum, { id }) => sum + (byRuns.get(id) ?? 0), 0),
        allowed_per_minute: spacing_ms > base_spacing_ms ? Math.max(1, Math.round(60_000 / spacing_ms)) : limit,
        configured_per_minute: limit,
        blocked_until,
        blocked_reason,
        used_today: day?.used ?? null,
        allowed_per_day: day?.limit ?? null,
      },
    ];
  });
}

export function toRunFacts(run: RunRecord): RunFacts {
  const { connection_id, stream, pass, requests, pages, read, created, updated, unchanged, deleted } = run;
  const { quarantined, idle_runs, started_at, ended_at, error_code, error_message } = run;
  return {
    ...{ connection_id, stream, pass, requests, pages, read, created, updated, unchanged, deleted, quarantined },
    ...{ idle_runs, started_at, ended_at },
    id: Number(run.id),
    lane: laneOf(pass),
    outcome: run.outcome ?? 'running',
    error: error_code === null ? null : { code: error_code, message: error_message ?? error_code },
  };
}
