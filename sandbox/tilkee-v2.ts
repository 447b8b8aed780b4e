/** The routes of V2: lenient parameters, and an envelope that echoes what was applied. */
import { type Answer, type Call, json } from './serve.ts';
import type { TilkeeDocument, TilkeeKind, TilkeeToken, TilkeeVisit } from './tilkee-documents.ts';
import { answerRemoved, type RouteInput, type RouteTools, type TilkeeRoute } from './tilkee-route.ts';
import { type Condition, defaultOrders, type RowOrder, type SortField, selectRows } from './tilkee-select.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';
import { v2User } from './tilkee-v2-accounts.ts';
import { v2Connexion, v2ConnexionDetail, v2Item, v2ProjectDetail, v2ProjectRow, v2Token } from './tilkee-v2-rows.ts';
import { finishRow } from './tilkee-v3-rows.ts';

class BadRequest extends Error {}

function readInt(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^-?\d+$/.test(text)) throw new BadRequest(`${name} is not a number`);
  return Number(text);
}

function readBoolean(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  return text === null || text === '' ? undefined : text === 'true';
}

const readIds = (text: string): number[] => text.split(',').filter(Boolean).map(Number);

const sortFields: Readonly<Record<string, SortField>> = {
  created_at: '_created',
  updated_at: '_updated',
  id: 'id',
  name: 'name',
};

interface AppliedOrder {
  readonly order: RowOrder;
  /** What the answer says was applied; null when there is no name for it. */
  readonly echo: string | null;
}

const echoes: Readonly<Record<TilkeeSwitches['order'], (table: string) => string | null>> = {
  newest: (table) => `-${table}.created_at`,
  oldest: (table) => `${table}.created_at`,
  byUpdate: (table) => `-${table}.updated_at`,
  shuffled: () => null,
  random: () => null,
};

/** Kinds that know when they changed. */
const isStamped = (table: string): boolean => ['projects', 'items', 'users'].includes(table);

function readOrder(asked: string | null, table: string, switches: TilkeeSwitches): AppliedOrder {
  const [first = ''] = (asked ?? '').split(',');
  const [, minus, column = ''] = /^(-?)(?:[a-z]+\.)?([a-z_]+)$/.exec(first) ?? [];
  const field = switches.obeysOrder && Object.hasOwn(sortFields, column) ? sortFields[column] : undefined;
  if (field && (field !== '_updated' || isStamped(table))) {
    return { order: { field, direction: minus ? -1 : 1 }, echo: first };
  }
  const byDefault = switches.order === 'byUpdate' && !isStamped(table) ? 'newest' : switches.order;
  return { order: defaultOrders[byDefault], echo: echoes[byDefault](table) };
}

interface ListPlan<K extends TilkeeKind> {
  readonly kind: K;
  /** As the order names it. */
  readonly table: string;
  readonly conditions: readonly Condition<K>[];
  /** Read when the list is, so that a hook's changes count. */
  readonly among?: (() => readonly TilkeeDocument<K>[]) | undefined;
  readonly row: (doc: TilkeeDocument<K>) => object;
}

const defaultLimit = 50;

function answerList<K extends TilkeeKind>({ tools, call }: RouteInput, plan: ListPlan<K>): Answer {
  const { data, faults } = tools;
  const { switches } = data;
  const { query } = call;
  const asked = readInt(query, 'limit') ?? defaultLimit;
  const limit = Math.min(asked > 0 ? asked : defaultLimit, switches.v2MaxLimit);
  const offset = Math.max(0, readInt(query, 'offset') ?? 0);
  const { order, echo } = readOrder(query.get(plan.kind === 'connexion' ? 'sort' : 'order'), plan.table, switches);
  faults.beforeAnswer?.(call);
  const among = plan.among?.();
  const selection = { kind: plan.kind, conditions: plan.conditions, order, ...(among && { among }) };
  const { docs, total } = selectRows(tools, selection, { skip: offset, take: limit });
  const rows = docs.map((doc) => {
    const hasId = !(switches.rowWithoutId && data.isOldest(plan.kind, doc));
    return finishRow(plan.row(doc), switches, { hasId });
  });
  faults.afterAnswer?.({ ...call, status: 200, ids: docs.map((doc) => doc._id) });
  if (switches.v2BareArrays) return json(rows);
  return json({
    search: query.get('search'),
    ...(switches.v2EchoesLimit && { limit }),
    offset,
    ...totals[switches.v2Total](total),
    order: echo,
    contents: rows.length === 0 && switches.v2EmptyContents === 'text' ? '' : rows,
  });
}

const totals: Readonly<Record<TilkeeSwitches['v2Total'], (total: number) => object>> = {
  number: (total) => ({ total }),
  string: (total) => ({ total: String(total) }),
  object: (total) => ({ total: { value: total, relation: 'eq' } }),
  null: () => ({ total: null }),
  missing: () => ({}),
  wrong: (total) => ({ total: Math.floor(total / 3) }),
};

