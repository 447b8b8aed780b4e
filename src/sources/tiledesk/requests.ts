import type { FetchOptions, List, ListPage, ListQuery, ListWindow, Stream } from '../../stream.ts';
import { createKeysetWalk } from '../../walks/keyset.ts';
import { createStitchWalk } from '../../walks/stitch.ts';
import { asText, asTexts, isObject } from '../coerce.ts';
import * as field from '../record-table.ts';
import { fetchNewestChange, formatDateTime, formatDay, knows, pageParameters, readEnvelope, toEntry } from './lists.ts';
import { channel, redacted, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/**
 * All requests (conversations): without `status=all&preflight=true` the list shows open ones only, and populated ones
 * lose the id of a deleted lead (both seen in server 2.19).
 */
const EVERYTHING = { status: 'all', preflight: 'true', no_populate: 'true' } as const;

export const REQUESTS = tiledeskTable(
  'requests',
  {
    request_id: field.text(),
    ticket_id: field.bigint(),
    status: field.integer(),
    preflight: field.flag(),
    draft: field.flag(),
    has_bot: field.flag('hasBot'),
    first_text: field.text(),
    subject: field.text(),
    lead_id: field.reference('lead', 'requester_id'),
    requester_id: field.id(),
    requester: field.reference(),
    department_id: field.reference('department'),
    participants: field.ids(),
    participants_agents: field.ids('participantsAgents'),
    participants_bots: field.ids('participantsBots'),
    assignee: field.id(),
    followers: field.ids(),
    priority: field.text(),
    working_status: field.text('workingStatus'),
    channel: channel(),
    channel_outbound: channel('channelOutbound'),
    language: field.text(),
    source_page: field.text('sourcePage'),
    user_agent: field.text('userAgent'),
    rating: field.number(),
    rating_message: field.text(),
    tags: field.column('text[]', (tags) => asTexts(tags, (tag) => asText(isObject(tag) ? tag.tag : tag)), 'array')(),
    notes: field.list(),
    attributes: field.anything(),
    location: field.object(),
    contact: field.object(),
    smart_assignment: field.flag('smartAssignment'),
    first_response_at: field.time(),
    assigned_at: field.time(),
    closed_at: field.time(),
    closed_by: field.text(),
    waiting_time_ms: field.bigint('waiting_time'),
    duration_ms: field.bigint('duration'),
  },
  {
    tracked:
      'status department_id participants_agents participants_bots assignee priority working_status channel tags rating first_response_at assigned_at closed_at closed_by lead_id draft preflight',
    impersonal: 'channel_outbound language working_status',
    personal: {
      // Its request_id too: a request is asked for by it. Participants are colleagues.
      kept: (
        'request_id status channel department_id priority rating has_bot preflight draft first_response_at assigned_at ' +
        'closed_at waiting_time_ms duration_ms participants participants_agents participants_bots'
      ).split(' '),
      addresses: ['contact.email', 'attributes.userEmail', 'raw.snapshot.lead.email'],
      numbers: ['contact.phone', 'raw.snapshot.lead.phone'],
      keys: ['request_id'],
      refersTo: {
        lead_id: 'tiledesk.leads',
        requester_id: 'tiledesk.leads',
        requester: 'tiledesk.project_users',
        'raw.snapshot.lead._id': 'tiledesk.leads',
        'raw.snapshot.lead.lead_id': 'tiledesk.leads',
      },
      links: (
        'lead requester requester_id contact snapshot.lead snapshot.requester attributes.userEmail ' +
        'attributes.userFullname'
      ).split(' '),
      notes: ['notes'],
      contact: { by: 'lead_id', at: 'created_at' },
    },
    known: {
      string: 'lead requester department transcript',
      object: 'lead requester department snapshot',
      array: 'participatingAgents participatingBots agents',
      number: 'auto_close messages_count',
    },
  },
);

export function createRequestsStream(parts: TiledeskStreamParts): Stream {
  const { api, pageSize, fullSyncKey } = parts;

  async function fetchRequests(query: ListQuery, hasWindows: boolean, options: FetchOptions): Promise<ListPage> {
    const parameters = pageParameters(query);
    for (const [name, value] of Object.entries(EVERYTHING)) parameters.set(name, value);
    if (!query.wantTotal) parameters.set('no_count', 'true');
    if (query.window !== undefined) addWindow(parameters, query.window, hasWindows);
    return readEnvelope(await api.get('requests', parameters, options), 'requests', query.wantTotal);
  }

  /**
   * Does this server filter on a date with an upper bound (about 2.15 and later)? Before 1970 there must be nothing.
   * Null: a project without requests shows nothing.
   */
  async function probeWindows(options: FetchOptions): Promise<boolean | null> {
    const newest: ListQuery = { sort: 'created_at', direction: 'desc', offset: 0, limit: 1, wantTotal: true };
    const all = await fetchRequests(newest, true, { ...options, attempts: 1 });
    if (all.total === null || all.total === 0) return null;
    const ancient = { ...newest, window: { field: 'created_at', toMs: 0 } } as const;
    return (await fetchRequests(ancient, true, { ...options, attempts: 1 })).total === 0;
  }

  /** Do counts obey both ends of a window at once? A century from now, and in 1970, there must be nothing. */
  async function probeCounts(options: FetchOptions): Promise<boolean> {
    for (const year of [2100, 1970]) {
      const window = { field: 'created_at', fromMs: Date.UTC(year, 0), toMs: Date.UTC(year + 1, 0) } as const;
      const query: ListQuery = { sort: 'created_at', direction: 'desc', offset: 0, limit: 1, wantTotal: true, window };
      if ((await fetchRequests(query, true, { ...options, attempts: 1 })).total !== 0) return false;
    }
    return true;
  }

  return {
    ...redacted(REQUESTS, parts),
    async counts(context) {
      if (!(await knows(context, 'createdAtWindows', () => probeWindows(context.fetch)))) return [];
      if (!(await knows(context, 'createdAtCounts', () => probeCounts(context.fetch)))) return [];
      const walkWindow = (window: ListWindow) => createStitchWalk({ sort: 'id', pageSize, window });
      const fetchPage: List['fetchPage'] = (query, options) => fetchRequests(query, true, options);
      return [{ id: 'all', walkWindow, pageSize, fetchPage, entryOf: toEntry }];
    },
    deletions: {
      // Single requests are found by request_id only; _id gives 404 (seen in server 2.19).
      async exists({ request_id }, options) {
        const requestId = asText(request_id);
        return requestId === null ? null : api.exists(`requests/${encodeURIComponent(requestId)}`, options);
      },
    },
    async planLists(context) {
      const hasWindows = await knows(context, 'createdAtWindows', () => probeWindows(context.fetch));
      const ties = { kind: hasWindows ? 'second' : 'day' } as const;
      const changes = () =>
        createStitchWalk({ sort: 'updated_at', pageSize, stopBefore: context.stopBefore('all'), ties });
      const everything = () =>
        hasWindows ? createKeysetWalk({ pageSize }) : createStitchWalk({ sort: fullSyncKey, pageSize });
      const list: List = {
        id: 'all',
        holdsAll: true,
        walk: context.pass === 'incremental' ? changes() : everything(),
        fetchPage: (query, options) => fetchRequests(query, hasWindows, options),
        fetchNewestChange: (options) => fetchNewestChange((query) => fetchRequests(query, hasWindows, options)),
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
