import { RateLimitedError } from '../../errors.ts';
import type {
  FetchOptions,
  FollowedRow,
  FollowedStream,
  List,
  ListPage,
  MirrorPosition,
  PlanContext,
  Stream,
} from '../../stream.ts';
import { createFollowWalk } from '../../walks/follow.ts';
import { asText } from '../coerce.ts';
import { anything, id, integer, text } from '../record-table.ts';
import type { TiledeskApi } from './api.ts';
import { readArray } from './lists.ts';
import { channel, redacted, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/**
 * Messages. No usable list shows them across conversations, so each conversation is asked for its own, without pages. A
 * new message moves the `updatedAt` of its conversation (source of server 2.19), so only those written since are asked.
 *
 *   tiledesk.requests as the mirror wrote them ──alive──> GET requests/{request_id}/messages ──> upsert
 *                                              └─deleted─> its messages get `deleted_at`, no request
 *
 * An unknown conversation and an empty one have the same answer (seen in server 2.19), so messages are marked as
 * deleted only with their conversation, which was asked for by its id.
 */
export const MESSAGES = tiledeskTable(
  'messages',
  {
    request_id: text('recipient'),
    sender: id(),
    sender_fullname: text('senderFullname'),
    recipient_fullname: text('recipientFullname'),
    type: text(),
    channel_type: text(),
    channel: channel(),
    text: text(),
    language: text(),
    status: integer(),
    subtype: text('attributes.subtype'),
    attributes: anything(),
    metadata: anything(),
  },
  {
    attributed: ['request_id'],
    impersonal: 'request_id type channel_type channel language subtype',
    personal: {
      isDeleted: true,
      refersTo: { request_id: 'tiledesk.requests', sender: 'tiledesk.leads' },
      links: ['sender', 'senderFullname'],
      contact: { by: 'sender', at: 'created_at' },
    },
  },
);

const PARENT = 'tiledesk.requests';
const PARENT_WAIT_MS = 60_000;
const BATCH = 200;

export function createMessagesStream(parts: TiledeskStreamParts): Stream {
  return {
    ...redacted(MESSAGES, parts),
    notCompared: 'messages are read conversation by conversation, so to compare them would take one request for each',
    async planLists(context) {
      const conversations = await context.follow(PARENT);
      if (conversations === null) {
        throw new RateLimitedError(
          `messages are read conversation by conversation, so they wait for a complete and recent pass of ${PARENT}`,
          { waitMs: PARENT_WAIT_MS, code: 'parent_first' },
        );
      }
      return [followList(context, conversations, parts.api)];
    },
  };
}

/** One page is one conversation, or several deleted ones in a row. */
function followList(context: PlanContext, conversations: FollowedStream, api: TiledeskApi): List {
  // A full sync that looks for deletions sends no request: what is gone is known from the conversations.
  const onlyDeleted = context.pass === 'reconcile';
  const id = onlyDeleted ? 'deleted' : 'all';
  const queue = createQueue(conversations, onlyDeleted);
  const fromMs = context.pass === 'incremental' ? context.watermark(id) : null;

  async function fetchMessages(requestId: string, options: FetchOptions): Promise<ListPage> {
    const path = `requests/${encodeURIComponent(requestId)}/messages`;
    const { records, entries } = readArray(await api.get(path, new URLSearchParams(), options), 'messages');
    return {
      ...{ records, pageSize: null, total: null, known: { request_id: requestId } },
      // Nothing but ids: the order and the watermark are those of the conversations.
      entries: entries.map((entry) => ({ id: entry.id, createdAt: null, updatedAt: null })),
      serverTime: null,
    };
  }

  return {
    id,
    walk: createFollowWalk({ fromMs }),
    async fetchPage({ following }, options) {
      if (following === undefined) throw new Error('messages are read by following their conversations');
      const untilMs = following.untilMs ?? (await conversations.settledAt());
      const taken = await queue.next(following.behind, untilMs);
      const facts = { serverTime: untilMs, position: taken.at(-1)?.position ?? null };
      const requestIds = taken.flatMap(({ values }) => asText(values.request_id) ?? []);
      const [first] = taken;
      if (first?.isDeleted) return { ...NOTHING, ...facts, gone: await context.ownIds('request_id', requestIds) };
      const [requestId] = requestIds;
      // The end; or a conversation without a request_id, which has no address.
      if (requestId === undefined) return { ...NOTHING, ...facts };
      return { ...(await fetchMessages(requestId, options)), ...facts };
    },
    async fetchNewestChange() {
      // What is written from now on is for the incremental passes.
      const settledAt = await conversations.settledAt();
      return { newest: settledAt, serverTime: settledAt };
    },
  };
}

const NOTHING = { records: [], entries: [], pageSize: null, total: null } as const;

/** Conversations in order: one that is alive, or as many deleted ones as follow one another; none: the end. */
function createQueue(conversations: FollowedStream, onlyDeleted: boolean) {
  let rows: FollowedRow[] = [];
  let handedOut: MirrorPosition | null | undefined;

  return {
    async next(behind: MirrorPosition | null, untilMs: number): Promise<readonly FollowedRow[]> {
      const goesOn = handedOut !== undefined && isSamePosition(handedOut, behind);
      if (!goesOn || rows.length === 0) {
        rows = [...(await conversations.read({ behind, untilMs, columns: ['request_id'], limit: BATCH, onlyDeleted }))];
      }
      const alive = rows.findIndex(({ isDeleted }) => !isDeleted);
      const taken = rows.splice(0, alive === 0 ? 1 : alive === -1 ? rows.length : alive);
      handedOut = taken.at(-1)?.position ?? behind;
      return taken;
    },
  };
}

const isSamePosition = (a: MirrorPosition | null, b: MirrorPosition | null): boolean =>
  a?.at === b?.at && a?.id === b?.id;
