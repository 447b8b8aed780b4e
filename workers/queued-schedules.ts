import type { JobSchedulerJson } from 'bullmq';
import type { RunQueue } from './queue-backend.ts';
import { type RunJob, TICK } from './run-job.ts';
import type { WantedSchedule } from './schedules.ts';

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

export async function inGroups<T>(
  items: readonly T[],
  signal: AbortSignal,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  for (let i = 0; i < items.length && !signal.aborted; i += AT_ONCE) {
    await Promise.all(items.slice(i, i + AT_ONCE).map(work));
  }
}
