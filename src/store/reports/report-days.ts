/** The days of a report, as `YYYY-MM-DD`, and the days, weeks or months that it counts in. Pure. */
export type ReportUnit = 'day' | 'week' | 'month';

export const DAY_MS = 86_400_000;

/** Answers `YYYY-MM-DD` when the text is a day of the calendar, of these centuries, else null. */
export function parseDay(text: string): string | null {
  if (!/^(19[789]\d|2\d{3})-\d{2}-\d{2}$/.test(text)) return null;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) || dayOf(ms) !== text ? null : text;
}

export function unitOf(from: string, to: string): ReportUnit {
  const days = (msOf(to) - msOf(from)) / DAY_MS + 1;
  if (days <= 92) return 'day';
  return days <= 731 ? 'week' : 'month';
}

/** The beginnings of all days, weeks or months that touch the range, in order. */
export function bucketsOf(from: string, to: string, unit: ReportUnit): string[] {
  const buckets: string[] = [];
  for (let day = bucketOf(from, unit); day <= to; day = nextBucket(day, unit)) buckets.push(day);
  return buckets;
}

function bucketOf(day: string, unit: ReportUnit): string {
  if (unit === 'month') return `${day.slice(0, 8)}01`;
  if (unit === 'day') return day;
  const sinceMonday = (new Date(msOf(day)).getUTCDay() + 6) % 7;
  return dayOf(msOf(day) - sinceMonday * DAY_MS);
}

function nextBucket(day: string, unit: ReportUnit): string {
  if (unit !== 'month') return dayOf(msOf(day) + (unit === 'week' ? 7 : 1) * DAY_MS);
  const [year = 0, month = 0] = day.split('-').map(Number);
  return dayOf(Date.UTC(year, month, 1));
}

export const msOf = (day: string): number => Date.parse(`${day}T00:00:00Z`);
export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
