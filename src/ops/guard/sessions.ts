import { createHash, randomBytes } from 'node:crypto';

export const SESSION_HOURS = 12;
const SESSION_MS = SESSION_HOURS * 3_600_000;
const MOST = 1_000;

/**
 * Who signed in with the token, in this process's memory: a restart asks for the token again, and a sign-out really ends the session. Only digests are
 * kept, so that what is in memory cannot be used as a cookie.
 */
export class Sessions {
  readonly #endsAt = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** The secret for the cookie. */
  begin(): string {
    for (const [key, end] of this.#endsAt) if (end <= this.#now()) this.#endsAt.delete(key);
    const [oldest] = this.#endsAt.keys();
    if (this.#endsAt.size >= MOST && oldest !== undefined) this.#endsAt.delete(oldest);
    const secret = randomBytes(32).toString('base64url');
    this.#endsAt.set(digest(secret), this.#now() + SESSION_MS);
    return secret;
  }

  isOpen(secret: string): boolean {
    return (this.#endsAt.get(digest(secret)) ?? 0) > this.#now();
  }

  end(secret: string): void {
    this.#endsAt.delete(digest(secret));
  }
}

const digest = (secret: string): string => createHash('sha256').update(secret).digest('base64');
