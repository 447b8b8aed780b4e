import { RateLimitedError, TransientError, UpstreamContractError } from '../errors.ts';
import { backoffCeilingMs, backoffMs } from './retry-after.ts';

/**
 * What to do after a transient failure, decided from data alone:
 *
 *   tries and time left            -> wait, ask again
 *   429 or 503, given up           -> RateLimitedError: the work is postponed
 *   a body that stays unreadable   -> UpstreamContractError
 *   other failures, given up       -> TransientError
 */

const BACKOFF_CAP_MS = 30_000;
const DEFAULT_BACKOFF_BASE_MS = 500;

/** Where the backoff starts when the server gives no time: a limit takes longer to pass than a lost connection. */
const BACKOFF_BASE_MS: Readonly<Record<number, number>> = { 429: 5_000, 503: 1_000 };

/** Refusals that pass by themselves, besides every 5xx: gateways add numbers of their own (520, 529). */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([408, 425, 429]);

export function isTransientStatus(status: number): boolean {
  return TRANSIENT_STATUSES.has(status) || (status >= 500 && status <= 599);
}

export function isPushback(status: number | null): boolean {
  return status === 429 || status === 503;
}

/** The server's state by a failure: `network`, `timeout` or a 5xx status; null where it answered. */
export function failureReason({ code, status }: TransientError): string | null {
  if (code === 'network' || code === 'timeout') return code;
  return status !== null && status >= 500 ? String(status) : null;
}

interface RetryLimits {
  readonly attempt: number;
  readonly attempts: number;
  readonly elapsedMs: number;
  readonly maxTotalMs: number;
  readonly maxWaitMs: number;
  readonly random: () => number;
}

type RetryPlan =
  | { readonly kind: 'wait'; readonly waitMs: number }
  /** `waitMs`: how long to stay away before the whole call is worth repeating. */
  | { readonly kind: 'give_up'; readonly because: 'attempts' | 'time' | 'wait'; readonly waitMs: number };

export function planRetry(error: TransientError, limits: RetryLimits): RetryPlan {
  const backoff = {
    attempt: limits.attempt,
    baseMs: BACKOFF_BASE_MS[error.status ?? 0] ?? DEFAULT_BACKOFF_BASE_MS,
    capMs: BACKOFF_CAP_MS,
  };
  const waitMs = error.retryAfterMs ?? backoffMs({ ...backoff, random: limits.random });
  const giveUp = (because: 'attempts' | 'time' | 'wait'): RetryPlan => ({
    kind: 'give_up',
    because,
    // Without jitter: a postponed job that drew a nought would come straight back.
    waitMs: error.retryAfterMs || backoffCeilingMs(backoff),
  });
  if (limits.attempt >= limits.attempts) return giveUp('attempts');
  if (waitMs > limits.maxWaitMs) return giveUp('wait');
  if (limits.elapsedMs + waitMs > limits.maxTotalMs) return giveUp('time');
  return { kind: 'wait', waitMs };
}

export function givenUpError(
  error: TransientError,
  plan: Extract<RetryPlan, { kind: 'give_up' }>,
  attempt: number,
): RateLimitedError | UpstreamContractError | TransientError {
  const tries = attempt === 1 ? '' : ` (after ${attempt} attempts)`;
  if (isPushback(error.status)) {
    const seconds = Math.ceil(plan.waitMs / 1000);
    return new RateLimitedError(`${error.message}${tries}; the next try is due in ${seconds} s`, {
      waitMs: plan.waitMs,
      cause: error,
    });
  }
  if (error.code === 'upstream_garbled' && plan.because === 'attempts') {
    return new UpstreamContractError('not_json', `${error.message}${tries}`, { cause: error });
  }
  if (tries === '') return error;
  const { status, retryAfterMs } = error;
  return new TransientError(error.code, `${error.message}${tries}`, { cause: error, status, retryAfterMs });
}
