import { keepLeftOut } from '../store/engine/count-checks.ts';
import { takeAcceptance } from '../store/engine/deletions.ts';
import { hasFreshQuarantine } from '../store/engine/quarantine.ts';
import { deleteSeenIds, readSeenWithoutRow } from '../store/mirror/seen-ids.ts';
import { countSuspects, noteErased, readSeenRows } from '../store/mirror/tombstones.ts';
import { rowMark } from '../store/privacy/marks.ts';
import type { Deletions, List } from '../stream.ts';
import { encodeCursor, type PassCursor } from './cursor.ts';
import { canBeAsked, type Exists, guardDeletions, readAllSuspects, suspectsOf, unconfirmed } from './deletion-guard.ts';
import { type Ending, finalEnding } from './ending.ts';
import type { Run } from './run-pass.ts';
import { beginningOf, walkLists } from './walk-lists.ts';

/**
 * What a full sync does when it is through: rows that it was not shown are *suspects*. Nothing is marked on the
 * strength of one answer: first the deletion guard, then each is asked for by its id, or, where that cannot be, a
 * second walk has to miss it too.
 *
 *   lists ──> suspects ──none──> done
 *               │ too many ──> partial, a person decides
 *               ├─ asked by id ──> tombstones ──> done
 *               └─ unconfirmed ──> second walk ──> suspects ──> tombstones ──> done
 */
export async function reconcile(
  run: Run,
  { lists, deletions, from }: { lists: readonly List[]; deletions: Deletions; from: PassCursor | null },
): Promise<Ending> {
  // The same lists under names of their own, so that the ids they show are counted apart.
  const second = lists.map((list): List => ({ ...list, id: `again.${list.id}` }));
  const first = second[0];
  if (first === undefined) throw new Error(`${run.job.stream.name} has no list`);
  let at = from;
  if (at === null || lists.some(({ id }) => id === at?.listId)) {
    const ending = await walkLists(run, lists, { from: at, afterwards: suspectsAfter(1) });
    if (ending !== null) return ending;
    at = suspectsAfter(1);
  }
  if (isSuspects(at, 1)) {
    const judgement = await judgeSuspects(run, deletions, 1);
    if (judgement !== 'walk again') return finish(run, judgement);
    at = beginningOf(first);
    const checkpoint = { cursor: encodeCursor(at) };
    await run.write(null, () => ({ checkpoint, end: null }));
  }
  if (!isSuspects(at, 2)) {
    const ending = await walkLists(run, second, { from: at, afterwards: suspectsAfter(2) });
    if (ending !== null) return ending;
  }
  return finish(run, await judgeSuspects(run, deletions, 2));
}

const suspectsAfter = (walks: number): PassCursor => ({ listId: '@suspects', kind: 'suspects', walk: { walks } });

const isSuspects = (at: PassCursor, walks: number): boolean => at.kind === 'suspects' && at.walk.walks === walks;

/** Null: all suspects were settled. */
export type Judgement = Ending['error'] | 'walk again' | 'yielded';

export async function judgeSuspects(run: Run, deletions: Deletions, walks: 1 | 2): Promise<Judgement> {
  const { prisma } = run.parts;
  const { lease } = run;
  const suspects = await countSuspects(prisma, suspectsOf(run));
  if (suspects === 0) return null;
  // Windows in which nothing is left are no empty list.
  const isNothingShown = run.scope === null && (await readSeenRows(prisma, suspectsOf(run))).length === 0;
  const blocked = await guardDeletions(run, { suspects, isNothingShown });
  if (blocked !== null) return blocked;
  if (walks === 1) return deletions.exists === undefined ? 'walk again' : settleById(run, deletions.exists);
  if (await hasFreshQuarantine(prisma, lease, lease.checkpoint.startedAt)) return unconfirmed(suspects);
  for await (const missedTwice of readAllSuspects(run, 500)) {
    run.fetch.signal.throwIfAborted();
    await mark(run, { gone: missedTwice.map(({ id }) => id), there: [], walks });
  }
  return null;
}

/** Few, because each is a request: what was answered is not asked again after a stop. */
const BATCH = 25;

async function settleById(run: Run, exists: Exists): Promise<Judgement> {
  if (!(await canBeAsked(run, exists))) return 'walk again';
  let isSettled = true;
  for await (const suspects of readAllSuspects(run, BATCH)) {
    const gone: string[] = [];
    const there: string[] = [];
    for (const suspect of suspects) {
      const answer = await exists(suspect, run.fetch);
      if (answer === false) gone.push(suspect.id);
      else if (answer === true) there.push(suspect.id);
      else isSettled = false;
    }
    // Only while nothing is unconfirmed: the run that goes on asks for it anew.
    const yields = isSettled && run.scope === null && (await run.shouldYield());
    await mark(run, { gone, there, walks: 1, yields });
    if (yields) return 'yielded';
  }
  return isSettled ? null : 'walk again';
}

async function mark(
  run: Run,
  {
    gone,
    there,
    walks,
    yields,
  }: { gone: readonly string[]; there: readonly string[]; walks: number; yields?: boolean },
): Promise<void> {
  const { table, before } = suspectsOf(run);
  await run.write(null, () => ({
    yields,
    // Those that are there are not asked for again when this run is stopped and another goes on.
    seen: { list: '@asked', ids: there },
    tombstones: { table, before, ids: gone },
    // What was missing in some windows must never be taken for what a full sync missed.
    checkpoint: { cursor: run.scope === null ? encodeCursor(suspectsAfter(walks)) : null },
    end: null,
  }));
}

async function finish(run: Run, judgement: Judgement): Promise<Ending> {
  if (judgement === 'yielded') return run.yielded();
  if (judgement === 'walk again') throw new Error('a third walk was asked for');
  const outcome = judgement?.code === 'suddenly_empty' ? 'failed' : 'partial';
  const ending = { ...(judgement === null ? finalEnding(run) : run.ending(outcome, judgement)), isRecorded: true };
  await run.write(null, () => ({ checkpoint: { cursor: null, completed: judgement === null }, end: ending }));
  if (judgement === null) {
    await noteErasedRows(run);
    // Only now: a run that is stopped half way and taken up again keeps the acceptance.
    await takeAcceptance(run.parts.prisma, run.lease);
  }
  await deleteSeenIds(run.parts.prisma, run.lease);
  return ending;
}

/** At the end of a clean full sync: which rows of erased persons the upstream still has, for the next count checks. */
async function noteErasedRows(run: Run): Promise<void> {
  const { parts, lease, job, suppressions } = run;
  await noteErased(parts.prisma, suspectsOf(run));
  const ids = suppressions.isEmpty ? [] : await readSeenWithoutRow(parts.prisma, lease, job.stream.table);
  const marks = ids.map((id) => rowMark(job.stream.name, id)).filter((mark) => suppressions.has(mark));
  const leftOut = (await suppressions.createdAtOf(marks)).flatMap((at) => at ?? []);
  await keepLeftOut(parts.prisma, lease, leftOut);
}
