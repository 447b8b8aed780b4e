/** The routes of V3: strict parameters, `{data, has_more}`, errors as `{detail}`. */
import { type Answer, type Call, json } from './answer.ts';
import type { Condition } from './collection.ts';
import type { TilkeeItem, TilkeeProject } from './tilkee-create.ts';
import {
  createdWithin,
  defaultOrders,
  findById,
  having,
  type ListPlan,
  Refusal,
  type RouteInput,
  readPage,
  readRoutes,
  searching,
  tagged,
} from './tilkee-route.ts';
import { finishRow, shortUser } from './tilkee-rows.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';
import { type Expand, itemExpansions, projectExpansions, v3Item, v3Project } from './tilkee-v3-rows.ts';

interface Problem {
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly type: string;
  readonly ctx?: Readonly<Record<string, unknown>>;
}

const unprocessable = (problem: Problem): Refusal => new Refusal(json({ detail: [problem] }, 422));

interface Bounds {
  readonly least: number;
  readonly most?: number;
}

/** @throws Refusal */
function readInt(query: URLSearchParams, name: string, { least, most = Infinity }: Bounds): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const loc = ['query', name];
  const value = Number(text);
  if (!/^\s*[+-]?\d+\s*$/.test(text)) {
    throw unprocessable({ loc, msg: 'value is not a valid integer', type: 'type_error.integer' });
  }
  const [word, limit, type] = value < least ? ['greater', least, 'not_ge'] : ['less', most, 'not_le'];
  if (value >= least && value <= most) return value;
  const msg = `ensure this value is ${word} than or equal to ${limit}`;
  throw unprocessable({ loc, msg, type: `value_error.number.${type}`, ctx: { limit_value: limit } });
}

const booleans: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false };

/** @throws Refusal */
function readBoolean(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  const value = text === null ? undefined : booleans[text.toLowerCase()];
  if (text === null || value !== undefined) return value;
  const msg = 'value could not be parsed to a boolean';
  throw unprocessable({ loc: ['query', name], msg, type: 'type_error.bool' });
}

const timeForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?$/;

/** Without an offset it is UTC. A plus sign that was not encoded arrives as a space, and the text is refused. */
function readTime(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const [, , , offset] = timeForm.exec(text) ?? [];
  const at = timeForm.test(text) ? Date.parse(offset ? text : `${text}Z`) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw unprocessable({ loc: ['query', name], msg: 'invalid datetime format', type: 'value_error.datetime' });
}

/** @throws Refusal */
function readExpand({ query }: Call, allowed: readonly string[], form: TilkeeSwitches['expandForm']): Expand {
  const sent = [...query.getAll('expand'), ...query.getAll('expand[]')];
  const read = form === 'csv' ? sent.slice(-1) : sent;
  const words = form === 'repeated' ? read : read.flatMap((text) => text.split(','));
  const place = words.findIndex((word) => !allowed.includes(word));
  if (place < 0) return new Set(words);
  throw unprocessable({
    loc: ['query', 'expand', place],
    msg: `value is not a valid enumeration member; permitted: ${allowed.map((one) => `'${one}'`).join(', ')}`,
    type: 'type_error.enum',
    ctx: { enum_values: allowed },
  });
}

/** Conditions that both lists know. */
function readConditions({ call, data: { switches } }: RouteInput): Condition<TilkeeProject | TilkeeItem>[] {
  const { query } = call;
  const [start, end] = [readTime(query, 'created_at_start'), readTime(query, 'created_at_end')];
  const inwards = switches.createdBounds === 'inclusive' ? 0 : 1;
  return [
    ...createdWithin(start && start + inwards, end && end - inwards),
    ...having<'project' | 'item'>({
      owner_id: readInt(query, 'owner_id', { least: 0 }),
      favorite: readBoolean(query, 'favorite'),
    }),
    ...searching<TilkeeProject | TilkeeItem>(call, ({ name }) => name),
    ...tagged(query.getAll('tags')),
  ];
}

function answerList<K extends 'project' | 'item'>(input: RouteInput, plan: ListPlan<K>): Answer {
  const { query } = input.call;
  const { switches } = input.data;
  const most = switches.v3LimitTooLarge === '422' ? switches.v3MaxLimit : Infinity;
  const take = Math.min(readInt(query, 'limit', { least: 1, most }) ?? 20, switches.v3MaxLimit);
  const skip = readInt(query, 'skip', { least: 0 }) ?? 0;
  const { rows, total } = readPage(input, plan, { order: defaultOrders[switches.order], skip, take });
  if (switches.v3BareArrays) return json(rows);
  const isLast = skip + rows.length >= total;
  return json({ data: rows, has_more: hasMore[switches.hasMore](isLast, rows.length === 0) });
}

/** undefined: not in the answer. */
const hasMore: Readonly<Record<TilkeeSwitches['hasMore'], (isLast: boolean, isEmpty: boolean) => boolean | undefined>> =
  {
    right: (isLast) => !isLast,
    missing: () => undefined,
    missingOnLast: (isLast) => (isLast ? undefined : true),
    emptyAtEnd: (_isLast, isEmpty) => !isEmpty,
    always: () => true,
  };

function listProjects(input: RouteInput): Answer {
  const { call, data } = input;
  const { switches } = data;
  const expand = readExpand(call, projectExpansions, switches.expandForm);
  const isTemplate = readBoolean(call.query, 'is_template') ?? (switches.v3ProjectsHoldTemplates ? undefined : false);
  const conditions = [...readConditions(input), ...having<'project'>({ is_template: isTemplate })];
  return answerList(input, { kind: 'project', conditions, row: (doc) => v3Project(data, doc, expand) });
}

function listItems(input: RouteInput): Answer {
  const { call, data } = input;
  const expand = readExpand(call, itemExpansions, data.switches.expandForm);
  const ofType = having<'item'>({ element_type: call.query.get('type') || undefined });
  const conditions = [...readConditions(input), ...ofType];
  return answerList(input, { kind: 'item', conditions, row: (doc) => v3Item(data, doc, expand) });
}

function readProject(input: RouteInput): Answer {
  const { data, call, params } = input;
  if (!/^\d+$/.test(params.id ?? '')) {
    throw unprocessable({ loc: ['path', 'id'], msg: 'value is not a valid integer', type: 'type_error.integer' });
  }
  const expand = readExpand(call, projectExpansions, data.switches.expandForm);
  const project = findById(input, { kind: 'project', id: Number(params.id), api: 'v3' });
  return json(finishRow(v3Project(data, project, expand), data.switches));
}

function readMe({ data }: RouteInput): Answer {
  return json(finishRow(shortUser(data.get('user', data.mainUserId)) ?? {}, data.switches));
}

export const v3Routes = readRoutes('v3', '/', [
  ['v3.me', '/users/me', readMe],
  ['v3.items', '/items', listItems],
  ['v3.projects', '/projects', listProjects],
  ['v3.project', '/projects/:id', readProject],
]);
