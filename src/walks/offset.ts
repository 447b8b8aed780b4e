import { UpstreamContractError } from '../errors.ts';
import type { Entry, ListPage, ListQuery, ListWindow, Walk, WalkStep } from '../stream.ts';

/**
 * Offset paging over a list whose order nobody promises and that changes under the reader.
 *
 * Each page begins with the last row of the page before. It is *stitched* when its first row was met before: then nothing that lay in between slid
 * past the reader. Otherwise step back (one page, then doubling), to the top at last. This holds for any order that rows keep among themselves. It is
 * weaker than a sorted walk, so a full walk looks twice before it says that it is complete:
 *
 *   down ──end──> top ──nothing new there──> as many ids met as the list has rows? ──yes──> complete
 *     ^                                                    │ no
 *     └──────────────── another round (three at most) ─────┘
 *
 * Rows that arrive at the front, or jump there when they are touched, are met at the top: it is read down to rows that were left alone, and once more
 * when a row had jumped. An order that changes with every question cannot be read by
 * offsets; the count shows it, and the walk gives up instead of claiming anything.
 */
export interface OffsetOptions {
  /** Rows a page, at least 2: one of them is the overlap. */
  readonly pageSize: number;
  readonly goal: OffsetGoal;
  /** Every question stays inside this window. */
  readonly window?: ListWindow;
  /** `front`: by which date the list shows the newest first; creation unless told. */
  readonly sortedBy?: 'createdAt' | 'updatedAt';
  /**
   * `all`: the end is asked about once more where no count agrees with it. For walks that decide about deletions: a last page that was cut short says
   * "no more" as well as a whole one.
   */
  readonly provesEnd?: boolean;
  readonly maxStepBacks?: number;
}

export type OffsetGoal =
  /** Every row of the list; the engine keeps the ids met. */
  | 'all'
  /** Every row of a window: short, so the last page's ids are memory enough. */
  | 'window'
  /** New rows at the front, until a whole page is in the mirror as it is. Needs a list that is sorted by creation, newest first. */
  | 'front';

export interface OffsetState {
  readonly [key: string]: unknown;
  readonly offset: number;
  readonly size: number;
  readonly phase: 'down' | 'top';
  /** Ids of the last stitched page; not kept for `all`, where the engine knows. */
  readonly tail: readonly string[];
  /** Distinct ids met so far (`all` only). */
  readonly met: number;
  /** Rows without an id, this round. */
  readonly nameless: number;
  /** The furthest place this round has read to. */
  readonly reached: number;
  /** Pages in a row that should have gone further and were the first page once more. */
  readonly echoes: number;
  /** First and last id of the list's first page, and how many rows it had. */
  readonly head: string;
  /** What this round has shown, in its order, as a number; and what the round before has shown. */
  readonly digest: number;
  readonly digestBefore: number;
  /** This look at the top met a row for the first time that is older than the walk: it jumped there, and others may have since. */
  readonly hasJumped: boolean;
  /** Rows in the list when its end was met. */
  readonly length: number;
  readonly rounds: number;
  /** Rows to step back by next time; 0 while stitched. */
  readonly back: number;
  readonly stepBacks: number;
  /** Stitched pages in a row that led nowhere though more rows were promised: the next question goes beyond the last row. */
  readonly stalls: number;
  /** Answers in a row that looked like the end and did not prove it. */
  readonly doubts: number;
  /** Taken up again after a stop: rows may have arrived above since. */
  readonly isResumed: boolean;
  /** Newest creation met, ms, and the server's clock at the first page. */
  readonly newest: number | null;
  readonly serverTime: number | null;
}

type Step = WalkStep<OffsetState>;

const MAX_ROUNDS = 3;
const MAX_STALLS = 3;
const MAX_ECHOES = 3;
const DEFAULT_MAX_STEP_BACKS = 60;
/** Servers may read a window's bounds in a time zone of their own, and include or exclude them. */
const WINDOW_TOLERANCE_MS = 86_400_000;

