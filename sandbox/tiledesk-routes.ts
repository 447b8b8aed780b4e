/** What each path answers. The order of the refusals is the server's: project, IP filter, credentials, role. */
import { type Collection, compareValues, type StoredDocument } from './collection.ts';
import { DateParameterError } from './dates.ts';
import type { Faults } from './faults.ts';
import { type ListRequest, runList } from './list.ts';
import type { Random } from './random.ts';
import { type Answer, type Call, json } from './serve.ts';
import { type Gatekeeper, type Role, readBody } from './tiledesk-auth.ts';
import type { TiledeskData } from './tiledesk-data.ts';
import type { Account, Request } from './tiledesk-documents.ts';
import { QueryFailure, RouteFailure, readLeadList, readRequestList, SegmentNotFound } from './tiledesk-query.ts';
import {
  asDepartmentRow,
  asPopulatedRow,
  asProjectUserRow,
  joinPage,
  leadForm,
  plainForm,
  type RowForm,
  serialiseEntry,
} from './tiledesk-rows.ts';

export interface RouteContext {
  readonly data: TiledeskData;
  readonly faults: Faults;
  readonly gatekeeper: Gatekeeper;
  readonly ties: Random;
  readonly serverVersion: 'new' | 'old';
  readonly joinedLeadStatuses: boolean;
}

export type Reply = Answer | 'hang';

export interface RouteInput extends RouteContext {
  readonly call: Call;
  readonly account: Account;
  /** The variable parts of the path, in order. */
  readonly params: readonly string[];
}

export interface Route {
  readonly method: string;
  readonly pattern: RegExp;
  readonly list: string;
  /** null: open to anybody. */
  readonly needs: Role | null;
  readonly reply: (input: RouteInput) => Reply;
}

const notFound = (): Answer => json({ success: false, msg: 'Object not found.' }, 404);
const idForm = /^[0-9a-f]{24}$/i;

interface ListPlan<D extends StoredDocument> {
  readonly name: 'leads' | 'requests';
  readonly list: ListRequest<D>;
  readonly collection: Collection<D>;
  readonly form: RowForm<D>;
}

/** A bare array, with the same hooks around it as the paged lists. */
function arrayBody(input: RouteInput, readRows: () => readonly Record<string, unknown>[]): Answer {
  input.faults.beforeAnswer?.(input.call);
  const rows = readRows();
  input.faults.afterAnswer?.({ ...input.call, status: 200, ids: rows.map((row) => String(row._id)) });
  return json(rows);
}

function listBody<D extends StoredDocument>(input: RouteInput, plan: ListPlan<D>): Answer {
  const { faults, call } = input;
  faults.beforeAnswer?.(call);
  const ties = faults.shuffleTies ? input.ties : undefined;
  const { entries, count } = runList(plan.collection, plan.list, ties);
  const rows = entries.map((entry) => serialiseEntry(entry, plan.form));
  const head = `{"perPage":${plan.list.perPage},"count":${count},"${plan.name}":[`;
  // Kept rows are named by their revision: hashing the whole body would cost more than everything else here.
  const tag = plan.form.isCached ? head + entries.map(({ seq, revision }) => `${seq}.${revision}`).join() : undefined;
  faults.afterAnswer?.({ ...call, status: 200, ids: entries.map((entry) => entry.doc._id) });
  return { status: 200, body: joinPage(head, rows), type: 'json', ...(tag !== undefined && { tag }) };
}

function listLeads(input: RouteInput): Reply {
  const { call, data, joinedLeadStatuses } = input;
  try {
    const list = readLeadList(call.query, { projectId: data.team.projectId, joinedLeadStatuses });
    return listBody(input, { name: 'leads', list, collection: data.leadCollection, form: leadForm });
  } catch (error) {
    if (error instanceof SegmentNotFound) return json({ success: false, msg: 'Error segment not found' }, 404);
    // The error branch of this route returns without a reply (seen in server 2.19): the connection just stays open.
    if (error instanceof QueryFailure || error instanceof RouteFailure) return 'hang';
    throw error;
  }
}

