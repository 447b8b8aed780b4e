import type { Clock } from '../clock.ts';

/**
 * How often one credential may ask. A budget answers "how long to wait" and lets the caller wait, so nothing here needs a timer.
 *
 * The rule is a leaky bucket (GCRA): each request moves the *theoretical time* one spacing on, and a request may come up to
 * burst − 1 spacings before it. With spacing = 60 s / (limit − burst), any limit + 1 requests in a row span more than a minute, so no
 * rolling minute exceeds the limit; counters per calendar minute let up to twice as many through at the turn of the minute.
 */

export interface RequestBudget {
  /** Reserves the next slot when it is at most maxWaitMs away; else reserves nothing. */
  take(maxWaitMs: number): Promise<{ granted: boolean; waitMs: number }>;
  /** Nobody asks before now + waitMs (Retry-After). */
  block(waitMs: number, reason: string): Promise<void>;
  /** A 429 without guidance: spacing doubles (bounded). */
  slowDown(): Promise<void>;
  /** A success after slowing down: one step back towards the configured spacing; cheap no-op when already there. */
  recover(): Promise<void>;
}

/** How many requests may come at once after a pause. */
export const BURST = 5;

/** The spacing never grows beyond this many times the configured one. */
export const MAX_SLOWDOWN = 16;

/** The burst that goes with {@link spacingMs}: a limit of five or less has no room for one. */
export function burstOf(requestsPerMinute: number): number {
  return requestsPerMinute > BURST ? BURST : 1;
}

/** The time between two requests in a steady row. Limits barely above the burst come out slow (6/min: one a minute), never fast. */
export function spacingMs(requestsPerMinute: number): number {
  return requestsPerMinute > BURST ? 60_000 / (requestsPerMinute - BURST) : 60_000 / requestsPerMinute;
}

/** The spacing after one more 429 without guidance. */
export function slowedSpacingMs(currentMs: number, requestsPerMinute: number): number {
  return Math.min(currentMs * 2, spacingMs(requestsPerMinute) * MAX_SLOWDOWN);
}

/** The spacing after one more success: a tenth less, so that one lucky answer does not undo a slow-down at once. */
export function recoveredSpacingMs(currentMs: number, requestsPerMinute: number): number {
  return Math.max(currentMs * 0.9, spacingMs(requestsPerMinute));
}

/** How far before the theoretical time a request may come. While slowed there is no burst: that is what was just refused. */
export function burstToleranceMs(currentSpacingMs: number, requestsPerMinute: number): number {
  const configured = spacingMs(requestsPerMinute);
  return currentSpacingMs > configured ? 0 : (burstOf(requestsPerMinute) - 1) * configured;
}

/** A budget inside one process, for commands that run without a database. Shared by nobody: one per credential and process. */
export function createLocalBudget(requestsPerMinute: number, clock: Clock): RequestBudget {
  let spacing = spacingMs(requestsPerMinute);
  let theoretical = Number.NEGATIVE_INFINITY;
  let blockedUntil = Number.NEGATIVE_INFINITY;

  return {
    async take(maxWaitMs) {
      const now = clock.now();
      const at = Math.max(now, blockedUntil, theoretical - burstToleranceMs(spacing, requestsPerMinute));
      // Whole milliseconds, rounded up: timers drop fractions, and a request must not leave early. Less than a hundredth is what
      // floating-point sums of fractional spacings leave over, not a wait.
      const waitMs = Math.max(0, Math.ceil(at - now - 0.01));
      if (waitMs > maxWaitMs) return { granted: false, waitMs };
      theoretical = Math.max(theoretical, at) + spacing;
      return { granted: true, waitMs };
    },
    async block(waitMs) {
      blockedUntil = Math.max(blockedUntil, clock.now() + waitMs);
    },
    async slowDown() {
      spacing = slowedSpacingMs(spacing, requestsPerMinute);
    },
    async recover() {
      spacing = recoveredSpacingMs(spacing, requestsPerMinute);
    },
  };
}
