import { createHash } from 'node:crypto';
import { succeeds } from '../clock.ts';
import { describeProcesses } from '../store/engine/processes.ts';
import type { StatusDocument } from './status-document.ts';
import { isLong } from './view/stream-row.ts';

export interface LiveEvent {
  /** `changed`: the page is to be read again; `trouble`: the database does not answer; `steady`: it does again. */
  readonly name: 'changed' | 'trouble' | 'steady';
  /** The version of the status; handed back on reconnecting. */
  readonly id: string;
}

type Listener = (event: LiveEvent) => void;

interface LiveOptions {
  readonly read: () => Promise<StatusDocument>;
  /** Between two queries while a page listens. */
  readonly pollMs: number;
}

/** A look costs at most this share of the time: with thousands of streams they come less often. */
const SHARE = 10;
/** A page that is asked for may show a status this old. */
const FRESH_MS = 500;

/**
 * One query for all listening pages: every two seconds while a page listens. A page gets an event when something
 * changed, and reads itself again. A version is a digest: a page of another process knows whether it is behind.
 */
export class LiveStatus {
  readonly #options: LiveOptions;
  readonly #listeners = new Set<Listener>();
  #latest: { readonly status: StatusDocument; readonly at: number; version?: string } | null = null;
  #isSteady = true;
  #awaySince: Date | null = null;
  #looking: Promise<StatusDocument> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  get version(): string {
    if (this.#latest === null) return '';
    this.#latest.version ??= versionOf(this.#latest.status);
    return this.#latest.version;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** While the database is away: the last state that it showed, and the error. @throws while none is known */
  async lookOrRemember() {
    try {
      return { status: await this.current(), away: null };
    } catch (error) {
      if (this.#latest === null) throw error;
      return { status: this.#latest.status, away: { error, since: this.#awaySince ?? new Date() } };
    }
  }

  async current(): Promise<StatusDocument> {
    const latest = this.#awaySince === null ? this.#latest : null;
    if (latest !== null && performance.now() - latest.at < FRESH_MS) return latest.status;
    return this.#look();
  }

  /** Never shows what was before this call: for after an action. */
  async refresh(): Promise<void> {
    await this.#looking?.catch(() => {});
    await this.#look().catch(() => {});
  }

  /** Calls back if the status is not that of `version`, and with every change from then on. Returns how to stop. */
  subscribe(listener: Listener, version: string | undefined): () => void {
    this.#listeners.add(listener);
    if (version !== this.version) listener({ name: 'changed', id: this.version });
    if (!this.#isSteady) listener({ name: 'trouble', id: this.version });
    // The page that listens was just made.
    const age = this.#latest === null ? Number.POSITIVE_INFINITY : performance.now() - this.#latest.at;
    this.#schedule(Math.max(0, this.#options.pollMs - age));
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop();
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.clear();
    this.#stop();
  }

  #look(): Promise<StatusDocument> {
    this.#looking ??= this.#options
      .read()
      .then((status) => {
        const isWatched = this.#listeners.size > 0;
        const before = isWatched && this.version;
        this.#latest = { status, at: performance.now() };
        this.#awaySince = null;
        if (isWatched && this.version !== before) this.#send('changed');
        return status;
      })
      .catch((error: unknown) => {
        this.#awaySince ??= new Date();
        throw error;
      })
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  #send(name: LiveEvent['name']): void {
    for (const listener of this.#listeners) listener({ name, id: this.version });
  }

  #schedule(ms: number): void {
    if (this.#isClosed || this.#timer !== null || this.#listeners.size === 0) return;
    this.#timer = setTimeout(() => void this.#poll(), ms);
  }

  async #poll(): Promise<void> {
    const from = performance.now();
    const isSteady = await succeeds(this.#look());
    this.#timer = null;
    if (isSteady !== this.#isSteady) this.#send(isSteady ? 'steady' : 'trouble');
    this.#isSteady = isSteady;
    this.#schedule(Math.max(this.#options.pollMs, (performance.now() - from) * SHARE));
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** Fields that change only with the clock. */
const CLOCK_FIELDS = new Set(['generated_at', 'lag_seconds', 'rows_per_second', 'eta_seconds']);

/** The same for all statuses between which only time has passed. */
export function versionOf(status: StatusDocument): string {
  const { generated_at, streams, processes } = status;
  const shown = streams.filter(({ running }) => running !== null && isLong(running, generated_at.getTime())).length;
  const facts = JSON.stringify([{ ...status, processes: describeProcesses(processes) }, shown], (name, value) =>
    CLOCK_FIELDS.has(name) ? undefined : value,
  );
  return createHash('sha256').update(facts).digest('base64url').slice(0, 16);
}
