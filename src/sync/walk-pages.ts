import { ResponseTooLargeError } from '../errors.ts';
import type { FetchOptions, List, ListPage, ListQuery, WalkState, WalkStep } from '../stream.ts';
import type { Span } from '../trace.ts';

export interface WalkedPage<T> {
  /** The page as the consumer prepared it for writing. */
  readonly prepared: T;
  /** Ids of its records; those without one left out. */
  readonly ids: readonly string[];
  readonly step: WalkStep;
  /** Starts fetching the next page. To be called when this one is on its way to the database; without it, that begins with the next turn. */
  readonly fetchAhead: () => void;
  /** Of this page; it ends when the next one is asked for. */
  readonly span: Span | null;
}

/** Pages do not get smaller than that because they are heavy: requests are dearer than memory. */
const FEW_ROWS = 20;

interface Fetched<T> {
  readonly query: ListQuery;
  readonly state: WalkState;
  readonly page: ListPage;
  readonly prepared: T;
  readonly span: Span | null;
}

export interface WalkOptions<T> extends FetchOptions {
  /** The run's: each page becomes a part of it. */
  readonly span?: Span | null;
  /** Which ids of a page the walk's memory knows; asked when everything before the page is written. */
  readonly recall: (page: ListPage, prepared: T) => Promise<ReadonlySet<string>>;
  /** A page so large that the next ones are asked for with half the rows: two of them are in memory at a time, each more than once. */
  readonly isHeavy?: (prepared: T) => boolean;
  /** Called as soon as a page has arrived, while the one before it is still being written. `askedAt`: `performance.now()` before the request. */
  readonly prepare: (page: ListPage, askedAt: number) => T;
}

/**
 * The pages of one list, in the order of its walk. While the consumer writes a page, the next one is already being fetched and prepared; never more than that
 * one, so memory holds two pages, and a kill repeats at most two.
 */
export async function* walkPages<T>(
  list: List,
  from: WalkState,
  options: WalkOptions<T>,
): AsyncGenerator<WalkedPage<T>, void, undefined> {
  const ahead = new AbortController();
  const signal = AbortSignal.any([options.signal, ahead.signal]);
  const fetch = (state: WalkState): Promise<Fetched<T>> => {
    const fetched = fetchTraced(list, state, { ...options, signal });
    // It is awaited after the page before it is written; until then a failure must not count as unhandled.
    fetched.catch(() => {});
    return fetched;
  };
  let pending: Promise<Fetched<T>> | null = null;
  const take = (state: WalkState): Promise<Fetched<T>> => {
    const taken = pending ?? fetch(state);
    pending = null;
    return taken;
  };
  let current: Span | null = null;
  try {
    for (let next = from; ; ) {
      const { step, ...accepted } = await accept(list, take(next), options);
      current = accepted.span;
      const fetchAhead = () => {
        if (step.end === null) pending ??= fetch(step.state);
      };
      yield { ...accepted, step, fetchAhead };
      current?.end();
      current = null;
      if (step.end !== null) return;
      next = step.state;
    }
  } finally {
    ahead.abort();
    current?.end();
    // Fetched, and not looked at any more: the run ends before it.
    const unused = pending as Promise<Fetched<T>> | null;
    void unused?.then(
      ({ span }) => span?.end(),
      () => {},
    );
  }
}

/** Apart from the loop, whose variables live while the page is being written: the records themselves are garbage by then. */
async function accept<T>(
  { walk }: List,
  arriving: Promise<Fetched<T>>,
  { recall, isHeavy = () => false }: WalkOptions<T>,
): Promise<Omit<WalkedPage<T>, 'fetchAhead'>> {
  const { query, state, page, prepared, span } = await arriving;
  try {
    const familiar = walk.memory === undefined ? undefined : await recall(page, prepared);
    const step = walk.accept(state, query, page, familiar);
    const smaller = step.end === null && page.entries.length > FEW_ROWS && isHeavy(prepared);
    const next = (smaller ? walk.shrink(step.state) : null) ?? step.state;
    return { prepared, ids: idsOn(page), step: { ...step, state: next }, span };
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

/** Asks with half the rows as long as the answer is over the size limit. */
async function fetchFitting<T>(
  list: List,
  from: WalkState,
  options: WalkOptions<T>,
): Promise<Omit<Fetched<T>, 'span'>> {
  for (let state = from; ; ) {
    const query = list.walk.next(state);
    const askedAt = performance.now();
    try {
      const page = await list.fetchPage(query, options);
      return { query, state, page, prepared: options.prepare(page, askedAt) };
    } catch (error) {
      const smaller = error instanceof ResponseTooLargeError ? list.walk.shrink(state) : null;
      if (smaller === null) throw error;
      state = smaller;
    }
  }
}

export function idsOn(page: ListPage): readonly string[] {
  return page.entries.map(({ id }) => id).filter((id): id is string => id !== null);
}
