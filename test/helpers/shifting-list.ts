import type { ListPage, ListQuery } from '../../src/stream.ts';

/**
 * A list that changes between two questions, answered the way a server does: filter, sort, cut. Rows with equal keys change places from query to
 * query. Time only moves forward, one millisecond or more a change.
 */
export interface ListRow {
  id: string;
  /** Of an id that is no ObjectId: the one in whose place the server sorts it. */
  place?: string;
  createdAt: number | null;
  updatedAt: number | null;
  /** Time of the last change made during the simulation; 0: untouched. */
  touchedAt: number;
  /** Set when it joined during the simulation. */
  isNew: boolean;
}

export interface ServerRules {
  /** Largest page; a larger limit falls back to `fallback`. */
  readonly maxLimit?: number;
  readonly fallback?: number;
  readonly countsAlways?: boolean;
  /** Answers tell what they cost: now cheap, now dear. */
  readonly tellsCost?: boolean;
}

export class ShiftingList {
  readonly rows = new Map<string, ListRow>();
  now: number;
  requests = 0;
  readonly #random: () => number;
  readonly #rules: ServerRules;
  /** The rows in the order of the last answer: what is nearly sorted is sorted in no time. */
  readonly #sorted = new Map<string, ListRow[]>();

  constructor(random: () => number, now: number, rules: ServerRules = {}) {
    this.#random = random;
    this.now = now;
    this.#rules = rules;
  }

  add(row: Partial<ListRow> & { id: string }): void {
    this.rows.set(row.id, { createdAt: this.now, updatedAt: this.now, touchedAt: 0, isNew: false, ...row });
  }

  insert(): void {
    this.now += 1 + Math.floor(this.#random() * 1500);
    this.add({ id: objectId(this.now, this.#random), touchedAt: this.now, isNew: true });
  }

  /** Changes rows in one statement: all get the same change time. */
  touch(ids: readonly string[]): void {
    this.now += 1 + Math.floor(this.#random() * 1500);
    for (const id of ids) {
      const row = this.rows.get(id);
      if (row) Object.assign(row, { updatedAt: this.now, touchedAt: this.now });
    }
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) this.rows.delete(id);
  }

  pick(count: number): string[] {
    const ids = [...this.rows.keys()];
    return Array.from({ length: count }, () => ids[Math.floor(this.#random() * ids.length)]).filter(
      (id): id is string => id !== undefined,
    );
  }

  /** Rows that stand next to each other in the order of a list. */
  pickRun(count: number, field: 'id' | 'createdAt' | 'updatedAt'): string[] {
    const sorted = [...this.rows.values()].sort((a, b) => compare(b[field], a[field]));
    const from = Math.floor(this.#random() * Math.max(1, sorted.length - count));
    return sorted.slice(from, from + count).map((row) => row.id);
  }

  answer(query: ListQuery): ListPage {
    this.requests += 1;
    const { maxLimit = Number.POSITIVE_INFINITY, fallback = 40 } = this.#rules;
    const size = query.limit > maxLimit ? fallback : query.limit;
    const field = { id: 'id', created_at: 'createdAt', updated_at: 'updatedAt' }[query.sort] as
      | 'id'
      | 'createdAt'
      | 'updatedAt';
    const matching = this.#sort(field, query.direction).filter((row) => isInside(row, query));
    const skip = (query.offset / query.limit) * size;
    const records = matching.slice(skip, skip + size).map((row) => ({ ...row }));
    const total = query.wantTotal || this.#rules.countsAlways ? matching.length : null;
    const entries = records.map((row) => ({ ...row, sortId: row.place === undefined ? row.id : null }));
    const cost = this.#rules.tellsCost ? { cost: { ms: this.#random() * 700, length: 0 } } : {};
    return { records, entries, pageSize: size, total, serverTime: this.now, ...cost };
  }

  #sort(field: 'id' | 'createdAt' | 'updatedAt', direction: 'asc' | 'desc'): ListRow[] {
    const name = `${field} ${direction}`;
    const kept = (this.#sorted.get(name) ?? []).filter((row) => this.rows.get(row.id) === row);
    const known = new Set(kept.length < this.rows.size ? kept : []);
    const added = kept.length < this.rows.size ? [...this.rows.values()].filter((row) => !known.has(row)) : [];
    const sign = direction === 'desc' ? -1 : 1;
    const keyed = [...kept, ...added].map((row) => ({ row, key: keyOf(row, field) }));
    keyed.sort((a, b) => sign * compare(a.key, b.key));
    this.#shuffleTies(keyed);
    const sorted = keyed.map(({ row }) => row);
    this.#sorted.set(name, sorted);
    return sorted;
  }

  /** Equal ones change places with each answer. */
  #shuffleTies(keyed: { row: ListRow; key: unknown }[]): void {
    for (let at = 1, first = 0; at < keyed.length; at++) {
      const [one, before] = [keyed[at], keyed[at - 1]] as [{ row: ListRow; key: unknown }, { key: unknown }];
      if (one.key !== before.key) {
        first = at;
        continue;
      }
      const other = keyed[first + Math.floor(this.#random() * (at - first + 1))] as { row: ListRow };
      [one.row, other.row] = [other.row, one.row];
    }
  }
}

function keyOf(row: ListRow, field: 'id' | 'createdAt' | 'updatedAt'): string | number | null {
  return field === 'id' ? (row.place ?? row.id) : row[field];
}

function isInside(row: ListRow, { window }: ListQuery): boolean {
  if (window === undefined) return true;
  const at = window.field === 'created_at' ? row.createdAt : row.updatedAt;
  return at !== null && at >= (window.fromMs ?? -Infinity) && at <= (window.toMs ?? Infinity);
}

/** Absent values sort lowest, as in the upstream's database. */
function compare(a: string | number | null, b: string | number | null): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  return a < b ? -1 : 1;
}

let counter = 0;
export function objectId(ms: number, random: () => number): string {
  counter = (counter + 1) % 0xffffff;
  const seconds = Math.floor(ms / 1000)
    .toString(16)
    .padStart(8, '0');
  const middle = Math.floor(random() * 0xffffffffff)
    .toString(16)
    .padStart(10, '0');
  return `${seconds}${middle}${counter.toString(16).padStart(6, '0')}`;
}

/** mulberry32: small, seeded, good enough to shuffle. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
