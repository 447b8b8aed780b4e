import { counted } from '../counted.ts';
import { UpstreamContractError } from '../errors.ts';
import type { Entry, ListPage, ListQuery, SortKey } from '../stream.ts';

/** A sort key: an id, or a time in ms. Both compare with `<` and `>`. */
export type RowKey = string | number;

/** Keys of one list are all of one kind. */
export const isNewer = (a: RowKey, b: RowKey): boolean => a > b;

export interface ReadPage {
  /** Sort key of each row; null where it is absent or unreadable. Such rows decide nothing. */
  readonly keys: Keys;
  /** Index in the list of the first row, from the page size that the server reports. */
  readonly offset: number;
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
  if (count > Math.min(query.limit, size)) throw pageTooLarge(query, page);
  const keys = page.entries.map((entry) =>
    query.sort === 'id' && entry.sortId !== undefined ? entry.sortId : entry[KEY_FIELD[query.sort]],
  );
  assertSorted(query, keys);
  assertInsideWindow(query, page.entries, 0);
  return { keys, offset: (query.offset / query.limit) * size, size, isFull: count === size };
}

export const pageTooLarge = ({ limit }: ListQuery, { entries, pageSize }: ListPage) =>
  new UpstreamContractError(
    'page_too_large',
    `asked for ${counted(limit, 'row')}, the server ${pageSize === null ? '' : `reports ${pageSize} a page and `}sent ${entries.length}; it does not keep its own paging rules`,
  );

function assertSorted(query: ListQuery, keys: Keys): void {
  const readable = keys.filter((key) => key !== null);
  // Equal keys are legal, ids included: the same object twice on one page is seen now and then.
  const isOutOfOrder = (key: RowKey, index: number) => {
    const previous = readable[index - 1] ?? key;
    return query.direction === 'desc' ? isNewer(key, previous) : isNewer(previous, key);
  };
  if (!readable.some(isOutOfOrder)) return;
  throw new UpstreamContractError(
    'not_sorted',
    `the server did not sort by ${query.sort} as asked; a list in another order cannot be read without losing rows`,
  );
}

/** @throws UpstreamContractError `window_ignored` */
export function assertInsideWindow({ window }: ListQuery, entries: readonly Entry[], toleranceMs: number): void {
  if (window === undefined) return;
  const { field, fromMs = Number.NEGATIVE_INFINITY, toMs = Number.POSITIVE_INFINITY } = window;
  const isOutside = (entry: Entry) => {
    const at = field === 'created_at' ? entry.createdAt : entry.updatedAt;
    return at !== null && (at < fromMs - toleranceMs || at > toMs + toleranceMs);
  };
  if (!entries.some(isOutside)) return;
  throw new UpstreamContractError(
    'window_ignored',
    `the server sent a row from outside the asked range of ${field}; it does not filter by date as it did when it was probed`,
  );
}

/** Ids of a page's records, without those of records that have none. */
export const idsOn = ({ entries }: ListPage): string[] => entries.flatMap(({ id }) => id ?? []);

export const halved = (size: number, least = 1): number | null =>
  size > least ? Math.max(least, Math.ceil(size / 2)) : null;

export const MAX_STEP_BACKS = 60;

type Keys = readonly (RowKey | null)[];

/** The last readable key of a page: the oldest one, newest first. */
export const lastKey = (keys: Keys): RowKey | null => keys.findLast((key) => key !== null) ?? null;

export const firstKey = (keys: Keys): RowKey | null => keys.find((key) => key !== null) ?? null;

/** The watermark to be: the newest change on the first page, never later than the server's own clock. */
export function newestChange(sort: SortKey, keys: Keys, serverTime: number | null): number | null {
  const newest = firstKey(keys);
  if (sort !== 'updated_at' || typeof newest !== 'number') return null;
  return serverTime === null ? newest : Math.min(newest, serverTime);
}

export function signature(page: ListPage): string | null {
  const first = page.entries[0];
  return first === undefined ? null : `${first.id} ${first.createdAt} ${first.updatedAt}`;
}

/** How often a short page is seen with a larger count before it counts as cut off. Rows that arrive explain one. */
const MAX_UNCONFIRMED = 3;

/**
 * Null where a short page is the end of its list: the count has to agree, because a cut-off answer looks the same. Else
 * how often it was unconfirmed: it is asked for again, with the count.
 * @throws UpstreamContractError `truncated_page` when the server keeps counting more rows than it sends
 */
export function unconfirmedEnd({ total }: ListPage, rows: number, unconfirmed: number): number | null {
  if (total !== null && rows >= total) return null;
  if (unconfirmed >= MAX_UNCONFIRMED) {
    throw new UpstreamContractError(
      'truncated_page',
      total === null
        ? 'the server does not report how many rows there are, so the end of the list cannot be confirmed'
        : `the server counts ${counted(total, 'row')} and sends none after the first ${rows}; its answer is cut off`,
    );
  }
  return unconfirmed + 1;
}
