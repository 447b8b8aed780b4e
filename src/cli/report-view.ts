import { mainFigures } from '../ops/report/figures.ts';
import type { Report } from '../store/reports/report.ts';
import { layOut } from './columns.ts';
import { counted, formatAge } from './format.ts';
import type { Screen } from './terminal.ts';

const BARS = '▁▂▃▄▅▆▇█';

export function viewReport(report: Report, { paint, width }: Screen, nowMs: number): string[] {
  const { from, to, connections, time_zones: zones, as_of: asOf, unit, requests } = report;
  const accounts = counted(connections.length, 'account');
  const complete =
    asOf === null ? paint('yellow', 'a first full read is not complete') : `as of ${formatAge(asOf, nowMs)}`;
  const opened = requests.by_time.map((point) => point.opened);
  const figures = mainFigures(report, nowMs);
  const columns = [0, 1, 2].map((index) => ({ head: '', cell: (row: readonly string[]) => row[index] ?? '' }));
  return [
    paint('bold', `${from} to ${to} (${zones.join(', ') || 'UTC'}), ${accounts}, ${complete}`),
    ...layOut(columns, figures, Number.POSITIVE_INFINITY),
    ...sparkline(opened, width).map((line) => `\nOpened by ${unit}  ${paint('cyan', line)}`),
  ];
}

/** One line, or none where there is nothing to see; the newest where not all have room. */
function sparkline(values: readonly number[], width: number): string[] {
  const shown = values.slice(-Math.max(10, Math.min(width - 16, 120)));
  const most = Math.max(...shown);
  if (shown.length < 2 || most === 0) return [];
  return [shown.map((value) => (value === 0 ? ' ' : BARS[Math.ceil((value / most) * BARS.length) - 1])).join('')];
}
