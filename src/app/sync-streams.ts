import type { App } from '../app.ts';
import { DatabaseError, isAbort, LeaseBusyError, RunCancelledError } from '../errors.ts';
import { endManualWaits } from '../store/engine/control.ts';
import { isBackfillComplete } from '../store/engine/leases.ts';
import { noCounts, type RunCounts } from '../store/engine/runs.ts';
import { databaseError } from '../store/faults.ts';
import type { Connection, Pass, QueuedPass, Stream } from '../stream.ts';
import { type ReprojectReport, reproject } from '../sync/reproject.ts';
import type { RunResult } from '../sync/run-pass.ts';

export interface Selected {
  readonly connection: Connection;
  readonly stream: Stream;
}

export const everyStream = ({ connections }: Pick<App, 'connections'>): Selected[] =>
  connections.flatMap((connection) => connection.streams.map((stream) => ({ connection, stream })));

/** What is reported of a run, also where another process has the stream. It can be written as JSON. */
export type SyncReport = Omit<RunResult, 'runId' | 'retryInMs' | 'slice'>;

interface SyncStreamsOptions extends Pick<SyncOnceOptions, 'signal' | 'leaseWaitMs'> {
  readonly pass?: Pass;
  readonly follow?: (selected: Selected, pass: Pass) => Promise<RunObserver>;
}

interface RunObserver {
  onProgress(counts: RunCounts): void;
  end(): void;
}

/** A process that was killed leaves its lease behind for about ten seconds. */
export const LEASE_WAIT_MS = 15_000;

/** Runs each stream once: connections side by side, the streams of one, which share its budget, in order. */
export async function syncStreams(
  app: App,
  selected: readonly Selected[],
  options: SyncStreamsOptions,
): Promise<SyncReport[]> {
  // A person asked for it: a credential that was refused before is tried once more, for all streams together.
  for (const { connection, stream } of selected) {
    connection.retryRefused?.();
    await endManualWaits(app.database.prisma, { connectionId: connection.id, stream: stream.name });
  }
  const ids = [...new Set(selected.map(({ connection }) => connection.id))];
  const waiting = ids.map((id) => selected.filter(({ connection }) => connection.id === id));
  const reports = new Map<Selected, SyncReport>();
  const work = async () => {
    for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
      for (const item of group) {
        if (options.signal.aborted) return;
        reports.set(item, await syncStream(app, item, options));
      }
    }
  };
  await Promise.all(Array.from({ length: app.config.workers.concurrency }, work));
  return selected.flatMap((item) => reports.get(item) ?? []);
}

export interface SyncOnceOptions {
  readonly signal: AbortSignal;
  /** How long to wait for a stream that another process holds; 15 seconds unless given. */
  readonly leaseWaitMs?: number;
  /** Default: the first full read, then what changed. `reconcile`: everything, and what is gone. */
  readonly pass?: QueuedPass;
}

/**
 * Runs every stream once, as `leadmirror sync` does, and returns how each run ended. A run that fails or cannot begin
 * is in its report (`outcome`, `error`) and stops no other; its checkpoint is kept, and the next call goes on from it.
 */
export function syncOnce(app: App, options: SyncOnceOptions): Promise<SyncReport[]> {
  return syncStreams(app, everyStream(app), options);
}

/** Derives the typed columns of every stream again from `raw`, without a request: for a new or corrected mapping. */
export async function reprojectOnce(
  app: App,
  { signal }: { readonly signal: AbortSignal },
): Promise<ReprojectReport[]> {
  const parts = { prisma: app.database.prisma, clock: app.clock, logger: app.logger };
  const reports: ReprojectReport[] = [];
  for (const selected of everyStream(app)) reports.push(await reproject(parts, { ...selected, signal }));
  return reports;
}

async function syncStream(app: App, item: Selected, options: SyncStreamsOptions): Promise<SyncReport> {
  const { connection, stream } = item;
  const { signal } = options;
  const key = { connectionId: connection.id, stream: stream.name };
  let pass = options.pass ?? 'incremental';
  const startedAt = new Date();
  let following: RunObserver | undefined;
  if (pass === 'count' && stream.counts === undefined) {
    const message = `the upstream does not count ${stream.name}; full syncs find what was deleted`;
    const named = { connection: connection.id, stream: stream.name, pass, outcome: 'succeeded' as const };
    const error = { code: 'not_counted', message };
    return { ...named, error, ...noCounts(), watermark: null, startedAt, endedAt: startedAt };
  }
  try {
    if (options.pass === undefined && !(await isBackfillComplete(app.database.prisma, key))) pass = 'backfill';
    following = await options.follow?.(item, pass);
    const { leaseWaitMs = LEASE_WAIT_MS } = options;
    const waits = { signal, maxWaitMs: app.config.http.retryMaxMs, leaseWaitMs };
    const { onProgress } = following ?? {};
    const result = await app.runPass({ connection, stream, pass, ...waits, ...(onProgress && { onProgress }) });
    const { runId, retryInMs, slice, ...report } = result;
    return report;
  } catch (cause) {
    const failure = explainMissingRun(databaseError(cause, app.database.address), signal);
    if (failure === null) throw cause;
    const named = { connection: connection.id, stream: stream.name, pass };
    return { ...named, ...failure, ...noCounts(), watermark: null, startedAt, endedAt: new Date() };
  } finally {
    following?.end();
  }
}

/** Returns why there is no run to report; null for an unexpected error. */
function explainMissingRun(error: unknown, signal: AbortSignal): Pick<SyncReport, 'outcome' | 'error'> | null {
  if (signal.aborted && isAbort(error)) {
    return { outcome: 'cancelled', error: { code: 'stopped', message: 'stopped before it began' } };
  }
  const isLocked = error instanceof LeaseBusyError || error instanceof RunCancelledError;
  if (!isLocked && !(error instanceof DatabaseError)) return null;
  const { code, message } = error;
  return { outcome: isLocked ? 'cancelled' : 'failed', error: { code, message } };
}
