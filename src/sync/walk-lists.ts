import { RecordError } from '../errors.ts';
import { type BadRecord, type PageWrite, preparePage } from '../store/pages.ts';
import { readSeenIds, readUnchangedIds } from '../store/seen-ids.ts';
import type { List, ListPage, Row, WalkEnd, WalkState } from '../stream.ts';
import { encodeCursor, type PassCursor } from './cursor.ts';
import type { Ending, Run } from './run.ts';
import { type WalkedPage, walkPages } from './walk-pages.ts';
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
  const prepare = (page: ListPage, askedAt: number) => mapPage(run, page, askedAt);
  const recall = (page: ListPage, prepared: PageWrite) => recallIds(run, list, page, prepared);
  for await (const walked of walkPages(list, start, { ...run.fetch, prepare, recall })) {
    const ending = await writePage(run, list, walked, next);
    if (ending !== null) return ending;
  }
  return null;
}

async function writePage(
  run: Run,
  list: List,
  walked: WalkedPage<PageWrite>,
  next: PassCursor | null,
): Promise<Ending | null> {
  const { step, prepared: page } = walked;
  const isListRead = step.end?.kind === 'complete';
  const isIncremental = run.job.pass === 'incremental';
  if (isListRead && isIncremental) {
    const { newest, serverTime } = list.walk.beginning(step.state);
    run.watermark = advanceWatermark(run.watermark, list.id, newest);
    run.walkedAt = advanceWatermark(run.walkedAt, list.id, serverTime);
  }
  const here: PassCursor = { listId: list.id, kind: list.walk.kind, walk: step.state };
  const ending = endingAt(run, step.end, next, page);
  const cursor = isListRead ? next : here;
  await run.save({
    page,
    ...(step.met === undefined ? {} : { met: { list: list.id, ids: step.met } }),
    checkpoint: {
      cursor: cursor === null ? null : encodeCursor(cursor),
      watermark: isIncremental ? run.watermark : null,
      walkedAt: isIncremental ? run.walkedAt : null,
      completed: isListRead && next === null,
    },
    end: ending,
    onSent: walked.fetchAhead,
  });
  return ending;
}

function endingAt(run: Run, end: WalkEnd | null, next: PassCursor | null, page: PageWrite): Ending | null {
  if (end === null) return null;
  if (end.kind === 'gave_up') {
    const message = `${end.reason}; progress is kept and the next run goes on from it`;
    return { ...run.ending('partial', { code: 'walk_gave_up', message }), isRecorded: true };
  }
  return next === null ? { ...finalEnding(run, page.bad.length), isRecorded: true } : null;
}

/** A pass that read everything; `partial` when records had to be set aside. */
export function finalEnding(run: Run, justSetAside = 0): Ending {
  const bad = run.counts.quarantined + justSetAside;
  if (bad === 0) return run.ending('succeeded');
  return run.ending('partial', {
    code: 'quarantined',
    message: `${bad} records could not be mapped; see sync.quarantine`,
  });
}

function mapPage(run: Run, page: ListPage, askedAt: number): PageWrite {
  const { stream, pass } = run.job;
  const rows: Row[] = [];
  const bad: BadRecord[] = [];
  for (const record of page.records) {
    const kept = stream.redactRecord(record);
    try {
      const row = stream.mapRecord(kept);
      rows.push(page.known === undefined ? row : attribute(row, page.known));
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      bad.push({ recordId: error.recordId, reason: error.code, rawText: JSON.stringify(kept) ?? 'undefined' });
    }
  }
  const replaceWrittenBefore = pass === 'incremental' ? null : run.databaseTime(askedAt);
  return preparePage({ table: stream.table, rows, bad, replaceWrittenBefore });
}

/** What the request tells fills what the record leaves open. */
function attribute(row: Row, known: Readonly<Record<string, unknown>>): Row {
  const filled = Object.entries(known).filter(([column]) => row[column] === null || row[column] === undefined);
  return filled.length === 0 ? row : { ...row, ...Object.fromEntries(filled) };
}

function recallIds(run: Run, list: List, page: ListPage, prepared: PageWrite): Promise<ReadonlySet<string>> {
  const { prisma } = run.parts;
  if (list.walk.memory === 'mirror') {
    return readUnchangedIds(prisma, run.lease.connectionId, prepared.table, prepared.json);
  }
  const ids = page.entries.map(({ id }) => id).filter((id): id is string => id !== null);
  return readSeenIds(prisma, run.lease, list.id, ids);
}
