import { MOST_ROWS, type Walk } from '../stream.ts';

/** A list that one request answers whole, without pages. */
export function createSnapshotWalk(): Walk {
  return {
    kind: 'snapshot',
    start: () => ({}),
    resume: (state) => state,
    next: () => ({ sort: 'id', direction: 'desc', offset: 0, limit: MOST_ROWS, wantTotal: false }),
    accept: (state) => ({ state, end: { kind: 'complete' } }),
    beginning: () => ({ newest: null, serverTime: null }),
    shrink: () => null,
  };
}
