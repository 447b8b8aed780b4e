import { type Answer, type Call, json, readBody, type SandboxReply } from './answer.ts';
import { Collection, compareValues, type StoredDocument } from './collection.ts';
import { DateParameterError } from './dates.ts';
import type { Faults } from './faults.ts';
import type { Random } from './random.ts';
import { type Params, type Pattern, pathPattern } from './routes.ts';
import type { Gatekeeper, Need } from './tiledesk-auth.ts';
import type { TiledeskData } from './tiledesk-data.ts';
import { idForm, type Request } from './tiledesk-documents.ts';
import {
  type ListRequest,
  QueryFailure,
  RouteFailure,
  readActivityList,
  readLeadList,
  readRequestList,
} from './tiledesk-query.ts';
import { findIn, isShown, plainRow, populatedRow, projectUserRow, type TiledeskRow } from './tiledesk-rows.ts';
import type { SandboxAccount } from './tiledesk-team.ts';

export interface RouteContext {
  readonly data: TiledeskData;
  readonly faults: Faults;
  readonly gatekeeper: Gatekeeper;
  readonly ties: Random;
  readonly serverVersion: 'new' | 'old';
  readonly joinedLeadStatuses: boolean;
}

interface TiledeskRouteInput extends RouteContext {
  readonly call: Call;
  readonly account: SandboxAccount;
  readonly params: Params;
}

type ReplyTo = (input: TiledeskRouteInput) => SandboxReply;

export interface Route extends Pattern {
  readonly list: string;
  readonly needs: Need;
  readonly reply: ReplyTo;
}

const notFound = (): Answer => json({ success: false, msg: 'Object not found.' }, 404);

interface PageRequest<D extends StoredDocument> {
  readonly name: 'leads' | 'requests' | 'activities';
  readonly docs: Collection<D>;
  readonly list: ListRequest<D>;
  readonly row: (doc: D) => object;
}

function answerPage<D extends StoredDocument>(
  input: TiledeskRouteInput,
  { name, docs, list, row }: PageRequest<D>,
): Answer {
  const { faults, call } = input;
  faults.beforeAnswer?.(call);
  const ties = faults.shuffleTies ? input.ties : undefined;
  const found = docs.list(list.conditions, [[list.field, list.direction]], ties);
  const page = found.slice(list.skip, list.skip + list.take);
  const matching = faults.reportCount?.(found.length, call) ?? found.length;
  const answer = json({ perPage: list.perPage, count: list.hasCount ? matching : 0, [name]: page.map(row) });
  faults.afterAnswer?.({ ...call, status: 200, ids: page.map(({ _id }) => _id) });
  return answer;
}

function listLeads(input: TiledeskRouteInput): SandboxReply {
  const { call, data, joinedLeadStatuses } = input;
  if (idForm.test(call.query.get('segment') ?? '')) {
    return json({ success: false, msg: 'Error segment not found' }, 404);
  }
  try {
    const list = readLeadList(call.query, { projectId: data.team.projectId, joinedLeadStatuses });
    // A lead has no `id` beside `_id` (seen in server 2.19).
    return answerPage(input, { name: 'leads', docs: data.collections.leads, list, row: (lead) => lead });
  } catch (error) {
    // The error branch of this route returns without a reply (seen in server 2.19): the connection just stays open.
    if (error instanceof QueryFailure || error instanceof RouteFailure) return 'hang';
    throw error;
  }
}

function listRequests(input: TiledeskRouteInput): SandboxReply {
  const { call, data, account, gatekeeper, serverVersion } = input;
  // The role check was skipped, and the route then reads a project user that was never set (seen in server 2.19).
  if (account.isSuperAdmin) return json({ err: 'error' }, 500);
  const viewer = { userId: account.userId, role: gatekeeper.roleOf(account) ?? '' };
  try {
    const list = readRequestList(call.query, { viewer, serverVersion });
    const isPlain = call.query.get('no_populate') === 'true';
    const row = isPlain ? plainRow : (request: Request) => populatedRow(request, data);
    return answerPage(input, { name: 'requests', docs: data.collections.requests, list, row });
  } catch (error) {
    if (error instanceof DateParameterError) return json({ success: false, error: error.message }, 500);
    if (error instanceof QueryFailure) {
      const err = { message: error.message, name: 'CastError' };
      return json({ success: false, msg: 'Error getting requests.', err }, 500);
    }
    if (error instanceof RouteFailure || error instanceof RangeError) return json({ err: 'error' }, 500);
    throw error;
  }
}

const none = new Collection<StoredDocument>();

