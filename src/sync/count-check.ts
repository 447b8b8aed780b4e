import { counted } from '../counted.ts';
import {
  type CountKnowledge,
  type CountOffset,
  clearUnexplained,
  keepLeftOut,
  keepOffsets,
  noteUnexplained,
  readCountKnowledge,
  readTenthOfBudget,
  refuseCounts,
  sumOfOffsets,
} from '../store/engine/count-checks.ts';
import { takeAcceptance } from '../store/engine/deletions.ts';
import { resolveGone } from '../store/engine/quarantine.ts';
import { deleteSeenIds } from '../store/mirror/seen-ids.ts';
import { countSuspects, noteErased } from '../store/mirror/tombstones.ts';
import type { CountedList, ListWindow } from '../stream.ts';
import {
  acceptCount,
  foundWindows,
  leastRequests,
  nextCount,
  openDifference,
  startBisection,
} from './bisect-counts.ts';
import { Counts, type Extra, isInside, type Look, readWindow, sumOf, type WindowedList, WrongCount } from './counts.ts';
import { guardDeletions, suspectsOf } from './deletion-guard.ts';
import type { Ending } from './ending.ts';
import { planCounts } from './plan-lists.ts';
import { judgeSuspects } from './reconcile.ts';
import type { Run } from './run-pass.ts';

/**
 * Compares how many rows the upstream counts with the alive rows of the mirror. A count never deletes anything: it only
 * shows where to look.
 *
 *   total ──equal──> agrees
 *     │ differs
 *   incremental pass, total ──equal──> agrees
 *     │ differs again
 *     ├─ no windows ──────────────────────────────────────────> a full sync is needed
 *     └─ rows older than the watermark ──> incremental pass, again ──> bisect ──> read these windows ──> suspects
 *
 * Rows that are newer than the watermark still move and are left to the next check, unless nothing changed meanwhile.
 */
export async function checkCounts(run: Run): Promise<Ending> {
  const { prisma } = run.parts;
  const { lease, job } = run;
  const knowledge = await readCountKnowledge(prisma, lease);
  const lists = knowledge.isRefused ? [] : await planCounts(run);
  if (lists.length === 0 || job.stream.deletions === undefined)
    return run.ending('postponed', unusable(job.stream.name));
  await deleteSeenIds(prisma, lease);
  try {
    const most = Math.min(MOST_COUNTS, await readTenthOfBudget(prisma, job.connection.credential));
    return await conclude(run, knowledge, await new CountCheck(run, knowledge, most).check(lists));
  } catch (error) {
    if (!(error instanceof WrongCount)) throw error;
    await refuseCounts(prisma, lease);
    return run.ending('postponed', unusable(job.stream.name));
  } finally {
    run.scope = null;
    await deleteSeenIds(prisma, lease);
  }
}

const MOST_COUNTS = 400;
const MINUTE_MS = 60_000;
/** No row is created so late: a window with this end alone holds all that have a date. */
const FAR_MS = Date.UTC(2099, 0);

class CountCheck {
  readonly #run: Run;
  readonly #counts: Counts;
  readonly #most: number;
  readonly #left: CountOffset[] = [];
  #canBeKept = true;
  #isMoving = false;

  constructor(run: Run, knowledge: CountKnowledge, most: number) {
    this.#run = run;
    this.#counts = new Counts(run, knowledge);
    this.#most = most;
  }

