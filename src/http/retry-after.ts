/**
 * When to ask again, as plain arithmetic: nothing here sleeps or reads a clock.
 *
 * The server's own timing (`Retry-After`) wins over our guess and takes no jitter: it is the one party that knows. A header that
 * cannot be read loses only its hint.
 */

/** No server may send us away for longer than this at once; a wrong clock or a typo must not park a mirror for a year. */
export const MAX_RETRY_AFTER_MS = 24 * 60 * 60_000;

const SECONDS = /^-?\d+(?:\.\d+)?$/;
// The three forms of RFC 9110, 5.6.7. `Date.parse` alone takes nearly anything for a date: it reads "-5" as May 2001.
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} (?:GMT|UTC)$/;
const RFC850_DATE = /^[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/;
const ASCTIME_DATE = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/;

/** An HTTP date in ms since 1970; null when it is absent or not one. */
export function parseHttpDate(text: string | null | undefined): number | null {
  const date = text?.trim() ?? '';
  const time = ASCTIME_DATE.test(date)
    ? Date.parse(`${date} GMT`) // This form names no zone and means UTC; without one it would be read as local time.
    : HTTP_DATE.test(date) || RFC850_DATE.test(date)
      ? Date.parse(date)
      : Number.NaN;
  return Number.isNaN(time) ? null : time;
}

/**
 * How long a `Retry-After` header asks to stay away, in whole ms from 0 to {@link MAX_RETRY_AFTER_MS}; null when it says nothing
 * readable.
 *
 * A date is measured against the answer's own `Date` header where there is one: the two come from one clock, ours may differ.
 */
export function parseRetryAfter(
  header: string | null | undefined,
  nowMs: number,
  serverDateMs?: number | null,
): number | null {
  const text = header?.trim() ?? '';
  if (SECONDS.test(text)) return clamp(Math.ceil(Number(text) * 1000));
  const date = parseHttpDate(text);
  return date === null ? null : clamp(Math.ceil(date - (serverDateMs ?? nowMs)));
}

/** Exponential growth without the jitter: the longest that {@link backoffMs} may answer. `attempt` counts from 1. */
export function backoffCeilingMs(options: { attempt: number; baseMs: number; capMs: number }): number {
  // Thirty doublings are beyond any cap; without a bound the power overflows, and nothing times infinity is no number.
  const doublings = Math.min(Math.max(1, options.attempt) - 1, 30);
  return Math.min(options.capMs, options.baseMs * 2 ** doublings);
}

/**
 * Exponential backoff with full jitter: anywhere between nothing and the ceiling, so that many workers that failed together do
 * not come back together. `random` answers from 0 (inclusive) to 1 (exclusive).
 */
export function backoffMs(options: { attempt: number; baseMs: number; capMs: number; random: () => number }): number {
  return Math.round(options.random() * backoffCeilingMs(options));
}

function clamp(waitMs: number): number {
  return Math.min(Math.max(0, waitMs), MAX_RETRY_AFTER_MS);
}
