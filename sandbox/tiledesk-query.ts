/** List parameters of requests and leads, read the way the routes of server 2.19 read them, mistakes included. */
import { type Direction, type StoredDocument, valueAt } from './collection.ts';
import { parseEnd, parseOldDay, parseStart } from './dates.ts';
import type { ListRequest, Range } from './list.ts';
import type { Lead, Request } from './tiledesk-documents.ts';

/** The database refused the query: a 500 with `msg` on requests, no answer at all on leads. */
export class QueryFailure extends Error {}
/** The route itself threw: 500 `{"err":"error"}` on requests, no answer on leads. */
export class RouteFailure extends Error {}
export class SegmentNotFound extends Error {}

const idForm = /^[0-9a-f]{24}$/i;

const directions: Readonly<Record<string, Direction>> = {
  1: 1,
  asc: 1,
  ascending: 1,
  '-1': -1,
  desc: -1,
  descending: -1,
};

function readDirection(query: URLSearchParams): Direction {
  const text = query.get('direction');
  if (!text) return -1;
  const direction = directions[text.toLowerCase()];
  if (direction === undefined) throw new RouteFailure(`direction ${text}`);
  return direction;
}

function readPaging(query: URLSearchParams, cap: number): { perPage: number | null; skip: number; take: number } {
  const sent = query.get('limit');
  let limit = sent ? Number.parseInt(sent, 10) : 40;
  // Above the cap it falls back to the default, it does not clamp (seen in server 2.19).
  if (limit > cap) limit = 40;
  const page = Number.parseInt(query.get('page') ?? '', 10) || 0;
  const perPage = Number.isNaN(limit) ? null : limit;
  const skip = (perPage ?? 0) * page;
  if (skip < 0 || page < 0) throw new QueryFailure('Skip value must be non-negative');
  return { perPage, skip, take: perPage ? Math.abs(perPage) : Number.POSITIVE_INFINITY };
}

function numbersIn(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const number = Number.parseInt(part, 10);
    return Number.isNaN(number) ? [] : [number];
  });
}

/** One condition of the filter, or nothing when its parameter is absent. */
type Condition<D> = (doc: D) => boolean;
type ReadCondition<D> = (value: string, query: URLSearchParams) => Condition<D> | undefined;

const equals =
  <D extends StoredDocument>(path: string): ReadCondition<D> =>
  (value) =>
  (doc) =>
    String(valueAt(doc, path)) === value;

const isTrue =
  (path: string): ReadCondition<Request> =>
  (value) =>
  (doc) =>
    valueAt(doc, path) === (value === 'true');

const isId =
  (path: string): ReadCondition<Request> =>
  (value) => {
    // A malformed id is a failing cast, not an empty list.
    if (!idForm.test(value) && value.length !== 12)
      throw new QueryFailure(`Cast to ObjectId failed for value "${value}"`);
    return (doc) => valueAt(doc, path) === value.toLowerCase();
  };

const wordsOf = (text: string): string[] => text.toLowerCase().split(/\s+/).filter(Boolean);

function containsWords(value: string, texts: readonly unknown[]): boolean {
  const haystack = texts
    .filter((text) => typeof text === 'string')
    .join(' ')
    .toLowerCase();
  return wordsOf(value).some((word) => haystack.includes(word));
}

const isOfflineChannel = (request: Request): boolean => {
  const name = valueAt(request, 'channel.name');
  return name === 'email' || name === 'form';
};

