import { type Selected, type SyncReport, syncStreams } from '../app/sync-streams.ts';
import type { App } from '../app.ts';
import { groupBy } from '../group-by.ts';
import { isBackfillComplete } from '../store/engine/leases.ts';
import { hasWorker } from '../store/engine/processes.ts';
import type { RunCounts } from '../store/engine/runs.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import { refreshReporting } from '../store/reports/refresh.ts';
import { readRunning } from '../store/reports/run-history.ts';
import { countRows } from '../store/reports/status.ts';
import type { Pass } from '../stream.ts';
import { type CommandProcess, runOnApp, type StreamOptions } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { counted, formatCount, formatSeconds, helpLines } from './format.ts';
import { createProgress, type ProgressView, type WalkSize } from './progress.ts';
import { selectStreams } from './selection.ts';

export async function sync(
  names: readonly string[],
  options: StreamOptions & { readonly pass?: Pass; readonly reports?: boolean },
  proc: CommandProcess,
): Promise<void> {
  const { pass, json } = options;
  await runOnApp({ json, proc }, async (app, { signal, print, printResult }) => {
    const selected = selectStreams(app.connections, names, options.connection);
    const progress = await createProgress({ isQuiet: json === true }, proc.stderr);
    const startedAt = performance.now();
    const reports = await syncAll(app, selected, { pass, signal, progress });
    progress.stop();
    for (const report of reports) print(summaryLine(report));
    if (reports.length > 1) print(totalLine(reports, performance.now() - startedAt));
    for (const line of helpLines(reports.map(({ error }) => error?.code))) print(line);
    const refreshedFrom = performance.now();
    const isLeft = options.reports === false || (await isRefreshedByDaemon(app));
    const reportsDoneAt = isLeft ? null : await refreshAfter(app, signal);
    const tookMs = performance.now() - refreshedFrom;
    const isWorthALine = reportsDoneAt !== null && tookMs > WORTH_A_LINE_MS;
    printResult(toDocument(reports, reportsDoneAt), () =>
      isWorthALine ? [`reports refreshed (${formatSeconds(tookMs)})`] : [],
    );
    return exitCodeOf(reports, signal);
  });
}

/** A daemon refreshes after its own runs. Where the database is gone, the refresh reports it. */
const isRefreshedByDaemon = ({ database }: App): Promise<boolean> => hasWorker(database.prisma).catch(() => false);

/** Brings the reporting tables up to the mirror. Returns when; null where they stay as they were. */
export async function refreshAfter(
  { database, logger }: Pick<App, 'database' | 'logger'>,
  signal: AbortSignal,
): Promise<Date | null> {
  const timer = setTimeout(() => logger.info(LONG_REFRESH), LONG_REFRESH_MS);
  try {
    const outcome = await refreshReporting(database, { signal });
    return outcome === 'refreshed' || outcome === 'rebuilt' ? new Date() : null;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    logger.warn({ reason }, 'the reporting tables stay as they were; leadmirror report refresh tries again');
    return null;
  } finally {
    clearTimeout(timer);
  }
}

const LONG_REFRESH_MS = 3_000;
const WORTH_A_LINE_MS = 1_000;
const LONG_REFRESH =
  'bringing the reporting tables up to the mirror; the first time, with a million requests, that takes half a minute, and may be stopped';

