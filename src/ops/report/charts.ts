import type { Report } from '../../store/reports/report.ts';

/** One line or row of bars over time; `report.js` draws it, and the table below it says the same. */
export interface TimeSeries {
  readonly label: string;
  readonly kind: 'bars' | 'line';
  /** Name of the colour in page.css. */
  readonly color: 'accent' | 'rest' | 'doubt';
  readonly values: readonly (number | null)[];
}

export interface TimeChart {
  readonly title: string;
  /** In a sentence, for who does not see it. */
  readonly summary: string;
  readonly write: 'count' | 'duration' | 'rating';
  /** `YYYY-MM-DD`. */
  readonly at: readonly string[];
  readonly series: readonly TimeSeries[];
}

/** Pure: what is drawn over time. */
export function timeCharts(
  report: Report,
): Record<'volume' | 'answers' | 'resolutions' | 'ratings' | 'links', TimeChart> {
  const { requests, response_times: times, satisfaction, links, unit } = report;
  const at = requests.by_time.map((point) => point.at);
  const per = `by ${unit}`;
  return {
    volume: {
      title: `Requests ${per}`,
      summary: `${requests.opened} opened and ${requests.closed} closed`,
      write: 'count',
      at,
      series: [
        { label: 'opened', kind: 'bars', color: 'accent', values: requests.by_time.map((point) => point.opened) },
        { label: 'closed', kind: 'line', color: 'doubt', values: requests.by_time.map((point) => point.closed) },
      ],
    },
    answers: {
      title: `Time to the first answer, ${per}`,
      summary: `median and 90th percentile of ${times.answered} answered requests`,
      write: 'duration',
      at,
      series: [
        line('median', 'accent', times.by_time, 'first_response_median_seconds'),
        line('90 % within', 'rest', times.by_time, 'first_response_p90_seconds'),
      ],
    },
    resolutions: {
      title: `Time to the closing, ${per}`,
      summary: `median and 90th percentile of ${times.resolved} closed requests`,
      write: 'duration',
      at,
      series: [
        line('median', 'accent', times.by_time, 'resolution_median_seconds'),
        line('90 % within', 'rest', times.by_time, 'resolution_p90_seconds'),
      ],
    },
    ratings: {
      title: `Average rating ${per}`,
      summary: `${satisfaction.rated} ratings`,
      write: 'rating',
      at,
      series: [line('average', 'accent', satisfaction.by_time, 'average_rating')],
    },
    links: {
      title: `Links ${per}`,
      summary: `${links.sent} sent, ${links.opened} of them opened`,
      write: 'count',
      at,
      series: [
        { label: 'sent', kind: 'bars', color: 'accent', values: links.by_time.map((point) => point.sent) },
        { label: 'of these opened', kind: 'line', color: 'doubt', values: links.by_time.map((point) => point.opened) },
      ],
    },
  };
}

function line<K extends string>(
  label: string,
  color: TimeSeries['color'],
  points: readonly { readonly [key in K]: number | null }[],
  name: K,
): TimeSeries {
  return { label, kind: 'line', color, values: points.map((point) => point[name]) };
}
