import { UpstreamContractError } from '../errors.ts';
import type { CountedList, List, ListWindow } from '../stream.ts';
import { WrongCount } from './counts.ts';
import { preparePage } from './map-page.ts';
import type { Run } from './run-pass.ts';
import { walkPages } from './walk-pages.ts';

export type WindowedList = CountedList & Required<Pick<CountedList, 'walkWindow'>>;

/** `unlisted`: how many rows the list counts in it beyond those that it shows. */
export async function readWindow(
  run: Run,
  list: WindowedList,
  window: ListWindow,
): Promise<{ isWhole: boolean; unlisted: number }> {
  const walk = list.walkWindow(window);
  const shown = new Set<string>();
  let withoutId = 0;
  let total = 0;
  const id = `window.${window.fromMs ?? ''}.${window.toMs ?? ''}`;
  const fetchPage: List['fetchPage'] = async (query, options) => {
    const page = await list.fetchPage(query, options);
    total = page.total ?? total;
    if (query.wantTotal && (page.total ?? -1) < page.entries.length) throw new WrongCount();
    withoutId = Math.max(withoutId, page.entries.filter((entry) => entry.id === null).length);
    return page;
  };
  const pages = walkPages({ id, walk, fetchPage }, walk.start(), {
    ...run.fetch,
    prepare: (page, askedAt) => preparePage(run, page, askedAt),
    lookUp: async () => new Set(),
  });
  let isWhole = true;
  try {
    for await (const { prepared, ids, step } of pages) {
      for (const each of ids) shown.add(each);
      const seen = { list: id, ids };
      await run.write(prepared.page, () => ({ seen, checkpoint: { cursor: null }, end: null }));
      isWhole = step.end?.kind !== 'gave_up';
    }
  } catch (error) {
    // Counted and not sent: what it did not show is no suspect.
    if (!(error instanceof UpstreamContractError && error.code === 'truncated_page')) throw error;
    isWhole = false;
  }
  return { isWhole, unlisted: Math.max(0, total - shown.size - withoutId) };
}
