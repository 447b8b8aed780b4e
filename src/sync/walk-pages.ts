import { ResponseTooLargeError } from '../errors.ts';
import type { FetchOptions, List, ListPage, ListQuery, WalkState, WalkStep } from '../stream.ts';

export interface WalkedPage {
  readonly page: ListPage;
  readonly step: WalkStep;
  /** `performance.now()` before the request that brought the page. */
  readonly askedAt: number;
}

interface Fetched {
  readonly query: ListQuery;
  readonly state: WalkState;
  readonly page: ListPage;
  readonly askedAt: number;
}

/**
 * The pages of one list, in the order of its walk. While the consumer writes a page, the next one is already being fetched; never more than that
 * one, so memory holds two pages, and a kill repeats at most two.
 */
export async function* walkPages(
  list: List,
  from: WalkState,
  options: FetchOptions,
): AsyncGenerator<WalkedPage, void, undefined> {
  const ahead = new AbortController();
  const signal = AbortSignal.any([options.signal, ahead.signal]);
  const fetch = (state: WalkState): Promise<Fetched> => {
    const fetched = fetchFitting(list, state, { ...options, signal });
    // It is awaited after the page before it is written; until then a failure must not count as unhandled.
    fetched.catch(() => {});
    return fetched;
  };
  try {
    let pending: Promise<Fetched> | null = fetch(from);
    while (pending !== null) {
      const { query, state, page, askedAt } = await pending;
      const step = list.walk.accept(state, query, page);
      pending = step.end === null ? fetch(step.state) : null;
      yield { page, step, askedAt };
    }
  } finally {
    ahead.abort();
  }
}

/** Asks with half the rows as long as the answer is over the size limit. */
async function fetchFitting(list: List, from: WalkState, options: FetchOptions): Promise<Fetched> {
  for (let state = from; ; ) {
    const query = list.walk.next(state);
    const askedAt = performance.now();
    try {
      return { query, state, page: await list.fetchPage(query, options), askedAt };
    } catch (error) {
      const smaller = error instanceof ResponseTooLargeError ? list.walk.shrink(state) : null;
      if (smaller === null) throw error;
      state = smaller;
    }
  }
}
