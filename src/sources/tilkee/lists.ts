import { UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import type { UpstreamResponse } from '../../http/upstream.ts';
import type {
  Capabilities,
  Entry,
  FetchOptions,
  List,
  ListPage,
  ListQuery,
  ListWindow,
  PlanContext,
} from '../../stream.ts';
import { createOffsetWalk } from '../../walks/offset.ts';
import { asBoolean, asId, asMs, asNumber, isObject, type JsonObject } from '../coerce.ts';
import { BadParameterError } from './api.ts';
import type { GetOptions, TilkeeApiName, TilkeeStreamParts } from './parts.ts';

/** One list of one API: its path and the parameters that make it this list. */
export interface Place {
  readonly api: TilkeeApiName;
  readonly path: string;
  readonly parameters?: readonly (readonly [string, string])[];
  /** V2: as which colleague. */
  readonly actAs?: string;
  /** What the request tells about its rows. */
  readonly known?: Readonly<Record<string, unknown>>;
  /** How this list is asked for a range of creation; absent: it cannot be. */
  readonly windowParameters?: (window: ListWindow) => readonly (readonly [string, string])[];
}

/** Rows that a V3 server surely gives: the documented default. */
const SURE_LIMIT = 20;

export interface Reader {
  fetch(place: Place, query: Pick<ListQuery, 'offset' | 'limit' | 'window'>, options: GetOptions): Promise<ListPage>;
  /** Rows a page that the walks should ask for. */
  readonly pageSize: number;
}

/**
 * Fetches pages of both APIs. A server that refuses the page size says by how much (422); it is asked again with that, and the answer is remembered.
 */
export function createReader({ api, settings }: TilkeeStreamParts, context: Reads): Reader {
  const remembered = context.capabilities.pageSize;
  let allowed = Math.min(settings.pageSize, typeof remembered === 'number' ? remembered : settings.pageSize);

  async function fetchOnce(place: Place, query: Pick<ListQuery, 'offset' | 'limit' | 'window'>, options: GetOptions) {
    const { path, parameters = [] } = place;
    const window = query.window === undefined ? [] : (place.windowParameters?.(query.window) ?? []);
    const search = new URLSearchParams({
      [place.api === 'v3' ? 'skip' : 'offset']: String(query.offset),
      limit: String(Math.min(query.limit, allowed)),
    });
    for (const [name, value] of [...parameters, ...window]) search.append(name, value);
    const actAs = place.actAs === undefined ? {} : { actAs: place.actAs };
    const response = await api.get(place.api, path, search, { ...options, ...actAs });
    const page = place.api === 'v3' ? readV3(response, path) : readV2(response, path);
    return place.known === undefined ? page : { ...page, known: place.known };
  }

  return {
    get pageSize() {
      return allowed;
    },
    async fetch(place, query, options) {
      try {
        return await fetchOnce(place, query, options);
      } catch (error) {
        const bound = limitOf(error);
        if (bound === null || bound >= allowed) throw error;
        allowed = Math.max(2, bound);
        await context.learn({ pageSize: allowed });
        return fetchOnce(place, query, options);
      }
    },
  };
}

type Reads = Pick<PlanContext, 'capabilities' | 'learn'>;

function limitOf(error: unknown): number | null {
  if (!(error instanceof BadParameterError)) return null;
  const named = error.parameters.find(({ name }) => name === 'limit');
  return named === undefined ? null : (named.limit ?? SURE_LIMIT);
}

/** `{data: [...], has_more}`; `has_more` may be missing on the last page (documented). A bare array is understood too. */
function readV3({ body, serverTime }: UpstreamResponse, path: string): ListPage {
  const records = Array.isArray(body) ? body : isObject(body) ? emptyOrArray(body.data) : null;
  if (records === null) throw unexpected(path, 'data');
  const hasMore = isObject(body) ? asBoolean(body.has_more) : null;
  return { ...pageOf(records, serverTime), hasMore };
}

/**
 * `{search, limit, offset, total, order, contents: [...]}`. `limit` echoes what the server applied; `total` was seen as number, text and object, and
 * is only ever a hint. Some answers are bare arrays; an empty `contents` need not be one.
 */
function readV2({ body, serverTime }: UpstreamResponse, path: string): ListPage {
  if (Array.isArray(body)) return pageOf(body, serverTime);
  const isEnvelope = isObject(body) && ['contents', 'limit', 'offset', 'total'].some((key) => key in body);
  const records = isEnvelope ? emptyOrArray(body.contents ?? '') : null;
  if (records === null || !isObject(body)) throw unexpected(path, 'contents');
  const limit = asNumber(body.limit);
  return {
    ...pageOf(records, serverTime),
    pageSize: limit !== null && limit > 0 ? limit : null,
    total: asNumber(body.total),
  };
}

function emptyOrArray(value: unknown): readonly unknown[] | null {
  if (Array.isArray(value)) return value;
  return value === '' || value === null ? [] : null;
}

function pageOf(records: readonly unknown[], serverTime: number | null): ListPage {
  return { records, entries: records.map(toEntry), pageSize: null, total: null, hasMore: null, serverTime };
}

function toEntry(record: unknown): Entry {
  const { id, created_at, updated_at }: JsonObject = isObject(record) ? record : {};
  return { id: asId(id), createdAt: asMs(created_at), updatedAt: asMs(updated_at) };
}

function unexpected(path: string, field: string): UpstreamContractError {
  return new UpstreamContractError(
    'unexpected_shape',
    `the answer of ${path} holds no list (${field}); check TILKEE_V3_URL and TILKEE_V2_URL`,
  );
}

/** A list that the account may not read, or that this server does not have. Asking again does not help. */
export function isRefused(error: unknown): boolean {
  return error instanceof UpstreamRefusedError && [403, 404, 410].includes(error.status);
}

/** Whether a list is open to the account. Throws when it did not say just now. */
export async function isOpen(reader: Reader, place: Place, options: FetchOptions): Promise<boolean> {
  try {
    await reader.fetch(place, { offset: 0, limit: 2 }, options);
    return true;
  } catch (error) {
    if (isRefused(error)) return false;
    throw error;
  }
}

/** No list of Tilkee tells what changed: said in the status of every stream, beside what is out of the ordinary. */
export function noteOnReading(context: PlanContext, ...texts: readonly (string | null)[]): void {
  context.notice([EDITS_LATER, ...texts.filter((text) => text !== null)].join('; '));
}

const EDITS_LATER = 'new rows arrive with every pass, edits of older ones with the full walk';

/** V3 wants full times; UTC, because nobody knows in which zone it reads others. */
export const v3Window = ({ fromMs, toMs }: ListWindow): readonly (readonly [string, string])[] => [
  ...(fromMs === undefined ? [] : ([['created_at_start', new Date(fromMs).toISOString()]] as const)),
  ...(toMs === undefined ? [] : ([['created_at_end', new Date(toMs).toISOString()]] as const)),
];

const NEVER_MS = Date.UTC(2100, 0, 1);
const DAY_MS = 86_400_000;

/**
 * Whether a list can be asked for what was created since a time, found out with the form that is used: the next century must be empty, and a window
 * that opens two days before the newest row must show that row. (A server that reads milliseconds as seconds fails the first, one that reads seconds as
 * milliseconds the second.) Null: no rows yet, so nobody can tell.
 */
export async function probeWindow(reader: Reader, place: Place, options: FetchOptions): Promise<boolean | null> {
  const front = await reader.fetch(place, { offset: 0, limit: 5 }, options);
  const dated = front.entries.filter(({ createdAt }) => createdAt !== null);
  const newest = dated.sort((a, b) => (b.createdAt ?? 0) - (a.createdAt ?? 0))[0];
  if (newest === undefined || newest.createdAt === null) return null;
  const windowFrom = (fromMs: number): ListWindow => ({ field: 'created_at', fromMs });
  const never = await reader.fetch(place, { offset: 0, limit: 5, window: windowFrom(NEVER_MS) }, options);
  if (never.entries.length > 0) return false;
  const window = windowFrom(newest.createdAt - 2 * DAY_MS);
  const since = await reader.fetch(place, { offset: 0, limit: 5, window }, options);
  return since.entries.length > 0;
}

/**
 * Asks `ask` unless the answer is remembered. An undecided answer is not kept, and a no is asked again by every full walk that looks for deletions: rights are
 * given, and servers learn. The name holds whatever setting decides the answer.
 */
export async function recallOr(
  context: PlanContext,
  name: string,
  ask: () => Promise<boolean | null>,
): Promise<boolean | null> {
  const remembered = context.capabilities[name];
  if (remembered === true || (remembered === false && context.pass !== 'reconcile')) return remembered;
  const found = await ask();
  if (found !== null) await context.learn({ [name]: found } satisfies Capabilities);
  return found;
}

export interface ListPlan {
  readonly id: string;
  readonly place: Place;
  readonly reader: Reader;
  readonly context: PlanContext;
  /** How far an incremental window reaches back before the watermark; absent: this list has no windows, its front is read. */
  readonly overlapMs?: number;
  /** By which date the list shows the newest first; creation unless told. */
  readonly sortedBy?: 'createdAt' | 'updatedAt';
  /** Never empty while the stream has objects. */
  readonly holdsAll?: boolean;
}

/** The list as the pass reads it: whole, since a time of creation, or its front. */
export function listOf({ id, place, reader, context, overlapMs, sortedBy = 'createdAt', holdsAll }: ListPlan): List {
  const { pageSize } = reader;
  const watermark = overlapMs === undefined ? null : context.watermark(id);
  const isWindow = context.pass === 'incremental' && overlapMs !== undefined && watermark !== null;
  const walk = isWindow
    ? createOffsetWalk({ pageSize, goal: 'window', window: { field: 'created_at', fromMs: watermark - overlapMs } })
    : context.pass === 'incremental'
      ? createOffsetWalk({ pageSize, goal: 'front', sortedBy })
      : createOffsetWalk({ pageSize, goal: 'all', provesEnd: context.pass === 'reconcile' });
  return {
    id,
    walk,
    // A window may well be empty.
    holdsAll: holdsAll === true && !isWindow,
    fetchPage: (query, options) => reader.fetch(place, query, options),
    ...(overlapMs === undefined
      ? {}
      : {
          async fetchNewestChange(options: FetchOptions) {
            const { entries, serverTime } = await reader.fetch(place, { offset: 0, limit: 5 }, options);
            const times = entries.map(({ createdAt }) => createdAt).filter((at) => at !== null);
            return { newest: times.length === 0 ? null : Math.max(...times), serverTime };
          },
        }),
  };
}

/** The same list once for the account itself and once for every colleague that settings name. */
export function asEverybody(
  { settings }: TilkeeStreamParts,
  id: string,
  place: Place,
): readonly { readonly id: string; readonly place: Place }[] {
  const others = place.api === 'v2' ? settings.actAs : [];
  return [{ id, place }, ...others.map((actAs) => ({ id: `${id}.as.${actAs}`, place: { ...place, actAs } }))];
}

/** Several values of one parameter, as this server wants them written. */
export function manyValues(
  { settings }: TilkeeStreamParts,
  name: string,
  values: readonly string[],
): readonly (readonly [string, string])[] {
  return settings.arrayParams === 'csv' ? [[name, values.join(',')]] : values.map((value) => [name, value] as const);
}

/** True: it is there. False: 404 or 410. Null: this server does not answer that question. */
export async function existsAt(
  { api }: TilkeeStreamParts,
  name: TilkeeApiName,
  path: string,
  options: FetchOptions,
): Promise<boolean | null> {
  try {
    await api.get(name, path, new URLSearchParams(), options);
    return true;
  } catch (error) {
    if (error instanceof UpstreamRefusedError && (error.status === 404 || error.status === 410)) return false;
    if (error instanceof UpstreamRefusedError) return null;
    throw error;
  }
}
