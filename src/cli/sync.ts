import { type Selected, type SyncReport, syncStreams } from '../app/sync-streams.ts';
import { type App, createApp } from '../app.ts';
import { refreshReporting } from '../store/reports/refresh.ts';
import type { Pass } from '../stream.ts';
import { runCommand } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { followRun } from './follow-run.ts';
import { print, printJson } from './format.ts';
import { createProgress, type Progress } from './progress.ts';
import { selectStreams } from './selection.ts';
import { summaryLine, toJson } from './sync-report.ts';

export interface SyncOptions {
  readonly pass?: Pass;
  readonly connection?: string;
  readonly json?: boolean;
}

export async function sync(words: readonly string[], options: SyncOptions): Promise<void> {
  await runCommand({ json: options.json }, async ({ config, logger, signal }) => {
    const app = await createApp(config, { logger, signal });
    try {
      const selected = selectStreams(app.connections, words, options.connection);
      const progress = createProgress({ isQuiet: options.json === true });
      const reports = await syncAll(app, selected, { pass: options.pass, signal, progress });
      progress.stop();
      if (options.json) printJson({ runs: reports.map(toJson) });
      else for (const report of reports) print(summaryLine(report));
      await refreshAfter(app, signal);
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
  const timer = setTimeout(() => logger.info(LONG_REFRESH), LONG_REFRESH_MS);
  await refreshReporting(database, { signal })
    .catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn({ reason }, 'the reporting tables stay as they were; leadmirror report refresh tries again');
    })
    .finally(() => clearTimeout(timer));
}

const LONG_REFRESH_MS = 3_000;
const LONG_REFRESH =
  'bringing the reporting tables up to the mirror; the first time, with a million requests, that takes minutes, and may be stopped';

export interface SyncAllOptions {
  readonly pass: Pass | undefined;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** Runs the selected streams once and shows them while they run. */
export function syncAll(app: App, selected: readonly Selected[], options: SyncAllOptions): Promise<SyncReport[]> {
  const { pass, signal, progress } = options;
  return syncStreams(app, selected, {
    ...(pass !== undefined && { pass }),
    signal,
    follow: ({ connection, stream }, current) => {
      const name = app.connections.length > 1 ? `${connection.id} ${stream.name}` : stream.name;
      const key = { connectionId: connection.id, stream: stream.name };
      return followRun(app, key, { pass: current, label: `${name} ${current}`, progress });
    },
  });
}

export function exitCodeOf(reports: readonly SyncReport[], signal: AbortSignal): ExitCode {
  if (signal.aborted) return EXIT.stoppedBySignal;
  return reports.every(isDone) ? EXIT.done : EXIT.failed;
}

/** What a stream could not bring is told, and the next run goes on from it; a held brake waits for a person. */
function isDone({ outcome, error }: SyncReport): boolean {
  return outcome === 'succeeded' || (outcome === 'partial' && error?.code !== 'deletion_brake');
}