function searchIn<K extends 'project' | 'item' | 'token'>({ query }: Call): Condition<K>[] {
  const text = query.get('search')?.toLowerCase();
  return text ? [[`search ${text}`, (doc) => doc.name.toLowerCase().includes(text)]] : [];
}

function tagged<K extends 'project' | 'item'>({ query }: Call): Condition<K>[] {
  const tags = (query.get('tags') ?? '').split(',').filter(Boolean);
  if (tags.length === 0) return [];
  const isAny = query.get('tagOperator') === 'OR';
  const holds = (own: readonly string[]): boolean =>
    isAny ? tags.some((tag) => own.includes(tag)) : tags.every((tag) => own.includes(tag));
  return [[`tags ${isAny} ${tags}`, (doc) => holds(doc.tags)]];
}

function listProjects(input: RouteInput): Answer {
  const { data } = input.tools;
  const { switches, mainUserId } = data;
  const { query } = input.call;
  const conditions: Condition<'project'>[] = [...searchIn<'project'>(input.call), ...tagged<'project'>(input.call)];
  const isTemplate = readBoolean(query, 'is_template') ?? (switches.v2ProjectsHoldTemplates ? undefined : false);
  if (isTemplate !== undefined) conditions.push([`template ${isTemplate}`, (doc) => doc.is_template === isTemplate]);
  const status = query.get('status') || (switches.v2ProjectsHoldArchived ? '' : 'activated');
  if (status) conditions.push([`status ${status}`, (doc) => (doc.archived_at !== null) === (status === 'archived')]);
  if (readBoolean(query, 'is_owner')) conditions.push(['own', (doc) => doc.owner_id === mainUserId]);
  const leaderId = readInt(query, 'leader_id') ?? readInt(query, 'user_id');
  if (leaderId !== undefined) conditions.push([`leader ${leaderId}`, (doc) => doc.owner_id === leaderId]);
  const externalId = query.get('external_id');
  if (externalId) conditions.push([`external ${externalId}`, (doc) => doc.external_id === externalId]);
  return answerList(input, { kind: 'project', table: 'projects', conditions, row: (doc) => v2ProjectRow(data, doc) });
}

function tokenConditions({ tools: { data }, call }: RouteInput): Condition<'token'>[] {
  const { query } = call;
  const conditions: Condition<'token'>[] = searchIn<'token'>(call);
  const archived = readBoolean(query, 'archived_tokens') ?? (data.switches.tokensListHoldsArchived ? undefined : false);
  if (archived !== undefined)
    conditions.push([`archived ${archived}`, (doc) => (doc.archived_at !== null) === archived]);
  const externalId = query.get('external_id');
  if (externalId) conditions.push([`external ${externalId}`, (doc) => doc.external_id === externalId]);
  if (readBoolean(query, 'is_owner')) conditions.push(['own', (doc) => doc.creator_id === data.mainUserId]);
  // These look at other objects, so what was kept is of no use once anything has changed.
  const isAccessible = (doc: TilkeeToken): boolean =>
    doc.archived_at === null && data.get('project', doc.project_id)?.archived_at === null;
  if (readBoolean(query, 'accessible_tokens')) conditions.push([`accessible @${data.changes}`, isAccessible]);
  const consulted = readBoolean(query, 'consulted');
  if (consulted !== undefined) {
    const wasRead = (doc: TilkeeToken): boolean => data.tokenStats(doc.id).visits > 0;
    conditions.push([`consulted ${consulted} @${data.changes}`, (doc) => wasRead(doc) === consulted]);
  }
  return conditions;
}

function listTokens(input: RouteInput): Answer {
  const projectId = readInt(input.call.query, 'project_id');
  return answerTokens(input, projectId);
}

function answerTokens(input: RouteInput, projectId: number | undefined): Answer {
  const { data } = input.tools;
  return answerList(input, {
    kind: 'token',
    table: 'tokens',
    conditions: tokenConditions(input),
    among: projectId === undefined ? undefined : () => data.tokensOf(projectId),
    row: (doc) => v2Token(data, doc),
  });
}

function windowOf({ tools: { data }, call }: RouteInput): Condition<'connexion'>[] {
  const unitMs = data.switches.startDateUnit === 's' ? 1000 : 1;
  const [start, end] = [readInt(call.query, 'start_date'), readInt(call.query, 'end_date')];
  const conditions: Condition<'connexion'>[] = [];
  if (start !== undefined) conditions.push([`from ${start} ${unitMs}`, (doc) => doc.created_at >= start * unitMs]);
  // The whole of the last second.
  if (end !== undefined) conditions.push([`to ${end} ${unitMs}`, (doc) => doc.created_at < (end + 1) * unitMs]);
  const search = call.query.get('search')?.toLowerCase();
  if (search) {
    const nameOf = (doc: TilkeeVisit): string => data.get('token', doc.token_id)?.name.toLowerCase() ?? '';
    conditions.push([`search ${search} @${data.changes}`, (doc) => nameOf(doc).includes(search)]);
  }
  return conditions;
}

