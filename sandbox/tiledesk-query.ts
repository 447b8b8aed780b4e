/** List parameters of requests and leads, read the way the routes of server 2.19 read them, mistakes included. */
import { type Condition, type Direction, type StoredDocument, valueAt } from './collection.ts';
import { parseEnd, parseOldDay, parseStart } from './dates.ts';
import { idForm, iso, type Lead, type Request } from './tiledesk-documents.ts';

/** The database refused the query: a 500 with `msg` on requests, no answer at all on leads. */
export class QueryFailure extends Error {}
/** The route itself threw: 500 `{"err":"error"}` on requests, no answer on leads. */
export class RouteFailure extends Error {}

export interface Range {
  readonly field: string;
  /** ISO instants, both included. */
  readonly from?: string;
  readonly to?: string;
}

export interface ListRequest<D> {
  /** What the answer reports; null is NaN in JSON. */
  readonly perPage: number | null;
  readonly skip: number;
  readonly take: number;
  readonly field: string;
  readonly direction: Direction;
  readonly conditions: readonly Condition<D>[];
  /** Also one of the conditions. */
  readonly range: Range | undefined;
  readonly hasCount: boolean;
}

type Viewer = { readonly userId: string; readonly role: string };

function readSort(query: URLSearchParams): { field: string; direction: Direction } {
  const field = query.get('sort') || 'createdAt';
  const text = (query.get('direction') || '-1').toLowerCase();
  if (['1', 'asc', 'ascending'].includes(text)) return { field, direction: 1 };
  if (['-1', 'desc', 'descending'].includes(text)) return { field, direction: -1 };
  throw new RouteFailure(`direction ${text}`);
}

function readPaging(query: URLSearchParams, cap: number): { perPage: number | null; skip: number; take: number } {
  let limit = Number.parseInt(query.get('limit') || '40', 10);
  // Above the cap it falls back to the default, it does not clamp (seen in server 2.19).
  if (limit > cap) limit = 40;
  const page = Number.parseInt(query.get('page') ?? '', 10) || 0;
  const skip = (limit || 0) * page;
  if (skip < 0 || page < 0) throw new QueryFailure('Skip value must be non-negative');
  return { perPage: Number.isNaN(limit) ? null : limit, skip, take: Math.abs(limit) || Number.POSITIVE_INFINITY };
}

type Test = (doc: StoredDocument) => boolean;

/** Where the value that the parameter asks for is stored, or the test of such a value; undefined: no filter. */
type Filter = string | ((value: string) => Test | undefined);

function isId(path: string): Filter {
  return (value) => {
    // A malformed id is a failing cast, not an empty list.
    if (!idForm.test(value) && value.length !== 12) {
      throw new QueryFailure(`Cast to ObjectId failed for value "${value}"`);
    }
    return (doc) => valueAt(doc, path) === value.toLowerCase();
  };
}

const channelOf = (doc: StoredDocument): string => String(valueAt(doc, 'channel.name'));
const isOffline: Test = (doc) => ['email', 'form'].includes(channelOf(doc));

const requestFilters: Readonly<Record<string, Filter>> = {
  draft: (value) => (value === 'false' ? (doc) => doc.draft !== true : undefined),
  lead: isId('lead'),
  dept_id: isId('department'),
  participant: (value) => (doc) => (doc.participants as string[]).includes(value),
  hasbot: 'hasBot',
  tags: (value) => (doc) => ((doc.tags ?? []) as { tag?: string }[]).some(({ tag }) => tag === value),
  ticket_id: 'ticket_id',
  channel: (value) => {
    if (value === 'offline') return isOffline;
    return value === 'online' ? (doc) => !isOffline(doc) : (doc) => channelOf(doc) === value;
  },
  priority: 'priority',
  rated: (value) => (value === 'true' ? (doc) => doc.rating !== undefined : undefined),
};

const leadFilters: Readonly<Record<string, Filter>> = {
  email: 'email',
  tags: (value) => (doc) => ((doc.tags ?? []) as string[]).includes(value),
  segment: isId('segment'),
};

function readFilters(filters: Readonly<Record<string, Filter>>, query: URLSearchParams): Condition<StoredDocument>[] {
  return Object.entries(filters).flatMap(([name, filter]) => {
    const value = query.get(name);
    if (!value) return [];
    const isSame: Test = (doc) => String(valueAt(doc, String(filter))) === value;
    const test = typeof filter === 'string' ? isSame : filter(value);
    return test ? [[`${name}=${value}`, test] as const] : [];
  });
}

function readRequestStatus(query: URLSearchParams): Condition<Request>[] {
  const sent = query.getAll('status');
  if (sent.length > 1) throw new RouteFailure('status sent twice');
  const text = sent[0];
  if (!text) return [['open', ({ status }) => status < 1000 && status !== 50 && status !== 150]];
  const numbers = text.split(',').map((part) => Number.parseInt(part, 10));
  const valid = numbers.filter((number) => !Number.isNaN(number));
  return valid.length === 0 ? [] : [[`status=${valid}`, ({ status }) => valid.includes(status)]];
}

