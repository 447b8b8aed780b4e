interface VaultOptions {
  readonly signal: AbortSignal;
  readonly maxWaitMs: number;
  /** What is kept but cannot be opened counts as nothing, and is replaced. For who can sign in without it. */
  readonly overwriteUnreadable?: boolean;
}

/** Stores one account's sign-in; in the database it is shared by all processes on all machines. */
export interface Vault<T> {
  /**
   * Runs `work` exclusively among all processes that use this vault. What it returns as `store` is kept for the next.
   * @throws RateLimitedError while another is inside for longer than `maxWaitMs`, ConfigError when what is kept cannot
   * be opened, an AbortError
   */
  exclusive<R>(work: (stored: T | null) => Promise<{ value: R; store?: T }>, options: VaultOptions): Promise<R>;
  /** Returns what is kept now, without waiting. @throws ConfigError when it cannot be opened */
  peek(): Promise<T | null>;
}

/** Creates a vault for one process, lost when it ends. Callers wait in the order of asking. */
export function createMemoryVault<T>(): Vault<T> {
  let stored: T | null = null;
  let last: Promise<unknown> = Promise.resolve();
  return {
    exclusive(work, { signal }) {
      const mine = last.then(async () => {
        signal.throwIfAborted();
        const { value, store } = await work(stored);
        if (store !== undefined) stored = store;
        return value;
      });
      last = mine.catch(() => {});
      return mine;
    },
    peek: async () => stored,
  };
}
