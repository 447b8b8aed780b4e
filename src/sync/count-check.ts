import { UpstreamContractError } from '../errors.ts';
import {
  type CountKnowledge,
  type CountOffset,
  clearUnexplained,
  keepOffsets,
  noteUnexplained,
  readCountKnowledge,
  readTenthOfBudget,
  refuseCounts,
} from '../store/engine/count-checks.ts';
import { takeAcceptance } from '../store/engine/deletions.ts';
import { readOpenQuarantine, resolveGone } from '../store/engine/quarantine.ts';
import { readProgress } from '../store/engine/watermarks.ts';
import { type CountQuery, countAlive, readBorders } from '../store/mirror/counts.ts';
import { readIdsWhere } from '../store/mirror/mirrored.ts';
import { deleteSeenIds } from '../store/mirror/seen-ids.ts';
import { countSuspects } from '../store/mirror/tombstones.ts';
import type { CountedList, List, ListWindow } from '../stream.ts';
import {
  acceptCount,
  foundWindows,
  leastRequests,
  nextCount,
  openDifference,
  startBisection,
  withExtras,
} from './bisect-counts.ts';
import { guardDeletions, suspectsOf } from './deletion-guard.ts';
import type { Ending } from './ending.ts';
import { preparePage } from './map-page.ts';
import { planCounts } from './plan-lists.ts';
import { judgeSuspects } from './reconcile.ts';
import type { Run } from './run-pass.ts';
import { walkPages } from './walk-pages.ts';

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
/** A window of so many pages' rows is read by two requests, overlap included. */
const PAGES_EACH = 1.8;

/** The server contradicts its own count, which is therefore used for nothing. */
class WrongCount extends Error {}

type Found =
  | { readonly kind: 'agrees' }
  /** Too much moved to compare. */
  | { readonly kind: 'moving' }
  /** What is left, as rows upstream less rows of the mirror. `canBeKept`: after a full sync, it may be expected. */
  | { readonly kind: 'differs'; readonly left: readonly CountOffset[]; readonly canBeKept: boolean }
  | { readonly kind: 'blocked'; readonly error: NonNullable<Ending['error']> };

type WindowedList = CountedList & Required<Pick<CountedList, 'walkWindow'>>;

interface Look {
  readonly total: number;
  readonly difference: number;
  /** The mirror has the newest change that the list shows, or nothing came or went while it was brought up to date. */
  readonly isCurrent: boolean;
}

interface Extra {
  /** When it was created; null: not known, or the list has no windows. */
  readonly at: number | null;
  readonly rows: number;
  /** Of a quarantined record. */
  readonly recordId?: string;
}

class CountCheck {
  readonly #run: Run;
  readonly #knowledge: CountKnowledge;
  readonly #most: number;
  #counts = 0;
  readonly #left: CountOffset[] = [];
  #canBeKept = true;
  #isMoving = false;

  constructor(run: Run, knowledge: CountKnowledge, most: number) {
    this.#run = run;
    this.#knowledge = knowledge;
    this.#most = most;
  }

