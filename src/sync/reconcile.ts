import { isAccepted, isEmptinessAccepted, takeAcceptance } from '../store/engine/deletions.ts';
import { hasFreshQuarantine } from '../store/engine/quarantine.ts';
import { forgetSeenIds } from '../store/mirror/seen-ids.ts';
import {
  countSuspects,
  readMetRows,
  readSuspects,
  readVanishing,
  type SuspectQuery,
} from '../store/mirror/tombstones.ts';
import type { Deletions, List, MirroredRow } from '../stream.ts';
import { encodeCursor, type PassCursor } from './cursor.ts';
import { type Ending, finalEnding, suddenlyEmpty } from './ending.ts';
import type { Run } from './run-pass.ts';
import { beginningOf, walkLists } from './walk-lists.ts';

/**
 * What a full walk does when it is through: rows that it did not meet are *suspects*. Nothing is marked on the strength of one
 * answer: first the brake, then each suspect is asked for by its id, or, where the server does not answer that, a second walk has to miss it too.
 *
 *   lists ──> suspects ──none──> done
 *               │ brake holds ──> partial, a person decides
 *               ├─ asked by id ──> tombstones ──> done
 *               └─ in doubt ──> second walk ──> suspects ──> tombstones ──> done
 */
export async function reconcile(
  run: Run,
  { lists, deletions, from }: { lists: readonly List[]; deletions: Deletions; from: PassCursor | null },
): Promise<Ending> {
  const second = lists.map(secondWalkOf);
  const first = second[0];
  if (first === undefined) throw new Error(`${run.job.stream.name} has no list`);
  let at = from;

  if (at === null || lists.some(({ id }) => id === at?.listId)) {
    const ending = await walkLists(run, lists, { from: at, afterwards: suspectsAfter(1) });
    if (ending !== null) return ending;
    at = suspectsAfter(1);
  }
  if (isSuspects(at, 1)) {
    const verdict = await judgeSuspects(run, deletions, 1);
    if (verdict === 'yielded') return run.yielded();
    if (verdict !== 'walk again') return finish(run, verdict);
    at = beginningOf(first);
    const checkpoint = unfinished(at);
    await run.write(null, () => ({ checkpoint, end: null }));
  }
  if (!isSuspects(at, 2)) {
    const ending = await walkLists(run, second, { from: at, afterwards: suspectsAfter(2) });
    if (ending !== null) return ending;
  }
  const verdict = await judgeSuspects(run, deletions, 2);
  if (verdict === 'yielded') return run.yielded();
  if (verdict === 'walk again') throw new Error('a third walk was asked for');
  return finish(run, verdict);
}

/** The same list under a name of its own, so that the ids it meets are counted apart. */
const secondWalkOf = (list: List): List => ({ ...list, id: `again.${list.id}` });

const suspectsAfter = (walks: number): PassCursor => ({ listId: '@suspects', kind: 'suspects', walk: { walks } });

const isSuspects = (at: PassCursor, walks: number): boolean => at.kind === 'suspects' && at.walk.walks === walks;

/** Null: everything suspicious was settled. */
type Verdict = Ending['error'] | 'walk again' | 'yielded';

async function judgeSuspects(run: Run, deletions: Deletions, walks: number): Promise<Verdict> {
  const { prisma, deleteBrake } = run.parts;
  const { lease } = run;
  const { table, name } = run.job.stream;
  const query: SuspectQuery = { key: lease, table, before: lease.checkpoint.startedAt };
  const suspects = await countSuspects(prisma, query);
  if (suspects === 0) return null;
  const vanishing = await readVanishing(prisma, lease, table);
  const isNothingMet = (await readMetRows(prisma, query)).length === 0;
  if (isNothingMet && !(await isEmptinessAccepted(prisma, lease))) return suddenlyEmpty(name, vanishing.alive);
  if (brakeHolds({ ...vanishing, suspects, deleteBrake }) && !(await isAccepted(prisma, lease))) {
    return {
      code: 'deletion_brake',
      message: `${suspects} of ${vanishing.alive} rows of ${name} were not in the upstream's list any more; that is more than SYNC_DELETE_BRAKE (${deleteBrake}) allows, so none was marked as deleted. Look at the upstream; if they are really gone, run: leadmirror accept-deletions ${name}`,
    };
  }
  if (walks === 1) {
    const settled = deletions.exists !== undefined && (await settleById(run, query, deletions.exists));
    if (settled === 'yielded') return settled;
    return settled ? null : 'walk again';
  }
  if (await hasFreshQuarantine(prisma, lease, lease.checkpoint.startedAt)) {
    return {
      code: 'deletions_unconfirmed',
      message: `${suspects} rows were not in the upstream's list any more, but it also held records without an id, which may be them; none was marked as deleted`,
    };
  }
  await markAll(run, query);
  return null;
}

