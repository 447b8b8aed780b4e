import { UpstreamContractError } from '../errors.ts';
import type { ListPage, ListQuery, ListWindow, SortKey, Walk, WalkStep } from '../stream.ts';
import { type Alignment, alignPage, alignWidePage } from './align.ts';
import {
  firstKey,
  halved,
  isNewer,
  lastKey,
  MAX_STEP_BACKS,
  newestChange,
  type ReadPage,
  type RowKey,
  readPage,
  signature,
  unconfirmedEnd,
} from './page-check.ts';
import { type TiePolicy, tieWindow } from './ties.ts';

/**
 * Stitched paging: reads a sorted list that changes under the reader by offsets, and misses no row that stays in it.
 *
 * The *frontier* is the key of the oldest row accepted so far. The next page is *stitched* when its first row is
 * strictly newer (rows with equal keys may change positions), or, for a unique key, the frontier row itself. Otherwise
 * rows before it went away and others slid past the reader: step back (one page, then doubling) until stitched, or to
 * the top. Where a page ends with a row whose id takes no part in the order (`sortId`), that is the *tail*: a page that
 * holds it overlaps, too.
 *
 * Rows that arrive or are touched push the rest away from the front: pages repeat, nothing is missed.
 */
export interface StitchOptions {
  readonly sort: SortKey;
  /** Rows a page, at most; a smaller size reported by the server is obeyed from then on. */
  readonly pageSize: number;
  /** Pages grow up to so many rows while their answers are cheap; default: they do not grow. */
  readonly widest?: number;
  /** Stop at the first row older than this (ms); null: read to the end. Only for `updated_at`. */
  readonly stopBefore?: number | null;
  readonly window?: ListWindow;
  readonly ties?: TiePolicy;
}

export interface StitchState {
  readonly [key: string]: unknown;
  /** Null before the first accepted page. Half a millisecond below a second: that whole second is read. */
  readonly frontier: RowKey | null;
  /** Id of the last row of the last page when it has no key (lists by id). Absent in older checkpoints. */
  readonly tail?: string | null;
  /** Where the next page has to start, at the latest. */
  readonly start: number;
  /** Next question's page, when it is not simply the best one for `start`. */
  readonly wide: Alignment | null;
  /** The server was asked for a larger page and did not give one. */
  readonly isNarrow: boolean;
  readonly size: number;
  /** Pages do not grow beyond; absent in older checkpoints. */
  readonly widest?: number;
  /** Rows to step back by next time; 0 while stitched. */
  readonly back: number;
  readonly stepBacks: number;
  /** The end of the last accepted page, while catching up with the frontier. */
  readonly low: { readonly key: RowKey; readonly id: string | null } | null;
  readonly noProgress: number;
  readonly probing: boolean;
  readonly top: string | null;
  readonly unconfirmed: number;
  readonly newest: number | null;
  readonly serverTime: number | null;
  /** The walk by id through a crowded second, and the frontier to go on from afterwards. */
  readonly inner: InnerWalk | null;
  readonly innerRows: number;
}

interface InnerWalk extends ReturnType<typeof tieWindow> {
  readonly state: StitchState;
}

/** What an answer may cost, that larger ones are asked for. */
const CHEAP_MS = 1_000;
const CHEAP_LENGTH = 2 * 2 ** 20;

const MAX_NO_PROGRESS = 3;
type StitchStep = WalkStep<StitchState>;

