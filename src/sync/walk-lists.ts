import { setImmediate as nextTurn } from 'node:timers/promises';
import { UpstreamContractError } from '../errors.ts';
import { isRefusedContent } from '../store/faults.ts';
import { joinPages, type PageWrite } from '../store/mirror/pages.ts';
import { readSeenIds, readUnchangedIds } from '../store/mirror/seen-ids.ts';
import { readVanishing } from '../store/mirror/tombstones.ts';
import type { List, ListPage, WalkEnd, WalkState } from '../stream.ts';
import { encodeCursor, type PassCursor } from './cursor.ts';
import { type Drift, findDrift, reportDrift } from './drift.ts';
import { mapPage, prepareMapped } from './map-page.ts';
import type { Ending, Run } from './run.ts';
import { idsOn, type WalkedPage, walkPages } from './walk-pages.ts';
import { advanceWatermark } from './watermark.ts';

/** Where a list's walk begins, when no cursor says more. */
export const beginningOf = ({ id, walk }: List): PassCursor => ({ listId: id, kind: walk.kind, walk: walk.start() });

/**
 * Reads lists in their order and writes each page with its checkpoint: list → pages → rows → upsert + checkpoint.
 *
 * `from` is where to begin (a cursor into one of the lists); `afterwards` is what the pass does next, null when the last page is its end. Answers how
 * the run ends, or null when the pass goes on.
 */
export async function walkLists(
  run: Run,
  lists: readonly List[],
  { from, afterwards }: { from: PassCursor | null; afterwards: PassCursor | null },
): Promise<Ending | null> {
  const first =
    from === null
      ? 0
      : Math.max(
          0,
          lists.findIndex(({ id }) => id === from.listId),
        );
  for (const [index, list] of lists.entries()) {
    if (index < first) continue;
    const isResumed = index === first && from?.listId === list.id && from.kind === list.walk.kind;
    const start = isResumed && from !== null ? list.walk.resume(from.walk) : list.walk.start();
    const following = lists[index + 1];
    const next = following === undefined ? afterwards : beginningOf(following);
    const ending = await walkList(run, list, { start, next });
    if (ending !== null) return ending;
  }
  return null;
}

/** Null when the pass goes on behind this list. */
async function walkList(
  run: Run,
  list: List,
  { start, next }: { start: WalkState; next: PassCursor | null },
): Promise<Ending | null> {
  const prepare = (page: ListPage, askedAt: number) => preparePageOf(run, page, askedAt);
  const recall = (page: ListPage, prepared: PreparedPage) => recallIds(run, list, page, prepared);
  const span = run.parts.tracer?.active();
  const holdsBack = () => run.isSliceNearlyOver;
  for await (const walked of walkPages(list, start, { ...run.fetch, span, prepare, recall, holdsBack })) {
    const write = () => writePage(run, list, walked, next);
    const ending = await (walked.span?.run(write) ?? write());
    if (ending !== null) return ending;
  }
  return null;
}

