import { CronExpressionParser } from 'cron-parser';

export interface Schedule {
  /** Five fields, or six with seconds first. */
  readonly cron: string;
  /** IANA name in which the fields are read. */
  readonly timezone: string;
}

/** The next tick after `fromMs` (ms since 1970). */
export function nextTick({ cron, timezone }: Schedule, fromMs: number): number {
  return CronExpressionParser.parse(cron, { tz: timezone, currentDate: new Date(fromMs) })
    .next()
    .getTime();
}

const SECOND = 1000;
const DAY = 86_400;
/** How many days of a schedule are read: enough for every weekday pattern, and for a year of months. */
const DAYS_TO_SEE = 24;

/** The pauses between the ticks of a cron, nights and weekends included. Days of 24 hours are assumed. */
export function pausesOf(cron: string, fromMs: number): { readonly shortestMs: number; readonly longestMs: number } {
  const { second, minute, hour } = CronExpressionParser.parse(cron, { tz: 'UTC' }).fields;
  let [first, last, shortest, longest] = [-1, -1, Number.POSITIVE_INFINITY, 0];
  for (const h of hour.values) {
    for (const m of minute.values) {
      for (const s of second.values) {
        const at = h * 3600 + m * 60 + s;
        if (first < 0) [first, last] = [at, at];
        else [last, shortest, longest] = [at, Math.min(shortest, at - last), Math.max(longest, at - last)];
      }
    }
  }
  const overnight = daysBetween(cron, fromMs).map((days) => days * DAY - last + first);
  return {
    shortestMs: Math.min(shortest, ...overnight) * SECOND,
    longestMs: Math.max(longest, ...overnight) * SECOND,
  };
}

/** The distances of its days from one another; every day: 1. */
function daysBetween(cron: string, fromMs: number): number[] {
  const days = cron.trim().split(/\s+/).slice(-3);
  if (days.every((field) => field === '*' || field === '?')) return [1];
  const ticks = CronExpressionParser.parse(`0 0 0 ${days.join(' ')}`, { tz: 'UTC', currentDate: new Date(fromMs) });
  const distances: number[] = [];
  let at = ticks.next().getTime();
  for (let i = 0; i < DAYS_TO_SEE; i++) {
    const next = ticks.next().getTime();
    distances.push(Math.round((next - at) / (DAY * SECOND)));
    at = next;
  }
  return distances;
}

/**
 * Late: more than two ticks missed, with two minutes for the runs. Full syncs count where nothing else runs. 0: nothing
 * keeps the stream up to date, so it is never called fresh.
 */
export function freshWithinSeconds(
  { incremental, reconcile }: { readonly incremental: string | null; readonly reconcile: string | null },
  fromMs: number,
): number {
  const cron = incremental ?? reconcile;
  if (cron === null) return 0;
  return Math.ceil((pausesOf(cron, fromMs).longestMs * 2) / SECOND) + 120;
}
