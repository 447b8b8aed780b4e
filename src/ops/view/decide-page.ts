import { groupBy } from '../../group-by.ts';
import type { QuarantineEntry } from '../../store/engine/quarantine.ts';
import { describeDetail } from '../../store/refusal-detail.ts';
import type { StreamFacts } from '../status-document.ts';
import { mainAction, retryButton } from './actions.ts';
import { ago, count, counted, streamPath } from './format.ts';
import { type Html, html } from './html.ts';
import { type RowOptions, whatToDo } from './stream-row.ts';
import { table } from './table.ts';

interface DecidePage {
  readonly streams: readonly StreamFacts[];
  /** Without their texts, which are personal data; as many as are shown. */
  readonly records: readonly QuarantineEntry[];
}

/** What waits for a person: deletions that the guard blocks, and records in quarantine. */
export function decidePage({ streams, records }: DecidePage, options: RowOptions): Html {
  const { nowMs, canChange } = options;
  const guarded = streams.filter(({ deletions }) => deletions !== null);
  const total = streams.reduce((sum, { open_quarantine }) => sum + open_quarantine, 0);
  const keyOf = (of: { readonly connection_id: string; readonly stream: string }) => `${of.connection_id}/${of.stream}`;
  const recordsOf = groupBy(records, keyOf);
  return html`<h1>To decide</h1>
<section id="deletions"><h2>Deletions</h2>${
    guarded.length === 0
      ? html`<p class="soft">The deletion guard blocks nothing.</p>`
      : html`<ul class="causes">${guarded.map((stream) => html`<li class="cause is-${stream.state}"><p>${linkTo(stream)}</p>${whatToDo(stream, nowMs)}${canChange && stream.deletions === 'blocked' ? mainAction(stream) : null}</li>`)}</ul>`
  }</section>
<section id="quarantine"><h2>Quarantine</h2>${total === 0 ? html`<p class="soft">No record is in quarantine.</p>` : html`<p class="soft">${counted(total, 'record')}; the rest of their streams is mirrored. Their texts, which are personal data: <code>leadmirror quarantine list --raw</code></p>`}
${streams
  .filter(({ open_quarantine }) => open_quarantine > 0)
  .map((stream) => {
    const own = recordsOf.get(keyOf(stream)) ?? [];
    return html`<h3>${linkTo(stream)} · ${count(stream.open_quarantine)}</h3>${canChange ? retryButton(stream) : null}${quarantineTable(stream, own, nowMs)}${own.length < stream.open_quarantine ? html`<p class="soft">${count(own.length)} of them are shown.</p>` : null}`;
  })}</section>`;
}

const linkTo = ({ connection_id, stream }: StreamFacts): Html =>
  html`<a href="/streams/${streamPath(connection_id, stream)}">${stream}</a> <small>${connection_id}</small>`;

const quarantineTable = (
  { connection_id, stream }: StreamFacts,
  rows: readonly QuarantineEntry[],
  nowMs: number,
): Html =>
  table({
    label: `Quarantined records of ${stream} of ${connection_id}`,
    rows,
    columns: [
      { head: 'Record', cell: ({ record_id }) => record_id },
      { head: 'Reason', cell: ({ reason }) => html`<code>${reason}</code>` },
      { head: 'Detail', cell: ({ detail }) => describeDetail(detail) },
      { head: 'First seen', cell: ({ first_seen_at }) => ago(first_seen_at, nowMs) },
      { head: 'Last seen', cell: ({ last_seen_at }) => ago(last_seen_at, nowMs) },
    ],
  });
