import type { ListPage, ListQuery, MirrorPosition, Walk, WalkStep } from '../stream.ts';

/**
 * A list without an order of its own: it is asked once for every row of another stream (the messages of each
 * conversation), in the order in which the mirror wrote those. A row that changes upstream is written again, moves to
 * the end, and the next walk meets it.
 *
 * The walk goes up to what was committed when it began, so it always ends, however busy the account. The position in
 * that order is all its state, and the watermark too: nothing turns up behind it later.
 */
export interface FollowState {
  readonly [key: string]: unknown;
  readonly behind: MirrorPosition | null;
  /** Up to when rows were written that belong to this walk, ms; null before the first page. */
  readonly untilMs: number | null;
  /** When the last row seen was written, ms; null: none was seen. */
  readonly newest: number | null;
}

/** `fromMs`: the watermark of the walks before; null: from the first row. */
export function createFollowWalk({ fromMs }: { readonly fromMs: number | null }): Walk<FollowState> {
  return {
    kind: 'follow',
    // Positions are whole milliseconds, and no id is empty.
    start: () => ({ behind: fromMs === null ? null : { at: fromMs + 1, id: '' }, untilMs: null, newest: null }),
    resume: (state) => state,
    next: ({ behind, untilMs }): ListQuery => ({
      sort: 'updated_at',
      direction: 'asc',
      offset: 0,
      limit: 1,
      wantTotal: false,
      following: { behind, untilMs },
    }),
    accept(state, _query, { position, serverTime }: ListPage): WalkStep<FollowState> {
      if (position === undefined) throw new Error('a followed list has to return how far its page goes');
      const untilMs = state.untilMs ?? serverTime;
      if (position === null) return { state: { ...state, untilMs }, end: { kind: 'complete' } };
      return { state: { behind: position, untilMs, newest: position.at }, end: null };
    },
    beginning: ({ newest, untilMs }) => ({ newest, serverTime: untilMs }),
    shrink: () => null,
  };
}
