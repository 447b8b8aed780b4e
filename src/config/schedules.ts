import type { z } from 'zod';
import type { FileEntry } from './connections-file.ts';
import type { Findings } from './findings.ts';
import type { Settings } from './types.ts';
import { cron, timeZone } from './values.ts';

/** The keys of `schedule`, and of each stream under `streamSchedules`. */
export const SCHEDULE_KEYS = ['incremental', 'reconcile', 'timezone'] as const;

/** When a stream is read. A pass of null is switched off: it is only run by hand. */
export interface StreamSchedule {
  /** Cron for what changed: five fields, or six with seconds first. */
  readonly incremental: string | null;
  /** Cron for the full walk. */
  readonly reconcile: string | null;
  /** IANA name in which both are read. */
  readonly timezone: string;
}

/** What an entry of leadmirror.yaml says of it; the rest follows what is more general. */
export type ScheduleChange = Partial<StreamSchedule>;

/** What a connection says of its schedules; nothing, where it follows the general settings. */
export interface ConnectionSchedules {
  /** Of all streams of the connection. */
  readonly schedule?: ScheduleChange;
  /** By the stream's word in settings: `leads`. */
  readonly streamSchedules?: Readonly<Record<string, ScheduleChange>>;
}

/** When one stream is read: its own word first, then its connection's, then the general settings. */
export function scheduleOf(
  { incrementalCron, reconcileCron, timezone }: Settings['sync'],
  { schedule, streamSchedules = {} }: ConnectionSchedules,
  stream: string,
): StreamSchedule {
  const general = { incremental: incrementalCron, reconcile: reconcileCron, timezone };
  const own = Object.hasOwn(streamSchedules, stream) ? streamSchedules[stream] : undefined;
  return { ...general, ...schedule, ...own };
}

/** `off` for a pass that is not scheduled. */
const OFF = 'off';

export type ScheduleReader = (entry: FileEntry, streams: readonly string[]) => ConnectionSchedules;

/** Reads the schedules of entry after entry. Ten thousand of them share a few crons and time zones, and a cron takes a millisecond to check. */
export function createScheduleReader(findings: Findings): ScheduleReader {
  const zoneOf = memoized((text: string) => timeZone.safeParse(text));
  const cronIn = memoized((zone: string) => {
    const schema = cron(zone);
    return memoized((text: string) => schema.safeParse(text));
  });

  function readChange({ given, label }: FileEntry, path: readonly string[]): ScheduleChange {
    const change: { incremental?: string | null; reconcile?: string | null; timezone?: string } = {};
    const read = (key: string, parse: (text: string) => z.ZodSafeParseResult<string>): string | undefined => {
      const text = given(...path, key)?.text;
      if (text === undefined || text === null) return undefined;
      const { data, error } = parse(text);
      for (const { message } of error?.issues ?? []) findings.problem(label(...path, key), message);
      return data;
    };
    const timezone = read('timezone', zoneOf);
    if (timezone !== undefined) change.timezone = timezone;
    // Where the time zone is wrong, that is one problem and not three.
    const parseCron = cronIn(timezone ?? 'UTC');
    for (const key of ['incremental', 'reconcile'] as const) {
      if (given(...path, key)?.text?.toLowerCase() === OFF) change[key] = null;
      else {
        const expression = read(key, parseCron);
        if (expression !== undefined) change[key] = expression;
      }
    }
    return change;
  }

  return (entry, streams) => {
    const schedule = readChange(entry, ['schedule']);
    const names = entry.scheduledStreams.filter((name) => streams.includes(name));
    const byStream = names.map((name) => [name, readChange(entry, ['streamSchedules', name])] as const);
    const told = byStream.filter(([, change]) => isSaid(change));
    return {
      ...(isSaid(schedule) && { schedule }),
      ...(told.length > 0 && { streamSchedules: Object.fromEntries(told) }),
    };
  };
}

const isSaid = (change: ScheduleChange): boolean => Object.keys(change).length > 0;

function memoized<T>(make: (text: string) => T): (text: string) => T {
  const made = new Map<string, T>();
  return (text) => {
    const known = made.get(text);
    if (known !== undefined) return known;
    const value = make(text);
    made.set(text, value);
    return value;
  };
}
