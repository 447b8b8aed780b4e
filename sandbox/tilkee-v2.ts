/** The routes of V2: lenient parameters, and an envelope with what was applied. */
import { type Answer, json } from './answer.ts';
import { byField, type Condition } from './collection.ts';
import type { TilkeeKind, TilkeeProject, TilkeeToken, TilkeeUser, TilkeeVisit } from './tilkee-create.ts';
import * as route from './tilkee-route.ts';
import { finishRow } from './tilkee-rows.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';
import * as rows from './tilkee-v2-rows.ts';

/** @throws Refusal */
function readInt(text: string | null, name: string): number | undefined {
  if (!text) return undefined;
  if (/^-?\d+$/.test(text)) return Number(text);
  throw new route.Refusal(json({ status: 'bad_request', body: { error: `${name} is not a number` } }, 400));
}

function readBoolean(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  return text ? text === 'true' : undefined;
}

const tables = { project: 'projects', item: 'items', token: 'tokens', connexion: 'connexions', user: 'users' };

const isStamped = (kind: TilkeeKind): boolean => kind !== 'token' && kind !== 'connexion';

/** `returned`: what the response names as applied; null when there is no name for it. */
function readOrder(query: URLSearchParams, kind: TilkeeKind, switches: TilkeeSwitches) {
  const [first = ''] = (query.get(kind === 'connexion' ? 'sort' : 'order') ?? '').split(',');
  const [, minus, column = ''] = /^(-?)(?:[a-z]+\.)?([a-z_]+)$/.exec(first) ?? [];
  const columns = ['created_at', 'id', 'name', ...(isStamped(kind) ? ['updated_at'] : [])];
  if (switches.obeysOrder && columns.includes(column))
    return { order: byField(column, minus ? -1 : 1), returned: first };
  const name = switches.order === 'byUpdate' && !isStamped(kind) ? 'newest' : switches.order;
  const order = route.defaultOrders[name];
  const [field = '', direction = 1] = order === 'random' ? [] : (order[0] ?? []);
  return { order, returned: field.endsWith('_at') ? `${direction < 0 ? '-' : ''}${tables[kind]}.${field}` : null };
}

const defaultLimit = 50;