  async check(lists: readonly CountedList[]): Promise<Found> {
    const looks = new Map<CountedList, Look>();
    for (const list of lists) looks.set(list, await this.#look(list));
    const differing = [...looks].filter(([, { difference, isCurrent }]) => difference !== 0 || !isCurrent);
    if (differing.length > 0 && !(await this.#refresh())) return { kind: 'moving' };
    for (const [list, first] of differing) {
      const second = await this.#lookAgain(list, first);
      if (second.difference === 0 && second.isCurrent) continue;
      const { walkWindow } = list;
      if (walkWindow !== undefined) {
        const blocked = await this.#checkWindows({ ...list, walkWindow }, second);
        if (blocked !== null) return { kind: 'blocked', error: blocked };
      } else if (first.difference === 0 || second.difference === 0 || first.total !== second.total) {
        this.#isMoving = true;
      } else {
        const blocked = await this.#guard(second.difference);
        if (blocked !== null) return { kind: 'blocked', error: blocked };
        this.#left.push({ list: list.id, window: null, rows: second.difference });
      }
    }
    if (this.#left.length > 0) return { kind: 'differs', left: this.#left, canBeKept: this.#canBeKept };
    return { kind: this.#isMoving ? 'moving' : 'agrees' };
  }

  #refresh(): Promise<boolean> {
    return this.#run.job.refresh?.() ?? Promise.resolve(false);
  }

  /** The mirror before the upstream: what is written meanwhile can only show a difference, never hide one. */
  async #look(list: CountedList): Promise<Look> {
    const { prisma } = this.#run.parts;
    const alive = await countAlive(prisma, this.#mirrored(list));
    const expected = alive + sumOf(await this.#readExtras(list));
    const watermark = await this.#watermark(list);
    const { total, newest } = await this.#count(list, null);
    if (total === 0 && expected > 0) throw new WrongCount();
    return { total, difference: total - expected, isCurrent: newest === null || newest <= (watermark ?? 0) };
  }

  /** After an incremental pass: when the total is the same as before, nothing moves. */
  async #lookAgain(list: CountedList, before: Look): Promise<Look> {
    const look = await this.#look(list);
    return { ...look, isCurrent: look.isCurrent || look.total === before.total };
  }

  async #count(list: CountedList, window: ListWindow | null) {
    const { fetch } = this.#run;
    this.#counts += 1;
    const sort = window === null ? 'updated_at' : 'created_at';
    const query = { sort, direction: 'desc', offset: 0, limit: 1, wantTotal: true, ...(window && { window }) } as const;
    const page = await list.fetchPage(query, fetch);
    if (page.total === null || page.total < page.entries.length) throw new WrongCount();
    // Shown, so it is there: an answer about it by id shows whether the server can be asked.
    const seen = { list: '@counted', ids: page.entries.flatMap(({ id }) => id ?? []) };
    if (window === null) await this.#run.write(null, () => ({ seen, checkpoint: { cursor: null }, end: null }));
    return { total: page.total, newest: page.entries[0]?.updatedAt ?? null };
  }

  #mirrored({ rows }: CountedList): CountQuery {
    const { lease, job } = this.#run;
    return { connectionId: lease.connectionId, table: job.stream.table, ...(rows && { rows }) };
  }

  /** What the incremental pass brought of this list; of one that it reads as part of another, the oldest. */
  async #watermark({ id }: CountedList): Promise<number | null> {
    const { watermark } = await readProgress(this.#run.parts.prisma, this.#run.lease, 'incremental');
    const times = watermark?.[id] === undefined ? Object.values(watermark ?? {}) : [watermark[id]];
    return times.length === 0 ? null : Math.min(...times.map((iso) => Date.parse(iso)));
  }

  /** What the upstream counts and the mirror has no row of: quarantined records, and what it never lists. */
  async #readExtras(list: CountedList): Promise<Extra[]> {
    const { parts, lease, job } = this.#run;
    const filter = { connectionId: lease.connectionId, streams: [lease.stream] };
    const open = await readOpenQuarantine(parts.prisma, filter);
    const ids = open.map(({ record_id }) => record_id);
    const table = { connectionId: lease.connectionId, table: job.stream.table };
    const stored = new Set(await readIdsWhere(parts.prisma, table, { column: 'id', values: ids }));
    const quarantined = open.flatMap(({ record_id: recordId, raw_text }): Extra[] => {
      const entry = stored.has(recordId) ? null : list.entryOf(parsed(raw_text));
      return entry === null ? [] : [{ at: entry.createdAt, rows: 1, recordId }];
    });
    const offsets = this.#knowledge.offsets.filter((offset) => offset.list === list.id);
    return [...quarantined, ...offsets.map(({ window, rows }) => ({ at: window?.toMs ?? null, rows }))];
  }

  async #guard(difference: number): Promise<Ending['error']> {
    return difference >= 0 ? null : guardDeletions(this.#run, { suspects: -difference, isCounted: true });
  }

  /** Returns why what vanished may not be marked; null: the windows that differ were read. */
  async #checkWindows(list: WindowedList, look: Look): Promise<Ending['error']> {
    const watermark = await this.#watermark(list);
    if (watermark === null) {
      this.#isMoving = true;
      return null;
    }
    const end = Math.floor((watermark - MINUTE_MS) / 1000) * 1000;
    let at = await this.#readOlder(list, end);
    let total = look;
    if (at.difference !== 0) {
      if (!(await this.#refresh())) {
        this.#isMoving = true;
        return null;
      }
      total = await this.#lookAgain(list, look);
      at = await this.#readOlder(list, end);
    }
    const atFirst = this.#left.length;
    const newer = await this.#readNewer(list, at, total);
    const behindNewer = this.#left.length;
    const blocked = await this.#guard(Math.min(0, at.difference) + Math.min(0, newer));
    if (blocked !== null) return blocked;
    const older = at.difference === 0 ? [] : await this.#bisect(list, at);
    if (older === null) return null;
    const windows = newer === 0 ? older : withNewer(older, end);
    if (windows.length === 0) return null;
    const refused = await this.#readWindows(list, windows, at.extras);
    if (refused !== null || this.#isMoving) return refused;
    // What was found has to be what differed; otherwise the counts were wrong, or only a full sync finds it.
    const all = newer === 0 ? null : await this.#lookAgain(list, total);
    const now = all?.isCurrent ? all : await this.#readOlder(list, end);
    const rest = now.difference - sumOf(this.#left.slice(now === all ? atFirst : behindNewer));
    if (rest !== 0) this.#left.push({ list: list.id, window: null, rows: rest });
    return null;
  }

  async #readOlder(list: CountedList, end: number) {
    const { prisma } = this.#run.parts;
    const extras = await this.#readExtras(list);
    const by = { untilMs: end, step: Math.max(1, Math.floor(list.pageSize * PAGES_EACH)) };
    const { borders, dateless } = await readBorders(prisma, this.#mirrored(list), by);
    const dated = extras.flatMap(({ at, rows }) => (at === null ? [] : [{ at, rows }]));
    const expected = withExtras(borders, dated);
    const { total } = await this.#count(list, { field: 'created_at', toMs: end });
    const difference = total - (expected.at(-1)?.rows ?? 0);
    return {
      borders: expected,
      dateless: dateless + sumOf(extras.filter((extra) => extra.at === null)),
      difference,
      extras,
    };
  }

  /** By how many rows the rest differs: those without a date need a full sync, the newest are only certain when nothing moves. */
  async #readNewer(
    list: CountedList,
    at: { readonly dateless: number; readonly difference: number },
    total: Look,
  ): Promise<number> {
    const rest = total.difference - at.difference;
    if (rest === 0) return 0;
    const dated = (await this.#count(list, { field: 'created_at', toMs: FAR_MS })).total;
    const withoutDate = total.total - dated - at.dateless;
    const isStill = withoutDate === 0 || (await this.#look(list)).total === total.total;
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
      if (this.#counts >= this.#most) {
        this.#leave(list, openDifference(bisection));
        return foundWindows(bisection);
      }
      const { total } = await this.#count(list, next.window);
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
    for (const window of windows) {
      const { isWhole, unlisted } = await this.#readWindow(list, window);
      if (isWhole) whole.push(window);
      const known = sumOf(extras.filter((extra) => extra.recordId === undefined && isInside(extra, window)));
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
    // Written while this was read: whether it is there is for the next check to see.
    const unsettled = await countSuspects(parts.prisma, { ...suspectsOf(this.#run), before: new Date(FAR_MS) });
    if (unsettled > 0) this.#isMoving = true;
    const read = extras.filter((extra) => whole.some((window) => isInside(extra, window)));
    const ids = read.flatMap(({ recordId }) => recordId ?? []);
    await resolveGone(parts.prisma, lease, { ids, before });
    await takeAcceptance(parts.prisma, lease);
    return null;
  }

  /** `unlisted`: how many rows the list counts in it beyond those that it shows. */
  async #readWindow(list: WindowedList, window: ListWindow): Promise<{ isWhole: boolean; unlisted: number }> {
    const run = this.#run;
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
}

/** The newest rows belong to the window before them, if that is read, too. */
function withNewer(older: readonly ListWindow[], end: number): ListWindow[] {
  const last = older.at(-1);
  if (last?.toMs !== end) return [...older, { field: 'created_at', fromMs: end }];
  const { toMs: _, ...open } = last;
  return [...older.slice(0, -1), open];
}

const isInside = ({ at }: Extra, { fromMs = -Infinity, toMs = Infinity }: ListWindow): boolean =>
  at !== null && fromMs <= at && at <= toMs;

const sumOf = (some: readonly { readonly rows: number }[]): number => some.reduce((sum, { rows }) => sum + rows, 0);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** How the run ends, and what is remembered. */
async function conclude(run: Run, { unexplained, offsets }: CountKnowledge, found: Found): Promise<Ending> {
  const { prisma } = run.parts;
  const { lease } = run;
  const { name } = run.job.stream;
  if (found.kind === 'blocked') return run.ending('partial', found.error);
  if (found.kind === 'moving') {
    const message = `rows of ${name} arrived or left while they were counted; the next count check looks again`;
    return run.ending('postponed', { code: 'counts_moving', message });
  }
  if (found.kind === 'differs') {
    const rows = sumOf(found.left);
    const canBeKept = found.canBeKept && found.left.every((each) => each.rows > 0);
    if (unexplained !== null && rows < 0 && rows === unexplained) throw new WrongCount();
    if (unexplained === null || !canBeKept) {
      await noteUnexplained(prisma, lease, rows);
      const message = `the upstream counts ${Math.abs(rows)} rows of ${name} ${rows < 0 ? 'fewer' : 'more'} than the mirror should have; the next full sync shows which, or now: leadmirror sync ${name} --pass reconcile`;
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