export function createOffsetWalk(options: OffsetOptions): Walk<OffsetState> {
  const { pageSize, goal, window, sortedBy = 'createdAt', provesEnd = false } = options;
  const maxStepBacks = options.maxStepBacks ?? DEFAULT_MAX_STEP_BACKS;

  const start = (): OffsetState => ({
    offset: 0,
    size: pageSize,
    phase: 'down',
    tail: [],
    met: 0,
    nameless: 0,
    reached: 0,
    echoes: 0,
    head: '',
    digest: 0,
    digestBefore: 0,
    hasJumped: false,
    length: 0,
    rounds: 1,
    back: 0,
    stepBacks: 0,
    stalls: 0,
    doubts: 0,
    isResumed: false,
    newest: null,
    serverTime: null,
  });

  function next({ offset, size }: OffsetState): ListQuery {
    const query = { sort: 'created_at', direction: 'desc', offset, limit: size, wantTotal: false } as const;
    return window === undefined ? query : { ...query, window };
  }

  function accept(before: OffsetState, query: ListQuery, page: ListPage, familiar = NOTHING): Step {
    assertFits(query, page);
    const ids = idsOf(page.entries);
    const wasMet = goal === 'all' ? familiar : new Set(before.tail);
    const state = noteTimes(before, page);
    const isTop = query.offset === 0;
    if (ids.length === 0) return acceptNothing(state, query, page);
    if (!isTop && !wasMet.has(ids[0] ?? '')) return stepBack(state);
    if (goal === 'front') {
      const isWhole = isTop && looksLikeEnd(state, query, page) === 'yes';
      if (isTop && !isWhole && !isNewestFirst(page.entries, sortedBy)) return giveUp(state, NOT_NEWEST_FIRST);
      if (ids.every((id) => familiar.has(id))) return finishFront(state);
    }
    const fresh = [...new Set(ids)].filter((id) => !wasMet.has(id));
    const hasJumped = state.hasJumped || (state.phase === 'top' && holdsOld(state, page, new Set(fresh)));
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
    const isEcho =
      reach > state.reached && fresh.length === 0 && offset > 0 && ids.length > 0 && signatureOf(page) === state.head;
    if (isEcho && state.echoes + 1 >= MAX_ECHOES) throw offsetIgnored();
    const read: OffsetState = {
      ...state,
      back: 0,
      echoes: isEcho ? state.echoes + 1 : 0,
      reached: Math.max(state.reached, reach),
      head: offset === 0 ? signatureOf(page) : state.head,
      nameless: state.nameless + (isDown ? further.filter(({ id }) => id === null).length : 0),
      digest: isDown ? digestOf(state.digest, offset, ids) : state.digest,
    };
    return goal === 'all' ? { ...read, met: state.met + fresh.length } : { ...read, tail: ids };
  }

  function goOn(state: OffsetState, query: ListQuery, page: ListPage, fresh: readonly string[]): Step {
    const met = goal === 'all' ? { met: fresh } : {};
    const reach = query.offset + page.entries.length;
    if (state.phase === 'top' && fresh.length === 0 && reachesQuiet(state, page)) return leaveTop(state);
    const seeming = looksLikeEnd(state, query, page);
    const end = seeming === 'yes' && !isProven(state, reach, page, fresh) ? 'doubtful' : seeming;
    // The same page again, however far the question went: the server knows no pages, and this was all.
    if (end === 'same') return { ...complete(state), ...met };
    if (end === 'yes') return { ...atEnd({ ...state, doubts: 0, stalls: 0 }, reach, query.offset === 0), ...met };
    const isStalled = reach - 1 - namelessTail(page.entries) <= query.offset && fresh.length === 0;
    const stalls = isStalled ? state.stalls + 1 : 0;
    if (stalls >= MAX_STALLS) throw moreWithoutRows(reach);
    // The last row answers for itself only: what is behind it has to be asked without it.
    const offset = Math.max(isStalled ? reach : reach - 1 - namelessTail(page.entries), 0);
    const doubts = end === 'doubtful' ? state.doubts + 1 : 0;
    return { state: { ...state, offset, stalls, doubts }, end: null, ...met };
  }

  /** The count agrees, or the question from the last row on brought nothing new. */
  const isProven = ({ doubts }: OffsetState, reach: number, { total }: ListPage, fresh: readonly string[]): boolean =>
    !provesEnd || (total !== null && reach >= total) || (doubts > 0 && fresh.length === 0);

  /** An empty answer at the top may be an empty list; further down it says that the list got shorter than the place, or that nothing follows it. */
  function acceptNothing(state: OffsetState, query: ListQuery, page: ListPage): Step {
    const { length: rows } = page.entries;
    if (rows > 0) return goOn(remember(state, query, page, { ids: state.tail, fresh: [] }), query, page, []);
    const isBeyond = state.stalls > 0;
    if (page.hasMore === true && (query.offset === 0 || isBeyond)) throw moreWithoutRows(query.offset);
    if (isBeyond) return atEnd({ ...state, stalls: 0 }, query.offset, false);
    if (query.offset > 0) return stepBack(state);
    if (state.met > 0 || state.tail.length > 0) {
      throw new UpstreamContractError(
        'suddenly_empty',
        'the list became empty while it was read; nothing is concluded from that, and the next run goes on from here',
      );
    }
    // A full walk does not take one empty answer for an empty account.
    if (goal === 'all' && state.doubts === 0) return { state: { ...state, doubts: 1 }, end: null };
    return complete(state);
  }

  function stepBack(state: OffsetState): Step {
    if (state.stepBacks >= maxStepBacks) {
      return giveUp(
        state,
        `rows kept changing places under the reader: ${maxStepBacks} steps back did not find the place again`,
      );
    }
    const back = state.back === 0 ? state.size - 1 : state.back * 2;
    const offset = Math.max(0, state.offset - back);
    return {
      state: { ...state, offset, back, stepBacks: state.stepBacks + 1, stalls: 0, doubts: 0 },
      end: null,
    };
  }

  function atEnd(state: OffsetState, length: number, isOnlyPage: boolean): Step {
    if (goal === 'window') return complete(state);
    if (goal === 'front') return finishFront(state);
    if (state.phase === 'top') return leaveTop(state);
    const ended = { ...state, length };
    return isOnlyPage ? close(ended) : lookAtTop(ended);
  }

  const lookAtTop = (state: OffsetState): Step => ({
    state: { ...state, phase: 'top', offset: 0, hasJumped: false },
    end: null,
  });

  /** Ends, because each look that is not the last met an old row that was not met before. */
  const leaveTop = (state: OffsetState): Step => (state.hasJumped ? lookAtTop(state) : close(state));

  /**
   * A list of so many rows has so many ids. Fewer met: some row was never shown, whatever it looked like. Unless two rounds have shown the same rows in the
   * same order: then the list itself repeats some.
   */
  function close(state: OffsetState): Step {
    const isRepeated = state.digest !== 0 && state.digest === state.digestBefore;
    if (state.met + state.nameless >= state.length || isRepeated) return complete(state);
    if (state.rounds >= MAX_ROUNDS) {
      return giveUp(
        state,
        `the list has ${state.length} rows and showed only ${state.met} of them in ${MAX_ROUNDS} rounds; its order seems to change with every question`,
      );
    }
    const round = { rounds: state.rounds + 1, reached: 0, nameless: 0, digest: 0, digestBefore: state.digest };
    return { state: { ...state, ...round, phase: 'down', offset: 0 }, end: null };
  }

  function finishFront(state: OffsetState): Step {
    if (state.phase === 'top' || !state.isResumed) return complete(state);
    return { state: { ...state, phase: 'top', offset: 0, tail: [], back: 0, doubts: 0 }, end: null };
  }

  return {
    kind: `offset.${goal}`,
    ...(goal === 'all' ? { memory: 'walk' as const, memorized: ({ met }: OffsetState) => met } : {}),
    ...(goal === 'front' ? { memory: 'mirror' as const } : {}),
    start,
    resume: (state) => ({
      ...state,
      size: pageSize,
      back: 0,
      stepBacks: 0,
      stalls: 0,
      doubts: 0,
      rounds: 1,
      echoes: 0,
      digest: 0,
      digestBefore: 0,
      isResumed: true,
    }),
    next,
    accept,
    beginning: ({ newest, serverTime }) => ({ newest, serverTime }),
    shrink: (state) => (state.size > 2 ? { ...state, size: Math.max(2, Math.ceil(state.size / 2)) } : null),
  };
}

