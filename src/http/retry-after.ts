/** When to ask again. The server's own timing wins and takes no jitter; an unreadable header loses only its hint. */

/** The longest that a server may send us away at once: a wrong clock must not stop a mirror for a day. */
export const MAX_RETRY_AFTER_MS = 60 * 60_000;

const SECONDS = /^-?\d+(?:\.\d+)?(?:[eE]\+?\d+)?$/;
// The three forms of RFC 9110, 5.6.7. `Date.parse` alone takes nearly anything for a date: it reads "-5" as May 2001.
const HTTP_DATE = '[A-Z][a-z]{2}, \\d{2} [A-Z][a-z]{2} \\d{4} \\d{2}:\\d{2}:\\d{2} (?:GMT|UTC)';
const RFC850_DATE = '[A-Z][a-z]{5,8}, \\d{2}-[A-Z][a-z]{2}-\\d{2} \\d{2}:\\d{2}:\\d{2} GMT';
const ASCTIME_DATE = '[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d \\d{2}:\\d{2}:\\d{2} \\d{4}';
const DATES = new RegExp(`${HTTP_DATE}|${RFC850_DATE}|${ASCTIME_DATE}`, 'g');

/** The values of a header sent several times, joined by commas; dates, in ms since 1970, hold commas of their own. */
function valuesOf(header: string | null | undefined): {
  readonly dates: readonly number[];
  readonly texts: readonly string[];
} {
  const text = header ?? '';
  // The last form names no zone and means UTC; without one it would be read as local time.
  const dates = (text.match(DATES) ?? []).map((date) => Date.parse(/(GMT|UTC)$/.test(date) ? date : `${date} GMT`));
  const texts = text
    .replace(DATES, '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  return { dates: dates.filter((time) => !Number.isNaN(time)), texts };
}

/** An HTTP date in ms since 1970, of several the earliest; null when there is none, or anything beside it. */
export function parseHttpDate(header: string | null | undefined): number | null {
  const { dates, texts } = valuesOf(header);
  return dates.length === 0 || texts.length > 0 ? null : Math.min(...dates);
}

/**
 * Whole ms up to {@link MAX_RETRY_AFTER_MS}, of several values the largest; null: unreadable. A date is measured
 * against the answer's own `Date` where there is one.
 */
export function parseRetryAfter(
  header: string | null | undefined,
  nowMs: number,
  serverDateMs?: number | null,
): number | null {
  const { dates, texts } = valuesOf(header);
  const waits = [
    ...dates.map((date) => date - (serverDateMs ?? nowMs)),
    ...texts.filter((text) => SECONDS.test(text)).map((text) => Number(text) * 1000),
  ];
  return waits.length === 0 ? null : clamp(Math.ceil(Math.max(...waits)));
}

/** Exponential growth without the jitter: the longest that {@link backoffMs} may answer. `attempt` counts from 1. */
export function backoffCeilingMs(options: { attempt: number; baseMs: number; capMs: number }): number {
  // Thirty doublings are beyond any cap; without a bound the power overflows, and nothing times infinity is no number.
  const doublings = Math.min(Math.max(1, options.attempt) - 1, 30);
  return Math.min(options.capMs, options.baseMs * 2 ** doublings);
}

/** Exponential backoff with full jitter, so that workers that failed together do not retry together. */
export function backoffMs(options: { attempt: number; baseMs: number; capMs: number; random: () => number }): number {
  return Math.round(options.random() * backoffCeilingMs(options));
}

function clamp(waitMs: number): number {
  return Math.min(Math.max(0, waitMs), MAX_RETRY_AFTER_MS);
}