export function createStitchWalk(options: StitchOptions): Walk<StitchState> {
  const { sort, pageSize, widest = pageSize, window, ties = { kind: 'none' }, stopBefore = null } = options;
  const isUnique = sort === 'id';

  const innerWalk = (innerWindow: ListWindow): Walk<StitchState> =>
    createStitchWalk({ sort: 'id', pageSize, window: innerWindow });

  function next(state: StitchState): ListQuery {
    if (state.inner !== null) return innerWalk(state.inner.window).next(state.inner.state);
    const at = state.probing ? { offset: 0, limit: state.size } : (state.wide ?? alignPage(state.start, state.size));
    // The first page asks for the count, so that a list of one page is confirmed complete by one request.
    const wantTotal = state.frontier === null || state.unconfirmed > 0;
    // A page that is wide because of equal keys is no trial: without it the walk cannot go on.
    const isTrial = state.wide === null && state.size > pageSize && at.limit > pageSize;
    return { sort, direction: 'desc', ...at, ...(window ? { window } : {}), wantTotal, ...(isTrial && { isTrial }) };
  }

  function accept(state: StitchState, query: ListQuery, page: ListPage): StitchStep {
    if (state.inner !== null) return acceptInner(state, state.inner, query, page);
    const read = readPage(query, page);
    const sized = {
      ...state,
      ...widthAfter(state, query, page, read),
      isNarrow: state.isNarrow || (state.wide !== null && read.size < query.limit),
      wide: null,
    };
    if (state.probing) return acceptProbe(sized, page);
    if (!isStitched(state, page, read)) return stepBack(sized, read);
    return acceptStitched(sized, page, read);
  }

  /** What the server did not give is not asked for again; twice as many rows as long as that stays cheap. */
  function widthAfter(state: StitchState, query: ListQuery, { cost }: ListPage, read: ReadPage) {
    const most = state.widest ?? pageSize;
    if (read.size < query.limit) return { size: Math.min(state.size, read.size), widest: Math.min(most, read.size) };
    const isCheap = cost !== undefined && cost.ms * 2 < CHEAP_MS && cost.length * 2 < CHEAP_LENGTH;
    return { size: isCheap ? Math.max(state.size, Math.min(state.size * 2, most)) : state.size, widest: most };
  }

  function isStitched({ frontier, tail = null }: StitchState, page: ListPage, read: ReadPage): boolean {
    if (read.offset === 0 || (frontier === null && tail === null)) return true;
    if (tail !== null && page.entries.some(({ id }) => id === tail)) return true;
    const first = firstKey(read.keys);
    if (first === null || frontier === null) return false;
    return isNewer(first, frontier) || (isUnique && first === frontier);
  }

  function stepBack(state: StitchState, read: ReadPage): StitchStep {
    if (state.stepBacks >= MAX_STEP_BACKS) {
      return giveUp(state, `rows kept vanishing: ${MAX_STEP_BACKS} steps back did not find the position again`);
    }
    const back = state.back === 0 ? state.size : state.back * 2;
    const start = Math.max(0, read.offset - back);
    return goOnWith({ ...state, start, back, stepBacks: state.stepBacks + 1, low: null });
  }

  function acceptStitched(before: StitchState, page: ListPage, read: ReadPage): StitchStep {
    const { keys, offset } = read;
    const last = lastKey(keys);
    const isFirst = before.frontier === null && before.newest === null && offset === 0;
    const state: StitchState = {
      ...before,
      back: 0,
      newest: isFirst ? newestChange(sort, keys, page.serverTime) : before.newest,
      serverTime: isFirst ? page.serverTime : before.serverTime,
      top: offset === 0 ? signature(page) : before.top,
    };
    if (typeof last === 'number' && stopBefore !== null && last < stopBefore) return finish(advance(state, last));
    if (!read.isFull) {
      const unconfirmed = unconfirmedEnd(page, offset + keys.length, state.unconfirmed);
      if (unconfirmed === null) return finish(advance(state, last));
      // The same position again, with the count. The frontier moves all the same: these rows are read.
      return goOnWith({ ...positionAfter(advance(state, last), page, read), unconfirmed });
    }
    return goOn(state, page, read);
  }

  function goOn(before: StitchState, page: ListPage, read: ReadPage): StitchStep {
    const last = lastKey(read.keys);
    const placed = positionAfter(advance(before, last), page, read);
    const hasNewTail = placed.tail !== null && placed.tail !== before.tail;
    const advanced = hasNewTail || (last !== null && (before.frontier === null || isNewer(before.frontier, last)));
    const low = last === null ? null : { key: last, id: page.entries.at(-1)?.id ?? null };
    const catchingUp = !advanced && isBehind(low, before.low);
    const isFresh = before.low === null && placed.tail === null;
    const noProgress = advanced || catchingUp || isFresh ? 0 : before.noProgress + 1;
    const state = { ...placed, low, noProgress, unconfirmed: 0 };
    const reach = read.offset + read.keys.length;
    const best = alignPage(state.start, state.size);
    if (best.offset + best.limit <= reach) return resolveTies(state, read);
    return goOnWith(noProgress >= MAX_NO_PROGRESS ? { ...state, probing: true, noProgress: 0 } : state);
  }

  /** Page 0 again, after pages that led nowhere: when it did not change, the server does not page. */
  function acceptProbe(state: StitchState, page: ListPage): StitchStep {
    if (signature(page) === state.top) {
      const message = 'the server sends the same rows whatever page is asked for, while the list does not change';
      throw new UpstreamContractError('no_progress', message);
    }
    return goOnWith({ ...state, probing: false, top: signature(page), low: null });
  }

  /** More rows share one key than a page holds: no page can both begin before them and end behind them. */
  function resolveTies(state: StitchState, read: ReadPage): StitchStep {
    const last = lastKey(read.keys);
    if (read.keys.at(-1) === null) {
      // Rows without a date come last: an incremental walk has read all that can have changed, a full sync has not.
      if (sort === 'updated_at') return finish(state);
      return giveUp(state, `more rows without ${sort} than fit on a page; read this list by _id instead`);
    }
    const reach = read.offset + read.keys.length;
    if (ties.kind === 'wide' && !state.isNarrow) {
      const gain = Math.ceil(pageSize / 2);
      const wide = alignWidePage({ start: state.start, reach, gain, usualLimit: state.size, wideLimit: ties.limit });
      if (wide !== null) return goOnWith({ ...state, wide });
    }
    if ((ties.kind === 'second' || ties.kind === 'day') && typeof last === 'number' && sort !== 'id') {
      const crowded = tieWindow(sort, ties.kind, last);
      const inner = { ...crowded, state: innerWalk(crowded.window).start() };
      return goOnWith({ ...state, inner, innerRows: 0, low: null });
    }
    const reason = `more rows share one ${sort} than one page holds, and this server offers no other way to read them`;
    return giveUp(state, reason);
  }

  function acceptInner(state: StitchState, inner: InnerWalk, query: ListQuery, page: ListPage): StitchStep {
    const step = innerWalk(inner.window).accept(inner.state, query, page);
    const innerRows = state.innerRows + page.entries.length;
    if (step.end?.kind !== 'complete') {
      return { state: { ...state, inner: { ...inner, state: step.state }, innerRows }, end: step.end };
    }
    // Everything from `readDownTo` on is read. About so many rows lie before it; a guess too far is stepped back from.
    const start = Math.max(0, state.start + innerRows - state.size);
    const read = advance(state, inner.readDownTo);
    return goOnWith({ ...read, inner: null, innerRows: 0, start, low: null, noProgress: 0 });
  }

  /**
   * Puts the next start at the last row that is strictly newer than the frontier, for a unique key at the frontier row
   * itself; at the tail where there is one.
   */
  function positionAfter(state: StitchState, page: ListPage, read: ReadPage): StitchState {
    const { frontier } = state;
    const named = isUnique ? page.entries.findLastIndex(({ id }) => id !== null) : -1;
    if (read.keys[named] === null) {
      return { ...state, tail: page.entries[named]?.id ?? null, start: read.offset + named };
    }
    if (frontier === null) return { ...state, tail: null, start: read.offset + Math.max(0, read.keys.length - 1) };
    const anchor = read.keys.findLastIndex(
      (key) => key !== null && (isNewer(key, frontier) || (isUnique && key === frontier)),
    );
    const start = anchor >= 0 ? read.offset + anchor : Math.max(0, read.offset - 1);
    return { ...state, tail: null, start };
  }

  function advance(state: StitchState, last: RowKey | null): StitchState {
    if (last === null || (state.frontier !== null && !isNewer(state.frontier, last))) return state;
    return { ...state, frontier: last };
  }

  return {
    kind: `stitch.${sort}`,
    start: () => ({
      ...UNTROUBLED,
      frontier: null,
      tail: null,
      start: 0,
      isNarrow: false,
      size: pageSize,
      widest,
      top: null,
      newest: null,
      serverTime: null,
      inner: null,
      innerRows: 0,
    }),
    resume: (state) => ({
      ...state,
      ...UNTROUBLED,
      size: pageSize,
      widest,
      inner: state.inner && { ...state.inner, state: innerWalk(state.inner.window).resume(state.inner.state) },
    }),
    next,
    accept,
    beginning: ({ newest, serverTime }) => ({ newest, serverTime }),
    shrink(state) {
      if (state.inner === null) {
        const half = halved(state.size);
        // First to the size that pages have usually.
        const size = half !== null && state.size > pageSize ? Math.max(half, pageSize) : half;
        return size === null ? null : { ...state, size, widest: size, wide: null };
      }
      const inner = innerWalk(state.inner.window).shrink(state.inner.state);
      return inner === null ? null : { ...state, inner: { ...state.inner, state: inner } };
    },
  };
}

/** What a walk that is taken up again does not remember. */
const UNTROUBLED = {
  wide: null,
  back: 0,
  stepBacks: 0,
  low: null,
  noProgress: 0,
  probing: false,
  unconfirmed: 0,
} as const;

/** Among rows of one key, another row is further on. */
const isBehind = (end: StitchState['low'], before: StitchState['low']): boolean =>
  end !== null && before !== null && (isNewer(before.key, end.key) || (end.key === before.key && end.id !== before.id));

const goOnWith = (state: StitchState): StitchStep => ({ state, end: null });
const finish = (state: StitchState): StitchStep => ({ state, end: { kind: 'complete' } });
const giveUp = (state: StitchState, reason: string): StitchStep => ({ state, end: { kind: 'gave_up', reason } });