/** More than three rows and more than the allowed share, counted together with what was marked within the last day. */
export function brakeHolds(facts: {
  suspects: number;
  deletedToday: number;
  alive: number;
  deleteBrake: number;
}): boolean {
  const vanished = facts.suspects + facts.deletedToday;
  return vanished > 3 && vanished > (facts.alive + facts.deletedToday) * facts.deleteBrake;
}

type Exists = NonNullable<Deletions['exists']>;

/** Asks for every suspect: those that are gone are marked, those that are there after all are left alone. False when some are still in doubt. */
async function settleById(run: Run, query: SuspectQuery, exists: Exists): Promise<boolean | 'yielded'> {
  const { prisma } = run.parts;
  if (!(await canBeAsked(run, query, exists))) return false;
  let isSettled = true;
  for (let after = ''; ; ) {
    const suspects: readonly MirroredRow[] = await readSuspects(prisma, query, { after, limit: BATCH });
    const last = suspects.at(-1);
    if (last === undefined) return isSettled;
    after = last.id;
    const gone: string[] = [];
    const there: string[] = [];
    for (const suspect of suspects) {
      const answer = await exists(suspect, run.fetch);
      if (answer === false) gone.push(suspect.id);
      else if (answer === true) there.push(suspect.id);
      else isSettled = false;
    }
    // Only while nothing is in doubt: that is asked anew by whoever goes on.
    const yields = isSettled && (await run.shouldYield());
    await mark(run, query, { gone, there, walks: 1, yields });
    if (yields) return 'yielded';
  }
}

/** A server that does not know the request answers 404 to all of them: then a row that is surely there would be "gone" too. */
export async function canBeAsked(run: Run, query: SuspectQuery, exists: Exists): Promise<boolean> {
  for (const row of await readMetRows(run.parts.prisma, query)) {
    const answer = await exists(row, run.fetch);
    if (answer !== null) return answer;
  }
  return false;
}

/** Two walks have missed them. */
async function markAll(run: Run, query: SuspectQuery): Promise<void> {
  for (let after = ''; ; ) {
    const suspects: readonly MirroredRow[] = await readSuspects(run.parts.prisma, query, { after, limit: 500 });
    const last = suspects.at(-1);
    if (last === undefined) return;
    after = last.id;
    run.fetch.signal.throwIfAborted();
    await mark(run, query, { gone: suspects.map(({ id }) => id), there: [], walks: 2 });
  }
}

interface Marked {
  readonly gone: readonly string[];
  readonly there: readonly string[];
  readonly walks: number;
  readonly yields?: boolean;
}

async function mark(run: Run, { table, before }: SuspectQuery, { gone, there, walks, yields }: Marked): Promise<void> {
  await run.write(null, () => ({
    ...(yields !== undefined && { yields }),
    // Those that are there are not asked for again when this run is stopped and another goes on.
    met: { list: '@asked', ids: there },
    tombstones: { table, before, ids: gone },
    checkpoint: unfinished(suspectsAfter(walks)),
    end: null,
  }));
}

const BATCH = 25;

const unfinished = (at: PassCursor) => ({ cursor: encodeCursor(at) });

async function finish(run: Run, doubt: Ending['error']): Promise<Ending> {
  const outcome = doubt?.code === 'suddenly_empty' ? 'failed' : 'partial';
  const ending = { ...(doubt === null ? finalEnding(run) : run.ending(outcome, doubt)), isRecorded: true };
  await run.write(null, () => ({ checkpoint: { cursor: null, completed: doubt === null }, end: ending }));
  // Only now: a run that is stopped half way and taken up again goes on with a person's word.
  if (doubt === null) await takeAcceptance(run.parts.prisma, run.lease);
  await forgetSeenIds(run.parts.prisma, run.lease);
  return ending;
}
