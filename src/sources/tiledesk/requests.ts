import { RecordError } from '../../errors.ts';
import type { FetchOptions, List, ListPage, ListQuery, ListWindow, Row, Stream, TableSpec } from '../../stream.ts';
import { createKeysetWalk } from '../../walks/keyset.ts';
import { createStitchWalk } from '../../walks/stitch.ts';
import {
  asBigint,
  asBoolean,
  asId,
  asInteger,
  asJson,
  asNumber,
  asText,
  asTexts,
  asTime,
  isObject,
} from '../coerce.ts';
import { redactTiledesk } from '../privacy.ts';
import type { GetOptions } from './api.ts';
import { REQUEST_FIELDS } from './fields.ts';
import { formatDateTime, formatDay, pageParameters, probe, readEnvelope } from './lists.ts';
import type { TiledeskStreamParts } from './parts.ts';

/**
 * Requests (conversations), all of them: without `status=all&preflight=true` the list shows open ones only, and with populated references a
 * conversation loses the id of a deleted lead (both seen in server 2.19).
 */
const EVERYTHING = { status: 'all', preflight: 'true', no_populate: 'true' } as const;

const TABLE: TableSpec = {
  schema: 'tiledesk',
  name: 'requests',
  columns: {
    request_id: 'text',
    ticket_id: 'bigint',
    status: 'integer',
    preflight: 'boolean',
    draft: 'boolean',
    has_bot: 'boolean',
    first_text: 'text',
    subject: 'text',
    lead_id: 'text',
    requester_id: 'text',
    requester: 'text',
    department_id: 'text',
    participants: 'text[]',
    participants_agents: 'text[]',
    participants_bots: 'text[]',
    assignee: 'text',
    followers: 'text[]',
    priority: 'text',
    working_status: 'text',
    channel: 'text',
    channel_outbound: 'text',
    language: 'text',
    source_page: 'text',
    user_agent: 'text',
    rating: 'double precision',
    rating_message: 'text',
    tags: 'text[]',
    notes: 'jsonb',
    attributes: 'jsonb',
    location: 'jsonb',
    contact: 'jsonb',
    smart_assignment: 'boolean',
    first_response_at: 'timestamptz',
    assigned_at: 'timestamptz',
    closed_at: 'timestamptz',
    closed_by: 'text',
    waiting_time_ms: 'bigint',
    duration_ms: 'bigint',
    id_project: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapRequest(record: unknown): Row {
  const id = isObject(record) ? asId(record._id) : null;
  if (!isObject(record) || id === null) throw new RecordError('no_id', 'a request without _id', { recordId: null });
  return {
    id,
    request_id: asText(record.request_id),
    ticket_id: asBigint(record.ticket_id),
    status: asInteger(record.status),
    preflight: asBoolean(record.preflight),
    draft: asBoolean(record.draft),
    has_bot: asBoolean(record.hasBot),
    first_text: asText(record.first_text),
    subject: asText(record.subject),
    lead_id: asId(record.lead) ?? asId(record.requester_id),
    requester_id: asId(record.requester_id),
    requester: asId(record.requester),
    department_id: asId(record.department),
    participants: asTexts(record.participants, asId),
    participants_agents: asTexts(record.participantsAgents, asId),
    participants_bots: asTexts(record.participantsBots, asId),
    assignee: asId(record.assignee),
    followers: asTexts(record.followers, asId),
    priority: asText(record.priority),
    working_status: asText(record.workingStatus),
    channel: nameOf(record.channel),
    channel_outbound: nameOf(record.channelOutbound),
    language: asText(record.language),
    source_page: asText(record.sourcePage),
    user_agent: asText(record.userAgent),
    rating: asNumber(record.rating),
    rating_message: asText(record.rating_message),
    tags: asTexts(record.tags, (tag) => (isObject(tag) ? asText(tag.tag) : asText(tag))),
    notes: asJson(record.notes),
    attributes: asJson(record.attributes),
    location: asJson(record.location),
    contact: asJson(record.contact),
    smart_assignment: asBoolean(record.smartAssignment),
    first_response_at: asTime(record.first_response_at),
    assigned_at: asTime(record.assigned_at),
    closed_at: asTime(record.closed_at),
    closed_by: asText(record.closed_by),
    waiting_time_ms: asBigint(record.waiting_time),
    duration_ms: asBigint(record.duration),
    id_project: asText(record.id_project),
    created_by: asText(record.createdBy),
    created_at: asTime(record.createdAt),
    updated_at: asTime(record.updatedAt),
    deleted_at: null,
    raw: record,
  };
}

function nameOf(channel: unknown): string | null {
  return isObject(channel) ? asText(channel.name) : asText(channel);
}

export function createRequestsStream({ api, pageSize, fullWalkKey, privacy }: TiledeskStreamParts): Stream {
  async function fetchRequests(query: ListQuery, knowsWindows: boolean, options: GetOptions): Promise<ListPage> {
    const parameters = pageParameters(query);
    for (const [name, value] of Object.entries(EVERYTHING)) parameters.set(name, value);
    if (!query.wantTotal) parameters.set('no_count', 'true');
    if (query.window !== undefined) addWindow(parameters, query.window, knowsWindows);
    return readEnvelope(await api.get('requests', parameters, options), 'requests', query.wantTotal);
  }

  /**
   * Does this server filter on a date with an upper bound (about 2.15 and later)? Asked with the form that is used: before 1970 there is nothing.
   * A project without requests proves nothing; nor does no answer.
   */
  function probeWindows(options: FetchOptions): Promise<boolean | null> {
    const newest: ListQuery = { sort: 'created_at', direction: 'desc', offset: 0, limit: 1, wantTotal: true };
    return probe(async () => {
      const all = await fetchRequests(newest, true, { ...options, attempts: 1 });
      if (all.total === null || all.total === 0) return null;
      const ancient = { ...newest, window: { field: 'created_at', toMs: 0 } } as const;
      return (await fetchRequests(ancient, true, { ...options, attempts: 1 })).total === 0;
    });
  }

  return {
    name: 'tiledesk.requests',
    table: TABLE,
    fields: REQUEST_FIELDS,
    redactRecord: (record) => redactTiledesk(record, privacy),
    mapRecord: mapRequest,
    deletions: {
      // Single requests are found by request_id only; _id gives 404 (seen in server 2.19).
      async exists({ request_id }, options) {
        const requestId = asText(request_id);
        return requestId === null ? null : api.exists(`requests/${encodeURIComponent(requestId)}`, options);
      },
    },
    async planLists(context) {
      let knowsWindows = context.capabilities.createdAtWindows;
      if (knowsWindows === undefined) {
        const found = await probeWindows(context.fetch);
        if (found !== null) await context.learn({ createdAtWindows: found });
        knowsWindows = found ?? false;
      }
      const isKnowing = knowsWindows === true;
      const ties = { kind: isKnowing ? 'second' : 'day' } as const;
      const fullWalk = () =>
        isKnowing ? createKeysetWalk({ pageSize }) : createStitchWalk({ sort: fullWalkKey, pageSize });
      const stopBefore = context.stopBefore('all');
      const list: List = {
        id: 'all',
        holdsAll: true,
        walk:
          context.pass === 'incremental'
            ? createStitchWalk({ sort: 'updated_at', pageSize, stopBefore, ties })
            : fullWalk(),
        fetchPage: (query, options) => fetchRequests(query, isKnowing, options),
        async fetchNewestChange(options) {
          const query: ListQuery = { sort: 'updated_at', direction: 'desc', offset: 0, limit: 10, wantTotal: false };
          const { entries, serverTime } = await fetchRequests(query, isKnowing, options);
          return { newest: entries.find(({ updatedAt }) => updatedAt !== null)?.updatedAt ?? null, serverTime };
        },
      };
      return [list];
    },
  };
}

/** Servers before about 2.15 honour the field only with a lone start day; later ones take both ends to the second. */
function addWindow(parameters: URLSearchParams, window: ListWindow, knowsWindows: boolean): void {
  parameters.set('filterRangeField', window.field === 'created_at' ? 'createdAt' : 'updatedAt');
  parameters.set('timezone', 'UTC');
  if (!knowsWindows) {
    if (window.fromMs !== undefined) parameters.set('start_date', formatDay(window.fromMs));
    return;
  }
  if (window.fromMs !== undefined) parameters.set('start_date_time', formatDateTime(window.fromMs));
  if (window.toMs !== undefined) parameters.set('end_date_time', formatDateTime(window.toMs));
}
