import { within } from '../clock.ts';

interface RememberedOptions {
  /** An answer is used for at least so long, */
  readonly minAgeMs: number;
  /** and for so many times the time it took: what is slow to find out is asked for less often. */
  readonly restShare: number;
}

/** Remembers a slow answer for a time that grows with its cost; all who ask at once wait for one read. */
export class Remembered<T> {
  readonly #read: () => Promise<T>;
  readonly #options: RememberedOptions;
  #reading: Promise<T> | null = null;
  #answer: { readonly value: T; readonly at: number } | null = null;
  #tookMs = 0;
  #isHealthy = false;

  constructor(read: () => Promise<T>, options: RememberedOptions) {
    this.#read = read;
    this.#options = options;
  }

  /** False after a read that failed, until one succeeds. */
  get isHealthy(): boolean {
    return this.#isHealthy;
  }

  get tookMs(): number {
    return this.#tookMs;
  }

  get ageMs(): number | null {
    return this.#answer && performance.now() - this.#answer.at;
  }

  /** The last answer, renewed when it is due. @throws what the read throws */
  async get(): Promise<T> {
    const restMs = Math.max(this.#options.minAgeMs, this.#tookMs * this.#options.restShare);
    if (this.#isHealthy && this.#answer !== null && performance.now() - this.#answer.at < restMs) {
      return this.#answer.value;
    }
    this.#reading ??= this.#renew().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /** The one before it when the new one fails or takes longer than `maxWaitMs`. Null: none yet. Never throws. */
  async getWithin(maxWaitMs: number): Promise<T | null> {
    await within(maxWaitMs, this.get()).catch(() => {});
    return this.#answer?.value ?? null;
  }

  async #renew(): Promise<T> {
    const from = performance.now();
    try {
      const value = await this.#read();
      this.#isHealthy = true;
      this.#answer = { value, at: performance.now() };
      return value;
    } catch (error) {
      this.#isHealthy = false;
      throw error;
    } finally {
      this.#tookMs = performance.now() - from;
    }
  }
}
