import type { ProcessRecord } from '../store/engine/processes.ts';
import type { RunRecord } from '../store/engine/runs.ts';
import type { ErasureDay } from '../store/privacy/erasure-counts.ts';
import type { PassError } from '../store/reports/run-history.ts';
import type { StreamState, StreamStatus } from '../store/reports/status.ts';
import type { Lane, Outcome } from '../stream.ts';
import type { DayFacts } from './day-strip.ts';
import type { NextRun, QueueHealth } from './parts.ts';
import type { RunProgress } from './progress.ts';
import type { NextStep } from './reasons.ts';

/**
 * What `/api/status` answers, and all that the page shows: docs/api-status.schema.json. Fields are added within a
 * version; one that goes or changes its meaning makes a new version. Times are written as ISO 8601 in UTC.
 */
export const STATUS_VERSION = 1;

export interface StatusDocument {
  readonly version: typeof STATUS_VERSION;
  readonly generated_at: Date;
  readonly summary: Summary;
  readonly connections: readonly ConnectionStatus[];
  readonly streams: readonly StreamFacts[];
  readonly budgets: readonly BudgetFacts[];
  /** Null where this process has no queue. */
  readonly queue: QueueHealth | null;
  /** Daemon processes that showed a sign of life within a day, living ones first. */
  readonly processes: readonly ProcessRecord[];
  readonly runs: readonly RunFacts[];
  readonly erasures: ErasureFacts;
}

export interface ErasureFacts {
  readonly total: number;
  /** Stopped, or something of the person was found afterwards. */
  readonly unfinished: number;
  /** The newest days on which erasures were asked for. */
  readonly days: readonly ErasureDay[];
  /** Why no run begins: the database lacks erasures of the journal, or there is no journal. Null: nothing is missing. */
  readonly problem: { readonly code: string; readonly message: string } | null;
}

export interface Summary {
  readonly streams: number;
  /** The state that most needs a person; null without a stream. */
  readonly worst: StreamState | null;
  readonly by_state: Readonly<Record<StreamState, number>>;
}

export interface ConnectionStatus {
  readonly id: string;
  /** How people call it: by its label, else by its own name upstream; null: by its id. */
  readonly label: string | null;
  readonly source: string;
  readonly state: StreamState;
  /** Whose budget it takes its requests from; null when it is not configured in this process. */
  readonly credential: string | null;
}

/** A line of `sync.status`, and what else is known of the stream. */
export interface StreamFacts
  extends Omit<StreamStatus, 'lag_seconds' | 'verified_rows' | 'unlisted_rows' | 'open_quarantine'> {
  readonly lag_seconds: number | null;
  readonly verified_rows: number | null;
  readonly unlisted_rows: number | null;
  readonly open_quarantine: number;
  readonly next_step: NextStep;
  readonly rows: number;
  readonly deleted_rows: number;
  readonly running: RunProgress | null;
  readonly next_runs: readonly NextRun[];
  /** Between two incremental passes where that follows what changes; null: a cron decides, or none ran yet. */
  readonly interval_seconds: number | null;
  readonly paused_at: Date | null;
  /** `blocked`: the deletion guard blocks deletions; `accepted`: the next full sync marks them. */
  readonly deletions: 'blocked' | 'accepted' | null;
  /** How the newest run of any pass went wrong, where it did. */
  readonly last_error: Omit<PassError, 'connection_id' | 'stream'> | null;
  readonly last_24h: DayFacts;
}

export interface BudgetFacts {
  readonly credential: string;
  readonly connections: readonly string[];
  /** Requests of the last minute; about, until the second look. */
  readonly used_per_minute: number;
  /** What is asked for now; less than configured after a refusal without guidance. */
  readonly allowed_per_minute: number;
  readonly configured_per_minute: number;
  readonly blocked_until: Date | null;
  readonly blocked_reason: string | null;
  /** Requests of this day, where the account has a limit of a day; null: it has none. */
  readonly used_today: number | null;
  readonly allowed_per_day: number | null;
}

export interface RunFacts extends Omit<RunRecord, 'id' | 'outcome' | 'watermark' | 'error_code' | 'error_message'> {
  readonly id: number;
  readonly lane: Lane;
  /** `running` while it has not ended. */
  readonly outcome: Outcome | 'running';
  readonly error: { readonly code: string; readonly message: string } | null;
}

export const nameOf = ({ id, label }: Pick<ConnectionStatus, 'id' | 'label'>): string => label ?? id;

/** From the one that most needs a person to the one that needs none. */
export const STATES_BY_URGENCY: readonly StreamState[] = [
  'blocked',
  'partial',
  'stale',
  'never',
  'syncing',
  'paused',
  'fresh',
];

export const urgencyOf = (state: StreamState): number => STATES_BY_URGENCY.indexOf(state);

export const isProblem = (state: StreamState): boolean =>
  state === 'blocked' || state === 'partial' || state === 'stale';
