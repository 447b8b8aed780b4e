import { createHash } from 'node:crypto';
import type { Config } from '../src/config.ts';
import { type Lane, laneOf } from '../src/stream.ts';
import { nextTick, type Schedule } from '../src/sync/schedule.ts';
import { type RunJob, scheduleId } from './run-job.ts';

/** One schedule that has to exist: pure data, made from the configuration. */
export interface WantedSchedule extends Schedule {
  readonly id: string;
  readonly lane: Lane;
  readonly job: RunJob;
}

export interface ScheduledStream {
  readonly connection: string;
  readonly stream: string;
}

export function wantedSchedules(
  streams: readonly ScheduledStream[],
  { incrementalCron, reconcileCron, timezone }: Config['sync'],
  nowMs: number,
): WantedSchedule[] {
  const plans = [
    { pass: 'incremental', cron: incrementalCron },
    { pass: 'reconcile', cron: reconcileCron },
  ] as const;
  return plans.flatMap(({ pass, cron }) => {
    const schedule = { cron, timezone };
    const spreadSeconds = jitterLimitSeconds(schedule, nowMs);
    return streams.map((stream) => ({
      id: scheduleId({ ...stream, pass }),
      lane: laneOf(pass),
      job: { ...stream, pass, trigger: 'schedule' as const },
      cron: withSecond(cron, spreadSeconds === 0 ? 0 : stableNumber(stream.connection) % spreadSeconds),
      timezone,
    }));
  });
}

/** A tenth of the shortest pause, so that the spread stays small beside it, and less than a minute, the only field that is ours to fill. */
export function jitterLimitSeconds(schedule: Schedule, nowMs: number): number {
  if (fieldsOf(schedule.cron).length === 6) return 0;
  let shortest = Number.POSITIVE_INFINITY;
  let at = nextTick(schedule, nowMs);
  for (let i = 0; i < 12; i++) {
    const next = nextTick(schedule, at);
    shortest = Math.min(shortest, next - at);
    at = next;
  }
  return Math.min(60, Math.floor(shortest / 10_000));
}

/** Hundreds of connections on one cron would otherwise all tick in the same instant. A cron with seconds is taken as it is. */
function withSecond(cron: string, second: number): string {
  const fields = fieldsOf(cron);
  return fields.length === 5 ? [second, ...fields].join(' ') : cron;
}

const fieldsOf = (cron: string): string[] => cron.trim().split(/\s+/);

const stableNumber = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE(0);
