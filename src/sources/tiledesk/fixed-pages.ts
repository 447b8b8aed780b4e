import type { Entry, FetchOptions, ListPage, ListQuery } from '../../stream.ts';
import { pageTooLarge } from '../../walks/page-check.ts';

type FetchPage = (query: ListQuery, options: FetchOptions) => Promise<ListPage>;

/**
 * Some servers send pages of one size whatever is asked for (activities: 40). The rows of a question are then put
 * together from the pages that hold them. Such pages cannot overlap, and need not where rows arrive at the front and
 * vanish at the end only: then a page repeats rows of the one before, and skips none.
 *
 * @throws UpstreamContractError `page_too_large` when the size of the pages changes while they are read
 */
export function createFixedPages(fetchPage: FetchPage): FetchPage {
  /** As the server reported it; null while it sends what is asked for. */
  let size: number | null = null;

  return async function fetchRows(query, options): Promise<ListPage> {
    const limit = size ?? query.limit;
    const start = Math.floor(query.offset / limit) * limit;
    const end = query.offset + query.limit - start;
    const rows: [unknown, Entry][] = [];
    const seen = new Set<string>();
    let first: ListPage | null = null;
    for (let offset = start; ; offset += limit) {
      const page = await fetchPage({ ...query, offset, limit }, options);
      if (page.pageSize !== null && page.pageSize > 0 && page.pageSize !== limit) {
        if (size !== null) {
          size = null;
          throw pageTooLarge({ ...query, limit }, page);
        }
        size = page.pageSize;
        return fetchRows(query, options);
      }
      first ??= page;
      const fresh = page.entries.flatMap((entry, at): [unknown, Entry][] => {
        return entry.id !== null && seen.has(entry.id) ? [] : [[page.records[at], entry]];
      });
      rows.push(...fresh);
      for (const { id } of page.entries) if (id !== null) seen.add(id);
      // Nothing new on a whole page: the server ignores the number of the page, which the walk finds out.
      if (rows.length < end && page.entries.length === limit && fresh.length > 0) continue;
      const own = rows.slice(query.offset - start, end);
      return {
        records: own.map(([record]) => record),
        entries: own.map(([, entry]) => entry),
        pageSize: query.limit,
        total: page.total,
        serverTime: first.serverTime,
      };
    }
  };
}
