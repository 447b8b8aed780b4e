/** How stored documents look in answers. The messages of the history are made up when they are asked for. */
import type { StoredDocument } from './collection.ts';
import type { TiledeskData } from './tiledesk-data.ts';
import type { ProjectUser, Request } from './tiledesk-documents.ts';
import type { Team } from './tiledesk-team.ts';

export type TiledeskRow = Record<string, unknown>;

/** The `no_populate` form: references are ids, and the lead's id stays even when the lead is gone. */
export function plainRow(request: Request): TiledeskRow {
  const row: TiledeskRow = { ...request, requester_id: request.lead ?? null, id: request._id };
  if (request.snapshot) row.snapshot = { ...(request.snapshot as object), agents: undefined };
  return row;
}

function withUser(member: ProjectUser, { users }: Team): TiledeskRow {
  return member.id_user === undefined ? { ...member } : { ...member, id_user: users.get(member.id_user) ?? null };
}

export const projectUserRow = (member: ProjectUser, team: Team): TiledeskRow => ({
  ...withUser(member, team),
  isBusy: false,
});

export const isShown = ({ trashed }: StoredDocument): boolean => trashed !== true;

export const findIn = <D extends { _id: string }>(docs: readonly D[], id: string) => docs.find(({ _id }) => _id === id);

/** The default form: references become objects, or null when the object is gone; then `requester_id` is null too. */
export function populatedRow(request: Request, { team, leads, guests }: TiledeskData): TiledeskRow {
  const row = plainRow(request);
  if (request.lead !== undefined) {
    row.lead = leads.get(request.lead) ?? null;
    if (row.lead === null) row.requester_id = null;
  }
  if (request.department !== undefined) row.department = findIn(team.departments, request.department) ?? null;
  if (request.requester !== undefined) {
    const member = guests.get(request.requester) ?? findIn(team.projectUsers, request.requester);
    row.requester = member ? withUser(member, team) : null;
  }
  const idsIn = (field: string) => (request[field] ?? []) as readonly string[];
  row.participatingAgents = idsIn('participantsAgents').flatMap((id) => team.users.get(id) ?? []);
  row.participatingBots = idsIn('participantsBots').flatMap((id) => findIn(team.bots, id) ?? []);
  return row;
}

interface NewMessage {
  readonly _id: string;
  readonly at: string | undefined;
  readonly sender: string;
  /** Default: of the agent who sends it. */
  readonly senderFullname?: string;
  readonly [field: string]: unknown;
}

export function createMessage({ users }: Pick<Team, 'users'>, request: Request, message: NewMessage): StoredDocument {
  const { at, ...fields } = message;
  const agent = users.get(message.sender);
  return {
    senderFullname: `${agent?.firstname} ${agent?.lastname}`,
    type: 'text',
    channel_type: 'group',
    status: 0,
    recipient: request.request_id,
    id_project: request.id_project,
    createdBy: message.sender,
    channel: { name: 'chat21' },
    ...fields,
    createdAt: at,
    updatedAt: at,
    __v: 0,
  };
}

export const lastMessageOf = ({ attributes }: Request): StoredDocument[] => {
  const last = (attributes as { last_message?: StoredDocument } | undefined)?.last_message;
  return last === undefined ? [] : [last];
};

/** Oldest first: its beginning, the last message of its history, what was written since, and what a close writes. */
export function messageRows(team: Team, request: Request, written: readonly StoredDocument[]): StoredDocument[] {
  const { createdBy, createdAt: at, first_text: text } = request;
  const idWith = (digit: string): string => digit + request._id.slice(1);
  const first = { _id: idWith('0'), at, sender: String(createdBy), senderFullname: 'Guest', text };
  const rows = [createMessage(team, request, first), ...(written.length > 0 ? written : lastMessageOf(request))];
  if (request.status !== 1000 && request.closed_at === undefined) return rows;
  const closing = {
    _id: idWith('f'),
    at: String(request.closed_at ?? request.updatedAt),
    sender: 'system',
    senderFullname: 'Bot',
    text: 'Chat closed',
    metadata: 'en',
    attributes: { subtype: 'info/support', updateconversation: false, messagelabel: { key: 'CHAT_CLOSED' } },
  };
  return [...rows, createMessage(team, request, closing)];
}
