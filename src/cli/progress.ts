import ora from 'ora';
import type { RunCounts } from '../store/runs.ts';
import { formatCount, formatSeconds } from './format.ts';
import type { SyncReport } from './sync.ts';

export interface Progress {
  show(label: string, counts: RunCounts): void;
  stop(): void;
}

/** A line every so often where nobody watches: enough to see in a log that it goes on. */
const PLAIN_INTERVAL_MS = 10_000;

/** On a terminal one living line, otherwise now and then a plain one; both on stderr, so that stdout stays the result. */
export function createProgress({ isQuiet }: { readonly isQuiet: boolean }): Progress {
  if (isQuiet) return { show: () => {}, stop: () => {} };
  if (process.stderr.isTTY !== true) return createPlainProgress();
  const spinner = ora({ stream: process.stderr, discardStdin: false });
  return {
    show(label, counts) {
      spinner.text = describe(label, counts);
      if (!spinner.isSpinning) spinner.start();
    },
    stop: () => spinner.stop(),
  };
}

function createPlainProgress(): Progress {
  let saidAt = performance.now();
  return {
    show(label, counts) {
      if (performance.now() - saidAt < PLAIN_INTERVAL_MS) return;
      saidAt = performance.now();
      process.stderr.write(`${describe(label, counts)}\n`);
    },
    stop: () => {},
  };
}

function describe(label: string, { read, requests }: RunCounts): string {
  return `${label}: ${formatCount(read)} read, ${formatCount(requests)} requests`;
}

/** One line for one run. */
export function summaryLine(report: SyncReport): string {
  const { connection, stream, pass, outcome, created, updated, unchanged, quarantined, requests, error } = report;
  const took = formatSeconds(report.endedAt.getTime() - report.startedAt.getTime());
  const counts = [
    `${formatCount(created)} created`,
    `${formatCount(updated)} updated`,
    `${formatCount(unchanged)} unchanged`,
    ...(quarantined > 0 ? [`${formatCount(quarantined)} in quarantine`] : []),
  ].join(', ');
  const head = `${connection} ${stream} ${pass}: ${outcome}, ${counts} (${formatCount(requests)} requests, ${took})`;
  return error === null ? head : `${head}\n  ${error.code}: ${error.message}`;
}