/** By parameter; each takes effect only when the parameter has a value. */
const requestConditions: Readonly<Record<string, ReadCondition<Request>>> = {
  draft: (value) => (value === 'false' ? (doc) => doc.draft !== true : undefined),
  lead: isId('lead'),
  dept_id: isId('department'),
  snap_lead_lead_id: equals('snapshot.lead.lead_id'),
  snap_lead_email: equals('snapshot.lead.email'),
  requester_email: equals('snapshot.lead.email'),
  participant: (value) => (doc) => doc.participants.includes(value),
  hasbot: isTrue('hasBot'),
  smartAssignment: isTrue('smartAssignment'),
  tags: (value) => (doc) => ((doc.tags ?? []) as readonly { tag?: string }[]).some((one) => one.tag === value),
  ticket_id: (value) => {
    if (Number.isNaN(Number(value))) throw new QueryFailure(`Cast to Number failed for value "${value}"`);
    return (doc) => doc.ticket_id === Number(value);
  },
  channel: (value) => {
    if (value === 'offline') return isOfflineChannel;
    if (value === 'online') return (doc) => !isOfflineChannel(doc);
    return (doc) => valueAt(doc, 'channel.name') === value;
  },
  priority: equals('priority'),
  phone: (value) => {
    const digits = value.replace(/\D/g, '');
    return (doc) => String(valueAt(doc, 'contact.phone') ?? '').includes(digits);
  },
  'workingStatus[ne]': (value) => (doc) => doc.workingStatus !== value,
  'workingStatus[in]': (value) => (doc) => value.split(',').includes(String(doc.workingStatus)),
  'workingStatus[nin]': (value) => (doc) => !value.split(',').includes(String(doc.workingStatus)),
  duration: (value, query) => {
    const limitMs = Number(value) * 60_000;
    const isLess = query.get('duration_op') === 'lt';
    return ({ duration }) => typeof duration === 'number' && (isLess ? duration <= limitMs : duration >= limitMs);
  },
  rated: (value) => (value === 'true' ? (doc) => doc.rating !== undefined : undefined),
  // Takes effect only when the misspelt twin is sent too (seen in server 2.19).
  abandoned: (_value, query) =>
    query.get('abandonded') ? (doc) => valueAt(doc, 'attributes.fully_abandoned') === true : undefined,
  caller: equals('attributes.caller_phone'),
  called: equals('attributes.called_phone'),
  call_id: equals('attributes.call_id'),
  snap_department_routing: equals('snapshot.department.routing'),
  snap_department_default: isTrue('snapshot.department.default'),
  snap_department_id_bot: equals('snapshot.department.id_bot'),
  snap_department_id_bot_exists: (value) => (doc) =>
    (valueAt(doc, 'snapshot.department.id_bot') !== undefined) === (value === 'true'),
  full_text: (value) => (doc) =>
    containsWords(value, [doc.transcript, doc.subject, doc.rating_message, valueAt(doc, 'snapshot.lead.fullname')]),
};

const leadConditions: Readonly<Record<string, ReadCondition<Lead>>> = {
  email: equals('email'),
  full_text: (value) => (doc) => containsWords(value, [doc.fullname, doc.email]),
  with_email: () => (doc) => doc.email !== undefined,
  with_fullname: () => (doc) => doc.fullname !== undefined,
  tags: (value) => (doc) => ((doc.tags ?? []) as readonly string[]).includes(value),
  segment: (value) => {
    if (idForm.test(value)) throw new SegmentNotFound();
    throw new QueryFailure(`Cast to ObjectId failed for value "${value}"`);
  },
};

function readConditions<D>(
  table: Readonly<Record<string, ReadCondition<D>>>,
  query: URLSearchParams,
): [string, Condition<D>][] {
  const conditions: [string, Condition<D>][] = [];
  for (const name of new Set(query.keys())) {
    const value = query.get(name);
    const condition = value && Object.hasOwn(table, name) ? table[name]?.(value, query) : undefined;
    if (condition) conditions.push([`${name}=${value}`, condition]);
  }
  return conditions;
}

function readRequestStatus(query: URLSearchParams): [string, Condition<Request>] | undefined {
  const sent = query.getAll('status');
  if (sent.length > 1) throw new RouteFailure('status sent twice');
  const text = sent[0];
  if (!text) {
    return ['open', (doc) => doc.status < 1000 && doc.status !== 50 && doc.status !== 150];
  }
  const numbers = text === 'all' ? [] : numbersIn(text);
  return numbers.length === 0 ? undefined : [`status=${numbers}`, (doc) => numbers.includes(doc.status)];
}

/** The caller's role hides rows; admins and owners see all. */
export interface Viewer {
  readonly userId: string;
  readonly role: string;
}

