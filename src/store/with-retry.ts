import pRetry from 'p-retry';
import type { Clock } from '../clock.ts';
import type { Logger } from '../logger.ts';
import { isRetryableDatabaseError } from './faults.ts';

export interface RetryOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stream: string;
  /** Ends the waiting, not a try: a page that has arrived is written also when the run stops. */
  readonly signal: AbortSignal;
}

const ATTEMPTS = 8;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

/**
 * Does a transaction again after a deadlock, a serialization failure or a lost connection: at most eight times, 100 ms
 * to 5 s apart.
 * @throws the last error, or an AbortError when the signal fired during a wait
 */
export function withRetry<T>({ clock, logger, stream, signal }: RetryOptions, work: () => Promise<T>): Promise<T> {
  return pRetry(work, {
    retries: ATTEMPTS - 1,
    // The one wait is below.
    minTimeout: 0,
    maxTimeout: 0,
    shouldRetry: ({ error }) => isRetryableDatabaseError(error),
    async onFailedAttempt({ error, attemptNumber: attempt, retriesLeft }) {
      if (retriesLeft === 0 || !isRetryableDatabaseError(error)) return;
      const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
      logger.warn({ stream, attempt, waitMs }, 'not written, trying again');
      await clock.sleep(waitMs, signal);
    },
  });
}
