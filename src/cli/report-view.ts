import { span } from '../ops/view/format.ts';
import type { Report } from '../store/reports/report.ts';
import { formatAge, formatCount } from './format.ts';
import type { Screen } from './terminal.ts';

const BARS = '▁▂▃▄▅▆▇█';

/** Returns the main figures as human-readable lines. */
export function viewReport(report: Report, { paint, width }: Screen, nowMs: number): string[] {
  const { from, to, connections, time_zones: zones, as_of: asOf } = report;
  const { requests, response_times: times, satisfaction, backlog, funnel, links } = report;
  const accounts = connections.length === 1 ? '1 account' : `${formatCount(connections.length)} accounts`;
  const complete =
    asOf === null ? paint('yellow', 'a first full read is not complete') : `as of ${formatAge(asOf, nowMs)}`;
  const head = `${from} to ${to} (${zones.join(', ') || 'UTC'}), ${accounts}, ${complete}`;
  const row = (label: string, ...parts: readonly (string | null)[]) =>
    `${label.padEnd(14)}${parts.filter((part) => part !== null).join(', ')}`;
  const oldest = backlog.oldest_opened_at;
  const steps = [
    `${formatCount(funnel.leads)} new`,
    `${formatCount(funnel.with_request)} had a conversation`,
    `${formatCount(funnel.answered)} were answered`,
    `${formatCount(funnel.closed)} closed`,
    `${formatCount(funnel.rated)} rated`,
  ];
  return [
    paint('bold', head),
    '',
    row(
      'requests',
      `${formatCount(requests.opened)} opened`,
      `${formatCount(requests.closed)} closed`,
      `${formatCount(requests.abandoned)} abandoned`,
    ),
    ...sparkline(
      requests.by_time.map(({ opened }) => opened),
      width,
    ).map((line) => row(`  by ${report.unit}`, paint('cyan', line))),
    row(
      'first answer',
      `median ${span(times.first_response_median_seconds)}`,
      `90 % within ${span(times.first_response_p90_seconds)}`,
      `${formatCount(times.answered)} answered`,
    ),
    row(
      'closed after',
      `median ${span(times.resolution_median_seconds)}`,
      `90 % within ${span(times.resolution_p90_seconds)}`,
    ),
    row(
      'satisfaction',
      satisfaction.rated === 0 ? 'no ratings' : `average ${satisfaction.average_rating?.toFixed(1)}`,
      satisfaction.rated === 0 ? null : `${percent(satisfaction.satisfied, satisfaction.rated)} satisfied`,
      satisfaction.rated === 0 ? null : `${formatCount(satisfaction.rated)} ratings`,
    ),
    row(
      'open now',
      formatCount(backlog.open),
      backlog.open === 0 ? null : `${formatCount(backlog.unanswered)} without an answer`,
      oldest === null ? null : `oldest ${span((nowMs - oldest.getTime()) / 1000)}`,
    ),
    row('leads', ...steps),
    ...(links.sent === 0
      ? []
      : [
          row(
            'links',
            `${formatCount(links.sent)} sent`,
            `${formatCount(links.opened)} opened (${percent(links.opened, links.sent)})`,
            `${formatCount(links.signed)} signed`,
            `read for ${span(links.time_read_seconds)}`,
          ),
        ]),
  ];
}

const percent = (part: number, whole: number): string => `${Math.round((100 * part) / Math.max(1, whole))} %`;

/** One line, or none where there is nothing to see; the newest where not all have room. */
function sparkline(values: readonly number[], width: number): string[] {
  const shown = values.slice(-Math.max(10, Math.min(width - 16, 120)));
  const most = Math.max(...shown);
  if (shown.length < 2 || most === 0) return [];
  return [shown.map((value) => (value === 0 ? ' ' : BARS[Math.ceil((value / most) * BARS.length) - 1])).join('')];
}
