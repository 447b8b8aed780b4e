import { UpstreamContractError } from '../errors.ts';
import { readIdsWhere } from '../store/mirror/mirrored.ts';
import type { CountedList, List, ListWindow } from '../stream.ts';
import { WrongCount } from './counts.ts';
import { preparePage } from './map-page.ts';
import type { Run } from './run-pass.ts';
import { walkPages } from './walk-pages.ts';

export type WindowedList = CountedList & Required<Pick<CountedList, 'walkWindow'>>;

/**
 * `unlisted`: how many rows the list counts in it beyond those that it shows. `leftOut`: when those were created that
 * it shows and that have no row here, because their person was erased.
 */
export async function readWindow(
  run: Run,
  list: WindowedList,
  window: ListWindow,
): Promise<{ isWhole: boolean; unlisted: number; leftOut: readonly number[] }> {
  const walk = list.walkWindow(window);
  const shown = new Set<string>();
  const createdAt = new Map<string, number>();
  const left = new Set<string>();
  let withoutId = 0;
  let total = 0;
  const id = `window.${window.fromMs ?? ''}.${window.toMs ?? ''}`;
  const fetchPage: List['fetchPage'] = async (query, options) => {
    const page = await list.fetchPage(query, options);
    total = page.total ?? total;
    if (query.wantTotal && (page.total ?? -1) < page.entries.length) throw new WrongCount();
    for (const { id, createdAt: at } of page.entries) if (id !== null && at !== null) createdAt.set(id, at);
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
      for (const each of prepared.left) left.add(each);
      const seen = { list: id, ids };
      await run.write(prepared.page, () => ({ seen, checkpoint: { cursor: null }, end: null }));
      isWhole = step.end?.kind !== 'gave_up';
    }
  } catch (error) {
    // Counted and not sent: what it did not show is no suspect.
    if (!(error instanceof UpstreamContractError && error.code === 'truncated_page')) throw error;
    isWhole = false;
  }
  const { connectionId } = run.lease;
  const table = { connectionId, table: run.job.stream.table };
  const emptied = new Set(await readIdsWhere(run.parts.prisma, table, { column: 'id', values: [...left] }));
  const leftOut = [...left].flatMap((each) => (emptied.has(each) ? [] : (createdAt.get(each) ?? [])));
  return { isWhole, unlisted: Math.max(0, total - shown.size - withoutId), leftOut };
}