function answerList<K extends TilkeeKind>(input: route.TilkeeRouteInput, plan: route.SandboxListPlan<K>): Answer {
  const { query } = input.call;
  const { switches } = input.data;
  const asked = readInt(query.get('limit'), 'limit') ?? defaultLimit;
  const limit = Math.min(asked > 0 ? asked : defaultLimit, switches.v2MaxLimit);
  const offset = Math.max(0, readInt(query.get('offset'), 'offset') ?? 0);
  const { order, returned } = readOrder(query, plan.kind, switches);
  const { rows, total } = route.readPage(input, plan, { order, skip: offset, take: limit });
  if (switches.v2BareArrays) return json(rows);
  return json({
    search: query.get('search'),
    ...(switches.v2RepeatsLimit && { limit }),
    offset,
    ...totals[switches.v2Total](total),
    order: returned,
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

const nameOf = ({ name }: { readonly name: string }): string => name;

function tagsIn(query: URLSearchParams): ReturnType<typeof route.tagged> {
  return route.tagged((query.get('tags') ?? '').split(',').filter(Boolean), query.get('tagOperator') === 'OR');
}

function isArchived(value: boolean | undefined): Condition<{ readonly archived_at: number | null }>[] {
  return value === undefined ? [] : [[`archived=${value}`, (doc) => (doc.archived_at !== null) === value]];
}

function listProjects(input: route.TilkeeRouteInput): Answer {
  const { data, call } = input;
  const { query } = call;
  const { switches, mainUserId } = data;
  const status = query.get('status') || (switches.v2ProjectsHoldArchived ? '' : 'activated');
  const leaderId = readInt(query.get('leader_id'), 'leader_id') ?? readInt(query.get('user_id'), 'user_id');
  const conditions = [
    ...route.searching<TilkeeProject>(call, nameOf),
    ...tagsIn(query),
    ...isArchived(status ? status === 'archived' : undefined),
    ...route.having<'project'>({
      is_template: readBoolean(query, 'is_template') ?? (switches.v2ProjectsHoldTemplates ? undefined : false),
      owner_id: readBoolean(query, 'is_owner') ? mainUserId : leaderId,
      external_id: query.get('external_id') || undefined,
    }),
  ];
  return answerList(input, { kind: 'project', conditions, row: (doc) => rows.v2ProjectRow(data, doc) });
}

function answerTokens(input: route.TilkeeRouteInput, projectId: number | undefined): Answer {
  const { data, call } = input;
  const { query } = call;
  const holdsArchived = data.switches.tokensListHoldsArchived;
  const conditions: Condition<TilkeeToken>[] = [
    ...route.searching<TilkeeToken>(call, nameOf),
    ...isArchived(readBoolean(query, 'archived_tokens') ?? (holdsArchived ? undefined : false)),
    ...route.having<'token'>({
      project_id: projectId,
      external_id: query.get('external_id') || undefined,
      creator_id: readBoolean(query, 'is_owner') ? data.mainUserId : undefined,
    }),
  ];
  const isInUse = ({ archived_at, project_id }: TilkeeToken): boolean =>
    archived_at === null && data.get('project', project_id)?.archived_at === null;
  if (readBoolean(query, 'accessible_tokens')) conditions.push(['accessible', isInUse]);
  const consulted = readBoolean(query, 'consulted');
  const wasRead = ({ id }: TilkeeToken): boolean => data.tokenStats(id).visits > 0;
  if (consulted !== undefined) conditions.push([`consulted=${consulted}`, (doc) => wasRead(doc) === consulted]);
  return answerList(input, { kind: 'token', conditions, row: (doc) => rows.v2Token(data, doc) });
}

const listTokens = (input: route.TilkeeRouteInput): Answer =>
  answerTokens(input, readInt(input.call.query.get('project_id'), 'project_id'));

function answerVisits(input: route.TilkeeRouteInput, projectId?: number): Answer {
  const { data, call } = input;
  const { query } = call;
  const unitMs = data.switches.startDateUnit === 's' ? 1000 : 1;
  const [start, end] = ['start_date', 'end_date'].map((name) => readInt(query.get(name), name));
  const texts = (query.get('tokens') ?? '').split(',').filter(Boolean);
  const tokenIds = texts.map((text) => readInt(text, 'tokens'));
  const tokenOf = (visit: TilkeeVisit): TilkeeToken | undefined => data.get('token', visit.token_id);
  const conditions: Condition<TilkeeVisit>[] = route.searching(call, (visit) => tokenOf(visit)?.name ?? '');
  // The whole of the last second.
  conditions.push(...route.createdWithin(start && start * unitMs, end && (end + 1) * unitMs - 1));
  if (tokenIds.length > 0) conditions.push([`tokens=${tokenIds}`, (visit) => tokenIds.includes(visit.token_id)]);
  if (projectId !== undefined) {
    conditions.push([`project=${projectId}`, (visit) => tokenOf(visit)?.project_id === projectId]);
  }
  return answerList(input, { kind: 'connexion', conditions, row: (doc) => rows.v2Connexion(data, doc) });
}

function listItems(input: route.TilkeeRouteInput): Answer {
  const { data, call } = input;
  const conditions = [...route.searching(call, nameOf), ...tagsIn(call.query)];
  return answerList(input, { kind: 'item', conditions, row: (doc) => rows.v2Item(data, doc) });
}

function listUsers(input: route.TilkeeRouteInput): Answer {
  const conditions = route.searching<TilkeeUser>(input.call, ({ email }) => email);
  return answerList(input, { kind: 'user', conditions, row: rows.v2User });
}

const idIn = (text = ''): number => (/^\d+$/.test(text) ? Number(text) : -1);

/** @throws Refusal when the path names no project */
const projectOf = (input: route.TilkeeRouteInput): TilkeeProject =>
  route.findById(input, 'project', idIn(input.params.project));

const readProject = (input: route.TilkeeRouteInput): Answer =>
  route.answerRow(input, rows.v2ProjectDetail(input.data, projectOf(input)));

function readToken(input: route.TilkeeRouteInput): Answer {
  const { id: projectId } = projectOf(input);
  const token = route.findById(input, 'token', idIn(input.params.token), ({ project_id }) => project_id === projectId);
  return route.answerRow(input, rows.v2Token(input.data, token));
}

function readConnexion(input: route.TilkeeRouteInput): Answer {
  const { data, params } = input;
  const { id: projectId } = projectOf(input);
  const isOfProject = ({ token_id }: TilkeeVisit) => data.get('token', token_id)?.project_id === projectId;
  const visit = route.findById(input, 'connexion', idIn(params.connexion), isOfProject);
  return json({ contents: rows.v2ConnexionDetail(data, visit).map((row) => finishRow(row, data.switches)) });
}

const readMe = (input: route.TilkeeRouteInput): Answer =>
  route.answerRow(input, rows.v2User(route.findById(input, 'user', input.data.mainUserId)));

/** A trailing slash does no harm here. */
export const v2Routes = route.readRoutes('v2', '/?', [
  ['v2.me', '/users/me', readMe],
  ['v2.users', '/users', listUsers],
  ['v2.items', '/items', listItems],
  ['v2.projects', '/projects', listProjects],
  ['v2.project', '/projects/:project', readProject],
  ['v2.projectTokens', '/projects/:project/tokens', (input) => answerTokens(input, projectOf(input).id)],
  ['v2.token', '/projects/:project/tokens/:token', readToken],
  ['v2.projectConnexions', '/projects/:project/connexions', (input) => answerVisits(input, projectOf(input).id)],
  ['v2.connexion', '/projects/:project/connexions/:connexion', readConnexion],
  ['v2.tokens', '/tokens', listTokens],
  ['v2.connexions', '/connexions', (input) => answerVisits(input)],
]);
