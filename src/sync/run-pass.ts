import type { Clock } from '../clock.ts';
import { ErasedMeanwhileError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import { keepAccountName } from '../store/engine/account-names.ts';
import { isBackfillComplete, type Lease, type Watermarks } from '../store/engine/leases.ts';
import { endRun, noCounts, type RunCounts, readCounts } from '../store/engine/runs.ts';
import { databaseError, isRefusedContent } from '../store/faults.ts';
import { bisectPage } from '../store/mirror/bisect-page.ts';
import { type PageToWrite, type PageWrite, writePage } from '../store/mirror/pages.ts';
import { deleteSeenIds } from '../store/mirror/seen-ids.ts';
import type { SuspectQuery } from '../store/mirror/tombstones.ts';
import type { PrivacyGuard } from '../store/privacy/guard.ts';
import { NO_SUPPRESSIONS, type Suppressions } from '../store/privacy/suppressions.ts';
import { withRetry } from '../store/with-retry.ts';
import { type Connection, type FetchOptions, laneOf, type Outcome, type Pass, type Stream } from '../stream.ts';
import type { Tracer } from '../trace.ts';
import { checkCounts } from './count-check.ts';
import { type Ending, endingFor } from './ending.ts';
import { withLease } from './lease-keeper.ts';
import { findCursor, planLists, remembers, seedWatermarks } from './plan-lists.ts';
import { reconcile } from './reconcile.ts';
import { walkLists } from './walk-lists.ts';

/**
 * One call is one run of one pass of one stream: lease → lists → pages → rows → upsert + checkpoint → end. Whatever
 * stops it, the checkpoint holds the last page that was written, and the next run goes on from there.
 */
export interface PassParts {
  readonly prisma: PrismaClient;
  readonly databaseAddress: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lookbackMs: number;
  /** Share of a table, 0 to 1, that may vanish within a day before a person has to agree. */
  readonly deletionLimit: number;
  readonly privacy: PrivacyGuard;
  readonly tracer?: Tracer;
  /** Called with every page that was written, and how long its transaction took, failed tries included. */
  readonly onPageWritten?: (page: { readonly stream: string; readonly durationMs: number }) => void;
}

export interface PassJob {
  readonly connection: Connection;
  readonly stream: Stream;
  readonly pass: Pass;
  readonly signal: AbortSignal;
  /** The longest wait for the upstream; beyond it the run ends `postponed`. */
  readonly maxWaitMs: number;
  readonly leaseWaitMs: number;
  readonly isScheduled?: boolean;
  /** A count check looks again after an incremental pass, which this runs; false: it did not end complete. */
  readonly refresh?: () => Promise<boolean>;
  /** Without it the run never yields to others. */
  readonly fairness?: Fairness;
  readonly onProgress?: (counts: RunCounts) => void;
}

/** After a slice of work a run yields, at the end of a page, to those that wait. */
export interface Fairness {
  readonly sliceMs: number;
  /** Whether others wait for this run's turn. Asked at the end of a slice only; never throws. */
  readonly isWaitedFor: () => Promise<boolean>;
}

export interface RunResult extends RunCounts, Omit<Ending, 'isRecorded'> {
  readonly runId: bigint;
  readonly connection: string;
  readonly stream: string;
  readonly pass: Pass;
  readonly startedAt: Date;
  readonly endedAt: Date;
  /** What this call counted; of a run that goes on after others had their turn, the rest was counted before. */
  readonly slice: RunCounts;
}

/**
 * @throws LeaseBusyError when another process runs this pass; RunCancelledError when the stream is paused;
 * DatabaseError when the mirror's database cannot be used. Everything else ends up in the result.
 */
export async function runPass(parts: PassParts, job: PassJob): Promise<RunResult> {
  const key = { connectionId: job.connection.id, stream: job.stream.name, pass: job.pass };
  try {
    return await withLease(parts, key, { waitMs: job.leaseWaitMs, signal: job.signal }, async (lease, signal) => {
      const before = lease.isContinued ? await readCounts(parts.prisma, lease.runId) : noCounts();
      const run = new Run(parts, job, lease, signal, before);
      const ending = await execute(run).catch((error) => {
        // Not the end: the run begins again behind the erasure.
        if (error instanceof ErasedMeanwhileError) throw error;
        return endingFor(run, error);
      });
      return close(run, ending, before);
    });
  } catch (error) {
    throw databaseError(error, parts.databaseAddress);
  }
}

async function execute(run: Run): Promise<Ending> {
  const { connection, stream, pass } = run.job;
  await run.readSuppressions();
  if (!(await mayBegin(run))) {
    const message = `the ${pass} pass waits for the first full read (backfill) of ${stream.name}`;
    return run.ending('postponed', { code: 'backfill_first', message });
  }
  // Sign-in and role check belong to the connection, not to this stream's count of requests.
  const { name = null } = await connection.open({ ...run.fetch, lane: 'fast', onRequest: () => {} });
  if (name !== null) await keepAccountName(run.parts.prisma, connection.id, name);
  if (pass === 'count') return checkCounts(run);
  const lists = await planLists(run);
  if (pass === 'backfill') await seedWatermarks(run, lists);
  const from = await findCursor(run, lists);
  if (run.findsDeletions && stream.deletions !== undefined) {
    return reconcile(run, { lists, deletions: stream.deletions, from });
  }
  const ending = await walkLists(run, lists, { from, afterwards: null });
  if (ending === null) throw new Error(`${stream.name} has no list`);
  const isWhole = ending.error === null || ending.error.code === 'quarantined';
  if (isWhole && remembers(lists)) await deleteSeenIds(run.parts.prisma, run.lease);
  return ending;
}

/** An incremental pass needs the backfill's watermark; a reconcile does not overtake an unfinished backfill. */
async function mayBegin({ job: { pass }, lease, parts }: Run): Promise<boolean> {
  if (pass === 'incremental') return lease.checkpoint.watermark !== null;
  return pass === 'backfill' || isBackfillComplete(parts.prisma, lease);
}

async function close(run: Run, ending: Ending, before: RunCounts): Promise<RunResult> {
  const { lease, counts, startedAt, parts } = run;
  if (!ending.isRecorded) await endRun(parts.prisma, lease, startedAt, counts, ending);
  const slice = noCounts();
  for (const name of Object.keys(slice) as (keyof RunCounts)[]) slice[name] = counts[name] - before[name];
  const { isRecorded: _, ...end } = ending;
  const { runId, connectionId: connection, stream, pass } = lease;
  return { ...counts, ...end, runId, connection, stream, pass, startedAt, endedAt: new Date(parts.clock.now()), slice };
}

/** From the arrival of a page to the question whether to yield behind it. */
const LONGEST_PAGE_MS = 200;

export type PassProgress = Omit<PageToWrite, 'page' | 'lease' | 'startedAt' | 'counts'>;

/** One run under its lease: its counts, its watermarks, and the one way to write. */
export class Run {
  readonly parts: PassParts;
  readonly job: PassJob;
  readonly lease: Lease;
  readonly fetch: FetchOptions;
  readonly startedAt: Date;
  watermark: Watermarks | null;
  walkedAt: Watermarks | null;
  /** What a count check has read instead of the whole list: only there are missing rows suspects. */
  scope: Required<Pick<SuspectQuery, 'before' | 'windows'>> | null = null;
  /** What the account must not bring back. */
  suppressions: Suppressions = NO_SUPPRESSIONS;
  #written: RunCounts;
  /** Counted apart, because requests go out while a page is written. */
  #requests: number;
  #sliceEndsAt: number;

  /** `counts`: of a run that goes on, what it counted before. */
  constructor(parts: PassParts, job: PassJob, lease: Lease, signal: AbortSignal, counts = noCounts()) {
    this.parts = parts;
    this.job = job;
    this.lease = lease;
    this.startedAt = new Date(parts.clock.now());
    this.watermark = lease.checkpoint.watermark;
    this.walkedAt = lease.checkpoint.walkedAt;
    this.#written = counts;
    this.#requests = counts.requests;
    this.#sliceEndsAt = performance.now() + (job.fairness?.sliceMs ?? Number.POSITIVE_INFINITY);
    const onRequest = () => {
      this.#requests += 1;
    };
    this.fetch = { signal, maxWaitMs: job.maxWaitMs, lane: laneOf(job.pass), onRequest };
  }

  /** Behind the lease: its epoch is older than the list. @throws PrivacyError */
  async readSuppressions(): Promise<void> {
    const { connectionId, privacyEpoch } = this.lease;
    this.suppressions = await this.parts.privacy.load(connectionId, privacyEpoch);
  }

  /** A full sync that also looks for what is gone: all ids it is shown are kept. */
  get findsDeletions(): boolean {
    return this.job.pass === 'reconcile' && this.job.stream.deletions !== undefined;
  }

  get counts(): RunCounts {
    return { ...this.#written, requests: this.#requests };
  }

  ending(outcome: Outcome, error: Ending['error'] = null, retryInMs: number | null = null): Ending {
    return { outcome, error, watermark: this.watermark, retryInMs, isRecorded: false };
  }

  get isSliceNearlyOver(): boolean {
    return performance.now() >= this.#sliceEndsAt - LONGEST_PAGE_MS;
  }

  /** Whether this run's slice is over and others wait. When none does, another slice begins. */
  async shouldYield(): Promise<boolean> {
    const { fairness } = this.job;
    if (fairness === undefined || performance.now() < this.#sliceEndsAt) return false;
    if (await fairness.isWaitedFor()) return true;
    this.#sliceEndsAt = performance.now() + fairness.sliceMs;
    return false;
  }

  /** Ends the slice, not the run: its line stays open, and the next holder goes on with it. */
  yielded(): Ending {
    const message = 'yields to other streams, and goes on from its checkpoint';
    return { ...this.ending('postponed', { code: 'yielded', message }), isRecorded: true };
  }

  /** Writes a page with its progress. Without the records that Postgres refuses, `progressOf` is called again. */
  async write(page: PageWrite | null, progressOf: (page: PageWrite | null) => PassProgress): Promise<void> {
    const { lease, startedAt, parts } = this;
    const sentAt = performance.now();
    const retrying = { ...parts, stream: lease.stream, signal: this.fetch.signal };
    const attempt = (some: PageWrite | null) =>
      withRetry(retrying, () =>
        writePage(parts.prisma, { ...progressOf(some), page: some, lease, startedAt, counts: this.counts }),
      );
    this.#written = await attempt(page).catch(async (error: unknown) => {
      if (page === null || !isRefusedContent(error)) throw error;
      const accepted = await withRetry(retrying, () => bisectPage(parts.prisma, lease, page));
      const records = accepted.bad.length - page.bad.length;
      parts.logger.warn({ stream: lease.stream, records }, 'records that the database refuses go to quarantine');
      return attempt(accepted);
    });
    parts.onPageWritten?.({ stream: lease.stream, durationMs: performance.now() - sentAt });
    this.job.onProgress?.(this.counts);
  }

  /** The database's clock at a `performance.now()` of ours, a second early: reading both took some time. */
  databaseTime(at: number): Date {
    const { databaseNow, readAt } = this.lease;
    return new Date(databaseNow.getTime() + (at - readAt) - 1000);
  }
}
