import type { Clock } from '../clock.ts';
import {
  DatabaseError,
  errorCode,
  isAbort,
  LeadmirrorError,
  LeaseLostError,
  RateLimitedError,
  RecordError,
} from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import { databaseError } from '../store/database.ts';
import { isRetryableDatabaseError } from '../store/faults.ts';
import { type Lease, releaseLease } from '../store/leases.ts';
import {
  type BadRecord,
  type CheckpointWrite,
  type PageWrite,
  preparePage,
  type SavePage,
  savePage,
} from '../store/pages.ts';
import { endRun, noCounts, type RunCounts, type RunEnd } from '../store/runs.ts';
import { forgetCapabilities, learnCapabilities, readCapabilities } from '../store/streams.ts';
import { isBackfillComplete, readWatermark, seedIncremental } from '../store/watermarks.ts';
import type {
  Capabilities,
  Connection,
  FetchOptions,
  List,
  ListPage,
  Outcome,
  Pass,
  Row,
  Stream,
  WalkState,
  WalkStep,
} from '../stream.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { keepLease, takeLease } from './lease-keeper.ts';
import { type WalkedPage, walkPages } from './walk-pages.ts';
import { advanceWatermark, seedWatermark, stopBefore, type Watermarks } from './watermark.ts';

/**
 * The loop: lease → lists → pages → rows → upsert + checkpoint → end. One call is one run of one pass of one stream.
 *
 * Whatever stops it (a crash, a refusal, a stop signal), the checkpoint holds the last page that was written, and the next run goes on from there.
 */
export interface PassParts {
  readonly prisma: PrismaClient;
  /** For messages: `host:port/name`. */
  readonly databasePlace: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lookbackMs: number;
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
  readonly onProgress?: (counts: RunCounts) => void;
}

export interface RunResult extends RunCounts {
  readonly runId: bigint;
  readonly connection: string;
  readonly stream: string;
  readonly pass: Pass;
  readonly outcome: Outcome;
  readonly watermark: Watermarks | null;
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** For `postponed`: how long to stay away. */
  readonly retryInMs: number | null;
}

/**
 * @throws LeaseBusyError when another process runs this pass; DatabaseError when the mirror's database cannot be used. Everything else ends up in the
 * result.
 */
export async function runPass(parts: PassParts, job: PassJob): Promise<RunResult> {
  const { prisma, clock } = parts;
  const key = { connectionId: job.connection.id, stream: job.stream.name, pass: job.pass };
  const leased = takeLease(parts, key, { waitMs: job.leaseWaitMs, signal: job.signal });
  const lease = await leased.catch((error) => {
    throw databaseError(error, parts.databasePlace);
  });
  const keeper = keepLease(parts, lease);
  const run = new PassRun(parts, job, lease, AbortSignal.any([job.signal, keeper.lost]));
  try {
    const end = await run.execute().catch((error) => run.endFor(error));
    return await run.close(end);
  } catch (error) {
    throw databaseError(error, parts.databasePlace);
  } finally {
    keeper.stop();
    await releaseLease(prisma, lease).catch(() => {});
    parts.logger.debug({ run: String(lease.runId), ms: clock.now() - run.startedAt.getTime() }, 'run closed');
  }
}

interface Ending extends RunEnd {
  readonly retryInMs: number | null;
  /** The run's line is already written, with its last page. */
  readonly isRecorded: boolean;
}

class PassRun {
  readonly startedAt: Date;
  readonly #parts: PassParts;
  readonly #job: PassJob;
  readonly #lease: Lease;
  readonly #fetch: FetchOptions;
  #counts: RunCounts = noCounts();
  /** Counted apart, because requests go out while a page is written. */
  #requests = 0;
  #watermark: Watermarks | null;
  #walkedAt: Watermarks | null;