  async check(lists: readonly CountedList[]): Promise<Found> {
    const looks = new Map<CountedList, Look>();
    for (const list of lists) looks.set(list, await this.#counts.look(list));
    const differing = [...looks].filter(([, { difference, isCurrent }]) => difference !== 0 || !isCurrent);
    if (differing.length > 0 && !(await this.#run.job.refresh?.())) return { kind: 'moving' };
    for (const [list, first] of differing) {
      const second = await this.#counts.lookAgain(list, first);
      if (second.difference === 0 && second.isCurrent) continue;
      const { walkWindow } = list;
      if (walkWindow !== undefined) {
        const blocked = await this.#checkWindows({ ...list, walkWindow }, second);
        if (blocked !== null) return { kind: 'blocked', error: blocked };
      } else if (first.difference === 0 || second.difference === 0 || first.total !== second.total) {
        this.#isMoving = true;
      } else {
        const { difference } = second;
        const blocked = await this.#guard(list, difference);
        if (blocked !== null) return { kind: 'blocked', error: blocked };
        // An emptied row is left as it was: it may be marked as deleted upstream.
        const isErased = difference < 0 && -difference <= (await this.#counts.countErased(list));
        this.#left.push({
          list: list.id,
          window: null,
          ...(isErased ? { rows: 0, erased: difference } : { rows: difference }),
        });
      }
    }
    if (this.#left.length > 0) return { kind: 'differs', left: this.#left, canBeKept: this.#canBeKept };
    return { kind: this.#isMoving ? 'moving' : 'agrees' };
  }

  /** Emptied rows that are gone upstream cost nothing here. */
  async #guard(list: CountedList, difference: number): Promise<Ending['error']> {
    const suspects = difference >= 0 ? 0 : -difference - (await this.#counts.countErased(list));
    return suspects <= 0 ? null : guardDeletions(this.#run, { suspects, isCounted: true });
  }

  /** Returns why what vanished may not be marked; null: the windows that differ were read. */
  async #checkWindows(list: WindowedList, look: Look): Promise<Ending['error']> {
    const watermark = await this.#counts.watermark(list);
    if (watermark === null) {
      this.#isMoving = true;
      return null;
    }
    const end = Math.floor((watermark - MINUTE_MS) / 1000) * 1000;
    let at = await this.#counts.readOlder(list, end);
    let total = look;
    if (at.difference !== 0) {
      if (!(await this.#run.job.refresh?.())) {
        this.#isMoving = true;
        return null;
      }
      total = await this.#counts.lookAgain(list, look);
      at = await this.#counts.readOlder(list, end);
    }
    const atFirst = this.#left.length;
    const newer = await this.#readNewer(list, at, total);
    const behindNewer = this.#left.length;
    const blocked = await this.#guard(list, Math.min(0, at.difference) + Math.min(0, newer));
    if (blocked !== null) return blocked;
    const older = at.difference === 0 ? [] : await this.#bisect(list, at);
    if (older === null) return null;
    const windows = newer === 0 ? older : withNewer(older, end);
    if (windows.length === 0) return null;
    const refused = await this.#readWindows(list, windows, at.extras);
    if (refused !== null || this.#isMoving) return refused;
    // What was found has to be what differed; otherwise the counts were wrong, or only a full sync finds it.
    const all = newer === 0 ? null : await this.#counts.lookAgain(list, total);
    const now = all?.isCurrent ? all : await this.#counts.readOlder(list, end);
    const rest = now.difference - sumOfOffsets(this.#left.slice(now === all ? atFirst : behindNewer));
    if (rest !== 0) this.#left.push({ list: list.id, window: null, rows: rest });
    return null;
  }

  /** By how many rows the rest differs: those without a date need a full sync, the newest count when nothing moves. */
  async #readNewer(list: CountedList, at: { readonly dateless: number; readonly difference: number }, total: Look) {
    const rest = total.difference - at.difference;
    if (rest === 0) return 0;
    const dated = (await this.#counts.count(list, { field: 'created_at', toMs: FAR_MS })).total;
    const withoutDate = total.total - dated - at.dateless;
    const isStill = withoutDate === 0 || (await this.#counts.look(list)).total === total.total;
    if (!isStill) return 0;
    if (withoutDate !== 0) this.#left.push({ list: list.id, window: null, rows: withoutDate });
    return total.isCurrent ? rest - withoutDate : 0;
  }

  /** The windows that differ, as far as one check may count; null: a full sync is cheaper. */
  async #bisect(
    list: CountedList,
    { borders, difference }: { borders: Parameters<typeof startBisection>[0]; difference: number },
  ): Promise<ListWindow[] | null> {
    const pages = Math.ceil((borders.at(-1)?.rows ?? 0) / list.pageSize) + 1;
    let bisection = startBisection(borders, difference);
    for (let asked = 0; ; asked++) {
      const next = nextCount(bisection);
      if (asked + leastRequests(bisection) > pages) {
        this.#leave(list, difference);
        return null;
      }
      if (next === null) return foundWindows(bisection);
      if (this.#counts.asked >= this.#most) {
        this.#leave(list, openDifference(bisection));
        return foundWindows(bisection);
      }
      const { total } = await this.#counts.count(list, next.window);
      bisection = acceptCount(bisection, total);
    }
  }

  /** Only a full sync can find it. */
  #leave(list: CountedList, rows: number): void {
    this.#left.push({ list: list.id, window: null, rows });
    this.#canBeKept = false;
  }

  /** Reads what differs. What is missing there goes the way of every suspect. */
  async #readWindows(
    list: WindowedList,
    windows: readonly ListWindow[],
    extras: readonly Extra[],
  ): Promise<Ending['error']> {
    const { parts, lease, job } = this.#run;
    const before = this.#run.databaseTime(performance.now());
    const whole: ListWindow[] = [];
    const leftOut: number[] = [];
    for (const window of windows) {
      const read = await readWindow(this.#run, list, window);
      const { isWhole, unlisted } = read;
      if (isWhole) whole.push(window);
      if (isWhole) leftOut.push(...read.leftOut);
      const known = sumOf(extras.filter((extra) => extra.isUnlisted === true && isInside(extra, window)));
      if (unlisted !== known) this.#left.push({ list: list.id, window, rows: unlisted - known });
    }
    this.#run.scope = { before, windows: whole };
    const judgement =
      job.stream.deletions === undefined ? null : await judgeSuspects(this.#run, job.stream.deletions, 1);
    if (judgement === 'walk again') {
      this.#leave(list, 0);
      return null;
    }
    if (judgement === 'yielded') throw new Error('windows are read without a pause');
    if (judgement !== null) return judgement;
    await noteErased(parts.prisma, suspectsOf(this.#run));
    this.#counts.setLeftOut(whole, leftOut);
    await keepLeftOut(parts.prisma, lease, this.#counts.leftOut);
    // Written while this was read: whether it is there is for the next check to see.
    const unsettled = await countSuspects(parts.prisma, { ...suspectsOf(this.#run), before: new Date(FAR_MS) });
    if (unsettled > 0) this.#isMoving = true;
    const read = extras.filter((extra) => whole.some((window) => isInside(extra, window)));
    const ids = read.flatMap(({ recordId }) => recordId ?? []);
    await resolveGone(parts.prisma, lease, { ids, before });
    await takeAcceptance(parts.prisma, lease);
    return null;
  }
}

/** The newest rows belong to the window before them, if that is read, too. */
function withNewer(older: readonly ListWindow[], end: number): ListWindow[] {
  const last = older.at(-1);
  if (last?.toMs !== end) return [...older, { field: 'created_at', fromMs: end }];
  const { toMs: _, ...open } = last;
  return [...older.slice(0, -1), open];
}

type Found =
  | { readonly kind: 'agrees' }
  /** Too much moved to compare. */
  | { readonly kind: 'moving' }
  /** What is left, as rows upstream less rows of the mirror. `canBeKept`: after a full sync, it may be expected. */
  | { readonly kind: 'differs'; readonly left: readonly CountOffset[]; readonly canBeKept: boolean }
  | { readonly kind: 'blocked'; readonly error: NonNullable<Ending['error']> };

/** How the run ends, and what is remembered. */
async function conclude(run: Run, { unexplained, expired, offsets }: CountKnowledge, found: Found): Promise<Ending> {
  const { prisma } = run.parts;
  const { lease } = run;
  const { name } = run.job.stream;
  if (found.kind === 'blocked') return run.ending('partial', found.error);
  if (found.kind === 'moving') {
    const message = `rows of ${name} arrived or left while they were counted; the next count check looks again`;
    return run.ending('postponed', { code: 'counts_moving', message });
  }
  if (found.kind === 'differs') {
    const rows = sumOfOffsets(found.left);
    const canBeKept = found.canBeKept && found.left.every((each) => each.rows > 0 || each.erased !== undefined);
    if (!canBeKept && unexplained !== null && rows < 0 && rows === unexplained) throw new WrongCount();
    // A clean full sync since then explained it as little.
    const isSame = rows === unexplained || rows === expired;
    const isSettled = isSame || (unexplained !== null && found.left.every((each) => each.rows > 0));
    if (!isSettled || !canBeKept) {
      await noteUnexplained(prisma, lease, rows);
      const message = `the upstream counts ${counted(Math.abs(rows), 'row')} of ${name} ${rows < 0 ? 'fewer' : 'more'} than the mirror should have; the next full sync shows which, or now: leadmirror sync ${name} --pass reconcile`;
      return run.ending('partial', { code: 'counts_differ', message });
    }
    await keepOffsets(prisma, lease, [...offsets, ...found.left]);
  } else if (offsets.length === 0) await clearUnexplained(prisma, lease);
  const ending = { ...run.ending('succeeded'), isRecorded: true };
  await run.write(null, () => ({ checkpoint: { cursor: null, completed: true }, end: ending }));
  return ending;
}

const unusable = (name: string) => ({
  code: 'counts_unusable',
  message: `the upstream's counts of ${name} cannot be used (not reported, not by creation time, or wrong); full syncs find what was deleted`,
});
