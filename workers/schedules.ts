import { createHash } from 'node:crypto';
import type { ScheduledStream } from '../src/app/live-streams.ts';
import { type Lane, laneOf } from '../src/stream.ts';
import { pausesOf, type Schedule } from '../src/sync/schedule.ts';
import { type RunJob, scheduleId } from './run-job.ts';

export interface WantedSchedule extends Schedule {
  readonly id: string;
  readonly lane: Lane;
  readonly job: RunJob;
}

const PASSES = ['incremental', 'reconcile', 'count'] as const;

/** What is switched off has no schedule. */
export function wantedSchedules(
  streams: readonly Pick<ScheduledStream, 'connectionId' | 'stream' | 'schedule'>[],
  nowMs: number,
): WantedSchedule[] {
  const crowds = crowdsOf(streams);
  // Thousands of streams share a few crons.
  const limits = new Map([...crowds.keys()].map((cron) => [cron, jitterLimitSeconds(cron, nowMs)]));
  return PASSES.flatMap((pass) =>
    streams.flatMap(({ connectionId: connection, stream, schedule }) => {
      const cron = schedule[pass];
      if (cron === null) return [];
      const number = stableNumber(connection);
      const isCrowded = (crowds.get(cron)?.size ?? 0) > CROWD;
      return {
        id: scheduleId({ connection, stream, pass }),
        lane: laneOf(pass),
        job: { connection, stream, pass, trigger: 'schedule' as const },
        cron: (isCrowded ? overWholePause(cron, number) : null) ?? withinLimit(cron, number, limits.get(cron) ?? 0),
        timezone: schedule.timezone,
      };
    }),
  );
}

/** A tenth of the shortest pause, and less than a minute, the only field that is ours to fill. */
export function jitterLimitSeconds(cron: string, nowMs: number): number {
  if (fieldsOf(cron).length === 6) return 0;
  return Math.min(60, Math.floor(pausesOf(cron, nowMs).shortestMs / 10_000));
}

/** From so many connections on one cron its ticks are spread over the whole pause, instead of being due at once. */
const CROWD = 100;

function crowdsOf(
  streams: readonly Pick<ScheduledStream, 'connectionId' | 'schedule'>[],
): ReadonlyMap<string, ReadonlySet<string>> {
  const crowds = new Map<string, Set<string>>();
  for (const { connectionId, schedule } of streams) {
    for (const pass of PASSES) {
      const cron = schedule[pass];
      if (cron === null) continue;
      const crowd = crowds.get(cron) ?? new Set();
      crowds.set(cron, crowd.add(connectionId));
    }
  }
  return crowds;
}

/** Every n minutes is that whichever it begins with. Null for a cron that names its minutes: those are meant. */
function overWholePause(cron: string, number: number): string | null {
  const [minute = '', ...rest] = fieldsOf(cron);
  const step = Number(/^\*\/(\d+)$/.exec(minute)?.[1] ?? 0);
  if (rest.length !== 4 || step < 2 || 60 % step !== 0) return null;
  const at = number % (step * 60);
  return [at % 60, `${Math.floor(at / 60)}-59/${step}`, ...rest].join(' ');
}

/** Connections on one cron would otherwise all tick in the same instant. A cron with seconds is taken as it is. */
function withinLimit(cron: string, number: number, limit: number): string {
  const fields = fieldsOf(cron);
  return fields.length === 5 ? [limit === 0 ? 0 : number % limit, ...fields].join(' ') : cron;
}

const fieldsOf = (cron: string): string[] => cron.trim().split(/\s+/);

const stableNumber = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE(0);
