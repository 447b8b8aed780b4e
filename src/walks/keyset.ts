import type { ListPage, ListQuery, Walk, WalkStep } from '../stream.ts';
import { halved, lastKey, readPage, unconfirmedEnd } from './page-check.ts';
import { createStitchWalk, type StitchState } from './stitch.ts';

/**
 * Keyset windows: a full read by creation time, newest first, for servers that filter on it. Each question ends at the
 * oldest row read so far, rounded up to the second, and asks for page 0: rows that vanish cannot shift the rest,
 * because creation times never change.
 *
 * A second with more rows than a page holds is read by id, stitched. The filter leaves out rows without a date: the
 * walk closes by reading the ascending head of the list, where those are; when they fill a page, all is read by id.
 */
export interface KeysetOptions {
  readonly pageSize: number;
}

interface KeysetState {
  readonly [key: string]: unknown;
  readonly phase: 'windows' | 'second' | 'head' | 'by_id';
  /** Upper end of the next window (ms, a whole second); null: no end yet. */
  readonly toMs: number | null;
  /** Walk by id: through the second that ends at `toMs`, or through everything. */
  readonly inner: StitchState | null;
  readonly size: number;
  readonly unconfirmed: number;
}

type KeysetStep = WalkStep<KeysetState>;

export function createKeysetWalk({ pageSize }: KeysetOptions): Walk<KeysetState> {
  const byId = createStitchWalk({ sort: 'id', pageSize });
  const secondWalk = (toMs: number) =>
    createStitchWalk({ sort: 'id', pageSize, window: { field: 'created_at', fromMs: toMs - 1000, toMs } });

  function next(state: KeysetState): ListQuery {
    const { phase, toMs, inner } = state;
    if (phase === 'by_id' && inner !== null) return byId.next(inner);
    if (phase === 'second' && inner !== null && toMs !== null) return secondWalk(toMs).next(inner);
    const wantTotal = toMs === null || state.unconfirmed > 0;
    const query = { sort: 'created_at', offset: 0, limit: state.size, wantTotal } as const;
    if (phase === 'head') return { ...query, direction: 'asc', wantTotal: state.unconfirmed > 0 };
    return { ...query, direction: 'desc', ...(toMs === null ? {} : { window: { field: 'created_at', toMs } }) };
  }

  function acceptWindow(state: KeysetState, query: ListQuery, page: ListPage): KeysetStep {
    const { keys, isFull } = readPage(query, page);
    const oldest = lastKey(keys) as number | null;
    if (!isFull) {
      const unconfirmed = unconfirmedEnd(page, keys.length, state.unconfirmed);
      if (unconfirmed !== null) return goOn({ ...state, unconfirmed });
      // Without a window the page contained all rows, those without a date too.
      if (state.toMs === null) return { state, end: { kind: 'complete' } };
      return goOn({ ...state, phase: 'head', unconfirmed: 0 });
    }
    if (oldest === null) return goOn({ ...state, phase: 'by_id', inner: byId.start(), unconfirmed: 0 });
    const toMs = Math.ceil(oldest / 1000) * 1000;
    if (state.toMs !== null && toMs >= state.toMs) {
      return goOn({ ...state, phase: 'second', inner: secondWalk(state.toMs).start(), unconfirmed: 0 });
    }
    return goOn({ ...state, toMs, unconfirmed: 0 });
  }

  function acceptSecond(state: KeysetState, inner: StitchState, query: ListQuery, page: ListPage): KeysetStep {
    if (state.toMs === null) throw new Error('a crowded second without its end');
    const step = secondWalk(state.toMs).accept(inner, query, page);
    if (step.end?.kind !== 'complete') return { state: { ...state, inner: step.state }, end: step.end };
    // Both ends of a window belong to it: the rows at its lower end are seen again.
    return goOn({ ...state, phase: 'windows', inner: null, toMs: state.toMs - 1000 });
  }

  function acceptHead(state: KeysetState, query: ListQuery, page: ListPage): KeysetStep {
    const { keys, isFull } = readPage(query, page);
    if (keys.length > 0 && keys.at(-1) !== null) return { state, end: { kind: 'complete' } };
    if (isFull) return goOn({ ...state, phase: 'by_id', inner: byId.start() });
    const unconfirmed = unconfirmedEnd(page, keys.length, state.unconfirmed);
    return unconfirmed === null ? { state, end: { kind: 'complete' } } : goOn({ ...state, unconfirmed });
  }

  return {
    kind: 'keyset.created_at',
    start: () => ({ phase: 'windows', toMs: null, inner: null, size: pageSize, unconfirmed: 0 }),
    resume: (state) => ({
      ...state,
      size: pageSize,
      unconfirmed: 0,
      inner: state.inner === null ? null : byId.resume(state.inner),
    }),
    next,
    accept: (state, query, page) => {
      if (state.phase === 'windows') return acceptWindow(state, query, page);
      if (state.phase === 'head') return acceptHead(state, query, page);
      if (state.inner === null) throw new Error('a walk by id without its state');
      if (state.phase === 'second') return acceptSecond(state, state.inner, query, page);
      const step = byId.accept(state.inner, query, page);
      return { ...step, state: { ...state, inner: step.state } };
    },
    beginning: () => ({ newest: null, serverTime: null }),
    shrink(state) {
      if (state.inner === null) {
        const size = halved(state.size);
        return size === null ? null : { ...state, size };
      }
      const inner = byId.shrink(state.inner);
      return inner === null ? null : { ...state, inner };
    },
  };
}

const goOn = (state: KeysetState): KeysetStep => ({ state, end: null });
