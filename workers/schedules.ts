import { createHash } from 'node:crypto';
import type { JobSchedulerJson } from 'bullmq';
import type { ScheduledStream } from '../src/app/live-streams.ts';
import { groupBy } from '../src/group-by.ts';
import type { OpsParts } from '../src/ops/parts.ts';
import { type Lane, laneOf } from '../src/stream.ts';
import { nextTick, pausesOf, type Schedule } from '../src/sync/schedule.ts';
import type { RunQueue } from './queue-backend.ts';
import { type RunJob, scheduleId, TICK } from './run-job.ts';

export interface WantedSchedule extends Schedule {
  readonly id: string;
  readonly lane: Lane;
  readonly job: RunJob;
}

type Streams = readonly Pick<ScheduledStream, 'connectionId' | 'stream' | 'schedule'>[];

const PASSES = ['incremental', 'reconcile', 'count'] as const;

/** What is switched off has no schedule. */
export function wantedSchedules(streams: Streams, nowMs: number): WantedSchedule[] {
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

function crowdsOf(streams: Streams) {
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

const AT_ONCE = 50;
const LATE_MS = 60_000;

/**
 * Returns the schedules that a queue lacks, and the ids that it should not hold. `inDetail`: a changed cron or time
 * zone counts as missing, at one question for each schedule instead of one for all. Others are not touched: putting one
 * again would take away a tick that waits for a free worker.
 */
export async function compareSchedules(queue: RunQueue, wanted: readonly WantedSchedule[], inDetail: boolean) {
  const present = inDetail ? await queue.getJobSchedulers(0, -1, true) : await readIdsAndTimes(queue);
  const byId = new Map(present.map((schedule) => [schedule.key, schedule]));
  const missing: WantedSchedule[] = [];
  const late: WantedSchedule[] = [];
  for (const schedule of wanted) {
    const { next = 0, pattern = schedule.cron, tz = schedule.timezone } = byId.get(schedule.id) ?? {};
    if (!byId.has(schedule.id) || pattern !== schedule.cron || tz !== schedule.timezone) missing.push(schedule);
    else if (Date.now() - next >= LATE_MS) late.push(schedule);
  }
  if (late.length > 0) {
    // Overdue is a schedule whose tick waits for a free worker, or one whose tick is gone: then nothing would make the
    // next one.
    const jobs = await queue.getJobs(['waiting', 'active', 'delayed', 'prioritized']);
    const ticking = new Set(jobs.map((job) => job.repeatJobKey));
    missing.push(...late.filter(({ id }) => !ticking.has(id)));
  }
  const ids = new Set(wanted.map(({ id }) => id));
  return { missing, foreign: [...byId.keys()].filter((id) => !ids.has(id)) };
}

async function readIdsAndTimes(queue: RunQueue): Promise<JobSchedulerJson<RunJob>[]> {
  const flat = await queue.getBackend().getJobSchedulersRange(0, -1, true);
  return flat.flatMap((key, index) => (index % 2 === 0 ? [{ key, name: TICK, next: Number(flat[index + 1]) }] : []));
}

export async function putSchedule(queue: RunQueue, { id, cron, timezone, job }: WantedSchedule): Promise<void> {
  await queue.upsertJobScheduler(
    id,
    { pattern: cron, tz: timezone },
    { name: TICK, data: job, opts: { removeOnComplete: true, removeOnFail: true, attempts: 3 } },
  );
}

export async function inGroups<T>(items: readonly T[], signal: AbortSignal, work: (item: T) => Promise<unknown>) {
  for (let i = 0; i < items.length && !signal.aborted; i += AT_ONCE) {
    await Promise.all(items.slice(i, i + AT_ONCE).map(work));
  }
}