function visibleTo({ userId, role }: Viewer): [string, Condition<Request>] | undefined {
  if (role === 'owner' || role === 'admin') return undefined;
  const takesPart = (doc: Request): boolean => doc.participants.includes(userId);
  if (role !== 'agent') return [`participant ${userId}`, takesPart];
  const wasEligible = (doc: Request): boolean =>
    ((valueAt(doc, 'snapshot.agents') ?? []) as readonly { id_user: string }[]).some((one) => one.id_user === userId);
  return [`agent ${userId}`, (doc) => takesPart(doc) || wasEligible(doc)];
}

function joinConditions<D extends StoredDocument>(
  conditions: readonly [string, Condition<D>][],
): Pick<ListRequest<D>, 'filterKey' | 'accepts'> {
  if (conditions.length === 0) return { filterKey: '', accepts: undefined };
  const tests = conditions.map(([, test]) => test);
  return { filterKey: conditions.map(([name]) => name).join('&'), accepts: (doc) => tests.every((test) => test(doc)) };
}

const isoOf = (at: number): string => new Date(at).toISOString();

function readRange(query: URLSearchParams): Range | undefined {
  const hasDays = Boolean(query.get('start_date') || query.get('end_date'));
  const start = query.get(hasDays ? 'start_date' : 'start_date_time');
  const end = query.get(hasDays ? 'end_date' : 'end_date_time');
  if (!start && !end) return undefined;
  const timezone = query.get('timezone') || 'Europe/Rome';
  return {
    field: query.get('filterRangeField') || 'createdAt',
    ...(start && { from: isoOf(parseStart(start, timezone)) }),
    ...(end && { to: isoOf(parseEnd(end, timezone)) }),
  };
}

/** Servers up to 2.14.8: days only, no time zone, and `filterRangeField` only for an open end. */
function readOldRange(query: URLSearchParams): Range | undefined {
  const [start, end] = [query.get('start_date'), query.get('end_date')];
  const [startTime, endTime] = [query.get('start_date_time'), query.get('end_date_time')];
  if (startTime && endTime) {
    return { field: 'createdAt', from: isoOf(parseStart(startTime, 'UTC')), to: isoOf(parseEnd(endTime, 'UTC')) };
  }
  if (!start) return undefined;
  const from = isoOf(parseOldDay(start));
  if (!end) return { field: query.get('filterRangeField') || 'createdAt', from };
  return { field: 'createdAt', from, to: isoOf(parseOldDay(end) + 24 * 3600_000) };
}

export function readRequestList(
  query: URLSearchParams,
  options: { viewer: Viewer; serverVersion: 'new' | 'old' },
): ListRequest<Request> {
  const conditions = readConditions(requestConditions, query);
  const status = readRequestStatus(query);
  const visible = visibleTo(options.viewer);
  if (status) conditions.push(status);
  if (visible) conditions.push(visible);
  // `preflight=true` removes the filter; a row without the field does not match the default one.
  if (query.get('preflight') !== 'true') conditions.push(['written', (doc) => doc.preflight === false]);
  return {
    ...readPaging(query, 100),
    field: query.get('full_text') ? 'createdAt' : query.get('sort') || 'createdAt',
    direction: readDirection(query),
    ...joinConditions(conditions),
    range: options.serverVersion === 'new' ? readRange(query) : readOldRange(query),
    hasCount: query.get('no_count') !== 'true',
  };
}

export function readLeadList(
  query: URLSearchParams,
  options: { projectId: string; joinedLeadStatuses: boolean },
): ListRequest<Lead> {
  const sent = query.getAll('status').filter((text) => text !== '');
  const texts = sent.length === 0 ? ['100'] : options.joinedLeadStatuses ? sent : sent.slice(0, 1);
  const statuses = texts.map(Number);
  // `all` is a word of the requests list only: here the cast fails.
  if (statuses.some(Number.isNaN)) throw new QueryFailure('Cast to Number failed for "status"');
  const conditions = readConditions(leadConditions, query);
  const { projectId } = options;
  const isListed = (lead: Lead): boolean =>
    statuses.includes(lead.status ?? Number.NaN) && lead.id_project === projectId;
  conditions.push([`status=${[...statuses].sort()}`, isListed]);
  return {
    ...readPaging(query, Number.POSITIVE_INFINITY),
    field: query.get('sort') || 'createdAt',
    direction: readDirection(query),
    ...joinConditions(conditions),
    range: undefined,
    hasCount: true,
  };
}