async function writePage(
  run: Run,
  list: List,
  walked: WalkedPage<PreparedPage>,
  next: PassCursor | null,
): Promise<Ending | null> {
  const { step, prepared } = walked;
  const isListRead = step.end?.kind === 'complete';
  const isIncremental = run.job.pass === 'incremental';
  if (isListRead && list.holdsAll === true) await assertNotSuddenlyEmpty(run, prepared.page);
  if (isListRead && isIncremental) {
    const { newest, serverTime } = list.walk.beginning(step.state);
    run.watermark = advanceWatermark(run.watermark, list.id, newest);
    run.walkedAt = advanceWatermark(run.walkedAt, list.id, serverTime);
  }
  const here: PassCursor = { listId: list.id, kind: list.walk.kind, walk: step.state };
  const before = run.counts;
  let ending: Ending | null = null;
  const yields = step.end?.kind !== 'gave_up' && (!isListRead || next !== null) && (await run.shallYield());
  const cursor = isListRead ? next : here;
  await run.write(prepared.page, (page) => {
    ending = endingAt(run, step.end, next, page?.bad.length ?? 0);
    return {
      yields,
      ...metOn(run, list, walked),
      ...goneOn(run, prepared),
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

/** Rows do not all go at once without a person's doing. A full walk that looks for deletions judges that itself, when all its lists are read. */
async function assertNotSuddenlyEmpty(run: Run, page: PageWrite): Promise<void> {
  if (run.findsDeletions || run.counts.read + page.rowCount + page.bad.length > 0) return;
  const { table, name } = run.job.stream;
  const { alive } = await readVanishing(run.parts.prisma, run.lease, table);
  if (alive === 0) return;
  throw suddenlyEmpty(name, alive);
}

export function suddenlyEmpty(name: string, alive: number): UpstreamContractError {
  return new UpstreamContractError(
    'suddenly_empty',
    `the list of ${name} is empty, and the mirror has ${alive} rows of it; nothing is changed. If everything was really deleted upstream, run: leadmirror accept-deletions ${name}, then leadmirror sync ${name} --pass reconcile`,
  );
}

/** The ids to keep: what the walk wants to remember, or, where deletions are looked for, everything that was shown. */
function metOn(run: Run, list: List, { step, ids }: WalkedPage<PreparedPage>) {
  if (step.met !== undefined) return { met: { list: list.id, ids: step.met } };
  // A walk that remembers is the only one to say what it met: rows behind a gap are none of it.
  return run.findsDeletions && list.walk.memory !== 'walk' ? { met: { list: list.id, ids } } : {};
}

/** What these rows are part of was asked for by its id before it was marked: nobody need ask for them. */
function goneOn({ job }: Run, { gone }: PreparedPage) {
  return gone.length === 0 ? {} : { tombstones: { table: job.stream.table, before: null, ids: gone } };
}

function endingAt(run: Run, end: WalkEnd | null, next: PassCursor | null, quarantined: number): Ending | null {
  if (end === null) return null;
  if (end.kind === 'gave_up') {
    const message = `${end.reason}; progress is kept and the next run goes on from it`;
    return { ...run.ending('partial', { code: 'walk_gave_up', message }), isRecorded: true };
  }
  return next === null ? { ...finalEnding(run, quarantined), isRecorded: true } : null;
}

/** A pass that read everything; `partial` when records had to be set aside. */
export function finalEnding(run: Run, justSetAside = 0): Ending {
  const bad = run.counts.quarantined + justSetAside;
  if (bad === 0) return run.ending('succeeded');
  return run.ending('partial', {
    code: 'quarantined',
    message: `${bad} records could not be mapped or written; see leadmirror quarantine, or sync.quarantine`,
  });
}

interface PreparedPage {
  readonly page: PageWrite;
  readonly drift: readonly Drift[];
  readonly newestChange: Date | null;
  readonly gone: readonly string[];
}

/** What incremental passes are shown has to come as far, or they miss something. */
function newestChangeOn({ entries, serverTime }: ListPage): Date | null {
  // Without the server's clock a wrong future date could not be told from a change.
  if (serverTime === null) return null;
  const times = entries.flatMap(({ updatedAt }) => updatedAt ?? []);
  return times.length === 0 ? null : new Date(Math.min(serverTime, Math.max(...times)));
}

/** A list without pages may have tens of thousands of rows: worked through in slices, so that signals and leases are served in between. */
const SLICE = 1_000;

async function preparePageOf(run: Run, page: ListPage, askedAt: number): Promise<PreparedPage> {
  const { stream, pass } = run.job;
  const replaceWrittenBefore = pass === 'incremental' ? null : run.databaseTime(askedAt);
  const slices: { readonly page: PageWrite; readonly drift: readonly Drift[] }[] = [];
  for (let from = 0; from === 0 || from < page.records.length; from += SLICE) {
    if (from > 0) await nextTurn();
    const slice = {
      ...page,
      records: page.records.slice(from, from + SLICE),
      entries: page.entries.slice(from, from + SLICE),
    };
    const mapped = mapPage(stream, slice, run.parts.logger);
    // A single record of the largest answer takes half a second to map, and as long to write as text.
    await nextTurn();
    slices.push({
      page: prepareMapped(mapped, { table: stream.table, replaceWrittenBefore }),
      drift: findDrift(stream, mapped.rows),
    });
  }
  return {
    page: joinPages(slices.map((slice) => slice.page)),
    drift: slices.flatMap((slice) => slice.drift),
    newestChange: pass === 'incremental' ? null : newestChangeOn(page),
    gone: page.gone ?? [],
  };
}

function recallIds(run: Run, list: List, page: ListPage, prepared: PreparedPage): Promise<ReadonlySet<string>> {
  const { prisma } = run.parts;
  if (list.walk.memory === 'mirror') {
    const { table, json } = prepared.page;
    const unchanged = readUnchangedIds(prisma, run.lease.connectionId, table, json);
    // A page that cannot even be compared is surely not in the mirror as it is.
    return unchanged.catch((error) => {
      if (isRefusedContent(error)) return new Set<string>();
      throw error;
    });
  }
  return readSeenIds(prisma, run.lease, list.id, idsOn(page));
}
