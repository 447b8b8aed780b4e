import { createHash, randomBytes } from 'node:crypto';
import type { StatusDocument } from './status-document.ts';

/** A part of the page that is replaced when its facts change. */
export interface Fragment {
  /** Of the element. */
  readonly id: string;
  /** What it is made from, without what changes with the clock alone. */
  readonly facts: string;
  readonly render: () => string;
}

export interface LiveEvent {
  /** `parts`: elements that changed; `reload`: the page has other elements now; `trouble`: the database does not answer. */
  readonly name: 'parts' | 'reload' | 'trouble' | 'steady';
  /** The state of the page after it; handed back on reconnecting. */
  readonly id: string;
  readonly data: unknown;
}

export type Listener = (event: LiveEvent) => void;

export interface LiveOptions {
  readonly read: () => Promise<StatusDocument>;
  readonly fragmentsOf: (status: StatusDocument) => readonly Fragment[];
  /** Between two looks while anybody listens. */
  readonly pollMs: number;
}

/** A look costs at most this share of the time: with thousands of streams they come less often. */
const SHARE = 10;
/** A page that is asked for may show a status this old. */
const FRESH_MS = 500;

interface Known {
  readonly digest: string;
  /** Of the newest look; older ones are not held on to. */
  readonly render: () => string;
  /** Made for the first who is told; null: nobody was yet. */
  html: string | null;
  /** At which version it last changed. */
  readonly changedAt: number;
}

/**
 * One look at the database for all who watch: every two seconds while anybody listens, told only when something changed. Each version of the page has
 * a number; who comes back with an old one gets what changed since, who comes with one of another process gets everything. While nobody listens, a look is
 * not taken apart: that waits for whoever comes next.
 */
export class LiveStatus {
  readonly #options: LiveOptions;
  readonly #epoch = randomBytes(4).toString('hex');
  readonly #listeners = new Map<Listener, { isSteady: boolean }>();
  #parts = new Map<string, Known>();
  #version = 0;
  #structureAt = 0;
  #latest: { readonly status: StatusDocument; readonly at: number } | null = null;
  /** The latest look is not in the parts yet. Its version is its own all the same. */
  #isUnsettled = false;
  #looking: Promise<StatusDocument> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  get version(): string {
    return `${this.#epoch}.${this.#version}`;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** @throws what the database throws. */
  async current(): Promise<StatusDocument> {
    if (this.#latest !== null && performance.now() - this.#latest.at < FRESH_MS) return this.#latest.status;
    return this.#look();
  }

  /** Never shows what was before this call: for after an action. */
  async refresh(): Promise<void> {
    await this.#looking?.catch(() => {});
    await this.#look().catch(() => {});
  }

  /** Calls back with what changed since `version`, and with every change from then on. Answers how to stop. */
  subscribe(listener: Listener, version: string | undefined): () => void {
    const [epoch, number] = (version ?? '').split('.');
    const since = epoch === this.#epoch ? Number(number) : -1;
    this.#settle();
    this.#listeners.set(listener, { isSteady: true });
    if (since < this.#structureAt) listener({ name: 'reload', id: this.version, data: {} });
    else this.#tell(listener, since);
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

  #tell(listener: Listener, since: number): void {
    const parts = [...this.#parts]
      .filter(([, { changedAt }]) => changedAt > since)
      .map(([id, part]) => {
        part.html ??= part.render();
        return { id, html: part.html };
      });
    if (parts.length > 0) listener({ name: 'parts', id: this.version, data: { parts } });
  }

  #look(): Promise<StatusDocument> {
    this.#looking ??= this.#options
      .read()
      .then((status) => {
        this.#take(status);
        return status;
      })
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  #take(status: StatusDocument): void {
    this.#latest = { status, at: performance.now() };
    if (this.#listeners.size === 0) {
      this.#version++;
      this.#isUnsettled = true;
      return;
    }
    const before = this.#version;
    const { hasChanged, isSameStructure } = this.#compare(status, before + 1);
    if (!hasChanged) return;
    this.#version++;
    for (const listener of this.#listeners.keys()) {
      if (isSameStructure) this.#tell(listener, before);
      else listener({ name: 'reload', id: this.version, data: {} });
    }
  }

  /** Takes the looks apart that came while nobody listened: what changed in any of them counts as changed in the last. */
  #settle(): void {
    if (!this.#isUnsettled || this.#latest === null) return;
    this.#isUnsettled = false;
    this.#compare(this.#latest.status, this.#version);
  }

  #compare(status: StatusDocument, version: number): { hasChanged: boolean; isSameStructure: boolean } {
    const next = new Map<string, Known>();
    let hasChanged = false;
    for (const { id, facts, render } of this.#options.fragmentsOf(status)) {
      const digest = createHash('sha256').update(facts).digest('base64');
      const known = this.#parts.get(id);
      const isSame = known?.digest === digest;
      if (!isSame) hasChanged = true;
      next.set(id, isSame ? { ...known, render } : { digest, render, html: null, changedAt: version });
    }
    const isSameStructure = next.size === this.#parts.size && [...next.keys()].every((id) => this.#parts.has(id));
    if (!isSameStructure) this.#structureAt = version;
    this.#parts = next;
    return { hasChanged: hasChanged || !isSameStructure, isSameStructure };
  }

  #schedule(ms: number): void {
    if (this.#isClosed || this.#timer !== null || this.#listeners.size === 0) return;
    this.#timer = setTimeout(() => void this.#poll(), ms);
  }

  async #poll(): Promise<void> {
    const from = performance.now();
    const isSteady = await this.#look().then(
      () => true,
      () => false,
    );
    this.#timer = null;
    this.#announce(isSteady);
    this.#schedule(Math.max(this.#options.pollMs, (performance.now() - from) * SHARE));
  }

  /** Once when the database stops answering, and once when it does again. */
  #announce(isSteady: boolean): void {
    for (const [listener, known] of this.#listeners) {
      if (known.isSteady === isSteady) continue;
      known.isSteady = isSteady;
      listener({ name: isSteady ? 'steady' : 'trouble', id: this.version, data: {} });
    }
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** Fields that change with the clock alone. */
const CLOCK_FIELDS = new Set(['generated_at', 'lag_seconds', 'rows_per_second', 'eta_seconds']);

/** What facts come down to: the same text as long as only time has passed. */
export const factsOf = (...values: readonly unknown[]): string =>
  JSON.stringify(values, (name, value) => (CLOCK_FIELDS.has(name) ? undefined : value));
