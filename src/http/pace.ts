import type { Lane } from '../stream.ts';

/**
 * How fast one credential may ask: a leaky bucket (GCRA), in ms. Each request moves a *theoretical time* one spacing
 * on, and may come up to burst − 1 spacings before it. With spacing = 60 s / (limit − burst), any limit + 1 requests in
 * a row span more than a minute.
 */

export const BURST = 5;

export const MAX_SLOWDOWN = 16;

/** The burst that goes with {@link spacingMs}: a limit of five or less has no room for one. */
export function burstOf(requestsPerMinute: number): number {
  return requestsPerMinute > BURST ? BURST : 1;
}

/** The time between two requests in a steady row. Limits barely above the burst come out slow, never fast. */
export const spacingMs = (requests: number, windowMs = 60_000): number =>
  windowMs / (requests > BURST ? requests - BURST : requests);

/** What a success leaves of a slow-down: a tenth less, so that one lucky answer does not undo it at once. */
export const RECOVERY = 0.9;

export interface AnnouncedLimit {
  readonly requests: number;
  readonly windowMs: number;
}

export const LEARNT_FOR_MS = 60 * 60_000;

/** The spacing of an announced limit, bounded: no header stops the mirror. Null: no lower than the configured one. */
export function learntSpacingMs({ requests, windowMs }: AnnouncedLimit, requestsPerMinute: number): number | null {
  const configured = spacingMs(requestsPerMinute);
  const announced = spacingMs(requests, windowMs);
  return announced > configured ? Math.min(announced, configured * MAX_SLOWDOWN) : null;
}

export interface Pace {
  readonly spacingMs: number;
  readonly normalMs: number;
  readonly burst: number;
}

/** Where the credential stands, in ms of one clock; −Infinity for what never was. */
export interface Line {
  /** Theoretical time of the four fifths that both lanes may use. */
  readonly sharedAt: number;
  /** Theoretical time of the fifth that is the fast lane's; bulk takes the unused part of it. */
  readonly fastAt: number;
  readonly blockedUntil: number;
  /** A request of the fast lane waits until about then; its part is kept for the next one meanwhile. */
  readonly fastBusyUntil: number;
  /** A request of the bulk lane waits, or was postponed, until then. */
  readonly bulkBusyUntil: number;
}

const NEVER = Number.NEGATIVE_INFINITY;
export const EMPTY_LINE: Line = {
  sharedAt: NEVER,
  fastAt: NEVER,
  blockedUntil: NEVER,
  fastBusyUntil: NEVER,
  bulkBusyUntil: NEVER,
};

/** The fast lane's part of the allowance while it has work. */
const FAST_SHARE = 0.2;

/**
 * How early, in spacings of the whole, one part alone may be used, so that a little lateness loses nothing. After each
 * grant at a time `t` the shared part's theoretical time is at most t + 5 spacings and the fast part's t + 8.75: 5.75
 * requests more than the spacing allows, and only six would break the rolling minute.
 */
const EARLY = 3.75;

/** How many ms ahead fast fills the shared part while bulk has work too: less than a worker may wait. */
const FAST_AHEAD_MS = 2_000;

/** How many spacings after a slot that fast waited for its part is kept for it. Less than {@link EARLY}. */
const KEPT_FOR_FAST = 3;

/**
 * The next slot for a lane, reserved when it is at most maxWaitMs away. The earliest counter that is open pays:
 *
 *   whole    both parts move on by one spacing: plain GCRA. For the fast lane
 *   shared   four fifths, 1.25 spacings each. For both lanes
 *   fast     one fifth, 5 spacings each. For the fast lane; for bulk only what is free at once
 *
 * So bulk alone gets all, bulk beside a busy fast lane at most 80 %, and a lone fast request waits at most 5 spacings.
 */
export function takeSlot(
  line: Line,
  pace: Pace,
  { now, lane, maxWaitMs }: { readonly now: number; readonly lane: Lane; readonly maxWaitMs: number },
): { readonly line: Line; readonly granted: boolean; readonly waitMs: number } {
  const spacing = pace.spacingMs;
  // While slowed there is no burst: that is what was just refused.
  const isSlowed = spacing > pace.normalMs;
  // A limit without room for a burst has none for two parts either.
  const hasLanes = pace.burst > 1;
  const early = isSlowed ? 0 : EARLY * spacing;
  const from = Math.max(now, line.blockedUntil);
  const whole = Math.max(from, Math.max(line.sharedAt, line.fastAt) - (isSlowed ? 0 : (pace.burst - 1) * spacing));
  const shared = Math.max(from, line.sharedAt - early);
  const fast = Math.max(from, line.fastAt - early);

  const isFast = lane === 'fast';
  const mayFillShared = (at: number) => !isFast || now >= line.bulkBusyUntil || at <= from + FAST_AHEAD_MS;
  const open = (at: number, isOpen: boolean) => (isOpen ? at : Number.POSITIVE_INFINITY);
  const wholeAt = open(whole, !hasLanes || (isFast && mayFillShared(whole)));
  const sharedAt = open(shared, hasLanes && mayFillShared(shared));
  const fastAt = open(fast, hasLanes && (isFast || (fast <= from && now >= line.fastBusyUntil)));
  const at = Math.min(wholeAt, sharedAt, fastAt);

  // Whole ms, rounded up: timers drop fractions, and a request must not leave early. Less than a hundredth is no wait.
  const waitMs = Math.max(0, Math.ceil(at - now - 0.01));
  const granted = waitMs <= maxWaitMs;
  const next = { ...line };
  if (granted && at === wholeAt) {
    next.sharedAt = Math.max(line.sharedAt, at) + spacing;
    next.fastAt = Math.max(line.fastAt, at) + spacing;
  } else if (granted && at === sharedAt) {
    next.sharedAt = Math.max(line.sharedAt, at) + spacing / (1 - FAST_SHARE);
  } else if (granted) {
    next.fastAt = Math.max(line.fastAt, at) + spacing / FAST_SHARE;
  }
  if (waitMs > 0 && isFast) next.fastBusyUntil = Math.max(line.fastBusyUntil, at + KEPT_FOR_FAST * spacing);
  if (waitMs > 0 && !isFast) next.bulkBusyUntil = Math.max(line.bulkBusyUntil, at + spacing / (1 - FAST_SHARE));
  return { line: next, granted, waitMs };
}
