import { counted } from '../../counted.ts';
import type { Report } from '../../store/reports/report.ts';
import type { PastFigures } from '../../store/reports/report-past.ts';

/** `chart.js` draws it, and the table below it shows the same. */
export interface TimeChart {
  readonly title: string;
  readonly summary: string;
  readonly write: 'count' | 'duration' | 'rating';
  readonly at: readonly string[];
  readonly series: readonly TimeSeries[];
}

interface TimeSeries {
  readonly label: string;
  readonly kind: 'bars' | 'line';
  /** Name of the colour in page.css. */
  readonly color: 'accent' | 'rest' | 'partial';
  readonly values: readonly (number | null)[];
}

const line = (label: string, color: TimeSeries['color'], values: TimeSeries['values']): TimeSeries => {
  return { label, kind: 'line', color, values };
};

/** Returns the charts that the history of requests gives; null: nothing is known of these days. */
export function pastCharts({ backlog, closings }: PastFigures, unit: Report['unit']) {
  const last = backlog.at(-1);
  const closed = closings.reduce((sum, week) => sum + week.closed, 0);
  const between = (figures: readonly { readonly least: number; readonly most: number }[]) => {
    const least = figures.map((figure) => figure.least);
    const most = figures.map((figure) => figure.most);
    return [line('at least', 'rest', least), line('at most', 'partial', most)];
  };
  const open = backlog.map((day) => day.open);
  const charts: Readonly<Record<'open' | 'closing', TimeChart>> = {
    open: {
      title: `Open at the end of each ${unit}`,
      summary: `${last?.open} at the last of them, between ${last?.least} and ${last?.most}`,
      write: 'count',
      at: backlog.map(({ at }) => at),
      series: [line('open', 'accent', open), ...between(backlog)],
    },
    closing: {
      title: 'Time open until closed, median by week',
      summary: `the least and the most that it can be, of ${counted(closed, 'closed request')} by the week in which they were opened`,
      write: 'duration',
      at: closings.map(({ at }) => at),
      series: between(closings),
    },
  };
  return { open: backlog.length === 0 ? null : charts.open, closing: closings.length === 0 ? null : charts.closing };
}

export function timeCharts({ requests, response_times: times, satisfaction, links, unit }: Report) {
  const at = requests.by_time.map((point) => point.at);
  const chart = (title: string, summary: string, write: TimeChart['write'], ...series: TimeSeries[]): TimeChart => {
    return { title: `${title} by ${unit}`, summary, write, at, series };
  };
  const bars = (label: string, values: TimeSeries['values']): TimeSeries => {
    return { label, kind: 'bars', color: 'accent', values };
  };
  const spread = (title: string, whose: string, part: 'first_response' | 'resolution') => {
    const median = times.by_time.map((point) => point[`${part}_median_seconds`]);
    const most = times.by_time.map((point) => point[`${part}_p90_seconds`]);
    const summary = `median and 90th percentile of ${whose}`;
    return chart(title, summary, 'duration', line('median', 'accent', median), line('90 % within', 'rest', most));
  };
  const opened = requests.by_time.map((point) => point.opened);
  const closed = requests.by_time.map((point) => point.closed);
  const sent = links.by_time.map((point) => point.sent);
  const read = links.by_time.map((point) => point.opened);
  const average = satisfaction.by_time.map((point) => point.average_rating);
  const counts = `${requests.opened} opened and ${requests.closed} closed`;
  const linkCounts = `${links.sent} sent, ${links.opened} of them opened`;
  return {
    volume: chart('Requests', counts, 'count', bars('opened', opened), line('closed', 'partial', closed)),
    answers: spread('Time to the first answer,', counted(times.answered, 'answered request'), 'first_response'),
    resolutions: spread('Time to the closing,', counted(times.resolved, 'closed request'), 'resolution'),
    ratings: chart(
      'Average rating',
      counted(satisfaction.rated, 'rating'),
      'rating',
      line('average', 'accent', average),
    ),
    links: chart('Links', linkCounts, 'count', bars('sent', sent), line('of these opened', 'partial', read)),
  };
}
