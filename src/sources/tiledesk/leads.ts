import { TransientError } from '../../errors.ts';
import type { FetchOptions, List, ListQuery, PlanContext, Stream } from '../../stream.ts';
import { createStitchWalk } from '../../walks/stitch.ts';
import { asInteger, asTime, firstOf, isObject } from '../coerce.ts';
import { anything, integer, text, texts } from '../record-table.ts';
import { existsById, fetchNewestChange, knows, pageParameters, readEnvelope, toEntry } from './lists.ts';
import { redacted, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/**
 * Leads. The list shows one status per call; `status=all` is never answered (seen in server 2.19). Repeating the
 * parameter joins statuses, which is probed once. Without that, three lists are read in this order: a lead that changes
 * its status is seen again in a later one, or at the front of the next incremental pass.
 */
const STATUSES = [100, 50, 1000] as const;
const DELETED = 1000;
/** Those that are counted: a deleted lead that is removed for good would differ for ever. */
const ALIVE = [100, 50] as const;
/** The server has no upper limit for leads: a group of equal times larger than a page is read with a larger one. */
const WIDE_LIMIT = 2000;
const WEEK_MS = 7 * 86_400_000;
/** Pages overlap and begin at a multiple of their limit: of 100 rows 87 are new on average, of so many more 100. */
const ROOM_FOR_OVERLAP = 1.15;

export const LEADS = tiledeskTable(
  'leads',
  {
    lead_id: text(),
    fullname: text(),
    email: text(),
    phone: text(),
    company: text(),
    note: text(),
    street_address: text('streetAddress'),
    city: text(),
    region: text(),
    zipcode: text(),
    country: text(),
    tags: texts(),
    attributes: anything(),
    properties: anything(),
    status: integer(),
  },
  {
    tracked: 'status tags company country',
    impersonal: 'country',
    personal: {
      kept: ['status'],
      isPerson: true,
      addresses: ['email'],
      numbers: ['phone'],
      names: ['fullname'],
      keys: ['lead_id'],
      notes: ['note'],
    },
    // Status 1000 means deleted upstream; a lead without a date still has to be marked.
    deletedAt: ({ status, updatedAt, createdAt }) =>
      asInteger(status) === DELETED ? (firstOf(asTime, updatedAt, createdAt) ?? '1970-01-01T00:00:00.000Z') : null,
  },
);

export function createLeadsStream(parts: TiledeskStreamParts): Stream {
  const { api, pageSize, maxPageSize, fullSyncKey } = parts;
  const usualLimit = Math.ceil(pageSize * ROOM_FOR_OVERLAP);

  async function fetchLeads(statuses: readonly number[], query: ListQuery, options: FetchOptions) {
    const parameters = pageParameters(query);
    for (const status of statuses) parameters.append('status', String(status));
    return readEnvelope(await api.get('leads', parameters, options), 'leads', true);
  }

  async function fetchCount(statuses: readonly number[], options: FetchOptions): Promise<number | null> {
    const query: ListQuery = { sort: 'id', direction: 'desc', offset: 0, limit: 1, wantTotal: true };
    return (await fetchLeads(statuses, query, { ...options, attempts: 1 })).total;
  }

  /**
   * True when a repeated status means "any of"; a server that takes one of them gives different counts for the two
   * orders, or less than the sum. Null: undecided (no leads yet, leads arriving meanwhile, no answer).
   */
  async function probeJoinedStatuses(options: FetchOptions): Promise<boolean | null> {
    const single: number[] = [];
    for (const status of STATUSES) single.push((await fetchCount([status], options)) ?? 0);
    const sum = single.reduce((total, count) => total + count, 0);
    const joined = await fetchCount(STATUSES, options);
    const reversed = await fetchCount([...STATUSES].reverse(), options);
    if (sum === 0 || joined === null) return null;
    if (joined === sum && reversed === sum) return true;
    return joined === single[0] || joined === single[2] || reversed === single[0] ? false : null;
  }

  function listOf(id: string, statuses: readonly number[], context: PlanContext): List {
    const ties = { kind: 'wide', limit: WIDE_LIMIT } as const;
    const { pass, capabilities } = context;
    const remembered =
      Number(capabilities.leadsLimitUntil ?? 0) > Date.now() ? Number(capabilities.leadsLimit) : WIDE_LIMIT;
    const widest = Math.max(usualLimit, Math.min(Math.ceil(maxPageSize * ROOM_FOR_OVERLAP), remembered));
    const walk =
      pass === 'incremental'
        ? createStitchWalk({ sort: 'updated_at', pageSize, stopBefore: context.stopBefore(id), ties })
        : createStitchWalk({ sort: fullSyncKey, pageSize: usualLimit, widest, ties });
    return {
      id,
      walk,
      fetchPage: rememberLimit(context, (query, options) => fetchLeads(statuses, query, options)),
      fetchNewestChange: (options) => fetchNewestChange((query) => fetchLeads(statuses, query, options)),
    };
  }

  /** A page that took too long, where a smaller one does not, is not asked for again for a week. */
  function rememberLimit(context: PlanContext, fetchPage: List['fetchPage']): List['fetchPage'] {
    let isSlow = false;
    return async (query, options) => {
      try {
        const page = await fetchPage(query, options);
        if (isSlow) await context.learn({ leadsLimit: query.limit, leadsLimitUntil: Date.now() + WEEK_MS });
        isSlow = false;
        return page;
      } catch (error) {
        isSlow = query.isTrial === true && error instanceof TransientError && error.code === 'timeout';
        throw error;
      }
    };
  }

  return {
    ...redacted(LEADS, parts),
    deletions: {
      exists: ({ id }, options) => existsById(api, 'leads', id, options),
    },
    counts: async () =>
      ALIVE.map((status) => ({
        id: String(status),
        rows: { column: 'status', value: status },
        pageSize: maxPageSize,
        fetchPage: (query, options) => fetchLeads([status], query, options),
        entryOf: (record) => (isObject(record) && asInteger(record.status) === status ? toEntry(record) : null),
      })),
    async planLists(context) {
      const isJoined = await knows(context, 'joinedLeadStatuses', () => probeJoinedStatuses(context.fetch));
      if (isJoined) return [{ ...listOf('all', STATUSES, context), holdsAll: true }];
      return STATUSES.map((status) => listOf(String(status), [status], context));
    },
  };
}
