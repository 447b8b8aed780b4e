import type { RunQueue } from './queue-backend.ts';
import { TICK } from './run-job.ts';
import type { WantedSchedule } from './schedules.ts';

/** How the schedules that a queue holds differ from those that it should hold. */
export interface Differences {
  readonly missing: readonly WantedSchedule[];
  readonly foreign: readonly string[];
}

/** Every detail: a changed cron or time zone counts as missing. */
export async function compareAll(
  queue: RunQueue,
  wanted: readonly WantedSchedule[],
  term: AbortSignal,
): Promise<Differences> {
  const present = await queue.getJobSchedulers(0, -1, true);
  const byId = new Map(present.map((schedule) => [schedule.key, schedule]));
  const isChanged = ({ id, cron, timezone }: WantedSchedule): boolean => {
    const found = byId.get(id);
    return found !== undefined && (found.pattern !== cron || found.tz !== timezone);
  };
  return compareIds(queue, wanted, isChanged, term);
}

/** Questions to the queue under way together. */
const AT_ONCE = 50;
const LATE_MS = 60_000;

/**
 * Ids and times only: one question for any number of schedules. A schedule that is there and well is not touched, because putting it again would
 * take away a tick that waits for a free worker.
 */
export async function compareIds(
  queue: RunQueue,
  wanted: readonly WantedSchedule[],
  isChanged: (schedule: WantedSchedule) => boolean,
  term: AbortSignal,
): Promise<Differences> {
  const flat = await queue.getBackend().getJobSchedulersRange(0, -1, true);
  const nextById = new Map<string, string>();
  for (let i = 0; i + 1 < flat.length; i += 2) nextById.set(flat[i] as string, flat[i + 1] as string);
  const missing: WantedSchedule[] = [];
  const late: { readonly schedule: WantedSchedule; readonly next: number }[] = [];
  for (const schedule of wanted) {
    const next = nextById.get(schedule.id);
    if (next === undefined || isChanged(schedule)) missing.push(schedule);
    else if (Date.now() - Number(next) >= LATE_MS) late.push({ schedule, next: Number(next) });
  }
  await inGroups(late, term, async ({ schedule, next }) => {
    if (!(await holdsTick(queue, schedule.id, next))) missing.push(schedule);
  });
  const ids = new Set(wanted.map(({ id }) => id));
  return { missing, foreign: [...nextById.keys()].filter((id) => !ids.has(id)) };
}

/** Overdue is a schedule whose tick waits for a free worker, or one whose tick is gone: then nothing would make the next one. */
async function holdsTick(queue: RunQueue, id: string, next: number): Promise<boolean> {
  return (await queue.getJob(`repeat:${id}:${next}`)) !== undefined;
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
