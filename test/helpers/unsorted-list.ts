import type { Entry, ListPage, ListQuery } from '../../src/stream.ts';
import { seededRandom } from './shifting-list.ts';

/** In which order a server keeps its rows, unasked. `update`: a touched row jumps to the front. `chaos`: another order at every question. */
export type HiddenOrder = 'newest' | 'oldest' | 'arbitrary' | 'update' | 'chaos';

export interface UnsortedRow {
  readonly id: string;
  readonly createdAt: number;
  updatedAt: number;
  /** Place in an arbitrary order. */
  readonly place: number;
  readonly isNew: boolean;
}

export interface Habits {
  readonly order: HiddenOrder;
  /** Larger limits are cut down without a word. */
  readonly maxLimit?: number;
  /** `v3`: says whether more rows follow; `v2`: tells the page size and a count of any truth; `mute`: neither. */
  readonly manner: 'v3' | 'v2' | 'mute';
  readonly total?: (count: number) => number | null;
  readonly saysMore?: (isMore: boolean, rows: number) => boolean | null;
}

/** A list that changes between two questions and promises no order, read by offset and limit. */
export class UnsortedList {
  readonly rows = new Map<string, UnsortedRow>();
  readonly habits: Habits;
  readonly random: () => number;
  now = Date.UTC(2026, 5, 1);
  requests = 0;
  #nextId = 1;

  constructor(seed: number, habits: Habits) {
    this.random = seededRandom(seed);
    this.habits = habits;
  }

  insert(isNew = true): string {
    this.now += Math.floor(this.random() * 3) * 1000;
    const id = String(this.#nextId++);
    this.rows.set(id, { id, createdAt: this.now, updatedAt: this.now, place: this.random(), isNew });
    return id;
  }

  touch(id: string): void {
    this.now += 1;
    const row = this.rows.get(id);
    if (row) row.updatedAt = this.now;
  }

  pick(): string | undefined {
    const ids = [...this.rows.keys()];
    return ids[Math.floor(this.random() * ids.length)];
  }

  answer({ offset, limit, window }: ListQuery): ListPage {
    this.requests += 1;
    const { maxLimit = Number.POSITIVE_INFINITY, manner, total, saysMore } = this.habits;
    const size = Math.min(limit, maxLimit);
    const inside = [...this.rows.values()].filter(({ createdAt }) => createdAt >= (window?.fromMs ?? 0));
    const sorted = inside.sort((a, b) => this.#place(a) - this.#place(b) || Number(b.id) - Number(a.id));
    const rows = sorted.slice(offset, offset + size);
    const isMore = offset + rows.length < inside.length;
    const hasMore = manner === 'v3' ? isMore : null;
    return {
      records: rows,
      entries: rows.map(({ id, createdAt, updatedAt }): Entry => ({ id, createdAt, updatedAt })),
      pageSize: manner === 'v2' ? size : null,
      total: manner === 'v2' ? (total ?? ((count: number) => count))(inside.length) : null,
      hasMore: saysMore === undefined ? hasMore : saysMore(isMore, rows.length),
      serverTime: this.now,
    };
  }

  #place(row: UnsortedRow): number {
    const places = {
      newest: -row.createdAt,
      oldest: row.createdAt,
      arbitrary: row.place,
      update: -row.updatedAt,
      chaos: this.random(),
    };
    return places[this.habits.order];
  }
}
