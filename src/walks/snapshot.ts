import type { ListPage, ListQuery, Walk, WalkStep } from '../stream.ts';

/** Of a list without pages; no account has as many departments or members, and no conversation as many messages. */
export const MOST_ROWS = 50_000;

/** A list that one request answers whole, without pages. */
export type SnapshotState = { readonly [key: string]: unknown };

export function createSnapshotWalk(): Walk<SnapshotState> {
  return {
    kind: 'snapshot',
    start: () => ({}),
    resume: (state) => state,
    next: (): ListQuery => ({
      sort: 'id',
      direction: 'desc',
      offset: 0,
      limit: MOST_ROWS,
      wantTotal: false,
    }),
    accept: (state, _query, _page: ListPage): WalkStep<SnapshotState> => ({
      state,
      end: { kind: 'complete' },
    }),
    beginning: () => ({ newest: null, serverTime: null }),
    shrink: () => null,
  };
}
