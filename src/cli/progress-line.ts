import type { Progress } from '../ops/progress.ts';
import { formatCount, formatSpan } from './format.ts';

const BAR = 20;

/** `leads reconcile  ████████░░░░░░░░░░░░  40 %  10,000 of 25,000 rows  820/s  18 s left`; what does not fit is left out from the end. */
export function progressLine(label: string, progress: Omit<Progress, 'started_at' | 'run_id'>, width: number): string {
  const { read, expected, rows_per_second: rate, eta_seconds: eta, requests, pages } = progress;
  const share = expected === null || expected === 0 ? null : Math.min(1, read / expected);
  const parts = [
    label,
    ...(share === null ? [] : [`${bar(share)} ${String(Math.floor(share * 100)).padStart(3)} %`]),
    expected === null ? `${formatCount(read)} rows` : `${formatCount(read)} of about ${formatCount(expected)} rows`,
    ...(rate === null ? [] : [`${formatCount(Math.round(rate))}/s`]),
    ...(eta === null || share === 1 ? [] : [`${formatSpan(eta)} left`]),
    ...(pages > 0 ? [`${formatCount(pages)} pages`] : []),
    ...(requests > 0 ? [`${formatCount(requests)} requests`] : []),
  ];
  // Two for an indent, two for a spinner.
  const room = Math.max(20, width - 4);
  let line = '';
  for (const part of parts) {
    const longer = line === '' ? part : `${line}  ${part}`;
    if (longer.length > room) break;
    line = longer;
  }
  return line === '' ? `${label.slice(0, room - 1)}…` : line;
}

function bar(share: number): string {
  const full = Math.round(share * BAR);
  return '█'.repeat(full) + '░'.repeat(BAR - full);
}
