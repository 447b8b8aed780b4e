import ora from 'ora';
import type { RunCounts } from '../store/runs.ts';
import { formatCount } from './format.ts';

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