const NOTHING: ReadonlySet<string> = new Set();

const NOT_NEWEST_FIRST =
  'this list is not sorted by creation (newest first), so its front does not show what is new; new rows arrive with the full walk (SYNC_RECONCILE_CRON)';

const complete = (state: OffsetState): Step => ({ state, end: { kind: 'complete' } });

const giveUp = (state: OffsetState, reason: string): Step => ({ state, end: { kind: 'gave_up', reason } });

function offsetIgnored(): UpstreamContractError {
  return new UpstreamContractError(
    'no_progress',
    'the server sends the same rows whatever offset is asked for; this list cannot be read page by page',
  );
}

function moreWithoutRows(rows: number): UpstreamContractError {
  const message = `the server says that more rows follow the first ${rows} and does not send any`;
  return new UpstreamContractError('more_without_rows', message);
}

/** Rows without an id at the end of a page: the overlap has to begin before them, with a row that can be known again. */
function namelessTail(entries: readonly Entry[]): number {
  const named = entries.findLastIndex(({ id }) => id !== null);
  return named < 0 ? 0 : entries.length - 1 - named;
}

const signatureOf = ({ entries }: ListPage): string => `${entries[0]?.id} ${entries.at(-1)?.id} ${entries.length}`;

/** FNV-1a: enough to tell two orders of the same rows apart. */
function digestOf(digest: number, offset: number, ids: readonly string[]): number {
  let hash = digest === 0 ? 0x811c9dc5 : digest;
  for (const character of `${offset} ${ids.join(' ')}`)
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}

