import type { TilkeeUser } from './tilkee-create.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';

export type TilkeeRow = Record<string, unknown>;

/** Private values carry these, so that a test can search a database, a log or a screen for them. */
export const secretCanary = 'canary-secret-';
export const linkCanary = 'canary-link-';
export const visitorCanary = 'canary-visitor-';

/** The fields that an answer shows as they are stored: `name`, or `shown=stored` where it has another name there. */
export function fieldsOf(stored: object, names: string): TilkeeRow {
  const fields: TilkeeRow = {};
  for (const name of names.split(' ')) {
    const [shown = '', own = shown] = name.split('=');
    if (!(own in stored)) throw new Error(`Nothing is stored as ${own}`);
    fields[shown] = (stored as TilkeeRow)[own];
  }
  return fields;
}

type Times = (at: number) => string;

/** The same of times, as the API writes them. */
export const timesOf = (stored: object, names: string, time: Times): TilkeeRow =>
  Object.fromEntries(
    Object.entries(fieldsOf(stored, names)).map(([name, at]) => [name, at === null ? null : time(Number(at))]),
  );

/** As the V3 server's language prints a time: six digits of fraction, or none. */
export function v3Time(at: number, hasOffset: boolean): string {
  const [time, fraction = ''] = new Date(at).toISOString().slice(0, 23).split('.');
  return `${time}${fraction === '000' ? '' : `.${fraction}000`}${hasOffset ? '+00:00' : ''}`;
}

/** 01:00 UTC of the month's last Sunday: when the clocks of Europe change. */
function clockChange(year: number, month: number): number {
  const last = new Date(Date.UTC(year, month + 1, 0, 1));
  return last.getTime() - last.getUTCDay() * 24 * 3600_000;
}

/** Paris time with its offset, always with milliseconds. */
export function v2Time(at: number): string {
  const year = new Date(at).getUTCFullYear();
  const offset = at >= clockChange(year, 2) && at < clockChange(year, 9) ? 2 : 1;
  return `${new Date(at + offset * 3600_000).toISOString().slice(0, 23)}+0${offset}:00`;
}

export const avatarOf = (id: number): string | null =>
  id % 2 === 0 ? `https://img.example.com/avatars/${id}.png` : null;

export const shortUser = (user: TilkeeUser | undefined): TilkeeRow | null =>
  user ? { ...fieldsOf(user, 'id email first_name last_name'), avatar: avatarOf(user.id) } : null;

export function themeOf(id: number, time: Times): TilkeeRow {
  const at = time(Date.UTC(2020, 0, 15, 9));
  const colors = { main_color: '#0a64a0', secondary_color: '#ffffff', text_color: '#222222' };
  return { id, name: `Theme ${id}`, ...colors, created_at: at, updated_at: at, logo: null, downloadable: true };
}

const distortions = [
  'firstAccessFalse',
  'interestNull',
  'durationAsString',
  'idsAsStrings',
  'numbersAsStrings',
] as const;

function distort(key: string, value: unknown, switches: TilkeeSwitches): unknown {
  if (Array.isArray(value)) return value.map((one) => distort(key, one, switches));
  if (typeof value === 'object' && value !== null) return distortAll(value, switches);
  if (key === 'first_access_at' && value === null && switches.firstAccessFalse) return false;
  if (key === 'interest' && switches.interestNull) return null;
  if (typeof value !== 'number') return value;
  if (key === 'duration' && switches.durationAsString) return String(value);
  const isId = /(^|_)ids?$/.test(key);
  return switches[isId ? 'idsAsStrings' : 'numbersAsStrings'] ? String(value) : value;
}

function distortAll(row: object, switches: TilkeeSwitches): TilkeeRow {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, distort(key, value, switches)]));
}

const addedLater = { added_in_2031: { nested: [1, null, { deep: 'é' }] }, 'weird key': true, '': 'empty key' };

/** The row as it leaves the server, under the switches for single fields; `isOldest`: of its kind, in a list. */
export function finishRow(row: object, switches: TilkeeSwitches, isOldest = false): TilkeeRow {
  const isDistorted = distortions.some((name) => switches[name]);
  const shown: TilkeeRow = {
    ...(isDistorted ? distortAll(row, switches) : row),
    ...(switches.unknownFields && addedLater),
  };
  if (isOldest && switches.rowWithoutId) delete shown.id;
  return shown;
}
