import type { RunResult } from '../src/sync/run-pass.ts';
import type { RunJob } from './run-job.ts';

/** What the queue does with a job after its run. */
export type JobOutcome =
  | { readonly kind: 'done' }
  /** Not now: the same job again after a while, no attempt counted. */
  | { readonly kind: 'delay'; readonly delayMs: number; readonly postponed: NonNullable<RunJob['postponed']> }
  /** Postponed too often: the next tick begins anew, from the checkpoint. */
  | { readonly kind: 'give_up' }
  /** Others wait for its slot: it goes behind them. It made progress, so earlier postponements no longer count. */
  | { readonly kind: 'yield' }
  /** Action required: no sign-in at every tick meanwhile. */
  | { readonly kind: 'cool_down' }
  /** This process stops: another one goes on. */
  | { readonly kind: 'hand_back' };

const MIN_DELAY_MS = 1_000;
const MAX_DELAY_MS = 15 * 60_000;
const MAX_POSTPONEMENTS = 100;
const MAX_POSTPONED_MS = 24 * 3_600_000;

export function jobOutcomeOf(
  { outcome, error, retryInMs }: Pick<RunResult, 'outcome' | 'error' | 'retryInMs'>,
  { postponed }: Pick<RunJob, 'postponed'>,
  nowMs: number,
): JobOutcome {
  switch (outcome) {
    case 'succeeded':
    case 'partial':
      return { kind: 'done' };
    case 'failed':
      return { kind: isActionRequired(error?.code ?? '') ? 'cool_down' : 'done' };
    case 'cancelled':
      return { kind: error?.code === 'stopped' ? 'hand_back' : 'done' };
    case 'postponed': {
      if (error?.code === 'yielded') return { kind: 'yield' };
      // Without a time there is nothing to wait for here: a reconcile before the first full read, for one.
      if (retryInMs === null) return { kind: 'done' };
      const { count, since } = postponed ?? { count: 0, since: nowMs };
      if (count >= MAX_POSTPONEMENTS || nowMs - since >= MAX_POSTPONED_MS) return { kind: 'give_up' };
      const delayMs = Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, Math.ceil(retryInMs)));
      return { kind: 'delay', delayMs, postponed: { count: count + 1, since } };
    }
    default:
      return outcome satisfies never;
  }
}

/** Refusals that no repetition changes: credentials, rights, a wrong address. */
export function isActionRequired(code: string): boolean {
  return code.startsWith('auth_') || code === 'project_not_found' || code === 'wrong_base_url';
}

/** Connections that are paused for a while after a failure, in this process only: a restart tries at once. */
export class Cooldown {
  readonly #until = new Map<string, number>();

  start(connection: string, nowMs: number): void {
    this.#until.set(connection, nowMs + MAX_DELAY_MS);
  }

  end(connection: string): void {
    this.#until.delete(connection);
  }

  isActive(connection: string, nowMs: number): boolean {
    return (this.#until.get(connection) ?? 0) > nowMs;
  }
}
