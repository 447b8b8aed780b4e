import type { RunFacts } from '../status-document.ts';
import { ago, count, duration, PASS_LABELS, streamPath } from './format.ts';
import { type Html, html } from './html.ts';
import { type HtmlColumn, table } from './table.ts';

/** The runs as a table; `isOfOneStream` leaves out what is the same in every line. */
export function runsTable(
  runs: readonly RunFacts[],
  { nowMs, isOfOneStream }: { nowMs: number; isOfOneStream: boolean },
): Html {
  if (runs.length === 0) return html`<p class="soft">No run yet.</p>`;
  const stream: HtmlColumn<RunFacts> = {
    head: 'Stream',
    cell: ({ connection_id, stream: name }) =>
      html`<a href="/streams/${streamPath(connection_id, name)}">${name}</a> <small>${connection_id}</small>`,
  };
  return table({
    label: 'Runs',
    rows: runs,
    classOf: ({ outcome }) => `is-${outcome}`,
    below: ({ error }) => error && html`<code>${error.code}</code> ${error.message}`,
    columns: [
      {
        head: 'Began (UTC)',
        cell: ({ started_at: at }) =>
          html`${ago(at, nowMs)} <small>${at.toISOString().slice(5, 16).replace('T', ' ')}</small>`,
      },
      ...(isOfOneStream ? [] : [stream]),
      { head: 'Pass', cell: ({ pass }) => PASS_LABELS[pass] ?? pass },
      { head: 'Outcome', cell: ({ outcome }) => html`<span class="outcome">${outcome}</span>` },
      { head: 'Read', cell: ({ read }) => count(read), isNumber: true },
      { head: 'New', cell: ({ created }) => count(created), isNumber: true },
      { head: 'Changed', cell: ({ updated }) => count(updated), isNumber: true },
      { head: 'Deleted', cell: ({ deleted }) => count(deleted), isNumber: true },
      { head: 'Requests', cell: ({ requests }) => count(requests), isNumber: true },
      { head: 'Took', cell: tookOf, isNumber: true },
    ],
  });
}

function tookOf({ started_at, ended_at, idle_runs }: RunFacts): Html | string {
  if (ended_at === null) return '…';
  if (idle_runs > 0) {
    return html`<span title="and as many runs after it found nothing new">+ ${count(idle_runs)} idle</span>`;
  }
  const seconds = (ended_at.getTime() - started_at.getTime()) / 1000;
  return seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds);
}
