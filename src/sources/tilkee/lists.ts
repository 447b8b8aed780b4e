import { UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import type { UpstreamResponse } from '../../http/upstream.ts';
import type { Entry, FetchOptions, List, ListPage, ListQuery, PlanContext } from '../../stream.ts';
import { createOffsetWalk } from '../../walks/offset.ts';
import { asBoolean, asId, asMs, asNumber, isObject, type JsonObject } from '../coerce.ts';
import { BadParameterError } from './api.ts';
import type { TilkeeApiName, TilkeeGetOptions, TilkeeStreamParts } from './parts.ts';

export interface ListAddress {
  readonly api: TilkeeApiName;
  readonly path: string;
  readonly parameters?: readonly (readonly [string, string])[];
  /** V2: as which colleague. */
  readonly actAs?: string;
  readonly known?: Readonly<Record<string, unknown>>;
  /** How this list is asked for what was created since a time; absent: it cannot be. */
  readonly since?: (fromMs: number) => readonly [string, string];
}

/** Rows that a V3 server surely gives: the documented default. */
const SURE_LIMIT = 20;

type PageQuery = Pick<ListQuery, 'offset' | 'limit' | 'window'>;

export interface NamedAddress {
  readonly id: string;
  readonly address: ListAddress;
}

export interface ListPlan extends NamedAddress {
  /** How far an incremental window reaches back before the watermark; absent: the list's front is read. */
  readonly overlapMs?: number | undefined;
  /** By which date the list shows the newest first; default: creation. */
  readonly sortedBy?: 'createdAt' | 'updatedAt';
  readonly holdsAll?: boolean;
}

export type Reader = ReturnType<typeof createReader>;

/** Reads the lists of both APIs in one pass, and lays them out for it. */
export function createReader({ api, settings }: TilkeeStreamParts, context: PlanContext) {
  const remembered = context.capabilities.pageSize;
  /** Rows a page. What a server that refuses so many (422) allows instead is remembered. */
  let pageSize = Math.min(settings.pageSize, typeof remembered === 'number' ? remembered : settings.pageSize);

  async function fetchOnce(address: ListAddress, query: PageQuery, options: TilkeeGetOptions) {
    const { path, parameters = [], actAs, known } = address;
    const search = new URLSearchParams({
      [address.api === 'v3' ? 'skip' : 'offset']: String(query.offset),
      limit: String(Math.min(query.limit, pageSize)),
    });
    for (const [name, value] of parameters) search.append(name, value);
    if (address.since && query.window?.fromMs !== undefined) search.append(...address.since(query.window.fromMs));
    const response = await api.get(address.api, path, search, { ...options, ...(actAs !== undefined && { actAs }) });
    const page = address.api === 'v3' ? readV3(response, path) : readV2(response, path);
    return known === undefined ? page : { ...page, known };
  }

  async function fetch(
    address: ListAddress,
    query: PageQuery,
    options: TilkeeGetOptions = context.fetch,
  ): Promise<ListPage> {
    try {
      return await fetchOnce(address, query, options);
    } catch (error) {
      const bound = limitOf(error);
      if (bound === null || bound >= pageSize) throw error;
      pageSize = Math.max(2, bound);
      await context.learn({ pageSize });
      return fetchOnce(address, query, options);
    }
  }

  /**
   * Asks `ask` unless the answer is remembered. An undecided answer is not kept, and every full sync that looks for
   * deletions asks again after a no: rights are given, and servers learn.
   */
  async function probeOnce(name: string, ask: () => Promise<boolean | null>): Promise<boolean | null> {
    const answer = context.capabilities[name];
    if (answer === true || (answer === false && context.pass !== 'reconcile')) return answer;
    const found = await ask();
    if (found !== null) await context.learn({ [name]: found });
    return found;
  }

  return {
    fetch,
    probeOnce,

    /** Whether a list is open to the account. Throws when it did not answer just now. */
    async isOpen(address: ListAddress): Promise<boolean> {
      try {
        await fetch(address, { offset: 0, limit: 2 });
        return true;
      } catch (error) {
        if (isRefused(error)) return false;
        throw error;
      }
    },

    hasWindows: (address: ListAddress, name = 'createdWindows') => probeOnce(name, () => probeWindow(fetch, address)),

    /** The list as the pass reads it: whole, since a time of creation, or its front. */
    list({ id, address, overlapMs, sortedBy = 'createdAt', holdsAll }: ListPlan): List {
      const watermark = overlapMs === undefined ? null : context.watermark(id);
      const isIncremental = context.pass === 'incremental';
      const isWindow = isIncremental && overlapMs !== undefined && watermark !== null;
      const walk = isWindow
        ? createOffsetWalk({ pageSize, goal: 'window', window: { field: 'created_at', fromMs: watermark - overlapMs } })
        : isIncremental
          ? createOffsetWalk({ pageSize, goal: 'front', sortedBy })
          : createOffsetWalk({ pageSize, goal: 'all', verifiesEnd: context.pass === 'reconcile' });
      const list: List = {
        id,
        walk,
        // A window may well be empty.
        holdsAll: holdsAll === true && !isWindow,
        fetchPage: (query, options) => fetch(address, query, options),
      };
      if (overlapMs === undefined) return list;
      return {
        ...list,
        async fetchNewestChange(options) {
          const { entries, serverTime } = await fetch(address, { offset: 0, limit: 5 }, options);
          const times = entries.flatMap(({ createdAt }) => createdAt ?? []);
          return { newest: times.length === 0 ? null : Math.max(...times), serverTime };
        },
      };
    },
  };
}

function limitOf(error: unknown): number | null {
  if (!(error instanceof BadParameterError)) return null;
  const named = error.parameters.find(({ name }) => name === 'limit');
  return named === undefined ? null : (named.limit ?? SURE_LIMIT);
}

/** `{data: [...], has_more}`, or a bare array; `has_more` may be missing on the last page (documented). */
function readV3({ body, serverTime }: UpstreamResponse, path: string): ListPage {
  const records = Array.isArray(body) ? body : isObject(body) ? emptyOrArray(body.data) : null;
  if (records === null) throw unexpected(path, 'data');
  const hasMore = isObject(body) ? asBoolean(body.has_more) : null;
  return { ...pageOf(records, serverTime), hasMore };
}

/** `{limit, offset, total, contents: [...]}`, or a bare array. An empty `contents` need not be one. */
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

/** No list of Tilkee shows what changed: the status of every stream notes it. */
export function noteOnReading(context: PlanContext, ...texts: readonly (string | null)[]): void {
  context.notice([EDITS_LATER, ...texts.filter((text) => text !== null)].join('; '));
}

const EDITS_LATER = 'new rows arrive with every pass, edits of older ones with the full sync';

/** V3 wants full times; UTC, because the zone of others is not documented. */
export const sinceV3 = (fromMs: number) => ['created_at_start', new Date(fromMs).toISOString()] as const;

/** Whether V3's bounds are inclusive, and in which zone they are read, is not published. */
export const V3_OVERLAP_MS = 86_400_000;

const NEVER_MS = Date.UTC(2100, 0, 1);
const DAY_MS = 86_400_000;

/**
 * The next century must be empty (not so where milliseconds are read as seconds), and a window from two days before the
 * newest row must show that row (not so where seconds are read as milliseconds). Null: no rows yet.
 */
async function probeWindow(fetch: (address: ListAddress, query: PageQuery) => Promise<ListPage>, address: ListAddress) {
  const few = { offset: 0, limit: 5 } as const;
  const isEmptySince = async (fromMs: number) =>
    (await fetch(address, { ...few, window: { field: 'created_at', fromMs } })).entries.length === 0;
  const times = (await fetch(address, few)).entries.flatMap(({ createdAt }) => createdAt ?? []);
  if (times.length === 0) return null;
  return (await isEmptySince(NEVER_MS)) && !(await isEmptySince(Math.max(...times) - 2 * DAY_MS));
}

/** The same list once for the account itself and once for every colleague that settings name. */
export function asAllColleagues({ settings }: TilkeeStreamParts, id: string, address: ListAddress): NamedAddress[] {
  const others = address.api === 'v2' ? settings.actAs : [];
  return [{ id, address }, ...others.map((actAs) => ({ id: `${id}.as.${actAs}`, address: { ...address, actAs } }))];
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
    if (!(error instanceof UpstreamRefusedError)) throw error;
    return error.status === 404 || error.status === 410 ? false : null;
  }
}
