import type { ReportQuery } from '../../store/reports/report.ts';
import { DAY_MS, dayOf, msOf, parseDay } from '../../store/reports/report-days.ts';
import { counted } from '../view/format.ts';
import { type Html, html } from '../view/html.ts';

/** Reads the form of the report tab; anything that is no day is reported, and left out. */
export interface ReportForm {
  readonly query: ReportQuery;
  readonly problem: string | null;
}

const LONGEST_DAYS = 3_660;

export function readReportForm(fields: Readonly<Record<string, unknown>>, accounts: readonly string[]): ReportForm {
  const [from, to, connection] = ['from', 'to', 'connection'].map((name) => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  });
  if (connection !== undefined && !accounts.includes(connection)) {
    return { query: {}, problem: 'This account is not mirrored here.' };
  }
  const problem = problemOf(from, to);
  return { query: problem === null ? { from, to, connection } : { connection }, problem };
}

function problemOf(from: string | undefined, to: string | undefined): string | null {
  if ([from, to].some((day) => day !== undefined && parseDay(day) === null)) return 'A day is written as 2026-01-31.';
  if (from === undefined) return null;
  if (to !== undefined && from > to) return 'The first day is later than the last.';
  const days = (msOf(to ?? dayOf(Date.now())) - msOf(from)) / DAY_MS;
  return days > LONGEST_DAYS ? 'Ten years at most.' : null;
}

const PRESETS = [7, 30, 90, 365];

/** The report tab. `shown`: the days that are shown. */
export function reportPage(
  { query: { connection }, problem }: ReportForm,
  accounts: readonly { readonly id: string; readonly label: string }[],
  shown: { readonly from: string; readonly to: string },
  view: Html,
): Html {
  const back = (days: number) => dayOf(msOf(shown.to) - (days - 1) * DAY_MS);
  const link = (days: number) =>
    `/report?${new URLSearchParams({ from: back(days), to: shown.to, ...(connection === undefined ? {} : { connection }) })}`;
  return html`<h1>Report</h1>
<form class="filter" method="get" action="/report"><label for="from">From</label><input id="from" name="from" type="date" value="${shown.from}" required>
<label for="to">to</label><input id="to" name="to" type="date" value="${shown.to}" required>
<label for="connection">Account</label><select id="connection" name="connection"><option value="">all</option>${accounts.map(
    ({ id, label }) => html`<option value="${id}"${id === connection ? html` selected` : null}>${label}</option>`,
  )}</select><button>Show</button><span class="presets">${PRESETS.map((days) => html`<a href="${link(days)}">${counted(days, 'day')}</a> `)}</span></form>
${problem === null ? null : html`<p class="banner" role="alert">${problem} Shown instead: the last 30 days.</p>`}
${view}`;
}
