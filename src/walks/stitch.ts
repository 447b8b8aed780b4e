import { UpstreamContractError } from '../errors.ts';
import type { ListPage, ListQuery, ListWindow, SortKey, Walk, WalkStep } from '../stream.ts';
import { type Alignment, alignPage, alignWidePage } from './align.ts';
import {
  believeEnd,
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
} from './page-check.ts';

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
  /** Every question stays inside this window. */
  readonly window?: ListWindow;
  /** What to do with more rows of one key than fit on a page. */
  readonly ties?: TiePolicy;
}

export type TiePolicy =
  /** The server knows larger pages. */
  | { readonly kind: 'wide'; readonly limit: number }
  /** Read that second by id, inside a window from one whole second to the next. */
  | { readonly kind: 'second' }
  /** The same for servers that only know "since this day". */
  | { readonly kind: 'day' }
  | { readonly kind: 'none' };

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
  /** Oldest key of the last accepted page, while catching up with the frontier. */
  readonly low: RowKey | null;
  /** Accepted pages in a row that led nowhere. */
  readonly noProgress: number;
  /** Next question: is page 0 still what it was? */
  readonly probing: boolean;
  /** Id and key of the first row of page 0. */
  readonly top: string | null;
  readonly unconfirmed: number;
  /** Newest change and server's clock at the first page. */
  readonly newest: number | null;
  readonly serverTime: number | null;
  /** The walk by id through a crowded second, and the frontier to go on from afterwards. */
  readonly inner: InnerWalk | null;
  readonly innerRows: number;
}

interface InnerWalk {
  readonly state: StitchState;
  readonly window: ListWindow;
  readonly readDownTo: number;
}

/** What an answer may cost, that larger ones are asked for. */
const CHEAP_MS = 1_000;
const CHEAP_LENGTH = 2 * 2 ** 20;

const MAX_NO_PROGRESS = 3;
const DAY_MS = 86_400_000;
const HALF_MS = 0.5;

type StitchStep = WalkStep<StitchState>;

