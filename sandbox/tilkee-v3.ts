/** The routes of V3: strict parameters, `{data, has_more}`, errors as `{detail}`. */
import { type Answer, type Call, json } from './serve.ts';
import type { TilkeeDocument } from './tilkee-documents.ts';
import { answerRemoved, type RouteInput, type RouteTools, type TilkeeRoute } from './tilkee-route.ts';
import { type Condition, defaultOrders, selectRows } from './tilkee-select.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';
import {
  type Expand,
  finishRow,
  itemExpansions,
  projectExpansions,
  v3Item,
  v3Project,
  v3User,
} from './tilkee-v3-rows.ts';

interface Problem {
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly type: string;
  readonly ctx?: Readonly<Record<string, unknown>>;
}

class Unprocessable extends Error {
  readonly detail: readonly Problem[];

  constructor(detail: Problem) {
    super(detail.msg);
    this.detail = [detail];
  }
}

const inQuery = (name: string, rest: Omit<Problem, 'loc'>): Unprocessable =>
  new Unprocessable({ loc: ['query', name], ...rest });

interface Bounds {
  readonly least: number;
  readonly most?: number;
}

function readInt(query: URLSearchParams, name: string, fallback: number, { least, most = Infinity }: Bounds): number {
  const text = query.get(name);
  if (text === null) return fallback;
  if (!/^\s*[+-]?\d+\s*$/.test(text)) {
    throw inQuery(name, { msg: 'value is not a valid integer', type: 'type_error.integer' });
  }
  const value = Number(text);
  if (value < least) {
    const msg = `ensure this value is greater than or equal to ${least}`;
    throw inQuery(name, { msg, type: 'value_error.number.not_ge', ctx: { limit_value: least } });
  }
  if (value > most) {
    const msg = `ensure this value is less than or equal to ${most}`;
    throw inQuery(name, { msg, type: 'value_error.number.not_le', ctx: { limit_value: most } });
  }
  return value;
}

const booleans: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false };

function readBoolean(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = booleans[text.toLowerCase()];
  if (value === undefined) {
    throw inQuery(name, { msg: 'value could not be parsed to a boolean', type: 'type_error.bool' });
  }
  return value;
}

const timeForm = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?$/;

/** Without an offset it is UTC. A plus sign that was not encoded arrives as a space, and the text is refused. */
function readTime(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const hasOffset = /(Z|[+-]\d\d:?\d\d)$/.test(text.slice(10));
  const at = timeForm.test(text) ? Date.parse(hasOffset ? text : `${text}Z`) : Number.NaN;
  if (Number.isNaN(at)) throw inQuery(name, { msg: 'invalid datetime format', type: 'value_error.datetime' });
  return at;
}

function readExpand(call: Call, allowed: readonly string[], form: TilkeeSwitches['expandForm']): Expand {
  const sent = [...call.query.getAll('expand'), ...call.query.getAll('expand[]')];
  const heard = form === 'csv' ? sent.slice(-1) : sent;
  const words = form === 'repeated' ? heard : heard.flatMap((text) => text.split(','));
  for (const [place, word] of words.entries()) {
    if (allowed.includes(word)) continue;
    const permitted = allowed.map((one) => `'${one}'`).join(', ');
    throw new Unprocessable({
      loc: ['query', 'expand', place],
      msg: `value is not a valid enumeration member; permitted: ${permitted}`,
      type: 'type_error.enum',
      ctx: { enum_values: allowed },
    });
  }
  return new Set(words);
}

function readPage({ query }: Call, switches: TilkeeSwitches): { skip: number; take: number } {
  const { v3MaxLimit, v3LimitTooLarge } = switches;
  const most = v3LimitTooLarge === '422' ? v3MaxLimit : Infinity;
  const limit = readInt(query, 'limit', Math.min(20, v3MaxLimit), { least: 1, most });
  return { skip: readInt(query, 'skip', 0, { least: 0 }), take: Math.min(limit, v3MaxLimit) };
}

type Listed = 'project' | 'item';

/** Conditions that both lists know. */
function readConditions({ query }: Call, switches: TilkeeSwitches): Condition<Listed>[] {
  const conditions: Condition<Listed>[] = [];
  const isInclusive = switches.createdBounds === 'inclusive';
  const [start, end] = [readTime(query, 'created_at_start'), readTime(query, 'created_at_end')];
  if (start !== undefined) {
    const from = isInclusive ? start : start + 1;
    conditions.push([`from ${from}`, (doc) => doc.created_at >= from]);
  }
  if (end !== undefined) {
    const to = isInclusive ? end : end - 1;
    conditions.push([`to ${to}`, (doc) => doc.created_at <= to]);
  }
  const ownerId = query.has('owner_id') ? readInt(query, 'owner_id', 0, { least: 0 }) : undefined;
  if (ownerId !== undefined) conditions.push([`owner ${ownerId}`, (doc) => doc.owner_id === ownerId]);
  const search = query.get('search')?.toLowerCase();
  if (search) conditions.push([`search ${search}`, (doc) => doc.name.toLowerCase().includes(search)]);
  const tags = query.getAll('tags');
  if (tags.length > 0) conditions.push([`tags ${tags}`, (doc) => tags.every((tag) => doc.tags.includes(tag))]);
  const favorite = readBoolean(query, 'favorite');
  if (favorite !== undefined) conditions.push([`favorite ${favorite}`, (doc) => doc.favorite === favorite]);
  return conditions;
}

