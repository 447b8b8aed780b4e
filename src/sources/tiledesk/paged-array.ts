import { TransientError, UpstreamContractError } from '../../errors.ts';
import type { FetchOptions, ListPage } from '../../stream.ts';
import type { TiledeskApi } from './api.ts';
import { readArray } from './lists.ts';

/** Far beyond what a project has; a server that ignores `page` must not be asked for ever. */
const MAX_PAGES = 500;
const MAX_READS = 5;

/**
 * A short list in pages of the server's own size, as bare arrays without a count (tags: 40 a page in server 2.19). Read
 * newest first until a page is empty: a short one may not be the last. Pages cannot overlap here, so it is read until
 * two readings show the same ids in the same order: a row slips past the reader only when one that this reading has
 * shown is removed, which the next cannot show again.
 * @throws UpstreamContractError `endless_list`; TransientError when the list does not keep still
 */
export async function readPagedArray(api: TiledeskApi, name: string, options: FetchOptions): Promise<ListPage> {
  let { page, pages } = await readOnce(api, name, options);
  if (pages <= 1) return page;
  for (let reads = 2; reads <= MAX_READS; reads++) {
    const again = await readOnce(api, name, options);
    if (idsOf(again.page) === idsOf(page)) return again.page;
    page = again.page;
  }
  throw new TransientError(
    'upstream_garbled',
    `the list of ${name} was another one each of ${MAX_READS} times it was read`,
  );
}

async function readOnce(
  api: TiledeskApi,
  name: string,
  options: FetchOptions,
): Promise<{ readonly page: ListPage; readonly pages: number }> {
  const records: unknown[] = [];
  const entries: ListPage['entries'][number][] = [];
  let first: string | null = null;
  for (let number = 0; number < MAX_PAGES; number++) {
    const query = new URLSearchParams({ page: String(number), sort: '_id', direction: '-1' });
    const page = readArray(await api.get(name, query, options), name);
    const ids = idsOf(page);
    if (page.records.length > 0 && ids === first) throw endless(name);
    first ??= ids;
    records.push(...page.records);
    entries.push(...page.entries);
    if (page.records.length === 0) return { page: { ...page, records, entries, total: records.length }, pages: number };
  }
  throw endless(name);
}

const idsOf = ({ entries }: ListPage): string => JSON.stringify(entries.map(({ id }) => id));

function endless(name: string): UpstreamContractError {
  return new UpstreamContractError(
    'endless_list',
    `the list of ${name} does not end: the server ignores the number of the page`,
  );
}