export function createStitchWalk(options: StitchOptions): Walk<StitchState> {
  const { sort, window, ties = { kind: 'none' }, stopBefore = null } = options;
  const isUnique = sort === 'id';

  const innerWalk = (innerWindow: ListWindow): Walk<StitchState> =>
    createStitchWalk({ sort: 'id', pageSize: options.pageSize, window: innerWindow });

  function next(state: StitchState): ListQuery {
    if (state.inner !== null) return innerWalk(state.inner.window).next(state.inner.state);
    const at = state.probing ? { offset: 0, limit: state.size } : (state.wide ?? alignPage(state.start, state.size));
    // The first page asks for the count, so that a list of one page is confirmed complete by one request.
    const wantTotal = state.frontier === null || state.unconfirmed > 0;
    // A page that is wide because of equal keys is no trial: without it the walk cannot go on.
    const isTrial = state.wide === null && state.size > options.pageSize && at.limit > options.pageSize;
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
    const widest = state.widest ?? options.pageSize;
    if (read.size < query.limit) return { size: Math.min(state.size, read.size), widest: Math.min(widest, read.size) };
    const isCheap = cost !== undefined && cost.ms * 2 < CHEAP_MS && cost.length * 2 < CHEAP_LENGTH;
    return { size: isCheap ? Math.max(state.size, Math.min(state.size * 2, widest)) : state.size, widest };
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
    return { state: { ...state, start, back, stepBacks: state.stepBacks + 1, low: null }, end: null };
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
      const belief = believeEnd({ total: page.total, offset, count: keys.length, unconfirmed: state.unconfirmed });
      if (belief.isEnd) return finish(advance(state, last));
      // Ask for the same position again, with the count. The frontier moves all the same: these rows are read.
      return {
        state: { ...positionAfter(advance(state, last), page, read), unconfirmed: belief.unconfirmed },
        end: null,
      };
    }
    return goOn(state, page, read);
  }

  function goOn(before: StitchState, page: ListPage, read: ReadPage): StitchStep {
    const last = lastKey(read.keys);
    const placed = positionAfter(advance(before, last), page, read);
    const hasNewTail = placed.tail !== null && placed.tail !== before.tail;
    const advanced = hasNewTail || (last !== null && (before.frontier === null || isNewer(before.frontier, last)));
    const catchingUp = !advanced && last !== null && before.low !== null && isNewer(before.low, last);
    const isFresh = before.low === null && placed.tail === null;
    const noProgress = advanced || catchingUp || isFresh ? 0 : before.noProgress + 1;
    const state = { ...placed, low: last, noProgress, unconfirmed: 0 };
    const reach = read.offset + read.keys.length;
    const best = alignPage(state.start, state.size);
    if (best.offset + best.limit <= reach) return resolveTies(state, read);
    if (noProgress >= MAX_NO_PROGRESS) return { state: { ...state, probing: true, noProgress: 0 }, end: null };
    return { state, end: null };
  }

  /** Page 0 again, after pages that led nowhere: when it did not change, the server does not page. */
  function acceptProbe(state: StitchState, page: ListPage): StitchStep {
    if (signature(page) === state.top) {
      const message = 'the server sends the same rows whatever page is asked for, while the list does not change';
      throw new UpstreamContractError('no_progress', message);
    }
    return { state: { ...state, probing: false, top: signature(page), low: null }, end: null };
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
      const gain = Math.ceil(options.pageSize / 2);
      const wide = alignWidePage({ start: state.start, reach, gain, usualLimit: state.size, wideLimit: ties.limit });
      if (wide !== null) return { state: { ...state, wide }, end: null };
    }
    if ((ties.kind === 'second' || ties.kind === 'day') && typeof last === 'number' && sort !== 'id') {
      const { window: innerWindow, readDownTo } = tieWindow(sort, ties.kind, last);
      const inner = { state: innerWalk(innerWindow).start(), window: innerWindow, readDownTo };
      return { state: { ...state, inner, innerRows: 0, low: null }, end: null };
    }
    return giveUp(
      state,
      `more rows share one ${sort} than one page holds, and this server offers no other way to read them`,
    );
  }

  function acceptInner(state: StitchState, inner: InnerWalk, query: ListQuery, page: ListPage): StitchStep {
    const step = innerWalk(inner.window).accept(inner.state, query, page);
    const innerRows = state.innerRows + page.entries.length;
    if (step.end?.kind !== 'complete') {
      return { state: { ...state, inner: { ...inner, state: step.state }, innerRows }, end: step.end };
    }
    // Everything from `readDownTo` on is read. About so many rows lie before it; a guess too far is stepped back from.
    const start = Math.max(0, state.start + innerRows - state.size);
    const after = { ...advance(state, inner.readDownTo), inner: null, innerRows: 0, start, low: null, noProgress: 0 };
    return { state: after, end: null };
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
      size: options.pageSize,
      widest: options.widest ?? options.pageSize,
      top: null,
      newest: null,
      serverTime: null,
      inner: null,
      innerRows: 0,
    }),
    resume: (state) => ({
      ...state,
      ...UNTROUBLED,
      size: options.pageSize,
      widest: options.widest ?? options.pageSize,
      inner: state.inner && { ...state.inner, state: innerWalk(state.inner.window).resume(state.inner.state) },
    }),
    next,
    accept,
    beginning: ({ newest, serverTime }) => ({ newest, serverTime }),
    shrink(state) {
      if (state.inner === null) {
        const half = halved(state.size);
        // First to the size that pages have usually.
        const size = half !== null && state.size > options.pageSize ? Math.max(half, options.pageSize) : half;
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

const finish = (state: StitchState): StitchStep => ({ state, end: { kind: 'complete' } });

const giveUp = (state: StitchState, reason: string): StitchStep => ({ state, end: { kind: 'gave_up', reason } });

/** The window around a crowded key, and the key down to which everything is read once that window is. */
function tieWindow(field: 'created_at' | 'updated_at', kind: 'second' | 'day', key: number) {
  if (kind === 'second') {
    const second = Math.floor(key / 1000) * 1000;
    return { window: { field, fromMs: second, toMs: second + 1000 }, readDownTo: second - HALF_MS };
  }
  // One day more than claimed: such servers read the day in a time zone of their own.
  const day = Math.floor(key / DAY_MS) * DAY_MS;
  return { window: { field, fromMs: day - DAY_MS }, readDownTo: day - HALF_MS };
}
