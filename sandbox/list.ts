/** Answers one list query from a collection: filter, range, page. How a query is written is not known here. */
import { type Collection, type Direction, type Entry, type StoredDocument, valueAt } from './collection.ts';
import type { Random } from './random.ts';

export interface Range {
  readonly field: string;
  /** ISO instants, both included. */
  readonly from?: string;
  readonly to?: string;
}

export interface ListRequest<D> {
  /** What the answer reports; null is NaN in JSON. */
  readonly perPage: number | null;
  readonly skip: number;
  /** Infinity when the server would send everything. */
  readonly take: number;
  readonly field: string;
  readonly direction: Direction;
  readonly filterKey: string;
  readonly accepts: ((doc: D) => boolean) | undefined;
  readonly range: Range | undefined;
  readonly hasCount: boolean;
}

const dateForm = /^\d{4}-\d\d-\d\dT/;

function inRange(range: Range, value: unknown): boolean {
  if (typeof value !== 'string' || !dateForm.test(value)) return false;
  return (range.from === undefined || value >= range.from) && (range.to === undefined || value <= range.to);
}

/** First place whose entry does not come before the boundary, in an array sorted by that test. */
function partition<T>(items: readonly T[], isBefore: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(items[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const isDateField = (field: string): boolean => /^[a-z]+(_a|A)t$/.test(field) || field === 'first_response_at';

/** Where the range lies in the array: found by halving when the array is sorted by the range's own date field. */
function applyRange<D extends StoredDocument>(
  entries: readonly Entry<D>[],
  list: ListRequest<D>,
): { source: readonly Entry<D>[]; start: number; end: number } {
  const { range, field, direction } = list;
  if (!range) return { source: entries, start: 0, end: entries.length };
  if (range.field !== field || !isDateField(field)) {
    const source = entries.filter((entry) => inRange(range, valueAt(entry.doc, range.field)));
    return { source, start: 0, end: source.length };
  }
  const isBelow = (entry: Entry<D>): boolean => {
    const value = entry.doc[field];
    return typeof value !== 'string' || (range.from !== undefined && value < range.from);
  };
  const isAbove = (entry: Entry<D>): boolean => {
    const value = entry.doc[field];
    return typeof value === 'string' && range.to !== undefined && value > range.to;
  };
  if (direction === 1) {
    return { source: entries, start: partition(entries, isBelow), end: partition(entries, (entry) => !isAbove(entry)) };
  }
  return { source: entries, start: partition(entries, isAbove), end: partition(entries, (entry) => !isBelow(entry)) };
}

export interface ListResult<D> {
  readonly entries: readonly Entry<D>[];
  readonly count: number;
}

/** `ties`: rows with equal sort keys come in this generator's order; without it, in insertion order. */
export function runList<D extends StoredDocument>(
  collection: Collection<D>,
  list: ListRequest<D>,
  ties: Random | undefined,
): ListResult<D> {
  const sorted = collection.filtered(list);
  const { source, start, end } = applyRange(sorted, list);
  const from = Math.min(end, start + list.skip);
  const to = Math.min(end, from + list.take);
  const entries = ties ? sliceShuffled({ source, start, end, from, to }, list.field, ties) : source.slice(from, to);
  return { entries, count: list.hasCount ? Math.max(0, end - start) : 0 };
}

interface Slice<D> {
  readonly source: readonly Entry<D>[];
  readonly start: number;
  readonly end: number;
  readonly from: number;
  readonly to: number;
}

function sliceShuffled<D extends StoredDocument>(slice: Slice<D>, field: string, ties: Random): Entry<D>[] {
  const { source, start, end, from, to } = slice;
  if (from >= to) return [];
  const key = (place: number): unknown => valueAt((source[place] as Entry<D>).doc, field);
  let low = from;
  let high = to;
  while (low > start && key(low - 1) === key(from)) low--;
  while (high < end && key(high) === key(to - 1)) high++;
  const entries = source.slice(low, high);
  for (let place = low; place < high; ) {
    let next = place + 1;
    while (next < high && key(next) === key(place)) next++;
    if (next - place > 1) ties.shuffle(entries, place - low, next - low);
    place = next;
  }
  return entries.slice(from - low, to - low);
}