interface ListPlan<K extends Listed> {
  readonly kind: K;
  readonly conditions: readonly Condition<K>[];
  readonly row: (doc: TilkeeDocument<K>) => object;
}

function answerList<K extends Listed>(tools: RouteTools, call: Call, plan: ListPlan<K>): Answer {
  const { data, faults } = tools;
  const { switches } = data;
  const page = readPage(call, switches);
  faults.beforeAnswer?.(call);
  const { kind, conditions } = plan;
  const { docs, total } = selectRows(tools, { kind, conditions, order: defaultOrders[switches.order] }, page);
  const rows = docs.map((doc) => {
    const hasId = !(switches.rowWithoutId && data.isOldest(kind, doc));
    return finishRow(plan.row(doc), switches, { hasId });
  });
  faults.afterAnswer?.({ ...call, status: 200, ids: docs.map((doc) => doc._id) });
  if (switches.v3BareArrays) return json(rows);
  const isLast = page.skip + docs.length >= total;
  return json({ data: rows, ...hasMore(switches.hasMore, { isLast, isEmpty: docs.length === 0 }) });
}

function hasMore(kind: TilkeeSwitches['hasMore'], { isLast, isEmpty }: { isLast: boolean; isEmpty: boolean }): object {
  if (kind === 'missing' || (kind === 'missingOnLast' && isLast)) return {};
  if (kind === 'always') return { has_more: true };
  return { has_more: kind === 'emptyAtEnd' ? !isEmpty : !isLast };
}

function listProjects({ tools, call }: RouteInput): Answer {
  const { switches } = tools.data;
  const expand = readExpand(call, projectExpansions, switches.expandForm);
  const isTemplate = readBoolean(call.query, 'is_template') ?? (switches.v3ProjectsHoldTemplates ? undefined : false);
  const conditions: Condition<'project'>[] = readConditions(call, switches);
  if (isTemplate !== undefined) conditions.push([`template ${isTemplate}`, (doc) => doc.is_template === isTemplate]);
  return answerList(tools, call, { kind: 'project', conditions, row: (doc) => v3Project(tools.data, doc, expand) });
}

function listItems({ tools, call }: RouteInput): Answer {
  const { switches } = tools.data;
  const expand = readExpand(call, itemExpansions, switches.expandForm);
  const conditions: Condition<'item'>[] = readConditions(call, switches);
  const type = call.query.get('type');
  if (type) conditions.push([`type ${type}`, (doc) => doc.element_type === type]);
  return answerList(tools, call, { kind: 'item', conditions, row: (doc) => v3Item(tools.data, doc, expand) });
}

function readProject({ tools, call, params }: RouteInput): Answer {
  const { data } = tools;
  const text = params[0] ?? '';
  if (!/^\d+$/.test(text)) {
    throw new Unprocessable({ loc: ['path', 'id'], msg: 'value is not a valid integer', type: 'type_error.integer' });
  }
  const expand = readExpand(call, projectExpansions, data.switches.expandForm);
  const project = data.get('project', Number(text));
  if (!project) return answerRemoved(data, 'project', Number(text), 'v3');
  return json(finishRow(v3Project(data, project, expand), data.switches));
}

function readMe({ tools: { data } }: RouteInput): Answer {
  return json(finishRow(v3User(data.get('user', data.mainUserId)) ?? {}, data.switches));
}

const checked =
  (reply: (input: RouteInput) => Answer) =>
  (input: RouteInput): Answer => {
    try {
      return reply(input);
    } catch (error) {
      if (error instanceof Unprocessable) return json({ detail: error.detail }, 422);
      throw error;
    }
  };

export const v3Routes: readonly TilkeeRoute[] = [
  { name: 'v3.me', api: 'v3', method: 'GET', pattern: /^\/v3\/users\/me\/$/, reply: readMe },
  { name: 'v3.items', api: 'v3', method: 'GET', pattern: /^\/v3\/items\/$/, reply: checked(listItems) },
  { name: 'v3.projects', api: 'v3', method: 'GET', pattern: /^\/v3\/projects\/$/, reply: checked(listProjects) },
  { name: 'v3.project', api: 'v3', method: 'GET', pattern: /^\/v3\/projects\/([^/]+)\/$/, reply: checked(readProject) },
];
