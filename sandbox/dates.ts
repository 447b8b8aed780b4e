/**
 * How server 2.19 reads dates: formats in order, not strictly, so a separator may skip text up to its next occurrence.
 * So `2026/11/21` is 20 Nov 2021, as seen in a running server: the odd results are the point of this module.
 */

export class DateParameterError extends Error {}

type LocalTime = Record<'YYYY' | 'MM' | 'DD' | 'HH' | 'mm' | 'ss', number>;

const tokensOf = (format: string): readonly string[] => format.match(/DD|MM|YYYY|HH|mm|ss|[^A-Za-z]/g) ?? [];

const formats = ['DD/MM/YYYY', 'YYYY/MM/DD'].flatMap((date) =>
  [' HH:mm:ss', ', HH:mm:ss', ' HH:mm', ''].map((time) => tokensOf(date + time)),
);

function readYear(text: string): number {
  const year = Number(text);
  if (text.length !== 2) return year;
  return year > 68 ? 1900 + year : 2000 + year;
}

function readLoosely(text: string, tokens: readonly string[]): LocalTime | undefined {
  const fields: Record<string, number> = {};
  let rest = text;
  for (const token of tokens) {
    const isField = /\w/.test(token);
    const found = isField ? (token === 'YYYY' ? /\d{1,4}/ : /\d\d?/).exec(rest)?.[0] : token;
    if (found === undefined || !rest.includes(found)) continue;
    rest = rest.slice(rest.indexOf(found) + found.length);
    if (isField) fields[token] = token === 'YYYY' ? readYear(found) : Number(found);
  }
  if (Object.keys(fields).length === 0) return undefined;
  const time = { YYYY: new Date().getUTCFullYear(), MM: 1, DD: 1, HH: 0, mm: 0, ss: 0, ...fields };
  return isRealTime(time) ? time : undefined;
}

function isRealTime({ YYYY, MM, DD, HH, mm, ss }: LocalTime): boolean {
  if (MM < 1 || MM > 12 || DD < 1 || HH > 23 || mm > 59 || ss > 59) return false;
  return DD <= new Date(Date.UTC(YYYY, MM, 0)).getUTCDate();
}

function asUtc({ YYYY, MM, DD, HH, mm, ss }: LocalTime): number {
  const date = new Date(0);
  date.setUTCFullYear(YYYY, MM - 1, DD);
  return date.setUTCHours(HH, mm, ss, 0);
}

/** @throws DateParameterError for a name that is no time zone */
function zoneOffsetMs(at: number, timeZone: string): number {
  try {
    const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' });
    const name = format.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? '';
    const [, sign = '+', hours = 0, minutes = 0] = /([+-])(\d\d):(\d\d)/.exec(name) ?? [];
    return Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  } catch {
    throw new DateParameterError(`Invalid timezone: ${timeZone}`);
  }
}

function toInstant(local: LocalTime, timezone: string): number {
  const wall = asUtc(local);
  // Twice: near a clock change the first guess may carry the offset of the wrong side.
  const guess = wall - zoneOffsetMs(wall, timezone);
  return wall - zoneOffsetMs(guess, timezone);
}

function readLocalTime(text: string): LocalTime {
  for (const tokens of formats) {
    const time = readLoosely(text, tokens);
    if (time) return time;
  }
  throw new DateParameterError(`Unable to parse the date: ${text}`);
}

export function parseStart(text: string, timezone: string): number {
  return toInstant(readLocalTime(text), timezone);
}

/** Last instant an `end` parameter lets through: the given second itself, or the whole day when it names no time. */
export function parseEnd(text: string, timezone: string): number {
  const time = readLocalTime(text);
  if (/\d:\d/.test(text)) return toInstant(time, timezone);
  return toInstant({ ...time, DD: time.DD + 1, HH: 0, mm: 0, ss: 0 }, timezone) - 1;
}

/** Servers up to 2.14.8 read the day only, in UTC, and ignore the rest of the text. */
export function parseOldDay(text: string): number {
  const day = readLoosely(text, tokensOf('DD/MM/YYYY'));
  if (!day) throw new RangeError('Invalid time value');
  return asUtc({ ...day, HH: 0, mm: 0, ss: 0 });
}
