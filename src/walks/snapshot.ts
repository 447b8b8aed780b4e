import { type ListPage, type ListQuery, MOST_ROWS, type Walk, type WalkStep } from '../stream.ts';

/** A list that one request answers whole, without pages. */
type SnapshotState = { readonly [key: string]: unknown };

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
