/**
 * The server's reading of date parameters (server 2.19): formats are tried in order, not strictly, so a separator may skip
 * text on the way to its next occurrence. That is why `2026/11/21` becomes 20 Nov 2021, as seen in a running server: the
 * day-first format takes `20`, skips `26` up to the slash, and so on. The odd results are the point of this module.
 */

export class DateParameterError extends Error {}

const formats = [
  'DD/MM/YYYY HH:mm:ss',
  'DD/MM/YYYY, HH:mm:ss',
  'DD/MM/YYYY HH:mm',
  'DD/MM/YYYY',
  'YYYY/MM/DD HH:mm:ss',
  'YYYY/MM/DD, HH:mm:ss',
  'YYYY/MM/DD HH:mm',
  'YYYY/MM/DD',
].map((format) => format.match(/DD|MM|YYYY|HH|mm|ss|[^A-Za-z]/g) ?? []);

type Field = 'YYYY' | 'MM' | 'DD' | 'HH' | 'mm' | 'ss';
type LocalTime = Record<Field, number>;

const fieldPatterns: Readonly<Record<string, RegExp>> = {
  YYYY: /\d{1,4}/,
  MM: /\d\d?/,
  DD: /\d\d?/,
  HH: /\d\d?/,
  mm: /\d\d?/,
  ss: /\d\d?/,
};

const oldFormat = 'DD/MM/YYYY'.match(/DD|MM|YYYY|\//g) ?? [];

function readYear(text: string): number {
  const year = Number(text);
  if (text.length !== 2) return year;
  return year > 68 ? 1900 + year : 2000 + year;
}

function readLoosely(text: string, tokens: readonly string[]): LocalTime | undefined {
  const fields: Partial<LocalTime> = {};
  let rest = text;
  for (const token of tokens) {
    const pattern = fieldPatterns[token];
    const found = pattern ? pattern.exec(rest)?.[0] : rest.includes(token) ? token : undefined;
    if (found === undefined) continue;
    rest = rest.slice(rest.indexOf(found) + found.length);
    if (pattern) fields[token as Field] = token === 'YYYY' ? readYear(found) : Number(found);
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
  date.setUTCHours(HH, mm, ss, 0);
  return date.getTime();
}

const zoneFormats = new Map<string, Intl.DateTimeFormat>();

function zoneFormat(timezone: string): Intl.DateTimeFormat {
  const known = zoneFormats.get(timezone);
  if (known) return known;
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    zoneFormats.set(timezone, format);
    return format;
  } catch {
    throw new DateParameterError(`Invalid timezone: ${timezone}`);
  }
}

function zoneOffsetMs(at: number, timezone: string): number {
  const parts: Record<string, string> = {};
  for (const part of zoneFormat(timezone).formatToParts(at)) parts[part.type] = part.value;
  const local: LocalTime = {
    YYYY: parts.era === 'BC' ? 1 - Number(parts.year) : Number(parts.year),
    MM: Number(parts.month),
    DD: Number(parts.day),
    HH: Number(parts.hour),
    mm: Number(parts.minute),
    ss: Number(parts.second),
  };
  return asUtc(local) - Math.floor(at / 1000) * 1000;
}

function toInstant(local: LocalTime, timezone: string): number {
  const wall = asUtc(local);
  if (timezone === 'UTC') return wall;
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

/** First instant a `start` parameter lets through. */
export function parseStart(text: string, timezone: string): number {
  zoneFormat(timezone);
  return toInstant(readLocalTime(text), timezone);
}

/** Last instant an `end` parameter lets through: the given second itself, or the whole day when it names no time. */
export function parseEnd(text: string, timezone: string): number {
  zoneFormat(timezone);
  const time = readLocalTime(text);
  if (/\d:\d/.test(text)) return toInstant(time, timezone);
  return toInstant(nextDay(time), timezone) - 1;
}

function nextDay({ YYYY, MM, DD }: LocalTime): LocalTime {
  const next = new Date(asUtc({ YYYY, MM, DD: DD + 1, HH: 0, mm: 0, ss: 0 }));
  return { YYYY: next.getUTCFullYear(), MM: next.getUTCMonth() + 1, DD: next.getUTCDate(), HH: 0, mm: 0, ss: 0 };
}

/** Servers up to 2.14.8 read the day only, in UTC, whatever else the text says. */
export function parseOldDay(text: string): number {
  const day = readLoosely(text, oldFormat);
  if (!day) throw new RangeError('Invalid time value');
  return asUtc({ ...day, HH: 0, mm: 0, ss: 0 });
}
