import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export const SESSION_HOURS = 12;
const SESSION_MS = SESSION_HOURS * 3_600_000;
/** So long a session that was signed out elsewhere may still be taken for open here. */
const FRESH_MS = 2_000;

interface PageSession {
  readonly id: string;
  readonly expiresAt: Date;
}

/** The sessions that ended on any replica of the page. */
export interface EndedSessions {
  end(session: PageSession): Promise<void>;
  read(): Promise<ReadonlySet<string>>;
}

/**
 * Who signed in with the token. The cookie carries its own end and a signature made with the token, so that any replica
 * can check it and a new token ends all sessions. One that was signed out is remembered by all of them.
 */
export class Sessions {
  readonly #key: Buffer;
  readonly #ended: EndedSessions;
  readonly #now: () => number;
  #known: { readonly ids: ReadonlySet<string>; readonly at: number } = { ids: new Set(), at: Number.NEGATIVE_INFINITY };
  readonly #endedHere = new Set<string>();

  constructor(token: string, ended: EndedSessions, now: () => number = Date.now) {
    this.#key = createHmac('sha256', token).update('leadmirror session').digest();
    this.#ended = ended;
    this.#now = now;
  }

  begin(): string {
    const text = `${randomBytes(18).toString('base64url')}.${this.#now() + SESSION_MS}`;
    return `${text}.${this.#sign(text)}`;
  }

  async isOpen(cookie: string): Promise<boolean> {
    const session = this.#parse(cookie);
    if (session === null || this.#endedHere.has(session.id)) return false;
    return !(await this.#endedIds()).has(session.id);
  }

  async end(cookie: string): Promise<void> {
    const session = this.#parse(cookie);
    if (session === null) return;
    this.#endedHere.add(session.id);
    await this.#ended.end(session);
  }

  /** Null for one that is not ours or has expired. */
  #parse(cookie: string): PageSession | null {
    const [id = '', expires = '', signature = ''] = cookie.split('.');
    if (!isSameSecret(signature, this.#sign(`${id}.${expires}`))) return null;
    const expiresAt = new Date(Number(expires));
    return expiresAt.getTime() > this.#now() ? { id, expiresAt } : null;
  }

  /** While the database is away, what was known last. */
  async #endedIds(): Promise<ReadonlySet<string>> {
    if (this.#now() - this.#known.at > FRESH_MS) {
      const ids = await this.#ended.read().catch(() => this.#known.ids);
      this.#known = { ids, at: this.#now() };
    }
    return this.#known.ids;
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Takes as long for a wrong text as for the right one, whatever their lengths. */
export const isSameSecret = (given: string, expected: string): boolean =>
  timingSafeEqual(digest(given), digest(expected));
