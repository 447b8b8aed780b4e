import type { SyncReport } from '../app/sync-streams.ts';
import { formatCount, formatSeconds } from './format.ts';

export type { SyncReport } from '../app/sync-streams.ts';

/** One line for one run. */
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
  const head = `${connection} ${stream} ${pass}: ${outcome}, ${counts} (${formatCount(requests)} requests, ${took})`;
  return error === null ? head : `${head}\n  ${error.code}: ${error.message}`;
}

/** The same for scripts; the names are a contract. */
export function toJson(report: SyncReport) {
  const { connection, stream, pass, outcome, watermark, error, startedAt, endedAt } = report;
  const { requests, pages, read, created, updated, unchanged, deleted, quarantined } = report;
  return {
    ...{ connection, stream, pass, outcome, requests, pages, read, created, updated, unchanged, deleted, quarantined },
    ...{ watermark, started_at: startedAt, ended_at: endedAt, error },
  };
}
