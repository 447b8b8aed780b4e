import type { ProcessRecord } from '../store/engine/processes.ts';
import type { StreamState } from '../store/reports/status.ts';
import type { Lane, Outcome, Pass, QueuedPass } from '../stream.ts';
import type { NextStep } from './next-step.ts';
import type { QueueHealth } from './parts.ts';
import type { Progress } from './progress.ts';

/**
 * What `/api/status` answers, and all that the page shows. Documented in docs/api-status.schema.json. Fields are added within a version; one that goes
 * or changes its meaning makes a new version. Times are written as ISO 8601 in UTC.
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
  /** The newest first. */
  readonly runs: readonly RunFacts[];
}

export interface Summary {
  readonly streams: number;
  /** The state that most needs a person; null without a stream. */
  readonly worst: StreamState | null;
  readonly by_state: Readonly<Record<StreamState, number>>;
}

export interface ConnectionStatus {
  readonly id: string;
  readonly source: string;
  /** The worst of its streams. */
  readonly state: StreamState;
  /** Whose budget it takes its requests from; null when it is not configured in this process. */
  readonly credential: string | null;
}

export interface StreamFacts {
  readonly connection_id: string;
  readonly stream: string;
  readonly state: StreamState;
  readonly reason: string;
  /** The same as a stable word. */
  readonly reason_code: string;
  readonly since: Date | null;
  readonly next_step: NextStep;
  readonly as_of: Date | null;
  readonly lag_seconds: number | null;
  readonly last_success_at: Date | null;
  readonly backfill_completed_at: Date | null;
  readonly rows: number;
  readonly deleted_rows: number;
  readonly watermark: Readonly<Record<string, string>> | null;
  readonly proof_at: Date | null;
  readonly proof_rows: number | null;
  readonly proof_share: number | null;
  readonly proof_differences: number | null;
  readonly open_quarantine: number;
  readonly notice: string | null;
  readonly running_pass: string | null;
  readonly running: Progress | null;
  readonly next_runs: readonly { readonly pass: QueuedPass; readonly at: Date }[];
  readonly paused_at: Date | null;
  /** `held`: the brake holds deletions back; `accepted`: a person allowed them, the next full walk marks them. */
  readonly deletions: 'held' | 'accepted' | null;
  /** How the newest run of any pass went wrong, where it did. */
  readonly last_error: ErrorFacts | null;
  readonly last_24h: DayFacts;
}

export interface ErrorFacts {
  readonly pass: Pass;
  readonly outcome: Outcome;
  readonly code: string;
  readonly message: string;
  readonly at: Date;
}

export interface DayFacts {
  readonly runs: number;
  readonly failed: number;
  readonly partial: number;
  readonly postponed: number;
  readonly changes: number;
  /** 48 half hours, oldest first, each with the worst outcome of its runs. */
  readonly slots: readonly string[];
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
}

export interface RunFacts {
  readonly id: number;
  readonly connection_id: string;
  readonly stream: string;
  readonly pass: Pass;
  readonly lane: Lane;
  /** `running` while it has not ended. */
  readonly outcome: Outcome | 'running';
  readonly requests: number;
  readonly pages: number;
  readonly read: number;
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly deleted: number;
  readonly quarantined: number;
  readonly idle_runs: number;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly started_at: Date;
  readonly ended_at: Date | null;
}

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

/** These are somebody's business; the others are on their way or as wanted. */
export const isProblem = (state: StreamState): boolean =>
  state === 'blocked' || state === 'partial' || state === 'stale';
