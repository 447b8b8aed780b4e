import { counted } from '../counted.ts';
import { UpstreamContractError } from '../errors.ts';
import type { ListPage, ListQuery, ListWindow, Walk, WalkStep } from '../stream.ts';
import {
  digestOf,
  holdsOld,
  isNewestFirst,
  looksLikeEnd,
  newestOf,
  reachesQuiet,
  signatureOf,
  tailWithoutId,
} from './offset-page.ts';
import { assertInsideWindow, halved, idsOn, MAX_STEP_BACKS, pageTooLarge } from './page-check.ts';

/**
 * Offset paging over a list without a guaranteed order that changes under the reader.
 *
 * Each page begins with the last row of the page before. It is *stitched* when its first row was seen before: then no
 * row in between slid past the reader. Otherwise step back (one page, then doubling), to the top at last. This holds
 * for any order that rows keep among themselves; it is weaker than a sorted walk, so a full sync looks twice:
 *
 *   down ──end──> top ──nothing new there──> as many ids seen as the list has rows? ──yes──> complete
 *     ^                                                    │ no
 *     └──────────────── another round (three at most) ─────┘
 *
 * Rows that arrive at the front, or jump there, are seen at the top: it is read down to rows that did not change, and
 * once more when a row had jumped. An order that changes with every question shows in the count.
 */
export interface OffsetOptions {
  /** Rows a page, at least 2: one of them is the overlap. */
  readonly pageSize: number;
  readonly goal: OffsetGoal;
  readonly window?: ListWindow;
  /** `front`: by which date the list shows the newest first; default: creation. */
  readonly sortedBy?: 'createdAt' | 'updatedAt';
  /** `all`: the end is asked about once more where no count agrees with it. For walks that decide about deletions. */
  readonly verifiesEnd?: boolean;
}

type OffsetGoal =
  /** Every row of the list; the engine keeps the ids seen. */
  | 'all'
  /** Every row of a window: short, so the last page's ids are memory enough. */
  | 'window'
  /** New rows at the front, up to a whole page that the mirror holds. Needs a list sorted by creation. */
  | 'front';

export interface OffsetState {
  readonly [key: string]: unknown;
  readonly offset: number;
  readonly size: number;
  readonly phase: 'down' | 'top';
  /** Ids of the last stitched page; not kept for `all`, where the engine knows. */
  readonly tail: readonly string[];
  readonly seen: number;
  readonly withoutId: number;
  readonly reached: number;
  /** Pages in a row that should have gone further and were the first page once more. */
  readonly repeats: number;
  readonly head: string;
  /** What this round has shown, in its order, as a number; and what the round before has shown. */
  readonly digest: number;
  readonly digestBefore: number;
  /** This look at the top showed a new row that is older than the walk: it jumped there, and others may have since. */
  readonly hasJumped: boolean;
  readonly length: number;
  readonly rounds: number;
  /** Rows to step back by next time; 0 while stitched. */
  readonly back: number;
  readonly stepBacks: number;
  /** Stitched pages in a row without progress: the next question goes beyond the last row. */
  readonly noProgress: number;
  /** Responses in a row that looked like the end without confirming it. */
  readonly unconfirmed: number;
  /** Taken up again after a stop: rows may have arrived above since. */
  readonly isResumed: boolean;
  readonly newest: number | null;
  readonly serverTime: number | null;
}

type OffsetStep = WalkStep<OffsetState>;

const MAX_ROUNDS = 3;
const MAX_NO_PROGRESS = 3;
const MAX_REPEATS = 3;
/** Servers may read a window's bounds in a time zone of their own, and include or exclude them. */
const WINDOW_TOLERANCE_MS = 86_400_000;

