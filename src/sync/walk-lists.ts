import { isRefusedContent } from '../store/faults.ts';
import { readSeenIds, readUnchangedIds } from '../store/mirror/seen-ids.ts';
import { countAliveRows } from '../store/mirror/tombstones.ts';
import type { List, ListPage, WalkEnd } from '../stream.ts';
import { encodeCursor, type PassCursor } from './cursor.ts';
import { reportDrift } from './drift.ts';
import { type Ending, finalEnding, suddenlyEmpty } from './ending.ts';
import { type PreparedPage, preparePage } from './map-page.ts';
import type { Run } from './run-pass.ts';
import { idsOn, type WalkedPage, walkPages } from './walk-pages.ts';
import { advanceWatermark } from './watermark.ts';

export const beginningOf = ({ id, walk }: List): PassCursor => ({ listId: id, kind: walk.kind, walk: walk.start() });

/**
 * Reads lists in their order and writes each page with its checkpoint. `from`: where to begin (a cursor into one of the
 * lists); `afterwards`: what the pass does next, null at its end. Returns how the run ends; null: it goes on.
 */
export async function walkLists(
  run: Run,
  lists: readonly List[],
  { from, afterwards }: { from: PassCursor | null; afterwards: PassCursor | null },
): Promise<Ending | null> {
  const span = run.parts.tracer?.active();
  const first = Math.max(
    0,
    lists.findIndex(({ id }) => id === from?.listId),
  );
  for (const [index, list] of lists.entries()) {
    if (index < first) continue;
    const { walk } = list;
    const isResumed = from?.listId === list.id && from.kind === walk.kind;
    const start = isResumed ? walk.resume(from.walk) : walk.start();
    const following = lists[index + 1];
    const next = following === undefined ? afterwards : beginningOf(following);
    const pages = walkPages(list, start, {
      ...run.fetch,
      span,
      prepare: (page, askedAt) => preparePage(run, page, askedAt),
      lookUp: (page, prepared) => lookUpIds(run, list, page, prepared),
      holdsBack: () => run.isSliceNearlyOver,
    });
    for await (const walked of pages) {
      const write = () => writeWalked(run, list, walked, next);
      const ending = await (walked.span?.run(write) ?? write());
      if (ending !== null) return ending;
    }
  }
  return null;
}

/** `next`: where the pass goes on behind this list; null: nowhere. */
async function writeWalked(
  run: Run,
  list: List,
  { step, prepared, ids }: WalkedPage<PreparedPage>,
  next: PassCursor | null,
): Promise<Ending | null> {
  const isListRead = step.end?.kind === 'complete';
  const isIncremental = run.job.pass === 'incremental';
  if (isListRead && list.holdsAll === true) await assertNotSuddenlyEmpty(run, prepared);
  if (isListRead && isIncremental) {
    const { newest, serverTime } = list.walk.beginning(step.state);
    run.watermark = advanceWatermark(run.watermark, list.id, newest);
    run.walkedAt = advanceWatermark(run.walkedAt, list.id, serverTime);
  }
  const yields = step.end?.kind !== 'gave_up' && (!isListRead || next !== null) && (await run.shouldYield());
  const cursor = isListRead ? next : { listId: list.id, kind: list.walk.kind, walk: step.state };
  // Only a walk that remembers selects the ids to keep: rows behind a gap are none of them.
  const seen = step.seen ?? (run.findsDeletions && list.walk.memory !== 'walk' ? ids : []);
  const before = run.counts;
  let ending: Ending | null = null;
  await run.write(prepared.page, (page) => {
    ending = endingAt(run, step.end, next, page?.bad.length ?? 0);
    return {
      yields,
      seen: { list: list.id, ids: seen },
      // What these rows are part of was asked for by its id before it was marked: they need no request.
      tombstones: { table: run.job.stream.table, before: null, ids: prepared.gone },
      checkpoint: {
        cursor: cursor === null ? null : encodeCursor(cursor),
        watermark: isIncremental ? run.watermark : null,
        walkedAt: isIncremental ? run.walkedAt : null,
        completed: isListRead && next === null,
        newestChange: prepared.newestChange,
      },
      end: ending,
    };
  });
  const { created, updated } = run.counts;
  await reportDrift(run, prepared.drift, { hasWritten: created + updated > before.created + before.updated });
  return yields ? run.yielded() : ending;
}

/** Rows do not all go at once by themselves. A full sync that looks for deletions judges that at its end. */
async function assertNotSuddenlyEmpty(run: Run, { page }: PreparedPage): Promise<void> {
  if (run.findsDeletions || run.counts.read + page.rowCount + page.bad.length + (page.suppressed ?? 0) > 0) return;
  const { table, name } = run.job.stream;
  const alive = await countAliveRows(run.parts.prisma, run.lease.connectionId, table);
  if (alive > 0) throw suddenlyEmpty(name, alive);
}

function endingAt(run: Run, end: WalkEnd | null, next: PassCursor | null, quarantined: number): Ending | null {
  if (end === null) return null;
  if (end.kind === 'gave_up') {
    const message = `${end.reason}; progress is kept and the next run goes on from it`;
    return { ...run.ending('partial', { code: 'walk_gave_up', message }), isRecorded: true };
  }
  return next === null ? { ...finalEnding(run, quarantined), isRecorded: true } : null;
}

async function lookUpIds(run: Run, list: List, page: ListPage, prepared: PreparedPage): Promise<ReadonlySet<string>> {
  const { parts, lease, job } = run;
  if (list.walk.memory !== 'mirror') return readSeenIds(parts.prisma, lease, list.id, idsOn(page));
  try {
    const known = await readUnchangedIds(parts.prisma, lease.connectionId, job.stream.table, prepared.page.json);
    // What is not to be written need not be looked for further on.
    return prepared.left.length === 0 ? known : new Set([...known, ...prepared.left]);
  } catch (error) {
    // A page that cannot even be compared is surely not in the mirror as it is.
    if (isRefusedContent(error)) return new Set();
    throw error;
  }
}
