/** How much of the time may go into one kind of question: twenty times as long as it took, the last answer serves. */
const SHARE = 20;

/** Keeps an answer that costs the database something, and asks again only after a while that grows with the cost. */
export class CostlyAnswer<T> {
  readonly #ask: () => Promise<T>;
  readonly #minMs: number;
  #answer: { readonly value: T; readonly at: number; readonly goodForMs: number } | null = null;
  #asking: Promise<T> | null = null;

  constructor(ask: () => Promise<T>, minMs: number) {
    this.#ask = ask;
    this.#minMs = minMs;
  }

  async get(): Promise<T> {
    const kept = this.#answer;
    if (kept !== null && performance.now() - kept.at < kept.goodForMs) return kept.value;
    this.#asking ??= this.#refresh().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #refresh(): Promise<T> {
    const from = performance.now();
    const value = await this.#ask();
    const at = performance.now();
    this.#answer = { value, at, goodForMs: Math.max(this.#minMs, (at - from) * SHARE) };
    return value;
  }
}
