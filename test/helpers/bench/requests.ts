/** What an upstream's own log says about a client. Times are those of the log: when a call came in, ms since 1970. */
import type { RequestLogEntry } from '../../../sandbox/serve.ts';

type Logged = Pick<RequestLogEntry, 'at' | 'status' | 'retryAfterMs'>;

/** Answers other than the refusals of the limit itself: what was used of the allowance. */
const isAdmitted = ({ status }: Logged): boolean => status !== 429;

/** The most calls in any window of that length, refused ones included. */
export function busiestWindow(log: readonly Logged[], windowMs: number): number {
  const times = log.map(({ at }) => at).sort((a, b) => a - b);
  let most = 0;
  for (let first = 0, last = 0; last < times.length; last++) {
    while ((times[last] as number) - (times[first] as number) >= windowMs) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

export interface UseOfLimit {
  readonly requests: number;
  readonly refused: number;
  /** Share of what the limit allows in that time, 0 to 1. */
  readonly used: number;
}

export function useOfLimit(
  log: readonly Logged[],
  { fromMs, toMs, perWindow, windowMs }: { fromMs: number; toMs: number; perWindow: number; windowMs: number },
): UseOfLimit {
  const steady = log.filter(({ at }) => at >= fromMs && at < toMs);
  const admitted = steady.filter(isAdmitted).length;
  return {
    requests: steady.length,
    refused: steady.length - admitted,
    used: admitted / ((perWindow * (toMs - fromMs)) / windowMs),
  };
}

export interface Trespasses {
  /** Answers that carried a Retry-After. */
  readonly hints: number;
  /** Calls that came in while a Retry-After was running, later than could have been under way when it was sent. */
  readonly inside: number;
  /** Calls that came in so soon after it that they were probably under way. */
  readonly underWay: number;
  /** How long after the Retry-After had been sent they came, ms. */
  readonly afterMs: readonly number[];
}

export function trespasses(log: readonly Logged[], underWayMs: number): Trespasses {
  const calls = [...log].sort((a, b) => a.at - b.at);
  let hints = 0;
  let underWay = 0;
  const afterMs: number[] = [];
  // The one that runs longest counts; who comes inside two of them comes inside once.
  let running: { sentAt: number; until: number } | null = null;
  for (const { at, retryAfterMs } of calls) {
    if (running !== null && at < running.until) {
      const after = at - running.sentAt;
      if (after <= underWayMs) underWay += 1;
      else afterMs.push(after);
    }
    if (retryAfterMs === undefined) continue;
    hints += 1;
    if (running === null || at + retryAfterMs > running.until) running = { sentAt: at, until: at + retryAfterMs };
  }
  return { hints, inside: afterMs.length, underWay, afterMs };
}
