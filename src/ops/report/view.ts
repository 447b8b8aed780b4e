import type { Report, Share } from '../../store/reports/report.ts';
import { ago, count, counted, span, utc } from '../view/format.ts';
import { type Html, html } from '../view/html.ts';
import { table } from '../view/table.ts';
import { pastCharts, type TimeChart, timeCharts } from './charts.ts';
import { mainFigures, percentOf } from './figures.ts';

/** The figures of a report as a page part: whole without a script, which only draws the charts over time. Used by the page's tab and by the file. */
export function reportView(report: Report, nowMs: number): Html {
  if (report.refreshed_at === null) return notYet();
  const { requests, response_times: times, satisfaction, links, funnel, backlog } = report;
  const charts = timeCharts(report);
  return html`${basis(report, nowMs)}
${tiles(report, nowMs)}
<div class="figures">
${requestFigures(requests, charts.volume)}
${funnel.leads === 0 ? null : bars('What became of new leads', 'Step', barsOf(funnel, STEPS), { whole: funnel.leads })}
${pastFigures(report)}
${times.answered === 0 ? null : timeChart(charts.answers)}
${times.resolved === 0 ? null : timeChart(charts.resolutions)}
${satisfaction.rated === 0 ? null : timeChart(charts.ratings)}
${links.sent === 0 ? null : timeChart(charts.links)}
${links.sent === 0 ? null : bars('What became of the links', 'Step', barsOf(links, LINK_STEPS), { whole: links.sent })}
${backlog.open === 0 ? null : bars('Open now, by age', 'Age', barsOf(backlog, AGES))}
</div>`;
}

function pastFigures({ past, unit }: Report): Html | null {
  if (past === null) return null;
  if (past === 'too_slow') {
    return html`<section class="figure wide"><h2>Open at the end of each ${unit}</h2><p class="soft">There are too many versions to count them here within ten seconds. The views <code>reporting.backlog_daily</code> and <code>reporting.status_times</code> have the numbers.</p></section>`;
  }
  const { open, closing } = pastCharts(past, unit);
  return html`${open && timeChart(open)}${closing && timeChart(closing)}`;
}

function requestFigures(requests: Report['requests'], volume: TimeChart): Html {
  if (requests.opened + requests.closed === 0) {
    return html`<section class="figure wide"><h2>Requests</h2><p class="soft">No request was opened or closed in these days.</p></section>`;
  }
  const hours = requests.by_hour.map((value, hour) => ({ name: `${String(hour).padStart(2, '0')}:00`, value }));
  const days = requests.by_weekday.map((value, day) => ({ name: WEEKDAYS[day] ?? '', value }));
  return html`${timeChart(volume)}
${bars('By channel', 'Channel', shares(requests.by_channel, 'no channel'))}
${bars('By department', 'Department', shares(requests.by_department, 'no department'))}
${bars('By hour of the day', 'Hour', hours, { isTall: true })}
${bars('By day of the week', 'Day', days)}`;
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

const tiles = (report: Report, nowMs: number): Html =>
  html`<dl class="tiles">${mainFigures(report, nowMs).map(
    ([label, value, more]) =>
      html`<div class="tile"><dt>${label}</dt><dd><b>${value}</b> <span>${more}</span></dd></div>`,
  )}</dl>`;

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
): Html {
  const most = Math.max(1, ...rows.map(({ value }) => value));
  const width = (value: number) => (value === 0 ? 0 : Math.max(1, Math.round((value / most) * BAR_WIDTH)));
  return html`<section class="figure${isTall ? ' tall' : ''}"><h2>${title}</h2>
<table class="hbars"><thead class="hidden"><tr><th scope="col">${head}</th><th scope="col">Share</th><th scope="col" class="n">Number</th></tr></thead>
<tbody>${rows.map(
    ({ name, value }) =>
      html`<tr><th scope="row">${name}</th><td><svg viewBox="0 0 ${BAR_WIDTH} 10" preserveAspectRatio="none" aria-hidden="true"><rect width="${width(value)}" height="10"/></svg></td><td class="n">${count(value)}${whole === undefined ? null : html` <small>${percentOf(value, whole)}</small>`}</td></tr>`,
  )}</tbody></table></section>`;
}

function timeChart(chart: TimeChart): Html {
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
  return html`<section class="figure wide"><h2>${title}</h2>
<figure class="chart plot" data-plot="${JSON.stringify(chart)}" role="img" aria-label="${title}: ${summary}"><noscript>The table below shows the same.</noscript></figure>
<p class="legend" aria-hidden="true">${series.map(({ label, color, kind }) => html`<span class="key is-${color} is-${kind}">${label}</span>`)}</p>
<details><summary>As a table</summary>${rows}</details></section>`;
}
