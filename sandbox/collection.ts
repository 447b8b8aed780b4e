/** Documents of one kind, never mutated: a write stores a new object. A list is kept until the next write. */
import type { Random } from './random.ts';

interface Identified {
  readonly _id: string;
}

export interface StoredDocument extends Identified {
  readonly [field: string]: unknown;
}

export type Direction = 1 | -1;

/** By the first key, then by the next. What is equal in all of them stays in insertion order. */
export type Order = readonly (readonly [path: string, direction: Direction])[];

export const byField = (field: string, direction: Direction): Order => [
  [field, direction],
  ['id', direction],
];

/** Lists are kept under the names of their conditions, so a name holds everything that the test depends on. */
export type Condition<D> = readonly [name: string, test: (doc: D) => boolean];

const maxKeptLists = 64;

export class Collection<D extends Identified> {
  readonly docs = new Map<string, D>();
  readonly #lists = new Map<string, readonly D[]>();

  put(doc: D): void {
    this.docs.set(doc._id, doc);
    this.#lists.clear();
  }

  delete(id: string): boolean {
    this.#lists.clear();
    return this.docs.delete(id);
  }

  /** For conditions that look at documents of other collections, when those change. */
  clearLists(): void {
    this.#lists.clear();
  }

  /** `ties`: documents that the order does not tell apart come in this generator's order, another one at each call. */
  list(conditions: readonly Condition<D>[], order: Order, ties?: Random): readonly D[] {
    const key = JSON.stringify([conditions.map(([name]) => name), order]);
    let docs = this.#lists.get(key);
    if (docs === undefined) {
      const accepted = [...this.docs.values()].filter((doc) => conditions.every(([, test]) => test(doc)));
      docs = sortBy(accepted, order);
      if (this.#lists.size >= maxKeptLists) this.#lists.clear();
      this.#lists.set(key, docs);
    }
    return ties ? sortBy(ties.shuffled(docs), order) : docs;
  }
}

export function groupBy<D extends Identified, K>(docs: ReadonlyMap<string, D>, keysOf: (doc: D) => readonly K[]) {
  const groups = new Map<K, D[]>();
  for (const doc of docs.values()) {
    for (const key of keysOf(doc)) {
      const group = groups.get(key);
      if (group) group.push(doc);
      else groups.set(key, [doc]);
    }
  }
  return groups;
}

function sortBy<D extends Identified>(docs: readonly D[], order: Order): readonly D[] {
  const keyed = docs.map((doc) => ({ doc, keys: order.map(([path]) => valueAt(doc, path)) }));
  keyed.sort((a, b) => {
    for (const [index, [, direction]] of order.entries()) {
      const compared = compareValues(a.keys[index], b.keys[index]);
      if (compared !== 0) return compared * direction;
    }
    return 0;
  });
  return keyed.map(({ doc }) => doc);
}

/** The value at a path; dots walk into objects, as in the database. */
export function valueAt(doc: object, path: string): unknown {
  if (Object.hasOwn(doc, path)) return (doc as Record<string, unknown>)[path];
  const dot = path.indexOf('.');
  const value = dot < 0 ? undefined : (doc as Record<string, unknown>)[path.slice(0, dot)];
  return typeof value === 'object' && value !== null ? valueAt(value, path.slice(dot + 1)) : undefined;
}

function typeRank(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === 'number') return 1;
  if (typeof value === 'string') return 2;
  return typeof value === 'boolean' ? 4 : 3;
}

/** Database order: absent and null lowest, then numbers, strings (ids and ISO dates among them), objects, booleans. */
export function compareValues(a: unknown, b: unknown): number {
  const byType = typeRank(a) - typeRank(b);
  if (byType !== 0 || typeof a === 'object' || a === undefined) return byType;
  return (a as string) < (b as string) ? -1 : (a as string) > (b as string) ? 1 : 0;
}

/** Gives changes their times, which never go back. `isFixed`: only changes move the clock, the real time does not. */
export function createStamp(now: number, isFixed: boolean): (at?: number) => number {
  let last = now;
  return (at = Math.max(last + 1, isFixed ? 0 : Date.now())) => {
    last = Math.max(last, at);
    return at;
  };
}