/** Empty where the server keeps none. A failing query is never answered (source of server 2.19). */
function listActivities(input: TiledeskRouteInput): SandboxReply {
  const { call, data, serverVersion } = input;
  try {
    const list = readActivityList(call.query, { serverVersion });
    const docs = data.activities?.collection ?? none;
    return answerPage(input, { name: 'activities', docs, list, row: (activity) => activity });
  } catch (error) {
    if (error instanceof QueryFailure) return 'hang';
    if (error instanceof RouteFailure || error instanceof RangeError) return json({ err: 'error' }, 500);
    throw error;
  }
}

/** A bare array, with the same hooks around it as the paged lists. */
const rowsOf =
  (read: (input: TiledeskRouteInput) => readonly TiledeskRow[]): ReplyTo =>
  (input) => {
    input.faults.beforeAnswer?.(input.call);
    const rows = read(input);
    input.faults.afterAnswer?.({ ...input.call, status: 200, ids: rows.map((row) => String(row._id)) });
    return json(rows);
  };

/** Not a 404 for an id of another form: the cast fails first. */
const byId =
  (find: (data: TiledeskData, id: string) => object | undefined): ReplyTo =>
  ({ data, params: { id = '' } }) => {
    if (!idForm.test(id)) return json({ success: false, msg: 'Error getting object.' }, 500);
    const found = find(data, id.toLowerCase());
    return found ? json(found) : notFound();
  };

/** Requests are found by `request_id` only; an `_id` is unknown here. */
const requestOf = ({ data, params }: TiledeskRouteInput): Request | undefined =>
  [...data.requests.values()].find((one) => one.request_id === params.id);

const onRequest =
  (act: (input: TiledeskRouteInput, id: string) => Request | undefined): ReplyTo =>
  (input) => {
    const request = requestOf(input);
    return request ? json(populatedRow(act(input, request._id) ?? request, input.data)) : notFound();
  };

function pickFields(call: Call, allowed: string): Record<string, unknown> {
  const fields = allowed.split(' ');
  return Object.fromEntries(Object.entries(readBody(call)).filter(([field]) => fields.includes(field)));
}

const leadFields =
  'lead_id fullname email phone company note streetAddress city region zipcode country tags attributes properties ' +
  'status';
const requestFields =
  'status subject priority tags notes rating rating_message attributes language sourcePage first_text workingStatus ' +
  'smartAssignment';

function hardDeleteLead({ data, params: { id = '' } }: TiledeskRouteInput): SandboxReply {
  const lead = data.leads.get(id);
  data.hardDeleteLead(id);
  return json(lead ?? null);
}

/** An unknown conversation has no messages, without an error (seen in server 2.19). */
function messagesOf(input: TiledeskRouteInput): StoredDocument[] {
  const request = requestOf(input);
  return request === undefined ? [] : input.data.messagesOf(request);
}

function countRequests({ data }: TiledeskRouteInput): SandboxReply {
  const counts = { unassigned: 0, assigned: 0, bot_assigned: 0 };
  for (const request of data.requests.values()) {
    if (request.preflight !== false || request.draft === true) continue;
    if (request.status === 100) counts.unassigned++;
    if (request.status === 200) counts[request.hasBot ? 'bot_assigned' : 'assigned']++;
  }
  return json(counts);
}

const departmentsWith = (accepts: (status: number) => boolean): ReplyTo =>
  rowsOf(({ data }) => data.team.departments.filter(({ status }) => accepts(status)));

function listMembers({ data: { team, guests }, call: { query } }: TiledeskRouteInput): TiledeskRow[] {
  const roles = query.getAll('role');
  return [...team.projectUsers, ...guests.values()]
    .filter(({ role, roleType }) => (roles.length > 0 ? roles.includes(role) : roleType === 1))
    .filter(({ trashed }) => !trashed || query.get('trashed') === 'true')
    .map((one) => projectUserRow(one, team));
}

const listMembersOfUser: ReplyTo = ({ data: { team }, params: { id } }) =>
  json(team.projectUsers.filter((one) => one.id_user === id).map((one) => projectUserRow(one, team)));

function findMember({ guests, team }: TiledeskData, id: string): object | undefined {
  const member = guests.get(id) ?? findIn(team.projectUsers, id);
  return member && projectUserRow(member, team);
}

const tagsPerPage = 40;

/** No limit and no count; a sort key that no tag has leaves them in insertion order. */
function listTags({ data, call: { query } }: TiledeskRouteInput): StoredDocument[] {
  const page = Number.parseInt(query.get('page') ?? '', 10) || 0;
  const field = query.get('sort') ?? 'createdAt';
  const sign = query.get('direction') === '1' ? 1 : -1;
  const sorted = [...data.team.tags].sort((a, b) => compareValues(a[field], b[field]) * sign);
  return sorted.slice(page * tagsPerPage, (page + 1) * tagsPerPage);
}

