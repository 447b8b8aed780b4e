/** Which rows a list query yields and in which order. How a query is written is the routes' business. */
import type { Direction, Entry } from './collection.ts';
import type { Random } from './random.ts';
import type { TilkeeData } from './tilkee-data.ts';
import type { TilkeeDocument, TilkeeKind } from './tilkee-documents.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';

export type SortField = '_created' | '_updated' | '_shuffled' | 'id' | 'name';

export type RowOrder = { readonly field: SortField; readonly direction: Direction } | 'random';

export const defaultOrders: Readonly<Record<TilkeeSwitches['order'], RowOrder>> = {
  newest: { field: '_created', direction: -1 },
  oldest: { field: '_created', direction: 1 },
  byUpdate: { field: '_updated', direction: -1 },
  shuffled: { field: '_shuffled', direction: 1 },
  random: 'random',
};

/** A named condition: the name holds everything the test depends on, since filtered lists are kept under it. */
export type Condition<K extends TilkeeKind> = readonly [name: string, test: (doc: TilkeeDocument<K>) => boolean];

export interface Selection<K extends TilkeeKind> {
  readonly kind: K;
  readonly conditions: readonly Condition<K>[];
  readonly order: RowOrder;
  /** When few rows can match at all, which; the rest of the collection is not looked at. */
  readonly among?: readonly TilkeeDocument<K>[];
}

export interface Slice<K extends TilkeeKind> {
  readonly docs: readonly TilkeeDocument<K>[];
  /** How many match in all. */
  readonly total: number;
}

function compareIn<K extends TilkeeKind>(field: SortField, direction: Direction) {
  const keyOf = (doc: TilkeeDocument<K>): unknown => (doc as Record<SortField, unknown>)[field];
  return (a: TilkeeDocument<K>, b: TilkeeDocument<K>): number => {
    const [one, other] = [keyOf(a) as string, keyOf(b) as string];
    return (one < other ? -1 : one > other ? 1 : a.id - b.id) * direction;
  };
}

export interface SelectTools {
  readonly data: TilkeeData;
  readonly random: Random;
}

export function selectRows<K extends TilkeeKind>(
  { data, random }: SelectTools,
  selection: Selection<K>,
  { skip, take }: { skip: number; take: number },
): Slice<K> {
  const { kind, conditions, order, among } = selection;
  const accepts = (doc: TilkeeDocument<K>): boolean => conditions.every(([, test]) => test(doc));
  const sort = order === 'random' ? defaultOrders.newest : order;
  const { field, direction } = sort as Exclude<RowOrder, 'random'>;
  if (among) {
    const docs = among.filter(accepts).sort(compareIn(field, direction));
    if (order === 'random') random.shuffle(docs);
    return { docs: docs.slice(skip, skip + take), total: docs.length };
  }
  const filterKey = conditions.map(([name]) => name).join('&');
  const test = conditions.length > 1 ? accepts : conditions[0]?.[1];
  const kept: readonly Entry<TilkeeDocument<K>>[] = data.collections[kind].filtered({
    field,
    direction,
    filterKey,
    accepts: test,
  });
  const entries = order === 'random' ? shuffled(kept, random) : kept;
  return { docs: entries.slice(skip, skip + take).map((entry) => entry.doc), total: entries.length };
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const copy = [...items];
  random.shuffle(copy);
  return copy;
}
