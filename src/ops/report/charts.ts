import type { Report } from '../../store/reports/report.ts';

/** One line or row of bars over time; `chart.js` draws it, and the table below it says the same. */
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
export function timeCharts({ requests, response_times: times, satisfaction, links, unit }: Report) {
  const chart = (
    title: string,
    summary: string,
    write: TimeChart['write'],
    ...series: readonly TimeSeries[]
  ): TimeChart => ({ title: `${title} by ${unit}`, summary, write, at: requests.by_time.map(({ at }) => at), series });
  return {
    volume: chart(
      'Requests',
      `${requests.opened} opened and ${requests.closed} closed`,
      'count',
      seriesOf('opened', 'bars', 'accent', requests.by_time, 'opened'),
      seriesOf('closed', 'line', 'doubt', requests.by_time, 'closed'),
    ),
    answers: chart(
      'Time to the first answer,',
      `median and 90th percentile of ${times.answered} answered requests`,
      'duration',
      seriesOf('median', 'line', 'accent', times.by_time, 'first_response_median_seconds'),
      seriesOf('90 % within', 'line', 'rest', times.by_time, 'first_response_p90_seconds'),
    ),
    resolutions: chart(
      'Time to the closing,',
      `median and 90th percentile of ${times.resolved} closed requests`,
      'duration',
      seriesOf('median', 'line', 'accent', times.by_time, 'resolution_median_seconds'),
      seriesOf('90 % within', 'line', 'rest', times.by_time, 'resolution_p90_seconds'),
    ),
    ratings: chart(
      'Average rating',
      `${satisfaction.rated} ratings`,
      'rating',
      seriesOf('average', 'line', 'accent', satisfaction.by_time, 'average_rating'),
    ),
    links: chart(
      'Links',
      `${links.sent} sent, ${links.opened} of them opened`,
      'count',
      seriesOf('sent', 'bars', 'accent', links.by_time, 'sent'),
      seriesOf('of these opened', 'line', 'doubt', links.by_time, 'opened'),
    ),
  };
}

function seriesOf<K extends string>(
  label: string,
  kind: TimeSeries['kind'],
  color: TimeSeries['color'],
  points: readonly { readonly [key in K]: number | null }[],
  name: K,
): TimeSeries {
  return { label, kind, color, values: points.map((point) => point[name]) };
}
