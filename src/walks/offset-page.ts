import type { Entry, ListPage, ListQuery } from '../stream.ts';
import type { OffsetState } from './offset.ts';

/** Rows without an id at the end of a page: the overlap has to begin before them. */
export function tailWithoutId(entries: readonly Entry[]): number {
  const named = entries.findLastIndex(({ id }) => id !== null);
  return named < 0 ? 0 : entries.length - 1 - named;
}

export const signatureOf = ({ entries }: ListPage): string =>
  `${entries[0]?.id} ${entries.at(-1)?.id} ${entries.length}`;

/** FNV-1a: enough to distinguish two orders of the same rows. */
export function digestOf(digest: number, offset: number, ids: readonly string[]): number {
  let hash = digest === 0 ? 0x811c9dc5 : digest;
  for (const character of `${offset} ${ids.join(' ')}`)
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}

/**
 * In a list sorted by change, rows that jumped to the front lie above all that did not change since the walk began.
 * Rows without a time of change do not count.
 */
export function reachesQuiet({ entries }: ListPage, begunAt: number | null): boolean {
  return begunAt === null || entries.some(({ updatedAt }) => updatedAt === null || updatedAt < begunAt);
}

/** Whether rows that are new to the walk were there before it began. */
export function holdsOld({ entries }: ListPage, begunAt: number | null, fresh: ReadonlySet<string>): boolean {
  if (begunAt === null) return false;
  return entries.some(
    ({ id, createdAt }) => id !== null && fresh.has(id) && (createdAt === null || createdAt < begunAt),
  );
}

/**
 * Whether nothing follows this page. The server's answer goes first; else a page is believed to be the last when it is
 * shorter than the size the server names and no count speaks against it. Else it is asked once more, from its last row
 * on.
 */
export function looksLikeEnd(
  { unconfirmed, repeats }: Pick<OffsetState, 'unconfirmed' | 'repeats'>,
  query: ListQuery,
  page: ListPage,
): 'yes' | 'no' | 'unconfirmed' | 'same' {
  if (typeof page.hasMore === 'boolean') return page.hasMore ? 'no' : 'yes';
  const count = page.entries.length;
  if (count >= query.limit) return 'no';
  const isShort = page.pageSize !== null && count < page.pageSize;
  const isCounted = page.total === null || query.offset + count >= page.total;
  if (isShort && isCounted) return 'yes';
  if (unconfirmed === 0) return 'unconfirmed';
  if (repeats >= 2) return 'same';
  return count <= 1 ? 'yes' : 'unconfirmed';
}

/** The newest creation so far. A row from the future would keep the next windows empty for ever. */
export function newestOf(newest: number | null, { entries, serverTime }: ListPage): number | null {
  const times = entries.flatMap(({ createdAt }) => createdAt ?? []);
  const latest = Math.max(
    newest ?? Number.NEGATIVE_INFINITY,
    Math.min(Math.max(...times), serverTime ?? Number.POSITIVE_INFINITY),
  );
  return times.length === 0 ? newest : latest;
}

export function isNewestFirst(entries: readonly Entry[], sortedBy: 'createdAt' | 'updatedAt'): boolean {
  const times = entries.map((entry) => entry[sortedBy]).filter((at) => at !== null);
  return times.every((at, index) => index === 0 || at <= (times[index - 1] ?? at));
}
