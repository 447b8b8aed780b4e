import type { ReportQuery } from '../../store/reports/report.ts';
import { parseDay } from '../../store/reports/report-days.ts';
import { type Html, html } from '../view/html.ts';

/** What the form of the report tab says; anything that is no day is told, and left out. */
export interface ReportForm {
  readonly query: ReportQuery;
  readonly problem: string | null;
}

const LONGEST_DAYS = 3_660;
const DAY_MS = 86_400_000;

export function readReportForm(fields: Readonly<Record<string, unknown>>, accounts: readonly string[]): ReportForm {
  const [from, to, connection] = ['from', 'to', 'connection'].map((name) => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  });
  if (connection !== undefined && !accounts.includes(connection)) {
    return { query: {}, problem: 'This account is not mirrored here.' };
  }
  for (const day of [from, to]) {
    if (day !== undefined && parseDay(day) === null)
      return { query: { connection }, problem: 'A day is written as 2026-01-31.' };
  }
  if (from !== undefined && to !== undefined && from > to)
    return { query: { connection }, problem: 'The first day is later than the last.' };
  if (from !== undefined && Date.parse(to ?? new Date().toISOString()) - Date.parse(from) > LONGEST_DAYS * DAY_MS)
    return { query: { connection }, problem: 'Ten years at most.' };
  return { query: { from, to, connection }, problem: null };
}

export interface ReportPage {
  readonly form: ReportForm;
  readonly accounts: readonly string[];
  /** The days that are shown. */
  readonly shown: { readonly from: string; readonly to: string };
  readonly view: Html;
}

const PRESETS = [7, 30, 90, 365];

/** The report tab. */
export function reportPage({ form, accounts, shown, view }: ReportPage): Html {
  const { connection } = form.query;
  const back = (days: number) => new Date(Date.parse(shown.to) - (days - 1) * DAY_MS).toISOString().slice(0, 10);
  const link = (days: number) =>
    `/report?${new URLSearchParams({ from: back(days), to: shown.to, ...(connection === undefined ? {} : { connection }) })}`;
  return html`<h1>Report</h1>
<form class="filter" method="get" action="/report"><label for="from">From</label><input id="from" name="from" type="date" value="${shown.from}" required>
<label for="to">to</label><input id="to" name="to" type="date" value="${shown.to}" required>
<label for="connection">Account</label><select id="connection" name="connection"><option value="">all</option>${accounts.map(
    (id) => html`<option value="${id}"${id === connection ? html` selected` : null}>${id}</option>`,
  )}</select><button>Show</button><span class="presets">${PRESETS.map((days) => html`<a href="${link(days)}">${days} days</a> `)}</span></form>
${form.problem === null ? null : html`<p class="banner" role="alert">${form.problem} Shown instead: the last 30 days.</p>`}
${view}`;
}
