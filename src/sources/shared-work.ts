import { abortError } from '../errors.ts';
import type { FetchOptions } from '../stream.ts';

/** How long a request that is out is waited for after the last caller was stopped. */
const GRACE_MS = 5_000;

interface Running<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  /** Callers who have not been stopped. */
  waiting: number;
  hasAsked: boolean;
}

/**
 * One piece of work for all who ask at the same time. It stops when all of them were stopped, not when the first one was; and a request that is out is not
 * cut off at once then: its answer may hold the only refresh token that works from now on.
 */
export function shared<T>(work: (options: FetchOptions) => Promise<T>): (options: FetchOptions) => Promise<T> {
  let running: Running<T> | null = null;

  function start(options: FetchOptions): Running<T> {
    const stop = new AbortController();
    const onRequest = () => {
      started.hasAsked = true;
      options.onRequest();
    };
    const result = work({ ...options, onRequest, signal: stop.signal }).finally(() => {
      if (running === started) running = null;
    });
    // Whoever was stopped does not look at it any more.
    result.catch(() => {});
    const started: Running<T> = { result, stop, waiting: 0, hasAsked: false };
    return started;
  }

  return async (options) => {
    const { signal } = options;
    if (signal.aborted) throw abortError(signal);
    if (running === null || running.stop.signal.aborted) running = start(options);
    const mine = running;
    mine.waiting += 1;
    let timer: NodeJS.Timeout | undefined;
    let onAbort = () => {};
    const left = new Promise<never>((_, reject) => {
      onAbort = () => {
        mine.waiting -= 1;
        if (mine.waiting > 0) return reject(abortError(signal));
        const stop = () => mine.waiting === 0 && mine.stop.abort();
        if (mine.hasAsked) timer = setTimeout(stop, GRACE_MS);
        else stop();
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([mine.result, left]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  };
}
