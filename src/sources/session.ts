import { type AuthError, abortError, ConfigError } from '../errors.ts';
import type { RefusalGuard } from '../http/refusal-guard.ts';
import type { AccountFacts, FetchOptions } from '../stream.ts';
import type { Vault } from './vault.ts';

export interface HeaderSource {
  /** The Authorization header; signs in when that was not done yet, or when the sign-in is about to expire. */
  header(options: FetchOptions): Promise<string>;
  /** Another header after `stale` was refused; many callers cause one sign-in. @throws AuthError: there is none */
  renew(stale: string, options: FetchOptions): Promise<string>;
  /** The upstream answered with it; absent where that shows at the sign-in. */
  accept?(): Promise<void>;
}

export function fixedHeader(header: string, guard: RefusalGuard, refused: () => AuthError): HeaderSource {
  return {
    async header() {
      await guard.assertUnrefused();
      return header;
    },
    async renew() {
      throw await guard.refuse(refused());
    },
    accept: guard.accept,
  };
}

/** Verifies the account once; the header by which it was opened is right. */
export function openOnce(signIn: HeaderSource, verify: (options: FetchOptions) => Promise<AccountFacts>) {
  let opened: AccountFacts | null = null;
  return async (options: FetchOptions): Promise<AccountFacts> => {
    if (opened !== null) return opened;
    opened = await verify(options);
    await signIn.accept?.();
    return opened;
  };
}

interface SessionParts<T> {
  readonly vault: Vault<T>;
  readonly headerOf: (session: T) => string;
  readonly isUsable: (session: T) => boolean;
  /** Signs in anew; no other user of the vault does so at the same time. */
  readonly signIn: (stored: T | null, options: FetchOptions) => Promise<T>;
  /** What is kept but cannot be opened is replaced: one can sign in without it. */
  readonly replacesUnreadable: boolean;
}

export interface SignInSession<T> extends HeaderSource {
  readonly current: T | null;
  isGood(session: T | null): session is T;
  peek(): Promise<T | null>;
}

const AGAIN_MS = 10_000;

/** This process's session, else the vault's, else a sign-in. The second caller finds the session of the first. */
export function createSession<T>(parts: SessionParts<T>): SignInSession<T> {
  const { vault, headerOf, isUsable, signIn, replacesUnreadable } = parts;
  let session: T | null = null;
  /** The header that was refused last, wherever it comes from. */
  let refused: string | null = null;
  /** When a sign-in brought the refused header once more, which two within a second may. */
  let again: { readonly header: string; readonly at: number } | null = null;

  const isGood = (one: T | null): one is T => one !== null && headerOf(one) !== refused && isUsable(one);

  const peek = () =>
    vault.peek().catch((error: unknown) => {
      if (replacesUnreadable && error instanceof ConfigError) return null;
      throw error;
    });

  const enter = shared(async (options: FetchOptions): Promise<T> => {
    const kept = await peek();
    if (isGood(kept)) return kept;
    return vault.exclusive(
      async (stored) => {
        if (isGood(stored)) return { value: stored };
        const fresh = await signIn(stored, options);
        if (headerOf(fresh) === refused) {
          again = { header: refused, at: performance.now() };
          refused = null;
        }
        // At once, so that a vault that cannot keep it does not lose it for this process too.
        session = fresh;
        return { value: fresh, store: fresh };
      },
      { signal: options.signal, maxWaitMs: options.maxWaitMs, overwriteUnreadable: replacesUnreadable },
    );
  });

  async function header(options: FetchOptions): Promise<string> {
    if (!isGood(session)) session = await enter(options);
    return headerOf(session);
  }

  return {
    get current() {
      return session;
    },
    isGood,
    peek,
    header,
    async renew(stale, options) {
      // Callers whose requests were out at that time: a further sign-in would bring nothing else.
      if (again?.header === stale && performance.now() - again.at < AGAIN_MS) return stale;
      // Where another one signed in since, that session has not been refused yet.
      if (session === null || headerOf(session) === stale) refused = stale;
      const fresh = await header(options);
      // A sign-in that was under way already may have brought the refused one back from the vault.
      return fresh === stale ? header(options) : fresh;
    },
  };
}

/** How long a request that is out is waited for after the last caller was stopped. */
const GRACE_MS = 5_000;

interface RunningSignIn<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  waiting: number;
  hasAsked: boolean;
}

/**
 * One piece of work for all who ask at the same time. It stops when all of them were stopped; a request that is out
 * first gets time to end: its answer may hold the only refresh token that works from now on.
 */
function shared<T>(work: (options: FetchOptions) => Promise<T>): (options: FetchOptions) => Promise<T> {
  let running: RunningSignIn<T> | null = null;

  function start(options: FetchOptions): RunningSignIn<T> {
    const stop = new AbortController();
    const onRequest = () => {
      started.hasAsked = true;
      options.onRequest();
    };
    const result = work({ ...options, onRequest, signal: stop.signal }).finally(() => {
      if (running === started) running = null;
    });
    result.catch(() => {});
    const started: RunningSignIn<T> = { result, stop, waiting: 0, hasAsked: false };
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
