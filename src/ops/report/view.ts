import type { AgentFigures, Report, Share } from '../../store/reports/report.ts';
import { ago, count, counted, span, utc } from '../view/format.ts';
import { type Html, html } from '../view/html.ts';
import { type HtmlColumn, table } from '../view/table.ts';
import { pastCharts, type TimeChart, timeCharts } from './charts.ts';
import { mainFigures, percentOf } from './figures.ts';

/** What only the page shows, to those who are let in. */
interface ReportMore {
  /** The same number of days before. */
  readonly before?: Report;
  /** Where the numbers of a figure are as CSV. */
  readonly csvOf?: (title: string) => string;
}

/** The figures of a report as a page part: whole without a script, which only draws the charts over time. Used by the page's tab and by the file. */
export function reportView(report: Report, nowMs: number, { before, csvOf }: ReportMore = {}): Html {
  if (report.refreshed_at === null) return notYet();
  return html`${basis(report, nowMs)}
${tiles(report, nowMs, before)}
<div class="figures">
${reportFigures(report).map(
  ({
    title,
    isWide,
    isTall,
    body,
  }) => html`<section class="figure${isWide ? ' wide' : ''}${isTall ? ' tall' : ''}"><h2>${title}${
    csvOf === undefined
      ? null
      : html` <a class="csv" href="${csvOf(title)}" download>CSV<span class="hidden"> of ${title}</span></a>`
  }</h2>${body}</section>
`,
)}</div>`;
}

/** One box of the report, and its numbers as they are: durations in seconds. */
export interface Figure {
  readonly title: string;
  readonly body: Html;
  readonly isWide?: boolean;
  readonly isTall?: boolean;
  readonly csv: readonly (readonly Cell[])[];
}

export type Cell = string | number | null;

export function reportFigures(report: Report): Figure[] {
  const { agents, requests, response_times: times, satisfaction, links, funnel, backlog } = report;
  const charts = timeCharts(report);
  const only = (isThere: boolean, ...figures: readonly Figure[]) => (isThere ? figures : []);
  return [
    ...requestFigures(requests, charts.volume),
    ...only(funnel.leads > 0, bars('What became of new leads', 'Step', barsOf(funnel, STEPS), { whole: funnel.leads })),
    ...(agents?.length ? [agentFigure(agents)] : []),
    ...pastFigures(report),
    ...only(times.answered > 0, timeChart(charts.answers)),
    ...only(times.resolved > 0, timeChart(charts.resolutions)),
    ...only(satisfaction.rated > 0, timeChart(charts.ratings)),
    ...only(
      links.sent > 0,
      timeChart(charts.links),
      bars('What became of the links', 'Step', barsOf(links, LINK_STEPS), { whole: links.sent }),
    ),
    ...only(backlog.open > 0, bars('Open now, by age', 'Age', barsOf(backlog, AGES))),
  ];
}

function agentFigure(agents: readonly AgentFigures[]): Figure {
  const title = 'Agents';
  const rating = ({ rated, average_rating: average }: AgentFigures) =>
    average === null ? '–' : `${average.toFixed(1)} of ${count(rated)}`;
  const columns: readonly HtmlColumn<AgentFigures>[] = [
    { head: 'Agent', cell: ({ agent }) => agent },
    { head: 'Requests', cell: ({ requests }) => count(requests), isNumber: true },
    { head: 'Answered', cell: ({ answered }) => count(answered), isNumber: true },
    { head: 'Closed', cell: ({ closed }) => count(closed), isNumber: true },
    { head: 'Rating', cell: rating, isNumber: true },
  ];
  const csv = agents.map((one) => [one.agent, one.requests, one.answered, one.closed, one.rated, one.average_rating]);
  return {
    ...{ title, isWide: true, body: table({ label: title, columns, rows: agents }) },
    csv: [['Agent', 'Requests', 'Answered', 'Closed', 'Rated', 'Average rating'], ...csv],
  };
}

function pastFigures({ past, unit }: Report): Figure[] {
  if (past === null) return [];
  const { open, closing } = pastCharts(past, unit);
  return [open, closing].flatMap((chart) => (chart === null ? [] : [timeChart(chart)]));
}

function requestFigures(requests: Report['requests'], volume: TimeChart): Figure[] {
  if (requests.opened + requests.closed === 0) {
    const body = html`<p class="soft">No request was opened or closed in these days.</p>`;
    return [{ title: 'Requests', isWide: true, body, csv: [] }];
  }
  const hours = requests.by_hour.map((value, hour) => ({ name: `${String(hour).padStart(2, '0')}:00`, value }));
  const days = requests.by_weekday.map((value, day) => ({ name: WEEKDAYS[day] ?? '', value }));
  return [
    timeChart(volume),
    bars('By channel', 'Channel', shares(requests.by_channel, 'no channel')),
    bars('By department', 'Department', shares(requests.by_department, 'no department')),
    bars('By hour of the day', 'Hour', hours, { isTall: true }),
    bars('By day of the week', 'Day', days),
  ];
}

