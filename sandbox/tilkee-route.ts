import { type Answer, type Call, json } from './answer.ts';
import { byField, type Condition, type Order, valueAt } from './collection.ts';
import type { Faults } from './faults.ts';
import type { Random } from './random.ts';
import { type Params, type Pattern, pathPattern } from './routes.ts';
import type { TilkeeDocument, TilkeeKind } from './tilkee-create.ts';
import type { TilkeeData } from './tilkee-data.ts';
import { finishRow, type TilkeeRow } from './tilkee-rows.ts';
import type { TilkeeCallName, TilkeeSwitches } from './tilkee-switches.ts';

export type Api = 'v2' | 'v3';

export interface TilkeeRouteInput {
  readonly data: TilkeeData;
  readonly faults: Faults;
  readonly random: Random;
  readonly api: Api;
  readonly call: Call;
  readonly params: Params;
}

export interface TilkeeRoute extends Pattern {
  readonly name: TilkeeCallName;
  readonly api: Api;
  readonly reply: (input: TilkeeRouteInput) => Answer;
}

export const readRoutes = (
  api: Api,
  end: string,
  rows: readonly (readonly [name: TilkeeCallName, path: string, reply: TilkeeRoute['reply']])[],
): TilkeeRoute[] =>
  rows.map(([name, path, reply]) => ({ name, api, method: 'GET', pattern: pathPattern(`/${api}${path}`, end), reply }));

export class Refusal extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(answer.body);
    this.answer = answer;
  }
}

const messages: Readonly<Record<number, string>> = {
  403: 'Forbidden',
  404: 'Not Found',
  410: 'Gone',
  500: 'Internal Server Error',
};

export function failure(api: Api, status: number): Answer {
  const message = messages[status] ?? `Status ${status}`;
  if (api === 'v3') return json({ detail: message }, status);
  return json({ status: message.toLowerCase(), body: { error: { message } } }, status);
}

/** @throws Refusal when there is no such object; `accepts` decides whether it belongs to the path */
export function findById<K extends TilkeeKind>(
  { data, api }: TilkeeRouteInput,
  kind: K,
  id: number,
  accepts: (doc: TilkeeDocument<K>) => boolean = () => true,
): TilkeeDocument<K> {
  const doc = data.get(kind, id);
  if (doc && accepts(doc)) return doc;
  throw new Refusal(failure(api, data.wasRemoved(kind, id) ? data.switches.removedStatus : 404));
}

export const answerRow = ({ data }: TilkeeRouteInput, row: object): Answer => json(finishRow(row, data.switches));

export function having<K extends TilkeeKind>(
  values: Partial<Record<keyof TilkeeDocument<K>, unknown>>,
): Condition<TilkeeDocument<K>>[] {
  const asked = Object.entries(values).filter(([, value]) => value !== undefined);
  return asked.map(([field, value]) => [`${field}=${value}`, (doc) => valueAt(doc, field) === value]);
}

export function searching<D>({ query }: Call, textOf: (doc: D) => string): Condition<D>[] {
  const text = query.get('search')?.toLowerCase();
  return text ? [[`search=${text}`, (doc) => textOf(doc).toLowerCase().includes(text)]] : [];
}

export function tagged(tags: readonly string[], isAny = false): Condition<{ readonly tags: readonly string[] }>[] {
  if (tags.length === 0) return [];
  const holds = (own: readonly string[]) => tags[isAny ? 'some' : 'every']((tag) => own.includes(tag));
  return [[`tags=${tags} ${isAny}`, (doc) => holds(doc.tags)]];
}

/** Both ends included. */
export function createdWithin(from = -Infinity, to = Infinity): Condition<{ readonly created_at: number }>[] {
  return [[`created from ${from} to ${to}`, ({ created_at: at }) => at >= from && at <= to]];
}

/** `random`: another one at every query. */
export type RowOrder = Order | 'random';

export const defaultOrders: Readonly<Record<TilkeeSwitches['order'], RowOrder>> = {
  newest: byField('created_at', -1),
  oldest: byField('created_at', 1),
  byUpdate: byField('updated_at', -1),
  shuffled: byField('_rank', 1),
  random: 'random',
};

export interface SandboxListPlan<K extends TilkeeKind> {
  readonly kind: K;
  readonly conditions: readonly Condition<TilkeeDocument<K>>[];
  readonly row: (doc: TilkeeDocument<K>) => object;
}

export function readPage<K extends TilkeeKind>(
  { data, faults, call, random }: TilkeeRouteInput,
  { kind, conditions, row }: SandboxListPlan<K>,
  { order, skip, take }: { order: RowOrder; skip: number; take: number },
): { readonly rows: readonly TilkeeRow[]; readonly total: number } {
  const { switches } = data;
  faults.beforeAnswer?.(call);
  const isRandom = order === 'random';
  const found = data.collections[kind].list(conditions, isRandom ? [] : order, isRandom ? random : undefined);
  const docs = found.slice(skip, skip + take);
  const [oldest] = data.all(kind);
  const rows = docs.map((doc) => finishRow(row(doc), switches, doc === oldest));
  faults.afterAnswer?.({ ...call, status: 200, ids: docs.map(({ _id }) => _id) });
  return { rows, total: found.length };
}
