/**
 * Documents of one kind, and the orders they are listed in. Sorted arrays are kept per (sort field, direction) and each
 * write moves its one entry; filtered arrays are rebuilt when something changed. A document is never
 * mutated in place: a write stores a new object, so whoever holds the old one holds the state of that moment.
 */

export interface Identified {
  readonly _id: string;
}

export interface StoredDocument extends Identified {
  readonly [field: string]: unknown;
}

export interface Entry<D> {
  doc: D;
  /** Place in insertion order; decides between equal sort keys. */
  readonly seq: number;
  /** Counts the writes. */
  revision: number;
  /** Serialised list form, dropped at each write. */
  json: Buffer | undefined;
}

export type Direction = 1 | -1;

interface Order<D> {
  readonly keyOf: (doc: D) => unknown;
  readonly direction: Direction;
  readonly entries: Entry<D>[];
}

interface Filtered<D> {
  readonly version: number;
  readonly entries: readonly Entry<D>[];
}

const maxFilteredLists = 64;

const fieldOf = (doc: Identified, field: string): unknown => (doc as StoredDocument)[field];

/** The value at a path; dots walk into objects, as in the database. */
export function valueAt(doc: Identified, path: string): unknown {
  if (Object.hasOwn(doc, path)) return fieldOf(doc, path);
  if (!path.includes('.')) return undefined;
  let value: unknown = doc;
  for (const step of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function typeRank(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === 'number') return 1;
  if (typeof value === 'string') return 2;
  return typeof value === 'boolean' ? 4 : 3;
}

/** Database order: absent and null lowest, then numbers, strings (ids and ISO dates among them), objects, booleans. */
export function compareValues(a: unknown, b: unknown): number {
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  const byType = typeRank(a) - typeRank(b);
  if (byType !== 0) return byType;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  return 0;
}

export class Collection<D extends Identified> {
  readonly docs = new Map<string, D>();
  readonly #entries = new Map<string, Entry<D>>();
  readonly #orders = new Map<string, Order<D>>();
  readonly #filtered = new Map<string, Filtered<D>>();
  #version = 0;
  #nextSeq = 0;

  put(doc: D): void {
    this.#version++;
    this.docs.set(doc._id, doc);
    const entry = this.#entries.get(doc._id);
    if (entry) this.#replace(entry, doc);
    else this.#append({ doc, seq: this.#nextSeq++, revision: 0, json: undefined });
  }

  delete(id: string): boolean {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    this.#version++;
    this.docs.delete(id);
    this.#entries.delete(id);
    for (const order of this.#orders.values()) order.entries.splice(placeOf(order, entry), 1);
    return true;
  }

  #append(entry: Entry<D>): void {
    this.#entries.set(entry.doc._id, entry);
    for (const order of this.#orders.values()) order.entries.splice(placeOf(order, entry), 0, entry);
  }

  entries(): IterableIterator<Entry<D>> {
    return this.#entries.values();
  }

  /** All arrays must still hold the old document while the old places are looked up, so: take out, change, put back. */
  #replace(entry: Entry<D>, doc: D): void {
    const moved = [...this.#orders.values()].filter(({ keyOf }) => compareValues(keyOf(entry.doc), keyOf(doc)) !== 0);
    for (const order of moved) order.entries.splice(placeOf(order, entry), 1);
    entry.doc = doc;
    entry.revision++;
    entry.json = undefined;
    for (const order of moved) order.entries.splice(placeOf(order, entry), 0, entry);
  }

  /** All entries by one field; equal keys stay in insertion order in both directions. */
  sorted(field: string, direction: Direction): readonly Entry<D>[] {
    const key = `${field} ${direction}`;
    let order = this.#orders.get(key);
    if (!order) {
      order = createOrder(field, direction, this.#entries.values());
      this.#orders.set(key, order);
    }
    return order.entries;
  }

  /** `filterKey` must name everything the predicate depends on. */
  filtered(options: {
    field: string;
    direction: Direction;
    filterKey: string;
    accepts: ((doc: D) => boolean) | undefined;
  }): readonly Entry<D>[] {
    const all = this.sorted(options.field, options.direction);
    const { accepts } = options;
    if (!accepts) return all;
    const key = `${options.field} ${options.direction} ${options.filterKey}`;
    const known = this.#filtered.get(key);
    if (known?.version === this.#version) return known.entries;
    const entries = all.filter((entry) => accepts(entry.doc));
    if (this.#filtered.size >= maxFilteredLists) this.#filtered.clear();
    this.#filtered.set(key, { version: this.#version, entries });
    return entries;
  }
}

function createOrder<D extends Identified>(field: string, direction: Direction, entries: Iterable<Entry<D>>): Order<D> {
  const keyOf = field.includes('.') ? (doc: D) => valueAt(doc, field) : (doc: D) => fieldOf(doc, field);
  const order: Order<D> = { keyOf, direction, entries: [...entries] };
  order.entries.sort((a, b) => compareIn(order, a, b));
  return order;
}

function compareIn<D>({ keyOf, direction }: Order<D>, a: Entry<D>, b: Entry<D>): number {
  return compareValues(keyOf(a.doc), keyOf(b.doc)) * direction || a.seq - b.seq;
}

/** Where the entry is, or belongs: no two entries compare equal. */
function placeOf<D>(order: Order<D>, entry: Entry<D>): number {
  let low = 0;
  let high = order.entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareIn(order, order.entries[middle] as Entry<D>, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
