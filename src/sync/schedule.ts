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

/** The longest pause between ticks within the next two dozen: schedules need not be even. */
export function longestPauseMs(schedule: Schedule, fromMs: number): number {
  let longest = 0;
  let at = nextTick(schedule, fromMs);
  for (let i = 0; i < 24; i++) {
    const next = nextTick(schedule, at);
    longest = Math.max(longest, next - at);
    at = next;
  }
  return longest;
}

/** A stream is late when it missed more than two ticks, with two minutes for the runs themselves. */
export function freshWithinSeconds(schedule: Schedule, fromMs: number): number {
  return Math.ceil((longestPauseMs(schedule, fromMs) * 2) / 1000) + 120;
}
