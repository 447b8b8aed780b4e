import type { z } from 'zod';
import type { FileEntry } from './entry.ts';
import type { Findings } from './findings.ts';
import type { Settings } from './types.ts';
import { AUTO, cron, timeZone } from './values.ts';

/** The keys of `schedule`, and of each stream under `streamSchedules`. */
export const SCHEDULE_KEYS = ['incremental', 'reconcile', 'count', 'timezone'] as const;

/** When a stream is read. A pass of null is switched off: it is only run by hand. */
export interface StreamSchedule {
  /** Cron for what changed: five fields, or six with seconds first. */
  readonly incremental: string | null;
  /** Cron for the full sync. */
  readonly reconcile: string | null;
  /** Cron for the comparison of counts; null also where the upstream reports none. */
  readonly count: string | null;
  /** IANA name in which they are read. */
  readonly timezone: string;
  /** Polled as often as something changes; the cron of `incremental` is what happens at the latest. */
  readonly isAdaptive?: boolean;
}

/** What happens at the latest where the interval follows the changes. */
const LATEST = '*/5 * * * *';

/** What an entry of leadmirror.yaml sets; the rest follows the more general settings. */
type ScheduleChange = Partial<Omit<StreamSchedule, 'isAdaptive'>>;

/** The schedules that a connection sets; empty where it follows the general settings. */
export interface ConnectionSchedules {
  readonly schedule?: ScheduleChange;
  /** By the stream's name in settings: `leads`. */
  readonly streamSchedules?: Readonly<Record<string, ScheduleChange>>;
}

/** Returns when one stream is read: its own setting first, then its connection's, then the general one. */
export function scheduleOf(
  { incrementalCron, reconcileCron, countCheckCron, timezone }: Settings['sync'],
  { schedule, streamSchedules = {} }: ConnectionSchedules,
  stream: string,
): StreamSchedule {
  const general = { incremental: incrementalCron, reconcile: reconcileCron, count: countCheckCron, timezone };
  const own = Object.hasOwn(streamSchedules, stream) ? streamSchedules[stream] : undefined;
  const chosen = { ...general, ...schedule, ...own };
  return chosen.incremental === AUTO ? { ...chosen, incremental: LATEST, isAdaptive: true } : chosen;
}

/** `off` for a pass that is not scheduled. */
const OFF = 'off';

/** Reads the schedules of each entry. Thousands share a few crons, and a cron takes a millisecond to check. */
export function createScheduleReader(findings: Findings) {
  const results = new Map<string, z.ZodSafeParseResult<string>>();
  /** `zone`: of a cron; null for a time zone itself. */
  const parse = (text: string, zone: string | null): z.ZodSafeParseResult<string> => {
    const key = `${zone} ${text}`;
    const result = results.get(key) ?? (zone === null ? timeZone : cron(zone)).safeParse(text);
    results.set(key, result);
    return result;
  };

  function readChange({ given, label }: FileEntry, path: readonly string[]): ScheduleChange | undefined {
    const read = (key: keyof ScheduleChange, zone: string | null): string | null | undefined => {
      const text = given(...path, key)?.text ?? undefined;
      if (text === undefined) return undefined;
      if (zone !== null && text.toLowerCase() === OFF) return null;
      if (key === 'incremental' && text.toLowerCase() === AUTO) return AUTO;
      const { data, error } = parse(text, zone);
      for (const { message } of error?.issues ?? []) findings.problem(label(...path, key), message);
      return data;
    };
    const timezone = read('timezone', null);
    // Where the time zone is wrong, that is one problem and not three.
    const zone = timezone ?? 'UTC';
    const crons = {
      incremental: read('incremental', zone),
      reconcile: read('reconcile', zone),
      count: read('count', zone),
    };
    const change = { ...crons, timezone };
    const entries = Object.entries(change).filter(([, value]) => value !== undefined);
    return entries.length === 0 ? undefined : Object.fromEntries(entries);
  }

  return (entry: FileEntry, streams: readonly string[]): ConnectionSchedules => {
    const schedule = readChange(entry, ['schedule']);
    const byStream = entry.scheduledStreams.flatMap((name) => {
      const change = streams.includes(name) ? readChange(entry, ['streamSchedules', name]) : undefined;
      return change === undefined ? [] : [[name, change] as const];
    });
    return {
      ...(schedule && { schedule }),
      ...(byStream.length > 0 && { streamSchedules: Object.fromEntries(byStream) }),
    };
  };
}