function idsOf(entries: readonly Entry[]): string[] {
  return entries.map(({ id }) => id).filter((id): id is string => id !== null);
}

/**
 * In a list sorted by change, rows that jumped to the front lie above all that were left alone since the walk began, seen ones between unseen ones. Where
 * rows carry no time of change, nothing can be told.
 */
function reachesQuiet({ serverTime }: OffsetState, page: ListPage): boolean {
  return serverTime === null || page.entries.some(({ updatedAt }) => updatedAt === null || updatedAt < serverTime);
}

/** Whether rows that are new to the walk were there before it began. */
function holdsOld({ serverTime }: OffsetState, page: ListPage, fresh: ReadonlySet<string>): boolean {
  if (serverTime === null) return false;
  return page.entries.some(
    ({ id, createdAt }) => id !== null && fresh.has(id) && (createdAt === null || createdAt < serverTime),
  );
}

/**
 * Whether nothing follows this page. The server's word goes first. Without one, a page is believed to be the last when it is shorter than the size the
 * server says it used and no count speaks against it; anything less is asked about once more, from its last row on: nothing behind that row is the end.
 */
function looksLikeEnd(state: OffsetState, query: ListQuery, page: ListPage): 'yes' | 'no' | 'doubtful' | 'same' {
  if (typeof page.hasMore === 'boolean') return page.hasMore ? 'no' : 'yes';
  const count = page.entries.length;
  if (count >= query.limit) return 'no';
  const isShort = page.pageSize !== null && count < page.pageSize;
  const isCounted = page.total === null || query.offset + count >= page.total;
  if (isShort && isCounted) return 'yes';
  if (state.doubts === 0) return 'doubtful';
  if (state.echoes >= 2) return 'same';
  return count <= 1 ? 'yes' : 'doubtful';
}

function noteTimes(state: OffsetState, page: ListPage): OffsetState {
  const serverTime = state.serverTime ?? page.serverTime;
  let newest = state.newest;
  for (const { createdAt } of page.entries) {
    if (createdAt === null) continue;
    // A row from the future would keep the next windows empty for ever.
    const at = page.serverTime === null ? createdAt : Math.min(createdAt, page.serverTime);
    if (newest === null || at > newest) newest = at;
  }
  return { ...state, serverTime, newest };
}

function isNewestFirst(entries: readonly Entry[], sortedBy: 'createdAt' | 'updatedAt'): boolean {
  const times = entries.map((entry) => entry[sortedBy]).filter((at) => at !== null);
  return times.every((at, index) => index === 0 || at <= (times[index - 1] ?? at));
}

function assertFits(query: ListQuery, page: ListPage): void {
  if (page.entries.length > query.limit) {
    throw new UpstreamContractError(
      'page_too_large',
      `asked for ${query.limit} rows, the server sent ${page.entries.length}; it does not keep its own paging rules`,
    );
  }
  const { fromMs, toMs } = query.window ?? {};
  const isOutside = ({ createdAt: at }: Entry) =>
    at !== null &&
    ((fromMs !== undefined && at < fromMs - WINDOW_TOLERANCE_MS) ||
      (toMs !== undefined && at > toMs + WINDOW_TOLERANCE_MS));
  if (page.entries.some(isOutside)) {
    throw new UpstreamContractError(
      'window_ignored',
      'the server sent rows from far outside the asked range of creation; it does not filter by date as it did when it was probed',
    );
  }
}
