import type { Clock } from '../clock.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import type { Lease } from '../store/engine/leases.ts';
import { noCounts, type RunCounts, type RunEnd } from '../store/engine/runs.ts';
import { isRefusedContent } from '../store/faults.ts';
import { bisectPage } from '../store/mirror/bisect-page.ts';
import { type PageToWrite, type PageWrite, writePage } from '../store/mirror/pages.ts';
import { withRetry } from '../store/with-retry.ts';
import { type Connection, type FetchOptions, laneOf, type Outcome, type Pass, type Stream } from '../stream.ts';
import type { Tracer } from '../trace.ts';
import type { Watermarks } from './watermark.ts';

export interface PassParts {
  readonly prisma: PrismaClient;
  /** For messages: `host:port/name`. */
  readonly databasePlace: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lookbackMs: number;
  /** Share of a table, 0 to 1, that may vanish within a day before a person has to agree. */
  readonly deleteBrake: number;
  /** Set where traces are wanted. */
  readonly tracer?: Tracer;
  /** Told of every page that was written, and how long its transaction took, tries that failed included. */
  readonly onPageWritten?: (page: { readonly stream: string; readonly durationMs: number }) => void;
}

export interface PassJob {
  readonly connection: Connection;
  readonly stream: Stream;
  readonly pass: Pass;
  readonly signal: AbortSignal;
  /** The longest wait in place for the upstream; beyond it the run ends `postponed`. */
  readonly maxWaitMs: number;
  /** How long to wait for a lease that another process holds. */
  readonly leaseWaitMs: number;
  /** Without it the run never lets others have their turn. */
  readonly fairness?: Fairness;
  readonly onProgress?: (counts: RunCounts) => void;
}

/** One huge account does not starve small ones: after a slice of work a run yields, at a page's edge, to those that wait. */
export interface Fairness {
  /** How long a run works before it asks. */
  readonly sliceMs: number;
  /** Whether others wait for this run's place. Asked at the end of a slice only; never throws. */
  readonly isWaitedFor: () => Promise<boolean>;
}

/** From the arrival of a page to the question whether to yield behind it. */
const LONGEST_PAGE_MS = 200;

/** What is written with a page. */
export type Progress = Omit<PageToWrite, 'page' | 'lease' | 'startedAt' | 'counts'>;

/** How a run ends. */
export interface Ending extends RunEnd {
  readonly retryInMs: number | null;
  /** The run's line is already written, with its last page. */
  readonly isRecorded: boolean;
}

/** One run under its lease: what was counted, how far the watermarks are, and the one way to write. */
export class Run {
  readonly parts: PassParts;
  readonly job: PassJob;
  readonly lease: Lease;
  readonly fetch: FetchOptions;
  readonly startedAt: Date;
  watermark: Watermarks | null;
  walkedAt: Watermarks | null;
  #written: RunCounts;
  /** Counted apart, because requests go out while a page is written. */
  #requests: number;
  #sliceEndsAt: number;

  /** `counts`: of a run that goes on, what it counted before. */
  constructor(
    parts: PassParts,
    job: PassJob,
    lease: Lease,
    { signal, counts = noCounts() }: { readonly signal: AbortSignal; readonly counts?: RunCounts },
  ) {
    this.#written = counts;
    this.#requests = counts.requests;
    this.#sliceEndsAt = performance.now() + (job.fairness?.sliceMs ?? Number.POSITIVE_INFINITY);
    this.parts = parts;
    this.job = job;
    this.lease = lease;
    this.startedAt = new Date(parts.clock.now());
    this.watermark = lease.checkpoint.watermark;
    this.walkedAt = lease.checkpoint.walkedAt;
    this.fetch = {
      signal,
      maxWaitMs: job.maxWaitMs,
      lane: laneOf(job.pass),
      onRequest: () => {
        this.#requests += 1;
      },
    };
  }

  /** A full walk that also looks for what is gone: all ids it meets are kept. */
  get findsDeletions(): boolean {
    return this.job.pass === 'reconcile' && this.job.stream.deletions !== undefined;
  }

  get counts(): RunCounts {
    return { ...this.#written, requests: this.#requests };
  }

  ending(outcome: Outcome, error: RunEnd['error'] = null, retryInMs: number | null = null): Ending {
    return { outcome, error, watermark: this.watermark, retryInMs, isRecorded: false };
  }

  /** Whether others may have their turn after the page at hand; see `shallYield`. */
  get isSliceNearlyOver(): boolean {
    return performance.now() >= this.#sliceEndsAt - LONGEST_PAGE_MS;
  }

  /** Whether this run's slice is over and others wait. When nobody does, another slice begins. */
  async shallYield(): Promise<boolean> {
    const { fairness } = this.job;
    if (fairness === undefined || performance.now() < this.#sliceEndsAt) return false;
    if (await fairness.isWaitedFor()) return true;
    this.#sliceEndsAt = performance.now() + fairness.sliceMs;
    return false;
  }

  /** The slice is over, not the run: its line stays open, and whoever takes it up goes on with it. */
  yielded(): Ending {
    const message = 'lets other streams have their turn, and goes on from its checkpoint';
    return { ...this.ending('postponed', { code: 'yielded', message }), isRecorded: true };
  }

  /**
   * Writes a page with its progress. Records that Postgres refuses go to quarantine; `progressOf` is then called again, with the page without them.
   * Transient failures of the database are retried: nothing of a failed try was kept.
   */
  async write(page: PageWrite | null, progressOf: (page: PageWrite | null) => Progress): Promise<void> {
    const { lease, startedAt, parts } = this;
    const sentAt = performance.now();
    const attempt = (some: PageWrite | null) =>
      this.retry(() =>
        writePage(parts.prisma, { ...progressOf(some), page: some, lease, startedAt, counts: this.counts }),
      );
    this.#written = await attempt(page).catch(async (error: unknown) => {
      if (page === null || !isRefusedContent(error)) throw error;
      const accepted = await this.retry(() => bisectPage(parts.prisma, lease, page));
      const records = accepted.bad.length - page.bad.length;
      parts.logger.warn({ stream: lease.stream, records }, 'records that the database refuses go to quarantine');
      return attempt(accepted);
    });
    parts.onPageWritten?.({ stream: lease.stream, durationMs: performance.now() - sentAt });
    this.job.onProgress?.(this.counts);
  }

  retry<T>(work: () => Promise<T>): Promise<T> {
    return withRetry({ ...this.parts, stream: this.lease.stream, signal: this.fetch.signal }, work);
  }

  /** The database's clock at a moment of ours (`performance.now()`), a second early: between reading the two clocks some time passed. */
  databaseTime(at: number): Date {
    const { databaseNow, readAt } = this.lease;
    return new Date(databaseNow.getTime() + (at - readAt) - 1000);
  }
}