const listBots = ({ data, call: { query } }: TiledeskRouteInput): StoredDocument[] =>
  data.team.bots.filter((bot) => isShown(bot) && (query.get('all') === 'true' || bot.type !== 'identity'));

function listOwnProjects({ data, account }: TiledeskRouteInput): SandboxReply {
  const mine = data.team.projectUsers.filter((one) => one.id_user === account.userId && !one.trashed);
  return json(mine.map((one) => ({ ...one, id_project: data.team.project })));
}

const editLead: ReplyTo = ({ data, call, params: { id = '' } }) =>
  json(data.editLead(id, pickFields(call, leadFields)));
const softDeleteLead: ReplyTo = ({ data, params: { id = '' } }) => json(data.setLeadStatus(id, 1000));

const editRequest = onRequest(({ data, call }, id) => data.touchRequest(id, pickFields(call, requestFields)));
const closeRequest = onRequest(({ data, account }, id) => data.closeRequest(id, { closedBy: account.userId }));
const reopenRequest = onRequest(({ data }, id) => data.reopenRequest(id));

const removeRequest = (data: TiledeskData, id = ''): SandboxReply =>
  data.hardDeleteRequest(id) ? json({ success: true }) : notFound();

type RouteRow = readonly [method: string, path: string, list: string, needs: Need, reply: ReplyTo];

const rows: readonly RouteRow[] = [
  ['POST', '/auth/signin', 'signin', null, ({ gatekeeper, call }) => gatekeeper.signIn(call)],
  ['GET', '/projects', 'projects', 'account', listOwnProjects],
  ['GET', '/projects/:project', 'project', 'agent', ({ data }) => json(data.team.project)],
  ['GET', '/:project/leads', 'leads', 'agent', listLeads],
  // The lookup is not limited to the project.
  ['GET', '/:project/leads/:id', 'lead', 'agent', byId((data, id) => data.leads.get(id))],
  ['PUT', '/:project/leads/:id', 'lead', 'agent', editLead],
  ['DELETE', '/:project/leads/:id', 'lead', 'agent', softDeleteLead],
  ['DELETE', '/:project/leads/:id/physical', 'lead', 'owner', hardDeleteLead],
  ['GET', '/:project/requests', 'requests', 'agent', listRequests],
  ['GET', '/:project/requests/count', 'requests-count', 'agent', countRequests],
  ['GET', '/:project/requests/:id', 'request', 'agent', onRequest(() => undefined)],
  ['GET', '/:project/requests/:id/messages', 'messages', 'guest', rowsOf(messagesOf)],
  ['PATCH', '/:project/requests/:id', 'request', 'agent', editRequest],
  ['PUT', '/:project/requests/:id/close', 'request', 'agent', closeRequest],
  ['PUT', '/:project/requests/:id/reopen', 'request', 'agent', reopenRequest],
  ['DELETE', '/:project/requests/:id', 'request', 'owner', (input) => removeRequest(input.data, requestOf(input)?._id)],
  ['DELETE', '/:project/requests/id/:id', 'request', 'owner', ({ data, params }) => removeRequest(data, params.id)],
  ['GET', '/:project/activities', 'activities', 'admin', listActivities],
  ['GET', '/:project/departments', 'departments', null, departmentsWith((status) => status === 1)],
  ['GET', '/:project/departments/allstatus', 'departments', 'agent', departmentsWith((status) => status >= 0)],
  // Open to all, as the list without the hidden ones is (source of server 2.19). Hidden ones too, which no list shows.
  ['GET', '/:project/departments/:id', 'department', null, byId(({ team }, id) => findIn(team.departments, id))],
  ['GET', '/:project/project_users', 'project_users', 'agent', rowsOf(listMembers)],
  ['GET', '/:project/project_users/users/:id', 'project_user', 'agent', listMembersOfUser],
  ['GET', '/:project/project_users/:id', 'project_user', 'agent', byId(findMember)],
  ['GET', '/:project/groups', 'groups', 'agent', rowsOf(({ data }) => data.team.groups.filter(isShown))],
  ['GET', '/:project/bots', 'bots', 'agent', rowsOf(listBots)],
  ['GET', '/:project/faq_kb', 'bots', 'agent', rowsOf(listBots)],
  ['GET', '/:project/tags', 'tags', 'agent', rowsOf(listTags)],
];

export const routes: readonly Route[] = rows.map(([method, path, list, needs, reply]) => {
  return { method, pattern: pathPattern(path), list, needs, reply };
});