function listRequests(input: RouteInput): Reply {
  const { call, data, account, gatekeeper, serverVersion } = input;
  // The role check was skipped, and the route then reads a project user that was never set (seen in server 2.19).
  if (account.isSuperAdmin) return json({ err: 'error' }, 500);
  const viewer = { userId: account.userId, role: gatekeeper.roleOf(account) ?? '' };
  try {
    const list = readRequestList(call.query, { viewer, serverVersion });
    const isPlain = call.query.get('no_populate') === 'true';
    const populatedJson = (doc: Request): string => JSON.stringify(asPopulatedRow(doc, data));
    const form = isPlain ? plainForm : { json: populatedJson, isCached: false };
    return listBody(input, { name: 'requests', list, collection: data.requestCollection, form });
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

function getLead({ data, params: [id = ''] }: RouteInput): Reply {
  // Not a 404: the cast fails first. And the lookup is not limited to the project.
  if (!idForm.test(id)) return json({ success: false, msg: 'Error getting object.' }, 500);
  const lead = data.leads.get(id.toLowerCase());
  return lead ? json(lead) : notFound();
}

function getDepartment({ data, params: [id = ''] }: RouteInput): Reply {
  if (!idForm.test(id)) return json({ success: false, msg: 'Error getting object.' }, 500);
  // Hidden ones too, which no list shows.
  const department = data.departments.find((one) => one._id === id.toLowerCase());
  return department ? json(asDepartmentRow(department)) : notFound();
}

function getProjectUser({ data, params: [id = ''] }: RouteInput): Reply {
  if (!idForm.test(id)) return json({ success: false, msg: 'Error getting object.' }, 500);
  const member = data.projectUsers.find((one) => one._id === id.toLowerCase()) ?? data.guests.get(id.toLowerCase());
  return member ? json(asProjectUserRow(member, data.team.users)) : notFound();
}

const leadFields =
  'lead_id fullname email phone company note streetAddress city region zipcode country tags attributes properties status'.split(
    ' ',
  );
const requestFields =
  'status subject priority tags notes rating rating_message attributes language sourcePage first_text workingStatus smartAssignment'.split(
    ' ',
  );

function pickFields(body: Record<string, unknown>, allowed: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([field]) => allowed.includes(field)));
}

/** Requests are found by `request_id` only; an `_id` is unknown here. */
function onRequest(act: (input: RouteInput, request: Request) => Reply): Route['reply'] {
  return (input) => {
    const request = input.data.requestByRequestId(input.params[0] ?? '');
    return request ? act(input, request) : notFound();
  };
}

const populated = (data: TiledeskData, request: Request): Answer => json(asPopulatedRow(request, data));

/** An unknown conversation has no messages, and no error says so (seen in server 2.19). */
function listMessages(input: RouteInput): Reply {
  const { data, params } = input;
  return arrayBody(input, () => {
    const request = data.requestByRequestId(params[0] ?? '');
    return request === undefined ? [] : data.messagesOf(request);
  });
}

function countRequests({ data }: RouteInput): Reply {
  const counts = { unassigned: 0, assigned: 0, bot_assigned: 0 };
  for (const request of data.requests.values()) {
    if (request.preflight !== false || request.draft === true) continue;
    if (request.status === 100) counts.unassigned++;
    if (request.status === 200) counts[request.hasBot ? 'bot_assigned' : 'assigned']++;
  }
  return json(counts);
}

function listProjectUsers(input: RouteInput): Reply {
  const { data, call } = input;
  const roles = call.query.getAll('role');
  const withTrashed = call.query.get('trashed') === 'true';
  return arrayBody(input, () =>
    [...data.projectUsers, ...(roles.includes('guest') ? data.guests.values() : [])]
      .filter((one) => (roles.length > 0 ? roles.includes(one.role) : one.roleType === 1))
      .filter((one) => withTrashed || !one.trashed)
      .map((one) => asProjectUserRow(one, data.team.users)),
  );
}

function listDepartments(accepts: (status: number) => boolean): Route['reply'] {
  return (input) =>
    arrayBody(input, () => input.data.departments.filter((one) => accepts(one.status)).map(asDepartmentRow));
}

export function listOwnProjects({ data, account }: RouteInput): Reply {
  const mine = data.projectUsers.filter((one) => one.id_user === account.userId && !one.trashed);
  return json(mine.map((one) => ({ ...one, id_project: data.team.project })));
}

const tagsPerPage = 40;

/** No limit and no count; a sort key that no tag has leaves them in insertion order. */
function listTags(input: RouteInput): Reply {
  const { query } = input.call;
  return arrayBody(input, () => {
    const page = Number.parseInt(query.get('page') ?? '', 10) || 0;
    const field = query.get('sort') ?? 'createdAt';
    const sign = query.get('direction') === '1' ? 1 : -1;
    const sorted = [...input.data.team.tags].sort((a, b) => compareValues(a[field], b[field]) * sign);
    return sorted.slice(page * tagsPerPage, (page + 1) * tagsPerPage);
  });
}

const isShown = (doc: StoredDocument): boolean => doc.trashed !== true;

const listGroups = (input: RouteInput): Reply => arrayBody(input, () => input.data.team.groups.filter(isShown));

/** Identity bots only with `all`. */
function listBots(input: RouteInput): Reply {
  const all = input.call.query.get('all') === 'true';
  return arrayBody(input, () => input.data.team.bots.filter((bot) => isShown(bot) && (all || bot.type !== 'identity')));
}

const closedBy = (account: Account): { closedBy: string } => ({ closedBy: account.userId });

