/** The routes of V3: strict parameters, `{data, has_more}`, errors as `{detail}`. */
import { type Answer, type Call, json } from './answer.ts';
import type { Condition } from './collection.ts';
import type { TilkeeItem, TilkeeProject } from './tilkee-create.ts';
import * as route from './tilkee-route.ts';
import { shortUser } from './tilkee-rows.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';
import { type Expand, itemExpansions, projectExpansions, v3Item, v3Project } from './tilkee-v3-rows.ts';

const unprocessable = (loc: readonly (string | number)[], type: string, msg: string, ctx?: object): route.Refusal =>
  new route.Refusal(json({ detail: [{ loc, msg, type, ctx }] }, 422));

const notInteger = (...loc: string[]) => unprocessable(loc, 'type_error.integer', 'value is not a valid integer');

/** @throws Refusal */
function readInt(query: URLSearchParams, name: string, least: number, most = Infinity): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (!/^\s*[+-]?\d+\s*$/.test(text)) throw notInteger('query', name);
  const [code, limit, type] = value < least ? ['greater', least, 'not_ge'] : ['less', most, 'not_le'];
  if (value >= least && value <= most) return value;
  const msg = `ensure this value is ${code} than or equal to ${limit}`;
  throw unprocessable(['query', name], `value_error.number.${type}`, msg, { limit_value: limit });
}

const booleans: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false };

/** @throws Refusal */
function readBoolean(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  const value = text === null ? undefined : booleans[text.toLowerCase()];
  if (text === null || value !== undefined) return value;
  throw unprocessable(['query', name], 'type_error.bool', 'value could not be parsed to a boolean');
}

const timeForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?$/;

/** Without an offset it is UTC. A plus sign that was not encoded arrives as a space, and the text is refused. */
function readTime(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const [, , , offset] = timeForm.exec(text) ?? [];
  const at = timeForm.test(text) ? Date.parse(offset ? text : `${text}Z`) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw unprocessable(['query', name], 'value_error.datetime', 'invalid datetime format');
}

/** @throws Refusal */
function readExpand({ query }: Call, allowed: readonly string[], form: TilkeeSwitches['expandForm']): Expand {
  const sent = [...query.getAll('expand'), ...query.getAll('expand[]')];
  const read = form === 'csv' ? sent.slice(-1) : sent;
  const values = form === 'repeated' ? read : read.flatMap((text) => text.split(','));
  const index = values.findIndex((code) => !allowed.includes(code));
  if (index < 0) return new Set(values);
  const msg = `value is not a valid enumeration member; permitted: ${allowed.map((one) => `'${one}'`).join(', ')}`;
  throw unprocessable(['query', 'expand', index], 'type_error.enum', msg, { enum_values: allowed });
}

function readConditions({ call, data: { switches } }: route.TilkeeRouteInput): Condition<TilkeeProject | TilkeeItem>[] {
  const { query } = call;
  const [start, end] = [readTime(query, 'created_at_start'), readTime(query, 'created_at_end')];
  const inwards = switches.createdBounds === 'inclusive' ? 0 : 1;
  return [
    ...route.createdWithin(start && start + inwards, end && end - inwards),
    ...route.having<'project' | 'item'>({
      owner_id: readInt(query, 'owner_id', 0),
      favorite: readBoolean(query, 'favorite'),
    }),
    ...route.searching<TilkeeProject | TilkeeItem>(call, ({ name }) => name),
    ...route.tagged(query.getAll('tags')),
  ];
}

function answerList<K extends 'project' | 'item'>(
  input: route.TilkeeRouteInput,
  plan: route.SandboxListPlan<K>,
): Answer {
  const { query } = input.call;
  const { switches } = input.data;
  const most = switches.v3LimitTooLarge === '422' ? switches.v3MaxLimit : Infinity;
  const take = Math.min(readInt(query, 'limit', 1, most) ?? 20, switches.v3MaxLimit);
  const skip = readInt(query, 'skip', 0) ?? 0;
  const { rows, total } = route.readPage(input, plan, { order: route.defaultOrders[switches.order], skip, take });
  if (switches.v3BareArrays) return json(rows);
  const isLast = skip + rows.length >= total;
  return json({ data: rows, has_more: hasMore[switches.hasMore](isLast, rows.length === 0) });
}

/** undefined: not in the answer. */
const hasMore: Record<TilkeeSwitches['hasMore'], (isLast: boolean, isEmpty: boolean) => boolean | undefined> = {
  right: (isLast) => !isLast,
  missing: () => undefined,
  missingOnLast: (isLast) => (isLast ? undefined : true),
  emptyAtEnd: (_isLast, isEmpty) => !isEmpty,
  always: () => true,
};

function listProjects(input: route.TilkeeRouteInput): Answer {
  const { call, data } = input;
  const { switches } = data;
  const expand = readExpand(call, projectExpansions, switches.expandForm);
  const isTemplate = readBoolean(call.query, 'is_template') ?? (switches.v3ProjectsHoldTemplates ? undefined : false);
  const conditions = [...readConditions(input), ...route.having<'project'>({ is_template: isTemplate })];
  return answerList(input, { kind: 'project', conditions, row: (doc) => v3Project(data, doc, expand) });
}

function listItems(input: route.TilkeeRouteInput): Answer {
  const { call, data } = input;
  const expand = readExpand(call, itemExpansions, data.switches.expandForm);
  const ofType = route.having<'item'>({ element_type: call.query.get('type') || undefined });
  const conditions = [...readConditions(input), ...ofType];
  return answerList(input, { kind: 'item', conditions, row: (doc) => v3Item(data, doc, expand) });
}

function readProject(input: route.TilkeeRouteInput): Answer {
  const { data, call, params } = input;
  if (!/^\d+$/.test(params.id ?? '')) throw notInteger('path', 'id');
  const expand = readExpand(call, projectExpansions, data.switches.expandForm);
  return route.answerRow(input, v3Project(data, route.findById(input, 'project', Number(params.id)), expand));
}

const readMe = (input: route.TilkeeRouteInput): Answer =>
  route.answerRow(input, shortUser(input.data.get('user', input.data.mainUserId)) ?? {});

export const v3Routes = route.readRoutes('v3', '/', [
  ['v3.me', '/users/me', readMe],
  ['v3.items', '/items', listItems],
  ['v3.projects', '/projects', listProjects],
  ['v3.project', '/projects/:id', readProject],
]);
