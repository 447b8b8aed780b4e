const WINDOW_MS = 60_000;
const MOST_FAILURES = 10;
const MOST_ADDRESSES = 10_000;

/**
 * Wrong tokens by network address. After ten within a minute further wrong ones from there are told to wait until the minute is over. The right token and who
 * is signed in are never held up: everybody behind one proxy has one address.
 */
export class Failures {
  readonly #byAddress = new Map<string, { count: number; endsAt: number }>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Seconds until this address may try again; 0: now. */
  waitSeconds(address: string): number {
    const entry = this.#byAddress.get(address);
    if (entry === undefined || entry.count < MOST_FAILURES) return 0;
    return Math.max(0, Math.ceil((entry.endsAt - this.#now()) / 1000));
  }

  note(address: string): void {
    const now = this.#now();
    const entry = this.#byAddress.get(address);
    if (entry !== undefined && entry.endsAt > now) {
      entry.count++;
      return;
    }
    if (this.#byAddress.size >= MOST_ADDRESSES) this.#forgetOld(now);
    this.#byAddress.set(address, { count: 1, endsAt: now + WINDOW_MS });
  }

  #forgetOld(now: number): void {
    for (const [address, { endsAt }] of this.#byAddress) if (endsAt <= now) this.#byAddress.delete(address);
    const [oldest] = this.#byAddress.keys();
    if (this.#byAddress.size >= MOST_ADDRESSES && oldest !== undefined) this.#byAddress.delete(oldest);
  }
}