/** The one call that names the project after `/projects`. */
export const projectRoute: Route = {
  method: 'GET',
  pattern: /^$/,
  list: 'project',
  needs: 'agent',
  reply: ({ data }) => json(data.team.project),
};

/** Paths after the project id. */
export const projectRoutes: readonly Route[] = [
  { method: 'GET', pattern: /^\/leads$/, list: 'leads', needs: 'agent', reply: listLeads },
  { method: 'GET', pattern: /^\/leads\/([^/]+)$/, list: 'lead', needs: 'agent', reply: getLead },
  {
    method: 'PUT',
    pattern: /^\/leads\/([^/]+)$/,
    list: 'lead',
    needs: 'agent',
    reply: ({ data, call, params: [id = ''] }) => json(data.editLead(id, pickFields(readBody(call), leadFields))),
  },
  {
    method: 'DELETE',
    pattern: /^\/leads\/([^/]+)$/,
    list: 'lead',
    needs: 'agent',
    reply: ({ data, params: [id = ''] }) => json(data.softDeleteLead(id)),
  },
  {
    method: 'DELETE',
    pattern: /^\/leads\/([^/]+)\/physical$/,
    list: 'lead',
    needs: 'owner',
    reply: ({ data, params: [id = ''] }) => {
      const lead = data.leads.get(id);
      data.hardDeleteLead(id);
      return json(lead ?? null);
    },
  },
  { method: 'GET', pattern: /^\/requests$/, list: 'requests', needs: 'agent', reply: listRequests },
  { method: 'GET', pattern: /^\/requests\/count$/, list: 'requests-count', needs: 'agent', reply: countRequests },
  {
    method: 'GET',
    pattern: /^\/requests\/([^/]+)$/,
    list: 'request',
    needs: 'agent',
    reply: onRequest(({ data }, request) => populated(data, request)),
  },
  { method: 'GET', pattern: /^\/requests\/([^/]+)\/messages$/, list: 'messages', needs: 'guest', reply: listMessages },
  {
    method: 'PATCH',
    pattern: /^\/requests\/([^/]+)$/,
    list: 'request',
    needs: 'agent',
    reply: onRequest(({ data, call }, request) =>
      populated(data, data.touchRequest(request._id, pickFields(readBody(call), requestFields))),
    ),
  },
  {
    method: 'PUT',
    pattern: /^\/requests\/([^/]+)\/close$/,
    list: 'request',
    needs: 'agent',
    reply: onRequest(({ data, account }, request) =>
      populated(data, data.closeRequest(request._id, closedBy(account))),
    ),
  },
  {
    method: 'PUT',
    pattern: /^\/requests\/([^/]+)\/reopen$/,
    list: 'request',
    needs: 'agent',
    reply: onRequest(({ data }, request) => populated(data, data.reopenRequest(request._id))),
  },
  {
    method: 'DELETE',
    pattern: /^\/requests\/([^/]+)$/,
    list: 'request',
    needs: 'owner',
    reply: onRequest(({ data }, request) => json({ success: data.hardDeleteRequest(request._id) })),
  },
  {
    method: 'DELETE',
    pattern: /^\/requests\/id\/([^/]+)$/,
    list: 'request',
    needs: 'owner',
    reply: ({ data, params: [id = ''] }) => (data.hardDeleteRequest(id) ? json({ success: true }) : notFound()),
  },
  {
    method: 'GET',
    pattern: /^\/departments$/,
    list: 'departments',
    needs: null,
    reply: listDepartments((status) => status === 1),
  },
  {
    method: 'GET',
    pattern: /^\/departments\/allstatus$/,
    list: 'departments',
    needs: 'agent',
    reply: listDepartments((status) => status >= 0),
  },
  // Open to anybody, as the list without the hidden ones is (source of server 2.19).
  { method: 'GET', pattern: /^\/departments\/([^/]+)$/, list: 'department', needs: null, reply: getDepartment },
  { method: 'GET', pattern: /^\/project_users$/, list: 'project_users', needs: 'agent', reply: listProjectUsers },
  {
    method: 'GET',
    pattern: /^\/project_users\/users\/([^/]+)$/,
    list: 'project_user',
    needs: 'agent',
    reply: ({ data, params: [userId] }) =>
      json(
        data.projectUsers.filter((one) => one.id_user === userId).map((one) => asProjectUserRow(one, data.team.users)),
      ),
  },
  {
    method: 'GET',
    pattern: /^\/project_users\/([^/]+)$/,
    list: 'project_user',
    needs: 'agent',
    reply: getProjectUser,
  },
  { method: 'GET', pattern: /^\/groups$/, list: 'groups', needs: 'agent', reply: listGroups },
  { method: 'GET', pattern: /^\/(?:bots|faq_kb)$/, list: 'bots', needs: 'agent', reply: listBots },
  { method: 'GET', pattern: /^\/tags$/, list: 'tags', needs: 'agent', reply: listTags },
];
