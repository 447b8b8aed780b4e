import { setImmediate as nextTurn } from 'node:timers/promises';
import { counted } from '../counted.ts';
import { ResponseTooLargeError, TransientError, UpstreamContractError } from '../errors.ts';
import {
  type FetchOptions,
  type List,
  type ListPage,
  type ListQuery,
  MOST_ROWS,
  type WalkState,
  type WalkStep,
} from '../stream.ts';
import type { Span } from '../trace.ts';

export interface WalkedPage<T> {
  readonly prepared: T;
  /** Ids of its records, without those of records that have none. */
  readonly ids: readonly string[];
  readonly step: WalkStep;
  /** The span of this page; it ends when the next one is asked for. */
  readonly span: Span | null;
}

interface Fetched<T> {
  readonly query: ListQuery;
  readonly state: WalkState;
  readonly page: ListPage;
  /** Runs once; later calls return the same. */
  readonly prepare: () => Promise<T>;
  readonly span: Span | null;
}

interface WalkOptions<T> extends FetchOptions {
  /** The run's: each page becomes a part of it. */
  readonly span?: Span | null;
  /** Returns which ids of a page the walk's memory knows; called when everything before the page is written. */
  readonly lookUp: (page: ListPage, prepared: T) => Promise<ReadonlySet<string>>;
  /** True while the run may end behind this page: the next one is then fetched only when the consumer asks for it. */
  readonly holdsBack?: () => boolean;
  /** `askedAt`: `performance.now()` before the request. */
  readonly prepare: (page: ListPage, askedAt: number) => T | Promise<T>;
}

/**
 * The pages of one list: accept → start the next request → map and encode → hand over. The next page is prepared while
 * the consumer writes one; never more than that, so memory holds two and a kill repeats at most two.
 */
export async function* walkPages<T>(
  list: List,
  from: WalkState,
  options: WalkOptions<T>,
): AsyncGenerator<WalkedPage<T>, void, undefined> {
  const ahead = new AbortController();
  const signal = AbortSignal.any([options.signal, ahead.signal]);
  let isAwaited = false;
  const fetch = (state: WalkState): Promise<Fetched<T>> => {
    const arriving = fetchTraced(list, state, { ...options, signal }).then(async (fetched) => {
      // Otherwise the request behind this page is sent first.
      if (isAwaited) return fetched;
      // The consumer is busy: there is time, and the records are garbage while the page waits.
      await fetched.prepare();
      return { ...fetched, page: { ...fetched.page, records: [] } };
    });
    // It is awaited after the page before it is written; until then a failure must not count as unhandled.
    arriving.catch(() => {});
    return arriving;
  };
  let pending: Promise<Fetched<T>> | null = null;
  let current: Span | null = null;
  try {
    for (let next = from; ; ) {
      isAwaited = true;
      const accepted: Accepted<T> = await accept(list, pending ?? fetch(next), options);
      isAwaited = false;
      const { step, span, ids } = accepted;
      current = span;
      pending = step.end === null && options.holdsBack?.() !== true ? fetch(step.state) : null;
      // The request leaves in the next turn; preparing would keep it back.
      if (pending !== null) await nextTurn();
      yield { prepared: await accepted.prepare(), ids, step, span };
      span?.end();
      current = null;
      if (step.end !== null) return;
      next = step.state;
    }
  } finally {
    ahead.abort();
    current?.end();
    // Fetched, and not used any more: the run ends before it.
    void pending?.then(
      ({ span }) => span?.end(),
      () => {},
    );
  }
}

type Accepted<T> = Pick<Fetched<T>, 'prepare' | 'span'> & Pick<WalkedPage<T>, 'step' | 'ids'>;

/** Apart from the loop, so that the records are garbage while the page is being written. */
async function accept<T>(
  { walk }: List,
  arriving: Promise<Fetched<T>>,
  { lookUp }: WalkOptions<T>,
): Promise<Accepted<T>> {
  const { query, state, page, prepare, span } = await arriving;
  try {
    const seen = walk.memory === undefined ? undefined : await lookUp(page, await prepare());
    return { step: walk.accept(state, query, page, seen), ids: idsOn(page), prepare, span };
  } catch (error) {
    span?.end(error);
    throw error;
  }
}

/** Inside a span of its own where traces are wanted; what is done with the page later belongs to it as well. */
async function fetchTraced<T>(list: List, from: WalkState, options: WalkOptions<T>): Promise<Fetched<T>> {
  const span = options.span?.child('page', { 'leadmirror.list': list.id }) ?? null;
  if (span === null) return { ...(await fetchFitting(list, from, options)), span };
  try {
    const fetched = await span.run(() => fetchFitting(list, from, options));
    span.set({ 'leadmirror.page.rows': fetched.page.entries.length });
    return { ...fetched, span };
  } catch (error) {
    span.end(error);
    throw error;
  }
}

/** Asks with half the rows as long as the answer is over the size limit, or a page of more rows than usual fails. */
async function fetchFitting<T>(
  list: List,
  from: WalkState,
  options: WalkOptions<T>,
): Promise<Omit<Fetched<T>, 'span'>> {
  for (let state = from; ; ) {
    const query = list.walk.next(state);
    const askedAt = performance.now();
    try {
      const page = await list.fetchPage(query, query.isTrial ? { ...options, attempts: 1 } : options);
      assertBounded(query, page);
      return { query, state, page, prepare: once(() => options.prepare(page, askedAt)) };
    } catch (error) {
      const mayShrink = error instanceof ResponseTooLargeError || (query.isTrial && error instanceof TransientError);
      const smaller = mayShrink ? list.walk.shrink(state) : null;
      if (smaller === null) throw error;
      state = smaller;
    }
  }
}

/** Refused before anything is mapped: more than was asked for, or more than a list without pages may have. */
function assertBounded({ limit, following }: ListQuery, { records }: ListPage): void {
  const isPaged = following === undefined && limit < MOST_ROWS;
  const most = isPaged ? limit : MOST_ROWS;
  if (records.length <= most) return;
  throw new UpstreamContractError(
    isPaged ? 'page_too_large' : 'list_too_large',
    `asked for ${isPaged ? counted(limit, 'row') : 'a list without pages'}, the server sent ${records.length} (at most ${most} are taken); it does not keep its own rules, or another server answers instead`,
  );
}

/** Runs `work` at the first call, and lets go of it: what it holds is garbage then. */
function once<T>(work: () => T | Promise<T>): () => Promise<T> {
  let todo: typeof work | null = work;
  let done: Promise<T>;
  return () => {
    if (todo !== null) done = (async (run) => run())(todo);
    todo = null;
    return done;
  };
}

export function idsOn(page: ListPage): readonly string[] {
  return page.entries.map(({ id }) => id).filter((id): id is string => id !== null);
}
