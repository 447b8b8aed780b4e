import { createHash } from 'node:crypto';

const WINDOW_MS = 60_000;
const MOST_FAILURES = 10;
const MOST_ADDRESSES = 10_000;

/**
 * Wrong tokens by network address and by what was sent. After ten different ones within a minute, further wrong ones from
 * there have to wait until the minute is over; one that is sent again and again, as by a script with an old token, too.
 * The right token and who is signed in never wait: all users behind one proxy have one address.
 */
export class Failures {
  /** `counts`: how often each wrong token was sent, by its digest. */
  readonly #byAddress = new Map<string, { readonly counts: Map<string, number>; readonly endsAt: number }>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Seconds until this may be tried again; 0: now. */
  waitSeconds(address: string, sent: string): number {
    const entry = this.#byAddress.get(address);
    if (entry === undefined || Math.max(entry.counts.size, entry.counts.get(digest(sent)) ?? 0) < MOST_FAILURES)
      return 0;
    return Math.max(0, Math.ceil((entry.endsAt - this.#now()) / 1000));
  }

  note(address: string, sent: string): void {
    const now = this.#now();
    let entry = this.#byAddress.get(address);
    if (entry === undefined || entry.endsAt <= now) {
      if (this.#byAddress.size >= MOST_ADDRESSES) this.#deleteOld(now);
      entry = { counts: new Map(), endsAt: now + WINDOW_MS };
      this.#byAddress.set(address, entry);
    }
    entry.counts.set(digest(sent), (entry.counts.get(digest(sent)) ?? 0) + 1);
  }

  #deleteOld(now: number): void {
    for (const [address, { endsAt }] of this.#byAddress) if (endsAt <= now) this.#byAddress.delete(address);
    const [oldest] = this.#byAddress.keys();
    if (this.#byAddress.size >= MOST_ADDRESSES && oldest !== undefined) this.#byAddress.delete(oldest);
  }
}

const digest = (text: string): string => createHash('sha256').update(text).digest('base64');
