import type { FetchOptions, List, ListPage, ListQuery, ListWindow, Stream } from '../../stream.ts';
import { createKeysetWalk } from '../../walks/keyset.ts';
import { createStitchWalk } from '../../walks/stitch.ts';
import { asText, asTexts, isObject } from '../coerce.ts';
import {
  anything,
  bigint,
  column,
  flag,
  id,
  ids,
  integer,
  list,
  number,
  object,
  reference,
  text,
  time,
} from '../record-table.ts';
import type { TiledeskGetOptions } from './api.ts';
import { fetchNewestChange, formatDateTime, formatDay, knows, pageParameters, readEnvelope } from './lists.ts';
import { channel, redacted, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/**
 * All requests (conversations): without `status=all&preflight=true` the list shows open ones only, and populated ones
 * lose the id of a deleted lead (both seen in server 2.19).
 */
const EVERYTHING = { status: 'all', preflight: 'true', no_populate: 'true' } as const;

export const REQUESTS = tiledeskTable(
  'requests',
  {
    request_id: text(),
    ticket_id: bigint(),
    status: integer(),
    preflight: flag(),
    draft: flag(),
    has_bot: flag('hasBot'),
    first_text: text(),
    subject: text(),
    lead_id: reference('lead', 'requester_id'),
    requester_id: id(),
    requester: reference(),
    department_id: reference('department'),
    participants: ids(),
    participants_agents: ids('participantsAgents'),
    participants_bots: ids('participantsBots'),
    assignee: id(),
    followers: ids(),
    priority: text(),
    working_status: text('workingStatus'),
    channel: channel(),
    channel_outbound: channel('channelOutbound'),
    language: text(),
    source_page: text('sourcePage'),
    user_agent: text('userAgent'),
    rating: number(),
    rating_message: text(),
    tags: column('text[]', (tags) => asTexts(tags, (tag) => asText(isObject(tag) ? tag.tag : tag)), 'array')(),
    notes: list(),
    attributes: anything(),
    location: object(),
    contact: object(),
    smart_assignment: flag('smartAssignment'),
    first_response_at: time(),
    assigned_at: time(),
    closed_at: time(),
    closed_by: text(),
    waiting_time_ms: bigint('waiting_time'),
    duration_ms: bigint('duration'),
  },
  {
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

  async function fetchRequests(query: ListQuery, hasWindows: boolean, options: TiledeskGetOptions): Promise<ListPage> {
    const parameters = pageParameters(query);
    for (const [name, value] of Object.entries(EVERYTHING)) parameters.set(name, value);
    if (!query.wantTotal) parameters.set('no_count', 'true');
    if (query.window !== undefined) addWindow(parameters, query.window, hasWindows);
    return readEnvelope(await api.get('requests', parameters, options), 'requests', query.wantTotal);
  }

  /**
   * Does this server filter on a date with an upper bound (about 2.15 and later)? Before 1970 there must be nothing. A
   * project without requests shows nothing; nor does no answer.
   */
  async function probeWindows(options: FetchOptions): Promise<boolean | null> {
    const newest: ListQuery = { sort: 'created_at', direction: 'desc', offset: 0, limit: 1, wantTotal: true };
    const all = await fetchRequests(newest, true, { ...options, attempts: 1 });
    if (all.total === null || all.total === 0) return null;
    const ancient = { ...newest, window: { field: 'created_at', toMs: 0 } } as const;
    return (await fetchRequests(ancient, true, { ...options, attempts: 1 })).total === 0;
  }

  return {
    ...redacted(REQUESTS, parts),
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
      const fullSync = () =>
        hasWindows ? createKeysetWalk({ pageSize }) : createStitchWalk({ sort: fullSyncKey, pageSize });
      const stopBefore = context.stopBefore('all');
      const list: List = {
        id: 'all',
        holdsAll: true,
        walk:
          context.pass === 'incremental'
            ? createStitchWalk({ sort: 'updated_at', pageSize, stopBefore, ties })
            : fullSync(),
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
