import { appendFile } from 'node:fs/promises';

/** One figure a line: what, how much, and whether that is as it must be. */
export interface Verdict {
  readonly name: string;
  readonly value: string | number;
  /** Undefined: only told. */
  readonly isWell?: boolean;
  /** What it must be, for people. */
  readonly bound?: string;
}

/** Prints the figures, and ends the process with 1 when one of them is not as it must be. */
export function printVerdicts(title: string, verdicts: readonly Verdict[]): void {
  const width = Math.max(...verdicts.map(({ name }) => name.length)) + 2;
  process.stdout.write(`\n${title}\n`);
  for (const { name, value, isWell, bound } of verdicts) {
    const mark = isWell === undefined ? ' ' : isWell ? '+' : '-';
    process.stdout.write(`${mark} ${name.padEnd(width)}${value}${bound === undefined ? '' : ` (${bound})`}\n`);
  }
  if (verdicts.some(({ isWell }) => isWell === false)) process.exitCode = 1;
}

/** With OUT=file, one JSON line a report is added there. */
export async function saveReport(name: string, report: unknown): Promise<void> {
  const { OUT } = process.env;
  if (OUT === undefined || OUT === '') return;
  const line = JSON.stringify({ name, at: new Date().toISOString(), report });
  await appendFile(OUT, `${line}\n`);
}

export const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Nearest rank; 0 for nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? 0;
}