  constructor(parts: PassParts, job: PassJob, lease: Lease, signal: AbortSignal) {
    this.#parts = parts;
    this.#job = job;
    this.#lease = lease;
    this.startedAt = new Date(parts.clock.now());
    this.#watermark = lease.checkpoint.watermark;
    this.#walkedAt = lease.checkpoint.walkedAt;
    this.#fetch = {
      signal,
      maxWaitMs: job.maxWaitMs,
      onRequest: () => {
        this.#requests += 1;
      },
    };
  }

  async execute(): Promise<Ending> {
    const waiting = await this.#whatToWaitFor();
    if (waiting !== null) return waiting;
    // Sign-in and role check belong to the connection, not to this stream's count of requests.
    await this.#job.connection.open({ ...this.#fetch, onRequest: () => {} });
    const lists = await this.#planLists();
    if (this.#job.pass === 'backfill') await this.#seedWatermarks(lists);
    const cursor = decodeCursor(this.#lease.checkpoint.cursor);
    const first = Math.max(
      0,
      lists.findIndex(({ id }) => id === cursor?.listId),
    );
    for (const [index, list] of lists.entries()) {
      if (index < first) continue;
      const isResumed = index === first && cursor?.listId === list.id && cursor.kind === list.walk.kind;
      const start = isResumed && cursor !== null ? list.walk.resume(cursor.walk) : list.walk.start();
      const ending = await this.#walkList(list, start, lists[index + 1] ?? null);
      if (ending !== null) return ending;
    }
    throw new Error(`${this.#job.stream.name} has no list`);
  }

  /** An incremental pass needs the watermark that a backfill seeds; a reconcile does not overtake an unfinished backfill. */
  async #whatToWaitFor(): Promise<Ending | null> {
    const { pass } = this.#job;
    if (pass === 'backfill') return null;
    const isReady =
      pass === 'incremental'
        ? this.#lease.checkpoint.watermark !== null
        : await isBackfillComplete(this.#parts.prisma, this.#lease);
    if (isReady) return null;
    const message = `the ${pass} pass waits for the first full read (backfill) of ${this.#job.stream.name}`;
    return this.#ending('postponed', { code: 'backfill_first', message });
  }

  /** One question per list, before the first full read: changes made while it runs are then found by the incremental passes. */
  async #seedWatermarks(lists: readonly List[]): Promise<void> {
    const { prisma } = this.#parts;
    if ((await readWatermark(prisma, this.#lease, 'incremental')) !== null) return;
    let watermark: Watermarks = {};
    let walkedAt: Watermarks = {};
    for (const list of lists) {
      if (list.fetchNewestChange === undefined) continue;
      const { newest, serverTime } = await list.fetchNewestChange(this.#fetch);
      watermark = advanceWatermark(watermark, list.id, seedWatermark(newest, serverTime));
      // What is there now is read by the full walk that follows.
      walkedAt = advanceWatermark(walkedAt, list.id, serverTime);
    }
    await seedIncremental(prisma, this.#lease, { watermark, walkedAt });
  }

  async #planLists(): Promise<readonly List[]> {
    const { stream, pass } = this.#job;
    const key = { connectionId: this.#lease.connectionId, stream: stream.name };
    const capabilities = await readCapabilities(this.#parts.prisma, key);
    return stream.planLists({
      pass,
      capabilities,
      learn: (facts: Capabilities) => learnCapabilities(this.#parts.prisma, key, facts),
      stopBefore: (listId) =>
        pass === 'incremental'
          ? stopBefore({ watermark: this.#watermark, walkedAt: this.#walkedAt }, listId, this.#parts.lookbackMs)
          : null,
      fetch: this.#fetch,
    });
  }

  /** Null when there are more lists to read. */
  async #walkList(list: List, start: WalkState, next: List | null) {
    const prepare = (page: ListPage, askedAt: number) => this.#mapPage(page, askedAt);
    for await (const walked of walkPages(list, start, { ...this.#fetch, prepare })) {
      const ending = await this.#savePage(list, walked, next);
      this.#job.onProgress?.({ ...this.#counts, requests: this.#requests });
      if (ending !== null) return ending;
    }
    return null;
  }

  async #savePage(list: List, walked: WalkedPage<PageWrite>, next: List | null): Promise<Ending | null> {
    const { step, prepared: page } = walked;
    const isListRead = step.end?.kind === 'complete';
    if (isListRead && this.#job.pass === 'incremental') {
      const { newest, serverTime } = list.walk.beginning(step.state);
      this.#watermark = advanceWatermark(this.#watermark, list.id, newest);
      this.#walkedAt = advanceWatermark(this.#walkedAt, list.id, serverTime);
    }
    const ending = this.#endingAt(step, next, page);
    const checkpoint: CheckpointWrite = {
      cursor: this.#cursorAfter(list, walked, next),
      watermark: this.#job.pass === 'incremental' ? this.#watermark : null,
      walkedAt: this.#job.pass === 'incremental' ? this.#walkedAt : null,
      completed: isListRead && next === null,
    };
    this.#counts = await this.#save({ page, checkpoint, end: ending, onSent: walked.fetchAhead });
    return ending;
  }

  #cursorAfter(list: List, { step }: WalkedPage<PageWrite>, next: List | null): unknown {
    if (step.end?.kind !== 'complete') return encodeCursor({ listId: list.id, kind: list.walk.kind, walk: step.state });
    return next === null ? null : encodeCursor({ listId: next.id, kind: next.walk.kind, walk: next.walk.start() });
  }

  #endingAt(step: WalkStep, next: List | null, page: PageWrite): Ending | null {
    if (step.end === null) return null;
    if (step.end.kind === 'gave_up') {
      const message = `${step.end.reason}; progress is kept and the next run goes on from it`;
      return { ...this.#ending('partial', { code: 'walk_gave_up', message }), isRecorded: true };
    }
    if (next !== null) return null;
    const bad = this.#counts.quarantined + page.bad.length;
    const error =
      bad === 0 ? null : { code: 'quarantined', message: `${bad} records could not be mapped; see sync.quarantine` };
    return { ...this.#ending(error === null ? 'succeeded' : 'partial', error), isRecorded: true };
  }

  #mapPage(page: ListPage, askedAt: number): PageWrite {
    const { stream, pass } = this.#job;
    const rows: Row[] = [];
    const bad: BadRecord[] = [];
    for (const record of page.records) {
      const kept = stream.redactRecord(record);
      try {
        rows.push(stream.mapRecord(kept));
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        bad.push({ recordId: error.recordId, reason: error.code, rawText: JSON.stringify(kept) ?? 'undefined' });
      }
    }
    const replaceWrittenBefore = pass === 'incremental' ? null : this.#databaseTime(askedAt);
    return preparePage({ table: stream.table, rows, bad, replaceWrittenBefore });
  }

  /** The database's clock at a moment of ours, a second early: between reading the two clocks some time passed. */
  #databaseTime(at: number): Date {
    const { databaseNow, readAt } = this.#lease;
    return new Date(databaseNow.getTime() + (at - readAt) - 1000);
  }

  /** Deadlocks, serialisation failures and lost connections are retried as a page: nothing of a failed try was kept. */
  async #save(save: Pick<SavePage, 'page' | 'checkpoint' | 'end' | 'onSent'>): Promise<RunCounts> {
    const { prisma, clock, logger } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      try {
        const counts = { ...this.#counts, requests: this.#requests };
        return await savePage(prisma, { ...save, lease: this.#lease, startedAt: this.startedAt, counts });
      } catch (error) {
        if (!isRetryableDatabaseError(error) || attempt >= SAVE_ATTEMPTS) throw error;
        const waitMs = Math.min(SAVE_CAP_MS, SAVE_BASE_MS * 2 ** (attempt - 1));
        logger.warn({ stream: this.#job.stream.name, attempt, waitMs }, 'page not written, trying again');
        await clock.sleep(waitMs, this.#fetch.signal);
      }
    }
  }

  /** What an error means for the run. Errors of the mirror's own database leave nothing to be written and are thrown on. */
  async endFor(error: unknown): Promise<Ending> {
    const { signal } = this.#fetch;
    const cause = signal.aborted && isAbort(error) ? signal.reason : error;
    if (cause instanceof LeaseLostError) {
      return { ...this.#ending('cancelled', { code: cause.code, message: cause.message }), isRecorded: true };
    }
    if (isAbort(cause) || (signal.aborted && cause === signal.reason)) {
      return this.#ending('cancelled', {
        code: 'stopped',
        message: 'stopped; the next run goes on from the checkpoint',
      });
    }
    const wrapped = databaseError(cause, this.#parts.databasePlace);
    if (wrapped instanceof DatabaseError) throw wrapped;
    if (cause instanceof RateLimitedError) {
      return this.#ending('postponed', { code: cause.code, message: cause.message }, cause.waitMs);
    }
    if (!(cause instanceof LeadmirrorError)) {
      this.#parts.logger.error({ err: cause, stream: this.#job.stream.name }, 'unexpected error: please report it');
      return this.#ending('failed', {
        code: 'bug',
        message: 'an error that leadmirror did not foresee; its log has it',
      });
    }
    if (cause.code === 'window_ignored') {
      const key = { connectionId: this.#lease.connectionId, stream: this.#job.stream.name };
      await forgetCapabilities(this.#parts.prisma, key);
    }
    return this.#ending('failed', { code: errorCode(cause), message: cause.message });
  }

  async close(ending: Ending): Promise<RunResult> {
    const counts = { ...this.#counts, requests: this.#requests };
    if (!ending.isRecorded) await endRun(this.#parts.prisma, this.#lease, this.startedAt, counts, ending);
    const { outcome, error, retryInMs } = ending;
    return {
      ...counts,
      runId: this.#lease.runId,
      connection: this.#lease.connectionId,
      stream: this.#lease.stream,
      pass: this.#lease.pass,
      outcome,
      error,
      retryInMs,
      watermark: this.#watermark,
      startedAt: this.startedAt,
      endedAt: new Date(this.#parts.clock.now()),
    };
  }

  #ending(outcome: Outcome, error: RunEnd['error'], retryInMs: number | null = null): Ending {
    return { outcome, error, watermark: this.#watermark, retryInMs, isRecorded: false };
  }
}

const SAVE_ATTEMPTS = 8;
const SAVE_BASE_MS = 100;
const SAVE_CAP_MS = 5_000;
