import type { ScheduledStream } from '../src/app/live-streams.ts';
import { groupBy } from '../src/group-by.ts';
import type { OpsParts } from '../src/ops/parts.ts';
import { nextTick } from '../src/sync/schedule.ts';
import { type WantedSchedule, wantedSchedules } from './schedules.ts';

type Streams = readonly Pick<ScheduledStream, 'connectionId' | 'stream' | 'schedule'>[];

/**
 * When each stream is read next, by the schedules as the leading process makes them. Thousands of streams share a few
 * crons, so a tick is worked out once and serves until it has come. Another configuration makes another list of
 * streams.
 */
export function createNextRuns(streamsNow: () => Streams): NonNullable<OpsParts['nextRuns']> {
  const ticks = new Map<string, number>();
  const tickOf = ({ cron, timezone }: WantedSchedule, nowMs: number): number => {
    const key = `${cron} ${timezone}`;
    const known = ticks.get(key) ?? 0;
    const next = known > nowMs ? known : nextTick({ cron, timezone }, nowMs);
    ticks.set(key, next);
    return next;
  };
  let streams: Streams | null = null;
  let byStream: ReadonlyMap<string, readonly WantedSchedule[]> = new Map();
  return ({ connectionId, stream }, nowMs) => {
    if (streams !== streamsNow()) {
      streams = streamsNow();
      byStream = groupBy(wantedSchedules(streams, nowMs), ({ job }) => `${job.connection}/${job.stream}`);
    }
    const schedules = byStream.get(`${connectionId}/${stream}`) ?? [];
    return schedules.map((schedule) => ({ pass: schedule.job.pass, at: new Date(tickOf(schedule, nowMs)) }));
  };
}
