import type { Outcome } from '../../stream.ts';
import type { RunFacts } from '../status-document.ts';
import { type Html, html } from './html.ts';
import { runsTable } from './runs-table.ts';

export const OUTCOMES = ['failed', 'partial', 'postponed', 'cancelled', 'succeeded', 'running'] as const;

export interface RunsQuery {
  readonly connection?: string;
  readonly stream?: string;
  readonly outcome?: Outcome | 'running';
  /** Days as `2026-01-31`, UTC. */
  readonly from?: string;
  readonly to?: string;
}

interface RunsPage {
  readonly query: RunsQuery;
  readonly accounts: readonly string[];
  readonly streams: readonly string[];
  /** Null where one outcome is asked for, or an older page. */
  readonly failures: readonly RunFacts[] | null;
  readonly runs: readonly RunFacts[];
  /** The id behind which older ones are; null: there are none. */
  readonly before: number | null;
}

/** Runs by account, stream, outcome and day: first those that did not succeed. */
export function runsPage({ query, accounts, streams, failures, runs, before }: RunsPage, nowMs: number): Html {
  const select = (name: keyof RunsQuery, label: string, values: readonly string[]) =>
    html`<label>${label} <select name="${name}"><option value="">all</option>${values.map(
      (value) => html`<option value="${value}"${value === query[name] ? html` selected` : null}>${value}</option>`,
    )}</select></label>`;
  const day = (name: 'from' | 'to', label: string) =>
    html`<label>${label} <input name="${name}" type="date" value="${query[name] ?? ''}"></label>`;
  const older = new URLSearchParams({ ...query, before: String(before) });
  const options = { nowMs, isOfOneStream: false };
  return html`<h1>Runs</h1>
<form class="filter" method="get" action="/runs">${select('connection', 'Account', accounts)}${select('stream', 'Stream', streams)}${select('outcome', 'Outcome', OUTCOMES)}${day('from', 'From')}${day('to', 'to')}<button>Show</button><a href="/runs">Show all</a></form>
${failures === null ? null : html`<section id="failures"><h2>Did not succeed</h2>${failures.length === 0 ? html`<p class="soft">None.</p>` : runsTable(failures, options)}</section>`}
<section id="runs"><h2>${failures === null ? 'Runs' : 'All runs'}</h2>${runsTable(runs, options)}</section>
${before === null ? null : html`<nav class="pager" aria-label="Pages"><a href="/runs?${String(older)}" rel="next">Older</a></nav>`}`;
}
