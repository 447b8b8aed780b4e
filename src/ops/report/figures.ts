import type { Report } from '../../store/reports/report.ts';
import { count, counted, span } from '../view/format.ts';

/** A figure, its value, and what goes with it. */
type Figure = readonly [label: string, value: string, more: string];

/** Returns the main figures of a report, as the page, its file and the terminal show them. */
export function mainFigures(report: Report, nowMs: number): readonly Figure[] {
  const { requests, response_times: times, satisfaction, backlog, funnel, links } = report;
  const spread = (label: string, median: number | null, most: number | null): Figure => {
    return [label, span(median), `median; 90 % within ${span(most)}`];
  };
  const ratings = `average ${satisfaction.average_rating?.toFixed(1)} of ${counted(satisfaction.rated, 'rating')}`;
  const oldest = backlog.oldest_opened_at;
  const age = oldest === null ? 0 : (nowMs - oldest.getTime()) / 1000;
  const share = `${Math.round(links.percent_read ?? 0)} % read on average`;
  return [
    [
      'Requests opened',
      count(requests.opened),
      `${count(requests.closed)} closed, ${count(requests.abandoned)} abandoned`,
    ],
    spread('First answer', times.first_response_median_seconds, times.first_response_p90_seconds),
    ...(times.first_response_business_median_seconds === null
      ? []
      : [
          spread(
            'In business hours',
            times.first_response_business_median_seconds,
            times.first_response_business_p90_seconds,
          ),
        ]),
    spread('Closed after', times.resolution_median_seconds, times.resolution_p90_seconds),
    [
      'Satisfaction',
      percentOf(satisfaction.satisfied, satisfaction.rated),
      satisfaction.rated === 0 ? 'no ratings' : ratings,
    ],
    [
      'Open now',
      count(backlog.open),
      oldest === null ? 'nothing is waiting' : `${count(backlog.unanswered)} without an answer, oldest ${span(age)}`,
    ],
    [
      'New leads',
      count(funnel.leads),
      `${percentOf(funnel.with_request, funnel.leads)} had a conversation, ${percentOf(funnel.answered, funnel.leads)} were answered`,
    ],
    ...(links.sent === 0
      ? []
      : ([
          [
            'Links sent',
            count(links.sent),
            `${percentOf(links.opened, links.sent)} opened, ${count(links.signed)} signed`,
          ],
          [
            'Time read',
            readingTime(links.time_read_seconds),
            [counted(links.visits, 'visit'), ...(links.percent_read === null ? [] : [share])].join(', '),
          ],
        ] as const)),
  ];
}

export const percentOf = (part: number, whole: number): string =>
  whole === 0 ? '–' : `${Math.round((100 * part) / whole)} %`;

/** A sum over many readers is no stretch of days. */
const readingTime = (seconds: number): string =>
  seconds < 36_000 ? span(seconds) : `${count(Math.round(seconds / 3_600))} h`;
