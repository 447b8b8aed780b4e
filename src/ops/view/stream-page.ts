import type { QuarantineReason } from '../../store/engine/quarantine.ts';
import { describeDetail } from '../../store/refusal-detail.ts';
import type { Hour } from '../../store/reports/run-hours.ts';
import { describeDay } from '../day-strip.ts';
import type { RunFacts, StreamFacts } from '../status-document.ts';
import { ago, count, counted, duration, PASS_LABELS, streamPath, until, utc } from './format.ts';
import { type Html, html } from './html.ts';
import { runsTable } from './runs-table.ts';
import { outageLine } from './state.ts';
import { type RowOptions, streamRow, whatToDo } from './stream-row.ts';
import { table } from './table.ts';

export interface StreamPage {
  readonly stream: StreamFacts;
  /** Why its state is not sure. */
  readonly outage: string | null;
  readonly hours: readonly Hour[];
  readonly runs: readonly RunFacts[];
  readonly quarantine: readonly QuarantineReason[];
}

export function streamPage({ stream, outage, hours, runs, quarantine }: StreamPage, options: RowOptions): Html {
  const { nowMs } = options;
  const { connection_id, stream: name, last_error: error } = stream;
  return html`<p class="soft"><a href="/">All streams</a> / <a href="/accounts/${encodeURIComponent(connection_id)}">${options.label ?? connection_id}</a></p>
<h1>${name}</h1>
${outageLine(outage)}
<ul class="streams single">${streamRow(stream, { ...options, isLinked: false })}</ul>
${stream.state === 'fresh' && stream.deletions === null ? whatToDo(stream, nowMs) : null}
<section><h2>Facts</h2><dl class="table">
<dt>Last complete pass</dt><dd>${stream.last_success_at === null ? 'never' : ago(stream.last_success_at, nowMs)}</dd>
<dt>First full read</dt><dd>${stream.backfill_completed_at === null ? 'not finished' : ago(stream.backfill_completed_at, nowMs)}</dd>
<dt>Evidence</dt><dd>${evidence(stream, nowMs)}</dd>
<dt>Watermark</dt><dd>${watermark(stream.watermark)}</dd>
<dt>Scheduled</dt><dd>${stream.next_runs.length === 0 ? '–' : stream.next_runs.map(({ pass, at }) => html`<span class="item">${PASS_LABELS[pass] ?? pass} ${until(at, nowMs)}</span> `)}</dd>
<dt>In quarantine</dt><dd>${stream.open_quarantine === 0 ? 'no record' : html`<b class="warn">${count(stream.open_quarantine)}</b> <code>leadmirror quarantine list ${name}</code>${quarantineReasons(quarantine)}`}</dd>
<dt>Last 24 hours</dt><dd>${describeDay(stream.last_24h).replace('Last 24 hours: ', '')}</dd>
${error === null ? null : html`<dt>Last error</dt><dd><code>${error.code}</code> ${error.message} <small>${PASS_LABELS[error.pass] ?? error.pass}, ${ago(error.at, nowMs)}</small></dd>`}
</dl></section>
<section><h2>By the hour</h2><div class="charts" data-history="/api/history/${streamPath(connection_id, name)}" data-name="${name}"></div>
<details><summary>As a table</summary>${hoursTable(hours)}</details></section>
<section><h2>Runs</h2>${runsTable(runs, { nowMs, isOfOneStream: true })}</section>`;
}

const EVIDENCE: Readonly<Record<string, string>> = {
  count: 'the upstream counts as many rows',
  ids: 'a full sync saw every id',
  content: 'verify compared the content',
};

function evidence({ proof_kind, proof_at, unlisted_rows }: StreamFacts, nowMs: number): Html | string {
  if (proof_kind === null || proof_at === null) return 'none yet';
  const unlisted = unlisted_rows === null ? '' : `; it counts ${counted(unlisted_rows, 'row')} that it does not list`;
  return html`<b>${proof_kind}</b>: ${EVIDENCE[proof_kind] ?? proof_kind}${unlisted}, ${ago(proof_at, nowMs)}`;
}

export function quarantineReasons(reasons: readonly QuarantineReason[]): Html {
  return html`${reasons.map(({ reason, detail, records }) => html` <span class="item">${count(records)} <code>${reason}</code> ${describeDetail(detail)}</span>`)}`;
}

function watermark(marks: StreamFacts['watermark']): Html | string {
  const entries = Object.entries(marks ?? {});
  if (entries.length === 0) return 'none: this stream is read in a way that needs none';
  return html`${entries.map(([list, at]) => html`<span class="item">${list === 'all' ? null : html`<small>${list}</small> `}<time datetime="${at}">${utc(new Date(at))}</time></span> `)}`;
}

const hoursTable = (hours: readonly Hour[]): Html =>
  table({
    label: 'Rows and lag by the hour',
    rows: hours.toReversed(),
    columns: [
      { head: 'Hour (UTC)', cell: ({ at }) => at.toISOString().slice(5, 16).replace('T', ' ') },
      { head: 'Rows', cell: ({ rows }) => count(rows), isNumber: true },
      { head: 'Runs', cell: ({ runs }) => count(runs), isNumber: true },
      { head: 'Failed', cell: ({ failed }) => count(failed), isNumber: true },
      { head: 'Longest lag', cell: ({ lag_seconds: lag }) => (lag === null ? '–' : duration(lag)), isNumber: true },
    ],
  });