function answerVisits(input: RouteInput, projectId: number | undefined): Answer {
  const { data } = input.tools;
  const text = input.call.query.get('tokens');
  const asked = text ? readIds(text) : undefined;
  if (asked?.some(Number.isNaN)) throw new BadRequest('tokens is not a list of numbers');
  const ofProject = (): number[] => data.tokensOf(projectId ?? 0).map((token) => token.id);
  const among = (): TilkeeVisit[] => {
    const own = projectId === undefined ? undefined : ofProject();
    const ids = asked && own ? asked.filter((id) => own.includes(id)) : (asked ?? own ?? []);
    return [...new Set(ids)].flatMap((id) => data.visitsOf(id));
  };
  return answerList(input, {
    kind: 'connexion',
    table: 'connexions',
    conditions: windowOf(input),
    among: asked || projectId !== undefined ? among : undefined,
    row: (doc) => v2Connexion(data, doc),
  });
}

function listItems(input: RouteInput): Answer {
  const { data } = input.tools;
  const conditions: Condition<'item'>[] = [...searchIn<'item'>(input.call), ...tagged<'item'>(input.call)];
  return answerList(input, { kind: 'item', table: 'items', conditions, row: (doc) => v2Item(data, doc) });
}

function listUsers(input: RouteInput): Answer {
  const text = input.call.query.get('search')?.toLowerCase();
  const conditions: Condition<'user'>[] = text ? [[`search ${text}`, (doc) => doc.email.includes(text)]] : [];
  return answerList(input, { kind: 'user', table: 'users', conditions, row: (doc) => v2User(doc) });
}

/** The object the path names, or the refusal. */
function inPath<K extends TilkeeKind>(tools: RouteTools, kind: K, text: string): TilkeeDocument<K> | Answer {
  const id = /^\d+$/.test(text) ? Number(text) : -1;
  return tools.data.get(kind, id) ?? answerRemoved(tools.data, kind, id, 'v2');
}

/** Replies for paths below a project that exists. */
const ofProject =
  (reply: (input: RouteInput, projectId: number) => Answer) =>
  (input: RouteInput): Answer => {
    const project = inPath(input.tools, 'project', input.params[0] ?? '');
    return '_id' in project ? reply(input, project.id) : project;
  };

function readProject({ tools, params }: RouteInput): Answer {
  const project = inPath(tools, 'project', params[0] ?? '');
  if (!('_id' in project)) return project;
  return json(finishRow(v2ProjectDetail(tools.data, project), tools.data.switches));
}

function readToken({ tools, params }: RouteInput, projectId: number): Answer {
  const token = inPath(tools, 'token', params[1] ?? '');
  if (!('_id' in token)) return token;
  if (token.project_id !== projectId) return answerRemoved(tools.data, 'token', -1, 'v2');
  return json(finishRow(v2Token(tools.data, token), tools.data.switches));
}

function readConnexion({ tools, params }: RouteInput, projectId: number): Answer {
  const { data } = tools;
  const visit = inPath(tools, 'connexion', params[1] ?? '');
  if (!('_id' in visit)) return visit;
  if (data.get('token', visit.token_id)?.project_id !== projectId) return answerRemoved(data, 'connexion', -1, 'v2');
  return json({ contents: v2ConnexionDetail(data, visit).map((row) => finishRow(row, data.switches)) });
}

function readMe({ tools: { data } }: RouteInput): Answer {
  const user = data.get('user', data.mainUserId);
  return user ? json(finishRow(v2User(user), data.switches)) : answerRemoved(data, 'user', data.mainUserId, 'v2');
}

const checked =
  (reply: (input: RouteInput) => Answer) =>
  (input: RouteInput): Answer => {
    try {
      return reply(input);
    } catch (error) {
      if (error instanceof BadRequest) return json({ status: 'bad_request', body: { error: error.message } }, 400);
      throw error;
    }
  };

/** A trailing slash does no harm here. */
const replies: readonly (readonly [name: TilkeeRoute['name'], path: string, reply: TilkeeRoute['reply']])[] = [
  ['v2.me', '/users/me', readMe],
  ['v2.users', '/users', listUsers],
  ['v2.items', '/items', listItems],
  ['v2.projects', '/projects', listProjects],
  ['v2.project', '/projects/:id', readProject],
  ['v2.projectTokens', '/projects/:id/tokens', ofProject(answerTokens)],
  ['v2.token', '/projects/:id/tokens/:id', ofProject(readToken)],
  ['v2.projectConnexions', '/projects/:id/connexions', ofProject(answerVisits)],
  ['v2.connexion', '/projects/:id/connexions/:id', ofProject(readConnexion)],
  ['v2.tokens', '/tokens', listTokens],
  ['v2.connexions', '/connexions', (input) => answerVisits(input, undefined)],
];

export const v2Routes: readonly TilkeeRoute[] = replies.map(([name, path, reply]) => ({
  name,
  api: 'v2',
  method: 'GET',
  pattern: new RegExp(`^/v2${path.replaceAll(':id', '([^/]+)')}/?$`),
  reply: checked(reply),
}));
