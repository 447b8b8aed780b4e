import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
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

interface Fetched<T> {
  readonly query: ListQuery;
  readonly state: WalkState;
  readonly page: ListPage;
  /** Done at most once. */
  readonly prepare: () => T;
  readonly isPrepared: () => boolean;
  readonly span: Span | null;
}

export interface WalkOptions<T> extends FetchOptions {
  /** The run's: each page becomes a part of it. */
  readonly span?: Span | null;
  /** Which ids of a page the walk's memory knows; asked when everything before the page is written. */
  readonly recall: (page: ListPage, prepared: T) => Promise<ReadonlySet<string>>;
  /** True while it is not sure that the run goes on behind this page: the next one is then only fetched when the consumer says so. */
  readonly holdsBack?: () => boolean;
  /** `askedAt`: `performance.now()` before the request. */
  readonly prepare: (page: ListPage, askedAt: number) => T;
}

/**
 * The pages of one list, in the order of its walk. While the consumer writes a page, the next one is already being fetched and prepared; never more than that
 * one, so memory holds two pages, and a kill repeats at most two.
 *
 * What is slow decides what comes first. Where the database is, a page has arrived and is prepared before its turn comes, and the next one is asked for when this
 * one is on its way to the database. Where the upstream is, somebody waits for the page, and the next one is asked for before this one is prepared.
 */
export async function* walkPages<T>(
  list: List,
  from: WalkState,
  options: WalkOptions<T>,
): AsyncGenerator<WalkedPage<T>, void, undefined> {
  const ahead = new AbortController();
  const signal = AbortSignal.any([options.signal, ahead.signal]);
  const turn: Turn<T> = { isAwaited: false, pending: null };
  const fetch = (state: WalkState, onSent?: () => void): Promise<Fetched<T>> => {
    const onRequest = () => {
      options.onRequest();
      onSent?.();
    };
    const fetched = fetchTraced(list, state, { ...options, onRequest, signal }).then((arrived) => {
      if (!turn.isAwaited) prepareTraced(arrived);
      return arrived;
    });
    // It is awaited after the page before it is written; until then a failure must not count as unhandled.
    fetched.catch(() => {});
    return fetched;
  };
  const fetchAhead = ({ end, state }: WalkStep, onSent?: () => void) => {
    if (end === null) turn.pending ??= fetch(state, onSent);
  };
  const take = (state: WalkState): Promise<Fetched<T>> => {
    const taken = turn.pending ?? fetch(state);
    turn.pending = null;
    turn.isAwaited = true;
    return taken;
  };
  let current: Span | null = null;
  try {
    for (let next = from; ; ) {
      const accepted = await accept(list, take(next), { ...options, turn, fetchAhead });
      const { step } = accepted;
      current = accepted.span;
      yield { ...accepted, fetchAhead: () => fetchAhead(step) };
      current?.end();
      current = null;
      if (step.end !== null) return;
      next = step.state;
    }
  } finally {
    ahead.abort();
    current?.end();
    // Fetched, and not looked at any more: the run ends before it.
    void turn.pending?.then(
      ({ span }) => span?.end(),
      () => {},
    );
  }
}

interface Turn<T> {
  /** The consumer has nothing to do until the page arrives. */
  isAwaited: boolean;
  pending: Promise<Fetched<T>> | null;
}

interface AcceptOptions<T> extends WalkOptions<T> {
  readonly turn: Turn<T>;
  readonly fetchAhead: (step: WalkStep, onSent: () => void) => void;
}

/** So long a page that has arrived waits for the request behind it to leave. Preparing it would keep the process busy for about that time. */
const SEND_FIRST_MS = 3;

/** A request that has to wait for its slot is not waited for. */
async function sendFirst(send: (onSent: () => void) => void): Promise<void> {
  const over = new AbortController();
  const sent = new Promise<void>((resolve) => {
    send(resolve);
  });
  await Promise.race([sent, delay(SEND_FIRST_MS, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
  // The client hands it to the socket in its next turn.
  await nextTurn();
}

/** Apart from the loop, whose variables live while the page is being written: the records themselves are garbage by then. */
async function accept<T>(
  { walk }: List,
  arriving: Promise<Fetched<T>>,
  { recall, holdsBack = () => false, turn, fetchAhead }: AcceptOptions<T>,
): Promise<Omit<WalkedPage<T>, 'fetchAhead'>> {
  const { query, state, page, prepare, isPrepared, span } = await arriving;
  turn.isAwaited = false;
  try {
    const wasReady = isPrepared();
    const familiar = walk.memory === undefined ? undefined : await recall(page, prepare());
    const step = walk.accept(state, query, page, familiar);
    if (!wasReady && step.end === null && !holdsBack()) await sendFirst((onSent) => fetchAhead(step, onSent));
    return { prepared: prepare(), ids: idsOn(page), step, span };
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

function prepareTraced<T>({ prepare, span }: Fetched<T>): void {
  try {
    prepare();
  } catch (error) {
    span?.end(error);
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
      return { query, state, page, ...once(() => options.prepare(page, askedAt)) };
    } catch (error) {
      const smaller = error instanceof ResponseTooLargeError ? list.walk.shrink(state) : null;
      if (smaller === null) throw error;
      state = smaller;
    }
  }
}

function once<T>(work: () => T): { readonly prepare: () => T; readonly isPrepared: () => boolean } {
  let done: { readonly result: T } | null = null;
  const prepare = () => {
    done ??= { result: work() };
    return done.result;
  };
  return { prepare, isPrepared: () => done !== null };
}

export function idsOn(page: ListPage): readonly string[] {
  return page.entries.map(({ id }) => id).filter((id): id is string => id !== null);
}