export function syncAll(
  app: App,
  selected: readonly Selected[],
  { pass, signal, progress }: { pass?: Pass | undefined; signal: AbortSignal; progress: ProgressView },
): Promise<SyncReport[]> {
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

/** Shows one run while it lasts. The size of a walk is queried only on a terminal. */
async function followRun(
  app: App,
  key: StreamKey,
  { pass, label, progress }: { readonly pass: Pass; readonly label: string; readonly progress: ProgressView },
) {
  const walk = progress.isLive && pass !== 'incremental' ? await sizeOf(app, key, pass) : undefined;
  const track = progress.track(label, walk);
  let isFirst = true;
  return {
    onProgress(counts: RunCounts) {
      track.show(counts);
      if (!isFirst || walk === undefined) return;
      isFirst = false;
      // Only the estimated time left depends on it.
      void readBefore(app, key, pass).then(track.readBefore, () => {});
    },
    end: () => track.end(),
  };
}

async function sizeOf({ database }: App, key: StreamKey, pass: Pass): Promise<WalkSize> {
  const isFirstRead = !(await isBackfillComplete(database.prisma, key));
  const counts = isFirstRead ? null : await countRows(database.prisma, key.stream);
  return { pass, isFirstRead, aliveRows: counts?.get(key.connectionId)?.alive ?? 0 };
}

async function readBefore({ database }: App, { connectionId, stream }: StreamKey, pass: Pass): Promise<number> {
  const running = await readRunning(database.prisma);
  const own = running.find((one) => one.connection_id === connectionId && one.stream === stream && one.pass === pass);
  return own?.read_before ?? 0;
}

/** `9 streams: 8 succeeded, 1 failed; 1,540 created, 3 updated, 0 deleted (70 requests, 4.2 s)` */
function totalLine(reports: readonly SyncReport[], tookMs: number): string {
  const sum = (count: 'created' | 'updated' | 'deleted' | 'requests') =>
    reports.reduce((total, report) => total + report[count], 0);
  const outcomes = groupBy(reports, ({ outcome }) => outcome);
  const ended = [...outcomes].map(([outcome, some]) => `${some.length} ${outcome}`).join(', ');
  const counts = (['created', 'updated', 'deleted'] as const)
    .map((one) => `${formatCount(sum(one))} ${one}`)
    .join(', ');
  return `${counted(reports.length, 'stream')}: ${ended}; ${counts} (${counted(sum('requests'), 'request')}, ${formatSeconds(tookMs)})`;
}

export function summaryLine(report: SyncReport): string {
  const { connection, stream, pass, outcome, created, updated, unchanged, requests, error } = report;
  const { deleted, quarantined } = report;
  const took = formatSeconds(report.endedAt.getTime() - report.startedAt.getTime());
  const counts = [
    `${formatCount(created)} created`,
    `${formatCount(updated)} updated`,
    `${formatCount(unchanged)} unchanged`,
    ...(deleted > 0 ? [`${formatCount(deleted)} deleted`] : []),
    ...(quarantined > 0 ? [`${formatCount(quarantined)} in quarantine`] : []),
  ].join(', ');
  const head = `${connection} ${stream} ${pass}: ${outcome}, ${counts} (${counted(requests, 'request')}, ${took})`;
  return error === null ? head : `${head}\n  ${error.code}: ${error.message}`;
}

/** The names are a contract. */
function toDocument(reports: readonly SyncReport[], reportsDoneAt: Date | null) {
  const rowsDoneAt = reports.reduce<Date | null>(
    (last, { endedAt }) => (last && last > endedAt ? last : endedAt),
    null,
  );
  return { runs: reports.map(toJson), rows_done_at: rowsDoneAt, reports_done_at: reportsDoneAt };
}

function toJson(report: SyncReport) {
  const { connection, stream, pass, outcome, watermark, error, startedAt, endedAt } = report;
  const { requests, pages, read, created, updated, unchanged, deleted, quarantined } = report;
  return {
    ...{ connection, stream, pass, outcome, requests, pages, read, created, updated, unchanged, deleted, quarantined },
    ...{ watermark, started_at: startedAt, ended_at: endedAt, error },
  };
}

export function exitCodeOf(reports: readonly SyncReport[], signal: AbortSignal): ExitCode {
  if (signal.aborted) return EXIT.stoppedBySignal;
  return reports.every(isDone) ? EXIT.done : EXIT.failed;
}

/** Whether a run needs no action. A partial run goes on next time, except when the deletion guard blocked it. */
function isDone({ outcome, error }: SyncReport): boolean {
  return outcome === 'succeeded' || (outcome === 'partial' && error?.code !== 'deletion_brake');
}
