import { groupBy } from '../../group-by.ts';
import type { Relation } from '../../store/relations.ts';
import type { Recipe } from '../recipes.ts';
import { type StreamFacts, urgencyOf } from '../status-document.ts';
import { ago, counted, elementId } from './format.ts';
import { type Html, html } from './html.ts';
import { stateChip } from './state.ts';
import { table } from './table.ts';

interface DataPage {
  readonly tables: readonly Relation[];
  readonly streams: readonly StreamFacts[];
  readonly recipes: readonly Recipe[];
}

/** What there is to ask: questions with their SQL, then each table with its columns and how fresh it is. */
export function dataPage({ tables, streams, recipes }: DataPage, nowMs: number): Html {
  const streamsOf = groupBy(streams, ({ stream }) => stream);
  return html`<h1>Data</h1>
<section id="questions"><h2>Questions and their SQL</h2>${recipes.map(
    ({ question, sql }, index) => html`<details class="entry" id="${elementId('q', String(index + 1))}">
<summary>${question}</summary>
<pre tabindex="0" aria-label="SQL"><code>${sql}</code></pre><button type="button" class="link copy">Copy<span class="hidden"> the SQL</span></button></details>`,
  )}</section>
${[...groupBy(tables, ({ schema }) => schema)].map(
  ([schema, own]) =>
    html`<section id="${elementId('schema', schema)}"><h2>${schema}</h2>${own.map((one) => tableBox(one, streamsOf.get(`${schema}.${one.name}`) ?? [], nowMs))}</section>`,
)}`;
}

function tableBox({ schema, name, kind, comment, columns }: Relation, streams: readonly StreamFacts[], nowMs: number) {
  return html`<details class="entry" id="${elementId('t', schema, name)}">
<summary><code>${schema}.${name}</code> <small class="soft">${kind === 'view' ? 'view' : 'table'}, ${counted(columns.length, 'column')}</small></summary>
${comment === null ? null : html`<p>${comment}</p>`}
${freshnessOf(streams, nowMs)}
${table({
  label: `Columns of ${schema}.${name}`,
  rows: columns,
  columns: [
    { head: 'Column', cell: (column) => html`<code>${column.name}</code>` },
    { head: 'Type', cell: ({ type }) => type },
    { head: 'Meaning', cell: (column) => column.comment ?? '' },
  ],
})}</details>`;
}

const SHOWN_ACCOUNTS = 6;

function freshnessOf(streams: readonly StreamFacts[], nowMs: number): Html | null {
  if (streams.length === 0) return null;
  const worst = streams.toSorted((a, b) => urgencyOf(a.state) - urgencyOf(b.state)).slice(0, SHOWN_ACCOUNTS);
  const more = streams.length - worst.length;
  return html`<p>${worst.map(
    ({ connection_id, state, as_of }) =>
      html`<span class="item">${stateChip(state)} ${connection_id} <small class="soft">as of ${as_of === null ? '–' : ago(as_of, nowMs)}</small></span>`,
  )}${more > 0 ? html`<span class="soft">and ${counted(more, 'more account')}</span>` : null}</p>`;
}