/** The caller's role hides rows; admins and owners see all. */
function visibleTo({ userId, role }: Viewer): Condition<Request>[] {
  if (role === 'owner' || role === 'admin') return [];
  const takesPart = (doc: Request): boolean => doc.participants.includes(userId);
  if (role !== 'agent') return [[`participant ${userId}`, takesPart]];
  const eligible = (doc: Request) => (valueAt(doc, 'snapshot.agents') ?? []) as readonly { id_user: string }[];
  return [[`agent ${userId}`, (doc) => takesPart(doc) || eligible(doc).some(({ id_user }) => id_user === userId)]];
}

function readRange(query: URLSearchParams): Range | undefined {
  const suffix = query.get('start_date') || query.get('end_date') ? '' : '_time';
  const [start, end] = [query.get(`start_date${suffix}`), query.get(`end_date${suffix}`)];
  if (!start && !end) return undefined;
  const timezone = query.get('timezone') || 'Europe/Rome';
  return {
    field: query.get('filterRangeField') || 'createdAt',
    ...(start && { from: iso(parseStart(start, timezone)) }),
    ...(end && { to: iso(parseEnd(end, timezone)) }),
  };
}

/** Servers up to 2.14.8: days only, no time zone, and `filterRangeField` only for an open end. */
function readOldRange(query: URLSearchParams): Range | undefined {
  const [startTime, endTime] = [query.get('start_date_time'), query.get('end_date_time')];
  if (startTime && endTime) {
    return { field: 'createdAt', from: iso(parseStart(startTime, 'UTC')), to: iso(parseEnd(endTime, 'UTC')) };
  }
  const days = readDays(query);
  return days && days.to === undefined ? { ...days, field: query.get('filterRangeField') || 'createdAt' } : days;
}

function inRange(range: Range | undefined): Condition<StoredDocument>[] {
  if (range === undefined) return [];
  const { field, from = '', to = '~' } = range;
  const test: Test = (doc) => {
    const value = valueAt(doc, field);
    return typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value) && value >= from && value <= to;
  };
  return [[`${field} from ${from} to ${to}`, test]];
}

/** A start alone, or with the last day, whose midnight is included; an end alone counts for nothing. */
function readDays(query: URLSearchParams): Range | undefined {
  const [start, end] = [query.get('start_date'), query.get('end_date')];
  if (!start) return undefined;
  const from = iso(parseOldDay(start));
  return { field: 'createdAt', from, ...(end && { to: iso(parseOldDay(end) + 24 * 3600_000) }) };
}

/** Servers before 2.19 send 40 a page, whatever is asked for; later ones up to 100. */
export function readActivityList(
  query: URLSearchParams,
  { serverVersion }: { serverVersion: 'new' | 'old' },
): ListRequest<StoredDocument> {
  const asked = serverVersion === 'old' ? 40 : Number.parseInt(query.get('limit') || '40', 10) || 40;
  const perPage = Math.min(Math.max(asked, 1), 100);
  const page = Number(query.get('page') || 0);
  if (!(page >= 0)) throw new QueryFailure('Skip value must be non-negative');
  const verbs = query.get('activities')?.split(',');
  const isAsked: Test = (doc) => verbs === undefined || verbs.includes(String(doc.verb));
  const range = readDays(query);
  return {
    conditions: [[`verbs=${verbs}`, isAsked], ...inRange(range)],
    range,
    ...{ perPage, skip: page * perPage, take: perPage, hasCount: true },
    ...readSort(query),
  };
}

export function readRequestList(
  query: URLSearchParams,
  { viewer, serverVersion }: { viewer: Viewer; serverVersion: 'new' | 'old' },
): ListRequest<Request> {
  const filters = readFilters(requestFilters, query);
  const range = serverVersion === 'new' ? readRange(query) : readOldRange(query);
  // `preflight=true` removes the filter; a row without the field does not match the default one.
  const written: Condition<Request> = ['written', (doc) => doc.preflight === false];
  return {
    conditions: [
      ...filters,
      ...readRequestStatus(query),
      ...visibleTo(viewer),
      ...(query.get('preflight') === 'true' ? [] : [written]),
      ...inRange(range),
    ],
    range,
    ...readPaging(query, 100),
    ...readSort(query),
    hasCount: query.get('no_count') !== 'true',
  };
}

export function readLeadList(
  query: URLSearchParams,
  { projectId, joinedLeadStatuses }: { projectId: string; joinedLeadStatuses: boolean },
): ListRequest<Lead> {
  const sent = query.getAll('status').filter((text) => text !== '');
  const texts = sent.length === 0 ? ['100'] : sent;
  const statuses = (joinedLeadStatuses ? texts : texts.slice(0, 1)).map(Number);
  // `all` is a value of the requests list only: here the cast fails.
  if (statuses.some(Number.isNaN)) throw new QueryFailure('Cast to Number failed for "status"');
  const isListed = ({ status = Number.NaN, id_project }: Lead): boolean =>
    statuses.includes(status) && id_project === projectId;
  return {
    conditions: [...readFilters(leadFilters, query), [`status=${statuses}`, isListed]],
    ...readPaging(query, Number.POSITIVE_INFINITY),
    ...readSort(query),
    range: undefined,
    hasCount: true,
  };
}