export function createOffsetWalk(options: OffsetOptions): Walk<OffsetState> {
  const { pageSize, goal, window, sortedBy = 'createdAt', verifiesEnd = false } = options;

  const begin = (): OffsetState => ({
    ...UNTROUBLED,
    offset: 0,
    size: pageSize,
    phase: 'down',
    tail: [],
    seen: 0,
    withoutId: 0,
    reached: 0,
    head: '',
    hasJumped: false,
    length: 0,
    isResumed: false,
    newest: null,
    serverTime: null,
  });

  function next({ offset, size }: OffsetState): ListQuery {
    return { sort: 'created_at', direction: 'desc', offset, limit: size, wantTotal: false, ...(window && { window }) };
  }

  function accept(before: OffsetState, query: ListQuery, page: ListPage, known = NOTHING): OffsetStep {
    if (page.entries.length > query.limit) throw pageTooLarge(query, page);
    assertInsideWindow(query, page.entries, WINDOW_TOLERANCE_MS);
    const ids = idsOn(page);
    const wasSeen = goal === 'all' ? known : new Set(before.tail);
    const serverTime = before.serverTime ?? page.serverTime;
    const state = { ...before, serverTime, newest: newestOf(before.newest, page) };
    const isTop = query.offset === 0;
    if (ids.length === 0) return acceptNothing(state, query, page);
    if (!isTop && !wasSeen.has(ids[0] ?? '')) return stepBack(state);
    if (goal === 'front') {
      const isWhole = isTop && looksLikeEnd(state, query, page) === 'yes';
      if (isTop && !isWhole && !isNewestFirst(page.entries, sortedBy)) return giveUp(state, NOT_NEWEST_FIRST);
      if (ids.every((id) => known.has(id))) return finishFront(state);
    }
    const fresh = [...new Set(ids)].filter((id) => !wasSeen.has(id));
    const hasJumped = state.hasJumped || (state.phase === 'top' && holdsOld(page, state.serverTime, new Set(fresh)));
    return goOn({ ...remember(state, query, page, { ids, fresh }), hasJumped }, query, page, fresh);
  }

  function remember(
    state: OffsetState,
    { offset }: ListQuery,
    page: ListPage,
    { ids, fresh }: { ids: readonly string[]; fresh: readonly string[] },
  ): OffsetState {
    const isDown = state.phase === 'down';
    const reach = offset + page.entries.length;
    const further = page.entries.slice(Math.max(0, state.reached - offset));
    const isRepeat =
      reach > state.reached && fresh.length === 0 && offset > 0 && ids.length > 0 && signatureOf(page) === state.head;
    if (isRepeat && state.repeats + 1 >= MAX_REPEATS) {
      throw new UpstreamContractError(
        'no_progress',
        'the server sends the same rows whatever offset is asked for; this list cannot be read page by page',
      );
    }
    const read: OffsetState = {
      ...state,
      back: 0,
      repeats: isRepeat ? state.repeats + 1 : 0,
      reached: Math.max(state.reached, reach),
      head: offset === 0 ? signatureOf(page) : state.head,
      withoutId: state.withoutId + (isDown ? further.filter(({ id }) => id === null).length : 0),
      digest: isDown ? digestOf(state.digest, offset, ids) : state.digest,
    };
    return goal === 'all' ? { ...read, seen: state.seen + fresh.length } : { ...read, tail: ids };
  }

  function goOn(state: OffsetState, query: ListQuery, page: ListPage, fresh: readonly string[]): OffsetStep {
    const seen = goal === 'all' ? { seen: fresh } : {};
    const reach = query.offset + page.entries.length;
    if (state.phase === 'top' && fresh.length === 0 && reachesQuiet(page, state.serverTime)) return leaveTop(state);
    const seeming = looksLikeEnd(state, query, page);
    const end = seeming === 'yes' && !isConfirmed(state, reach, page, fresh) ? 'unconfirmed' : seeming;
    // The same page again, however far the question went: the server knows no pages, and this was all.
    if (end === 'same') return { ...complete(state), ...seen };
    const untroubled = { ...state, unconfirmed: 0, noProgress: 0 };
    if (end === 'yes') return { ...atEnd(untroubled, reach, query.offset === 0), ...seen };
    const last = reach - 1 - tailWithoutId(page.entries);
    const hasNoProgress = last <= query.offset && fresh.length === 0;
    const noProgress = hasNoProgress ? state.noProgress + 1 : 0;
    if (noProgress >= MAX_NO_PROGRESS) throw moreWithoutRows(reach);
    // The last row answers for itself only: what is behind it has to be asked without it.
    const offset = Math.max(hasNoProgress ? reach : last, 0);
    const unconfirmed = end === 'unconfirmed' ? state.unconfirmed + 1 : 0;
    return { state: { ...state, offset, noProgress, unconfirmed }, end: null, ...seen };
  }

  /** The count agrees, or the question from the last row on brought nothing new. */
  function isConfirmed({ unconfirmed }: OffsetState, reach: number, { total }: ListPage, fresh: readonly string[]) {
    return !verifiesEnd || (total !== null && reach >= total) || (unconfirmed > 0 && fresh.length === 0);
  }

  /** An empty answer at the top may be an empty list; further down the list got shorter, or nothing follows. */
  function acceptNothing(state: OffsetState, query: ListQuery, page: ListPage): OffsetStep {
    const { length: rows } = page.entries;
    if (rows > 0) return goOn(remember(state, query, page, { ids: state.tail, fresh: [] }), query, page, []);
    const isBeyond = state.noProgress > 0;
    if (page.hasMore === true && (query.offset === 0 || isBeyond)) throw moreWithoutRows(query.offset);
    if (isBeyond) return atEnd({ ...state, noProgress: 0 }, query.offset, false);
    if (query.offset > 0) return stepBack(state);
    if (state.seen > 0 || state.tail.length > 0) {
      // What the run before had read of a list of changes may be gone. To go on from there would end here each time.
      if (goal !== 'all' && state.isResumed) return goOnWith(begin());
      throw new UpstreamContractError(
        'suddenly_empty',
        'the list became empty while it was read; nothing is concluded from that, and the next run goes on from here',
      );
    }
    // A full sync does not take one empty response for an empty account.
    if (goal === 'all' && state.unconfirmed === 0) return goOnWith({ ...state, unconfirmed: 1 });
    return complete(state);
  }

  function stepBack(state: OffsetState): OffsetStep {
    if (state.stepBacks >= MAX_STEP_BACKS) {
      const reason = `rows kept changing positions: ${MAX_STEP_BACKS} steps back did not find the position again`;
      return giveUp(state, reason);
    }
    const back = state.back === 0 ? state.size - 1 : state.back * 2;
    const offset = Math.max(0, state.offset - back);
    return goOnWith({ ...state, offset, back, stepBacks: state.stepBacks + 1, noProgress: 0, unconfirmed: 0 });
  }

  function atEnd(state: OffsetState, length: number, isOnlyPage: boolean): OffsetStep {
    if (goal === 'window') return complete(state);
    if (goal === 'front') return finishFront(state);
    if (state.phase === 'top') return leaveTop(state);
    const ended = { ...state, length };
    return isOnlyPage ? close(ended) : lookAtTop(ended);
  }

  const lookAtTop = (state: OffsetState) => goOnWith({ ...state, phase: 'top', offset: 0, hasJumped: false });

  /** Ends, because each look that is not the last saw an old row for the first time. */
  const leaveTop = (state: OffsetState): OffsetStep => (state.hasJumped ? lookAtTop(state) : close(state));

  /**
   * Fewer ids seen than the list has rows: some row was never shown. Unless two rounds have shown the same rows in the
   * same order: then the list itself repeats some.
   */
  function close(state: OffsetState): OffsetStep {
    const isRepeated = state.digest !== 0 && state.digest === state.digestBefore;
    if (state.seen + state.withoutId >= state.length || isRepeated) return complete(state);
    if (state.rounds >= MAX_ROUNDS) {
      return giveUp(
        state,
        `the list has ${counted(state.length, 'row')} and showed only ${state.seen} of them in ${MAX_ROUNDS} rounds; its order seems to change with every question`,
      );
    }
    const round = { rounds: state.rounds + 1, reached: 0, withoutId: 0, digest: 0, digestBefore: state.digest };
    return goOnWith({ ...state, ...round, phase: 'down', offset: 0 });
  }

  function finishFront(state: OffsetState): OffsetStep {
    if (state.phase === 'top' || !state.isResumed) return complete(state);
    return goOnWith({ ...state, phase: 'top', offset: 0, tail: [], back: 0, unconfirmed: 0 });
  }

  return {
    kind: `offset.${goal}`,
    ...(goal === 'all' ? { memory: 'walk' as const, memorized: ({ seen }: OffsetState) => seen } : {}),
    ...(goal === 'front' ? { memory: 'mirror' as const } : {}),
    start: begin,
    resume: (state) => ({ ...state, ...UNTROUBLED, size: pageSize, isResumed: true }),
    next,
    accept,
    beginning: ({ newest, serverTime }) => ({ newest, serverTime }),
    shrink(state) {
      const size = halved(state.size, 2);
      return size === null ? null : { ...state, size };
    },
  };
}

const NOTHING: ReadonlySet<string> = new Set();

/** What a walk that is taken up again does not remember. */
const UNTROUBLED = {
  back: 0,
  stepBacks: 0,
  noProgress: 0,
  unconfirmed: 0,
  rounds: 1,
  repeats: 0,
  digest: 0,
  digestBefore: 0,
} as const;

const NOT_NEWEST_FIRST =
  'this list is not sorted by creation (newest first), so its front does not show what is new; new rows arrive with the full sync (SYNC_RECONCILE_CRON)';

const goOnWith = (state: OffsetState): OffsetStep => ({ state, end: null });

const complete = (state: OffsetState): OffsetStep => ({ state, end: { kind: 'complete' } });

const giveUp = (state: OffsetState, reason: string): OffsetStep => ({ state, end: { kind: 'gave_up', reason } });

function moreWithoutRows(rows: number): UpstreamContractError {
  const message = `the server reports that more rows follow the first ${rows} and does not send any`;
  return new UpstreamContractError('more_without_rows', message);
}
