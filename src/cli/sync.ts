import { type App, createApp } from '../app.ts';
import { DatabaseError, isAbort, LeaseBusyError, RunCancelledError } from '../errors.ts';
import { databaseError } from '../store/database.ts';
import { refreshReporting } from '../store/reporting.ts';
import { isBackfillComplete } from '../store/watermarks.ts';
import type { Pass } from '../stream.ts';
import { runCommand } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { followRun, type RunFollower } from './follow-run.ts';
import { print, printJson } from './format.ts';
import { createProgress, type Progress } from './progress.ts';
import { type Selected, selectStreams } from './selection.ts';
import { type SyncReport, summaryLine, toJson } from './sync-report.ts';

export interface SyncOptions {
  readonly pass?: Pass;
  readonly connection?: string;
  readonly json?: boolean;
}

/** A process that was killed leaves its lease behind for about ten seconds. */
const LEASE_WAIT_MS = 15_000;

export async function sync(words: readonly string[], options: SyncOptions): Promise<void> {
  await runCommand({ json: options.json }, async ({ config, logger, signal }) => {
    const app = await createApp(config, { logger, signal });
    try {
      const selected = selectStreams(app.connections, words, options.connection);
      const progress = createProgress({ isQuiet: options.json === true });
      const reports = await syncAll(app, selected, { pass: options.pass, signal, progress });
      await refreshAfter(app, signal);
      progress.stop();
      if (options.json) printJson({ runs: reports.map(toJson) });
      else for (const report of reports) print(summaryLine(report));
      return exitCodeOf(reports, signal);
    } finally {
      await app.close();
    }
  });
}

/** What the runs brought is worked into the reporting tables; that they could not be refreshed fails no run. */
export async function refreshAfter(
  { database, logger }: Pick<App, 'database' | 'logger'>,
  signal: AbortSignal,
): Promise<void> {
  await refreshReporting(database, { signal }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    logger.warn({ reason }, 'the reporting tables stay as they were; leadmirror report refresh tries again');
  });
}

export interface SyncAllOptions {
  readonly pass: Pass | undefined;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** Connections side by side, the streams of one connection in order: they share its request budget anyway. */
export async function syncAll(app: App, selected: readonly Selected[], options: SyncAllOptions): Promise<SyncReport[]> {
  const ids = [...new Set(selected.map(({ connection }) => connection.id))];
  const waiting = ids.map((id) => selected.filter(({ connection }) => connection.id === id));
  const reports = new Map<Selected, SyncReport>();
  const work = async () => {
    for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
      for (const item of group) {
        if (options.signal.aborted) return;
        reports.set(item, await syncOne(app, item, options));
      }
    }
  };
  await Promise.all(Array.from({ length: app.config.workers.concurrency }, work));
  return selected.flatMap((item) => reports.get(item) ?? []);
}

async function syncOne(app: App, { connection, stream }: Selected, options: SyncAllOptions): Promise<SyncReport> {
  const { signal, progress } = options;
  const key = { connectionId: connection.id, stream: stream.name };
  let pass = options.pass ?? 'incremental';
  const startedAt = new Date();
  const label = app.connections.length > 1 ? `${connection.id} ${stream.name}` : stream.name;
  let follow: RunFollower | null = null;
  try {
    if (options.pass === undefined && !(await isBackfillComplete(app.database.prisma, key))) pass = 'backfill';
    follow = await followRun(app, key, { pass, label: `${label} ${pass}`, progress });
    return await app.runPass({
      connection,
      stream,
      pass,
      signal,
      maxWaitMs: app.config.http.retryMaxMs,
      leaseWaitMs: LEASE_WAIT_MS,
      onProgress: follow.onProgress,
    });
  } catch (cause) {
    const failure = explainMissingRun(databaseError(cause, app.database.place), signal);
    if (failure === null) throw cause;
    return {
      ...{ connection: connection.id, stream: stream.name, pass, watermark: null, ...failure },
      ...{ requests: 0, pages: 0, read: 0, created: 0, updated: 0, unchanged: 0, deleted: 0, quarantined: 0 },
      ...{ startedAt, endedAt: new Date() },
    };
  } finally {
    follow?.end();
  }
}

/** Why there is no run to report; null for what nobody foresaw. */
function explainMissingRun(error: unknown, signal: AbortSignal): Pick<SyncReport, 'outcome' | 'error'> | null {
  if (signal.aborted && isAbort(error)) {
    return { outcome: 'cancelled', error: { code: 'stopped', message: 'stopped before it began' } };
  }
  const isHeld = error instanceof LeaseBusyError || error instanceof RunCancelledError;
  if (!isHeld && !(error instanceof DatabaseError)) return null;
  const { code, message } = error;
  return { outcome: isHeld ? 'cancelled' : 'failed', error: { code, message } };
}

export function exitCodeOf(reports: readonly SyncReport[], signal: AbortSignal): ExitCode {
  if (signal.aborted) return EXIT.stoppedBySignal;
  return reports.every(isDone) ? EXIT.done : EXIT.failed;
}

/** What a stream could not bring is told, and the next run goes on from it; a held brake waits for a person. */
function isDone({ outcome, error }: SyncReport): boolean {
  return outcome === 'succeeded' || (outcome === 'partial' && error?.code !== 'deletion_brake');
}
