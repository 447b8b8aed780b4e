import type { FetchOptions, List, ListPage, ListQuery, Stream } from '../../stream.ts';
import { createStitchWalk } from '../../walks/stitch.ts';
import { asId, asObject, asText, isObject, type JsonObject } from '../coerce.ts';
import * as field from '../record-table.ts';
import { createFixedPages } from './fixed-pages.ts';
import { fetchNewestChange, formatDay, knows, pageParameters, readEnvelope } from './lists.ts';
import { redacted, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/**
 * Who did what: conversations opened, assigned, closed; members invited, changed, away. A server notes it where
 * `ACTIVITY_HISTORY_ENABLED=true`, for 30 days by default (source of server 2.19); the list of any other is empty. An
 * activity never changes, and no request deletes one, so nothing is marked as deleted here.
 *
 * Each record has copies of what it is about: conversation, visitor, texts, member. The mirror has these in other
 * tables, under the rules of those; here only ids and states are stored.
 */
const KEPT_OF_ACTION = (
  'assigneeId assigneeType assignmentType previousAssigneeId removedParticipants source role user_available newStatus ' +
  'updateType'
).split(' ');

export const ACTIVITIES = tiledeskTable(
  'activities',
  {
    verb: field.text(),
    actor_type: field.text('actor.type'),
    actor_id: field.id('actor.id'),
    target_type: field.text('target.type'),
    target_id: field.id('target.id'),
    conversation_id: field.column('text', (_, record) => conversationOf(record))(),
    user_id: field.id('target.object.id_user'),
    assignee_id: field.column('text', (_, record) => assigneeOf(record).id)(),
    assignee_type: field.column('text', (_, record) => assigneeOf(record).type)(),
    previous_assignee_id: field.id('actionObj.previousAssigneeId'),
    source: field.text('actionObj.source'),
    action: field.object('actionObj'),
  },
  {
    // The actor may be the visitor, who opened the conversation.
    personal: {
      kept: 'verb target_type target_id conversation_id assignee_id assignee_type previous_assignee_id source'.split(
        ' ',
      ),
      refersTo: {
        actor_id: 'tiledesk.leads',
        conversation_id: 'tiledesk.requests',
        target_id: 'tiledesk.project_users',
      },
      links: ['actor'],
    },
    impersonal: 'actor_type actor_id user_id',
    known: { object: 'actor target' },
  },
);

/** It is the target, or named by the action where the target is the agent (source of a version after 2.19). */
function conversationOf({ actionObj, target }: JsonObject): string | null {
  const { type, id } = asObject(target);
  return asId(type === 'request' ? id : asObject(actionObj).conversation);
}

const ASSIGNEES: readonly unknown[] = ['user', 'bot', 'department'];

/** Named by the action; in a version after 2.19 the target, or, of who joins, the actor. */
function assigneeOf({ verb, actor, actionObj, target }: JsonObject): { id: string | null; type: string | null } {
  const { assigneeId, assigneeType } = asObject(actionObj);
  const named = asId(assigneeId);
  if (named !== null) return { id: named, type: asText(assigneeType) ?? 'user' };
  const { type, id } = asObject(target);
  const isAssignment = typeof verb === 'string' && verb.startsWith('REQUEST_');
  if (isAssignment && ASSIGNEES.includes(type)) return { id: asId(id), type: asText(type) };
  if (verb === 'REQUEST_ASSIGNED_SELF') return { id: asId(asObject(actor).id), type: 'user' };
  return { id: null, type: null };
}

/** `message` is a sentence with the names of those that the record is about. */
export function withoutCopies(record: unknown): unknown {
  if (!isObject(record)) return record;
  const { actor, actionObj, target, message: _, ...rest } = record;
  const user = idIn(asObject(target).object, 'id_user');
  return {
    ...rest,
    actor: pick(actor, ['type', 'id']),
    actionObj: { ...pick(actionObj, KEPT_OF_ACTION), ...idIn(actionObj, 'conversation') },
    target: { ...pick(target, ['type', 'id']), ...('id_user' in user && { object: user }) },
  };
}

function pick(value: unknown, names: readonly string[]): JsonObject {
  const all = asObject(value);
  return Object.fromEntries(names.filter((name) => all[name] !== undefined).map((name) => [name, all[name]]));
}

function idIn(value: unknown, name: string): JsonObject {
  const id = asId(asObject(value)[name]);
  return id === null ? {} : { [name]: id };
}

const NONE =
  'this server lists no activities: it notes none (ACTIVITY_HISTORY_ENABLED, off by default), or nothing happened in the time for which it keeps them (30 days by default)';

export function createActivitiesStream(parts: TiledeskStreamParts): Stream {
  const { api, pageSize } = parts;
  const { redactRecord, ...table } = redacted(ACTIVITIES, parts);

  const fetchRows = createFixedPages(async (query: ListQuery, options: FetchOptions): Promise<ListPage> => {
    const parameters = pageParameters(query);
    // The only date that has an index upstream, and the only one there is: nothing changes later.
    if (query.sort !== 'id') parameters.set('sort', 'createdAt');
    if (query.window?.fromMs !== undefined) parameters.set('start_date', formatDay(query.window.fromMs));
    const page = readEnvelope(await api.get('activities', parameters, options), 'activities', true);
    return { ...page, entries: page.entries.map((entry) => ({ ...entry, updatedAt: entry.createdAt })) };
  });

  return {
    ...table,
    redactRecord: (record) => redactRecord(withoutCopies(record)),
    notCompared: 'an activity never changes, and the upstream keeps it for a while only',
    async planLists(context) {
      let isEmpty = false;
      await knows(context, 'keepsActivities', async () => {
        const query = { sort: 'created_at', direction: 'desc', offset: 0, limit: pageSize, wantTotal: true } as const;
        isEmpty = (await fetchRows(query, context.fetch)).records.length === 0;
        return isEmpty ? null : true;
      });
      context.notice(isEmpty ? NONE : null);
      const isIncremental = context.pass === 'incremental';
      const list: List = {
        id: 'all',
        walk: createStitchWalk({
          sort: isIncremental ? 'updated_at' : 'created_at',
          pageSize,
          stopBefore: isIncremental ? context.stopBefore('all') : null,
          ties: { kind: 'day' },
        }),
        fetchPage: fetchRows,
        fetchNewestChange: (options) => fetchNewestChange((query) => fetchRows(query, options)),
      };
      return [list];
    },
  };
}
