/** Lenient readers for upstream values: what cannot be read becomes null in its column; `raw` keeps it. */

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object, or an empty one: its fields are then all absent. */
export function asObject(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

/** Returns the first of several values that is readable. */
export function firstOf<T>(read: (value: unknown) => T | null, ...values: readonly unknown[]): T | null {
  for (const value of values) {
    const found = read(value);
    if (found !== null) return found;
  }
  return null;
}

/** Text; numbers and booleans as written. Null for the rest. */
export function asText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return null;
}

export function asNumber(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value !== 'string' || value.trim() === '') return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

const INT4_MAX = 2_147_483_647;

/** A whole number that fits Postgres' integer. */
export function asInteger(value: unknown): number | null {
  const number = asNumber(value);
  return number !== null && Number.isInteger(number) && Math.abs(number) <= INT4_MAX ? number : null;
}

/** A whole number that JavaScript holds exactly. */
export function asBigint(value: unknown): number | null {
  const number = asNumber(value);
  return number !== null && Number.isSafeInteger(number) ? number : null;
}

export function asBoolean(value: unknown): boolean | null {
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 1) return true;
  if (value === 'false' || value === 0) return false;
  return null;
}

/** Returns a flag or a count as a boolean: zero is false, any other number is true. Numbers as text too. */
export function asFlag(value: unknown): boolean | null {
  const flag = asBoolean(value);
  if (flag !== null) return flag;
  const count = asNumber(value);
  return count === null ? null : count !== 0;
}

/** Years that both JavaScript and Postgres write with four digits. */
const FIRST_MS = Date.UTC(1000, 0, 1);
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** The day, and the offset when there is a time of day. */
const ISO = /^\d{4}-(\d\d)-(\d\d)(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/;

/** Milliseconds since 1970 of an ISO 8601 text (without an offset: UTC) or a number of milliseconds. */
export function asMs(value: unknown): number | null {
  const ms = typeof value === 'number' ? value : typeof value === 'string' ? parseIso(value) : Number.NaN;
  return ms >= FIRST_MS && ms <= LAST_MS ? ms : null;
}

/** `Date.parse` reads "visitor 7" as a date, a time without offset by the local zone, 30 February as 2 March. */
function parseIso(text: string): number {
  const found = ISO.exec(text);
  if (found === null) return Number.NaN;
  const [, month, day, offset] = found;
  const ms = Date.parse(offset === undefined && text.includes('T') ? `${text}Z` : text);
  if (Number(day) <= 28) return ms;
  const lastDay = new Date(Date.UTC(Number(text.slice(0, 4)), Number(month), 0)).getUTCDate();
  return Number(day) <= lastDay ? ms : Number.NaN;
}

/** ISO 8601 in UTC. */
export function asTime(value: unknown): string | null {
  const ms = asMs(value);
  return ms === null ? null : new Date(ms).toISOString();
}

/** ISO 8601 in UTC, of seconds since 1970 (also as text) or an ISO 8601 text. */
export function asEpochSecondsTime(value: unknown): string | null {
  const seconds = asNumber(value);
  return asTime(seconds === null ? value : Math.round(seconds * 1000));
}

/** Longer texts are no ids; Postgres cannot keep very long ones in an index. */
const ID_MAX = 256;

/** The id of a reference or a populated object, as Postgres can store it: ids are also kept apart from their rows. */
export function asId(value: unknown): string | null {
  let inner = value;
  while (isObject(inner)) inner = inner._id ?? inner.id;
  const text = asText(inner);
  if (text === null || text === '' || text.length > ID_MAX || typeof inner === 'boolean') return null;
  // What JSON.parse makes of 1e400.
  if (typeof inner === 'number' && !Number.isFinite(inner)) return null;
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

/** A list of texts; entries that are none are left out. Null when it is no list. */
export function asTexts(value: unknown, read: (entry: unknown) => string | null = asText): string[] | null {
  if (!Array.isArray(value)) return null;
  return value.map(read).filter((text): text is string => text !== null);
}

/** A jsonb column: absent and null alike are SQL null. */
export function asJson(value: unknown): unknown {
  return value ?? null;
}
