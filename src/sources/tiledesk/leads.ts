import { RecordError } from '../../errors.ts';
import type { FetchOptions, List, ListQuery, PlanContext, Row, Stream, TableSpec } from '../../stream.ts';
import { createStitchWalk } from '../../walks/stitch.ts';
import { asId, asInteger, asJson, asText, asTexts, asTime, isObject } from '../coerce.ts';
import { redactTiledesk } from '../privacy.ts';
import { LEAD_FIELDS } from './fields.ts';
import { existsById, pageParameters, probe, readEnvelope } from './lists.ts';
import type { TiledeskStreamParts } from './parts.ts';

/**
 * Leads. The list shows one status per call, 100 by default; `status=all` is never answered (seen in server 2.19). Repeating the parameter joins
 * statuses, which no document says, so it is probed once; without it three lists are read, in this order, because a lead that changes its status
 * under way is then met again in a later list or at the front of the next incremental pass.
 */
const STATUSES = [100, 50, 1000] as const;
const DELETED = 1000;
/** The server has no upper limit for leads: a group of equal times larger than a page is read with a larger one. */
const WIDE_LIMIT = 2000;
/**
 * Pages overlap, and a page begins at a multiple of its limit: of 100 rows asked for, 87 are new on average. Asking for so much more makes that 100, and a full
 * walk takes a seventh fewer requests.
 */
const ROOM_FOR_OVERLAP = 1.15;

const TABLE: TableSpec = {
  schema: 'tiledesk',
  name: 'leads',
  columns: {
    lead_id: 'text',
    fullname: 'text',
    email: 'text',
    phone: 'text',
    company: 'text',
    note: 'text',
    street_address: 'text',
    city: 'text',
    region: 'text',
    zipcode: 'text',
    country: 'text',
    tags: 'text[]',
    attributes: 'jsonb',
    properties: 'jsonb',
    status: 'integer',
    id_project: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapLead(record: unknown): Row {
  const id = isObject(record) ? asId(record._id) : null;
  if (!isObject(record) || id === null) throw new RecordError('no_id', 'a lead without _id', { recordId: null });
  const status = asInteger(record.status);
  const updatedAt = asTime(record.updatedAt);
  return {
    id,
    lead_id: asText(record.lead_id),
    fullname: asText(record.fullname),
    email: asText(record.email),
    phone: asText(record.phone),
    company: asText(record.company),
    note: asText(record.note),
    street_address: asText(record.streetAddress),
    city: asText(record.city),
    region: asText(record.region),
    zipcode: asText(record.zipcode),
    country: asText(record.country),
    tags: asTexts(record.tags),
    attributes: asJson(record.attributes),
    properties: asJson(record.properties),
    status,
    id_project: asText(record.id_project),
    created_by: asText(record.createdBy),
    created_at: asTime(record.createdAt),
    updated_at: updatedAt,
    // The list of status 1000 is the upstream's own word that a lead is deleted; a lead without a date still has to be marked.
    deleted_at: status === DELETED ? (updatedAt ?? asTime(record.createdAt) ?? '1970-01-01T00:00:00.000Z') : null,
    raw: record,
  };
}

export function createLeadsStream({ api, pageSize, fullWalkKey, privacy }: TiledeskStreamParts): Stream {
  async function fetchLeads(
    statuses: readonly number[],
    query: ListQuery,
    options: FetchOptions & { attempts?: number },
  ) {
    const parameters = pageParameters(query);
    for (const status of statuses) parameters.append('status', String(status));
    return readEnvelope(await api.get('leads', parameters, options), 'leads', true);
  }

  async function fetchCount(statuses: readonly number[], options: FetchOptions): Promise<number | null> {
    const query: ListQuery = { sort: 'id', direction: 'desc', offset: 0, limit: 1, wantTotal: true };
    return (await fetchLeads(statuses, query, { ...options, attempts: 1 })).total;
  }

  /**
   * True when a repeated status means "any of". A server that takes the first or the last one only would give different counts for the two orders, or
   * less than the sum. Null: undecided (no leads yet, leads arriving meanwhile, no answer).
   */
  function probeJoinedStatuses(options: FetchOptions): Promise<boolean | null> {
    return probe(async () => {
      const single: number[] = [];
      for (const status of STATUSES) single.push((await fetchCount([status], options)) ?? 0);
      const sum = single.reduce((total, count) => total + count, 0);
      const joined = await fetchCount(STATUSES, options);
      const reversed = await fetchCount([...STATUSES].reverse(), options);
      if (sum === 0 || joined === null) return null;
      if (joined === sum && reversed === sum) return true;
      return joined === single[0] || joined === single[2] || reversed === single[0] ? false : null;
    });
  }

  function listOf(id: string, statuses: readonly number[], context: PlanContext): List {
    const ties = { kind: 'wide', limit: WIDE_LIMIT } as const;
    const walk =
      context.pass === 'incremental'
        ? createStitchWalk({ sort: 'updated_at', pageSize, stopBefore: context.stopBefore(id), ties })
        : createStitchWalk({ sort: fullWalkKey, pageSize: Math.ceil(pageSize * ROOM_FOR_OVERLAP), ties });
    return {
      id,
      walk,
      fetchPage: (query, options) => fetchLeads(statuses, query, options),
      async fetchNewestChange(options) {
        const query: ListQuery = { sort: 'updated_at', direction: 'desc', offset: 0, limit: 10, wantTotal: false };
        const { entries, serverTime } = await fetchLeads(statuses, query, options);
        return { newest: entries.find(({ updatedAt }) => updatedAt !== null)?.updatedAt ?? null, serverTime };
      },
    };
  }

  return {
    name: 'tiledesk.leads',
    table: TABLE,
    fields: LEAD_FIELDS,
    redactRecord: (record) => redactTiledesk(record, privacy),
    mapRecord: mapLead,
    deletions: {
      exists: ({ id }, options) => existsById(api, 'leads', id, options),
    },
    async planLists(context) {
      let isJoined = context.capabilities.joinedLeadStatuses;
      if (isJoined === undefined) {
        const found = await probeJoinedStatuses(context.fetch);
        if (found !== null) await context.learn({ joinedLeadStatuses: found });
        isJoined = found ?? false;
      }
      if (isJoined === true) return [{ ...listOf('all', STATUSES, context), holdsAll: true }];
      return STATUSES.map((status) => listOf(String(status), [status], context));
    },
  };
}
