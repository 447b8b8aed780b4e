import { RateLimitedError, TransientError, UpstreamContractError } from '../../errors.ts';
import type { UpstreamResponse } from '../../http/upstream.ts';
import type { Entry, FetchOptions, ListPage, ListQuery, PlanContext, SortKey } from '../../stream.ts';
import { asId, asMs, asNumber, isObject } from '../coerce.ts';
import type { TiledeskApi } from './api.ts';

/** The server reads `sort`; the documented `sortField` is silently ignored (seen in server 2.19). */
const SORT_FIELDS: Record<SortKey, string> = { id: '_id', created_at: 'createdAt', updated_at: 'updatedAt' };

/** Parameters that both lists know. Pages are counted from 0. */
export function pageParameters(query: ListQuery): URLSearchParams {
  return new URLSearchParams({
    page: String(query.offset / query.limit),
    limit: String(query.limit),
    sort: SORT_FIELDS[query.sort],
    direction: query.direction === 'desc' ? '-1' : '1',
  });
}

/** `{perPage, count, <name>: [...]}`. `count` is 0, not absent, when it was not asked for. */
export function readEnvelope(response: UpstreamResponse, name: string, isCounted: boolean): ListPage {
  const { body, serverTime, durationMs, length } = response;
  const records = isObject(body) ? body[name] : null;
  if (!isObject(body) || !Array.isArray(records)) throw noList(name);
  return {
    records,
    entries: records.map(toEntry),
    pageSize: asNumber(body.perPage),
    total: isCounted ? asNumber(body.count) : null,
    serverTime,
    cost: { ms: durationMs, length },
  };
}

/** A bare array: the short lists. */
export function readArray(response: UpstreamResponse, name: string): ListPage {
  const { body, serverTime } = response;
  if (!Array.isArray(body)) throw noList(name);
  return { records: body, entries: body.map(toEntry), pageSize: null, total: body.length, serverTime };
}

function noList(name: string): UpstreamContractError {
  const message = `the answer holds no list of ${name}; is TILEDESK_BASE_URL a Tiledesk server?`;
  return new UpstreamContractError('unexpected_shape', message);
}

export async function fetchArray(api: TiledeskApi, path: string, options: FetchOptions): Promise<ListPage> {
  const [name = path] = path.split(/[/?]/);
  return readArray(await api.get(path, new URLSearchParams(), options), name);
}

/** The server's own ids have a fixed length and lower case, so that text order is its order. */
const OBJECT_ID = /^[0-9a-f]{24}$/;

export function toEntry(record: unknown): Entry {
  if (!isObject(record)) return { id: null, sortId: null, createdAt: null, updatedAt: null };
  const id = asId(record._id);
  // The database sorts ids of another type apart: such a row shows nothing about the order of the rows around it.
  const sortId = id !== null && OBJECT_ID.test(id) ? id : null;
  return { id, sortId, createdAt: asMs(record.createdAt), updatedAt: asMs(record.updatedAt) };
}

/** The newest change in a list that is sorted by it; of ten rows, because some carry no date. */
export async function fetchNewestChange(fetch: (query: ListQuery) => Promise<ListPage>) {
  const first = { sort: 'updated_at', direction: 'desc', offset: 0, limit: 10, wantTotal: false } as const;
  const { entries, serverTime } = await fetch(first);
  return { newest: entries.find(({ updatedAt }) => updatedAt !== null)?.updatedAt ?? null, serverTime };
}

/**
 * Whether a server can do something: as remembered, else asked with one attempt. Without an answer the careful way is
 * taken, and it is asked again the next time.
 */
export async function knows(context: PlanContext, name: string, ask: () => Promise<boolean | null>): Promise<boolean> {
  const remembered = context.capabilities[name];
  if (remembered !== undefined) return remembered === true;
  const found = await ask().catch((error: unknown) => {
    const isEmpty =
      error instanceof TransientError || error instanceof RateLimitedError || error instanceof UpstreamContractError;
    if (isEmpty) return null;
    throw error;
  });
  if (found !== null) await context.learn({ [name]: found });
  return found === true;
}

/** Is the object there? An id of another form is answered with 500 (seen in server 2.19): not asked for. */
export async function existsById(
  api: TiledeskApi,
  path: string,
  id: string,
  options: FetchOptions,
): Promise<boolean | null> {
  return /^[0-9a-f]{24}$/i.test(id) ? api.exists(`${path}/${id}`, options) : null;
}

/** `DD/MM/YYYY HH:mm:ss` in UTC, the only form that every server reads rightly. */
export function formatDateTime(ms: number): string {
  const [date = '', time = ''] = new Date(ms).toISOString().split('T');
  return `${date.split('-').reverse().join('/')} ${time.slice(0, 8)}`;
}

export function formatDay(ms: number): string {
  return formatDateTime(ms).slice(0, 10);
}