const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const STEPS = {
  leads: 'lead',
  with_request: 'had a conversation',
  answered: 'was answered',
  closed: 'was closed',
  rated: 'was rated',
};

const notYet = (): Html =>
  html`<p class="soft">The reporting tables have not been computed yet. A running daemon does that after its next run; by hand: <code>leadmirror report refresh</code></p>`;

function basis({ from, to, connections, time_zones: zones, as_of: asOf, refreshed_at }: Report, nowMs: number): Html {
  return html`<p class="soft"><b>${from} to ${to}</b> (${zones.join(', ') || 'UTC'}) · ${counted(connections.length, 'account')} · ${
    asOf === null
      ? html`<b class="warn">not complete: a first full read is under way</b>`
      : html`as of ${ago(asOf, nowMs)}`
  }${refreshed_at === null ? null : html` · computed <time datetime="${refreshed_at.toISOString()}">${utc(refreshed_at)}</time>`}</p>`;
}

/** Beside each figure, what it was before; what is open now has no before. */
function tiles(report: Report, nowMs: number, past: Report | undefined): Html {
  const before = new Map(past === undefined ? [] : mainFigures(past, nowMs).map(([label, value]) => [label, value]));
  before.delete('Open now');
  return html`<dl class="tiles">${mainFigures(report, nowMs).map(
    ([label, value, more]) =>
      html`<div class="tile"><dt>${label}</dt><dd><b>${value}</b> <span>${more}</span>${before.has(label) ? html` <span class="before">before: ${before.get(label)}</span>` : null}</dd></div>`,
  )}</dl>`;
}

function shares(parts: readonly Share[], none: string): Bar[] {
  return parts.map(({ name, opened, isRest }) => ({ name: isRest ? 'all others' : (name ?? none), value: opened }));
}

const barsOf = <K extends string>(
  figures: Readonly<Record<NoInfer<K>, number>>,
  names: Readonly<Record<K, string>>,
): Bar[] => Object.entries<string>(names).map(([key, name]) => ({ name, value: figures[key as K] }));

const AGES = {
  under_1_hour: 'under an hour',
  under_1_day: '1 to 24 hours',
  under_7_days: '1 to 7 days',
  older: 'a week or more',
};
const LINK_STEPS = {
  sent: 'sent',
  opened: 'opened',
  downloaded: 'downloaded',
  signed: 'signed',
  won: 'won',
  lost: 'lost',
};

interface Bar {
  readonly name: string;
  readonly value: number;
}

const BAR_WIDTH = 200;

/** A table whose second column is drawn. With `whole`, each number is also shown as a share of it. */
function bars(
  title: string,
  head: string,
  rows: readonly Bar[],
  { whole, isTall = false }: { readonly whole?: number; readonly isTall?: boolean } = {},
): Figure {
  const most = Math.max(1, ...rows.map(({ value }) => value));
  const width = (value: number) => (value === 0 ? 0 : Math.max(1, Math.round((value / most) * BAR_WIDTH)));
  const body = html`<table class="hbars"><thead class="hidden"><tr><th scope="col">${head}</th><th scope="col">Share</th><th scope="col" class="n">Number</th></tr></thead>
<tbody>${rows.map(
    ({ name, value }) =>
      html`<tr><th scope="row">${name}</th><td><svg viewBox="0 0 ${BAR_WIDTH} 10" preserveAspectRatio="none" aria-hidden="true"><rect width="${width(value)}" height="10"/></svg></td><td class="n">${count(value)}${whole === undefined ? null : html` <small>${percentOf(value, whole)}</small>`}</td></tr>`,
  )}</tbody></table>`;
  return { title, isTall, body, csv: [[head, 'Number'], ...rows.map(({ name, value }) => [name, value])] };
}

function timeChart(chart: TimeChart): Figure {
  const { title, summary, at, series } = chart;
  const format = { count, duration: span, rating: (value: number) => value.toFixed(1) }[chart.write];
  const write = (value: number | null = null) => (value === null ? '–' : format(value));
  const rows = table({
    label: title,
    rows: [...at.keys()],
    columns: [
      { head: 'From', cell: (index) => at[index] },
      ...series.map(({ label, values }) => ({
        head: label,
        cell: (index: number) => write(values[index]),
        isNumber: true,
      })),
    ],
  });
  const body = html`<figure class="chart plot" data-plot="${JSON.stringify(chart)}" role="img" aria-label="${title}: ${summary}"><noscript>The table below shows the same.</noscript></figure>
<p class="legend" aria-hidden="true">${series.map(({ label, color, kind }) => html`<span class="key is-${color} is-${kind}">${label}</span>`)}</p>
<details><summary>As a table</summary>${rows}</details>`;
  const csv = at.map((day, index) => [day, ...series.map(({ values }) => values[index] ?? null)]);
  return { title, isWide: true, body, csv: [['From', ...series.map(({ label }) => label)], ...csv] };
}
