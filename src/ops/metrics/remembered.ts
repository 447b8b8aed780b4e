import { setTimeout as delay } from 'node:timers/promises';

export interface RememberedOptions<T, Args extends readonly unknown[]> {
  readonly read: (...args: Args) => Promise<T>;
  /** An answer is used for at least so long, */
  readonly minAgeMs: number;
  /** and for so many times the time it took: what is slow to find out is asked for less often. */
  readonly restShare: number;
  readonly onError?: (error: unknown) => void;
}

export interface Remembered<T, Args extends readonly unknown[] = []> {
  /** False after a read that failed, until one succeeds. */
  readonly isHealthy: boolean;
  /** `performance.now()` of the last answer; null: none yet. */
  readonly readAt: number | null;
  readonly tookMs: number;
  /** The last answer, renewed when it is due; the one before it when the new one takes longer than `maxWaitMs`. Null: none yet. Never throws. */
  read(maxWaitMs: number, ...args: Args): Promise<T | null>;
}

/** Remembers a slow answer for a time that grows with its cost; many who ask at once wait for one read. */
export function createRemembered<T, Args extends readonly unknown[]>(
  options: RememberedOptions<T, Args>,
): Remembered<T, Args> {
  let value: T | null = null;
  let readAt: number | null = null;
  let triedAt = Number.NEGATIVE_INFINITY;
  let tookMs = 0;
  let isHealthy = false;
  let reading: Promise<void> | null = null;

  async function renew(args: Args): Promise<void> {
    const startedAt = performance.now();
    try {
      value = await options.read(...args);
      isHealthy = true;
      readAt = performance.now();
    } catch (error) {
      isHealthy = false;
      options.onError?.(error);
    }
    triedAt = performance.now();
    tookMs = triedAt - startedAt;
  }

  return {
    get isHealthy() {
      return isHealthy;
    },
    get readAt() {
      return readAt;
    },
    get tookMs() {
      return tookMs;
    },
    async read(maxWaitMs, ...args) {
      const isDue = performance.now() - triedAt >= Math.max(options.minAgeMs, tookMs * options.restShare);
      if (isDue) {
        reading ??= renew(args).finally(() => {
          reading = null;
        });
      }
      if (reading !== null) {
        const limit = new AbortController();
        const late = delay(maxWaitMs, undefined, { signal: limit.signal }).catch(() => {});
        await Promise.race([reading, late]);
        limit.abort();
      }
      return value;
    },
  };
}
