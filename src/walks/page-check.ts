import { UpstreamContractError } from '../errors.ts';
import type { Entry, ListPage, ListQuery, SortKey } from '../stream.ts';

/** A sort key: an id, or a time in ms. Both compare with `<` and `>`. */
export type Key = string | number;

/** Keys of one list are all of one kind. */
export const isNewer = (a: Key, b: Key): boolean => a > b;

/** A page as a walk reads it. */
export interface ReadPage {
  /** Sort key of each row; null where it is absent or unreadable. Such rows decide nothing. */
  readonly keys: readonly (Key | null)[];
  /** Index in the list of the first row, from the page size that the server says it used. */
  readonly offset: number;
  /** The page size in force. */
  readonly size: number;
  readonly isFull: boolean;
}

const KEY_FIELD: Record<SortKey, 'id' | 'createdAt' | 'updatedAt'> = {
  id: 'id',
  created_at: 'createdAt',
  updated_at: 'updatedAt',
};

/**
 * Reads a page by the rules that every list keeps; what breaks them is a lie, or an interface that changed.
 *
 * @throws UpstreamContractError `page_too_large`, `not_sorted` or `window_ignored`
 */
export function readPage(query: ListQuery, page: ListPage): ReadPage {
  const size = page.pageSize !== null && page.pageSize > 0 ? page.pageSize : query.limit;
  const count = page.entries.length;
  if (count > query.limit || count > size) {
    throw new UpstreamContractError(
      'page_too_large',
      `asked for ${query.limit} rows, the server says ${size} a page and sent ${count}; it does not keep its own paging rules`,
    );
  }
  const keys = page.entries.map((entry) =>
    query.sort === 'id' && entry.sortId !== undefined ? entry.sortId : entry[KEY_FIELD[query.sort]],
  );
  assertSorted(query, keys);
  assertInsideWindow(query, page.entries);
  return { keys, offset: (query.offset / query.limit) * size, size, isFull: count === size };
}

function assertSorted(query: ListQuery, keys: readonly (Key | null)[]): void {
  let previous: Key | null = null;
  for (const key of keys) {
    if (key === null) continue;
    if (previous !== null) {
      // Equal keys are legal, ids included: the same object twice on one page is met now and then.
      if (query.direction === 'desc' ? isNewer(key, previous) : isNewer(previous, key)) {
        throw new UpstreamContractError(
          'not_sorted',
          `the server did not sort by ${query.sort} as asked; a list in another order cannot be read without losing rows`,
        );
      }
    }
    previous = key;
  }
}

function assertInsideWindow(query: ListQuery, entries: readonly Entry[]): void {
  const { window } = query;
  if (window === undefined) return;
  const field = window.field === 'created_at' ? 'createdAt' : 'updatedAt';
  for (const entry of entries) {
    const at = entry[field];
    if (at === null) continue;
    if ((window.toMs !== undefined && at > window.toMs) || (window.fromMs !== undefined && at < window.fromMs)) {
      throw new UpstreamContractError(
        'window_ignored',
        `the server sent a row from outside the asked range of ${window.field}; it does not filter by date as it did when it was probed`,
      );
    }
  }
}

/** The last readable key of a page: the oldest one, newest first. */
export function lastKey(keys: readonly (Key | null)[]): Key | null {
  return keys.findLast((key) => key !== null) ?? null;
}

export function firstKey(keys: readonly (Key | null)[]): Key | null {
  return keys.find((key) => key !== null) ?? null;
}

/** How often the same short page must be met with a larger count before it counts as cut off. Rows that arrive meanwhile explain one. */
const MAX_DOUBTS = 3;

export type EndBelief = { readonly isEnd: true } | { readonly isEnd: false; readonly doubts: number };

/**
 * Whether a short page is the end of its list. A cut-off answer looks the same, so the count has to agree: where it is not known the page is
 * asked for again with it.
 *
 * @throws UpstreamContractError `truncated_page` when the server keeps counting more rows than it sends
 */
export function believeEnd(options: {
  total: number | null;
  offset: number;
  count: number;
  doubts: number;
}): EndBelief {
  const { total, offset, count, doubts } = options;
  if (total !== null && offset + count >= total) return { isEnd: true };
  if (doubts >= MAX_DOUBTS) {
    throw new UpstreamContractError(
      'truncated_page',
      total === null
        ? 'the server does not say how many rows there are, so the end of the list cannot be proven'
        : `the server counts ${total} rows and sends none after the first ${offset + count}; its answer is cut off`,
    );
  }
  return { isEnd: false, doubts: doubts + 1 };
}
