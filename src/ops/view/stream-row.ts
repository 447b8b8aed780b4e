import { dayStrip } from '../day-strip.ts';
import type { KeptAccounts } from '../parts.ts';
import type { RunProgress } from '../progress.ts';
import { isProblem, type StreamFacts } from '../status-document.ts';
import { actionButtons } from './actions.ts';
import {
  ago,
  count,
  counted,
  duration,
  elementId,
  PASS_LABELS,
  percent,
  sentence,
  streamPath,
  until,
} from './format.ts';
import { type Html, html } from './html.ts';
import { stateChip } from './state.ts';

export interface RowOptions {
  readonly nowMs: number;
  readonly canChange: boolean;
  /** Absent: accounts can neither be changed nor checked here. */
  readonly accounts?: Pick<KeptAccounts, 'isKept' | 'canKeep'> | undefined;
  /** On a page of its own a stream has no link to itself. */
  readonly isLinked?: boolean;
  /** Beside its account: what is wrong stands with its cause, and a notice once for all streams. */
  readonly isPartOfAccount?: boolean;
  /** Of its account, to be found by. */
  readonly label?: string | null | undefined;
}

export const rowId = ({ connection_id, stream }: Pick<StreamFacts, 'connection_id' | 'stream'>): string =>
  elementId('s', connection_id, stream);

/** One stream: a line of facts, and below it what goes on or what to do. */
export function streamRow(stream: StreamFacts, options: RowOptions): Html {
  const { nowMs, canChange, isPartOfAccount = false } = options;
  const searched = `${options.label ?? ''} ${stream.connection_id} ${stream.stream} ${stream.state}`.toLowerCase();
  return html`<li class="stream is-${stream.state}" id="${rowId(stream)}" data-name="${searched}">
<div class="facts">
<h3 class="name">${nameOf(stream, options)}</h3>
<div class="state">${stateChip(stream.state)}</div>
<dl>
<div><dt>As of</dt><dd>${stream.as_of === null ? '–' : ago(stream.as_of, nowMs)}</dd></div>
<div><dt>Rows</dt><dd>${count(stream.rows)}${stream.deleted_rows > 0 ? html` <small>+ ${count(stream.deleted_rows)} deleted</small>` : null}</dd></div>
<div><dt>Verified</dt><dd>${verificationOf(stream, nowMs)}</dd></div>
<div><dt>Next run</dt><dd>${nextRunOf(stream, nowMs)}</dd></div>
<div class="day"><dt>Last 24 hours</dt><dd>${dayStrip(stream.last_24h)}</dd></div>
</dl>
${canChange ? actionButtons(stream) : null}
</div>
${stream.running !== null && isLong(stream.running, nowMs) ? progressLine(stream.running, nowMs) : null}
${needsText(stream) && !(isPartOfAccount && hasCause(stream)) ? whatToDo(stream, nowMs) : null}
${stream.notice === null || isPartOfAccount ? null : html`<p class="soft notice"><b>Good to know:</b> ${stream.notice}.</p>`}
</li>`;
}

function nameOf({ connection_id, stream }: StreamFacts, { isLinked = true }: RowOptions): Html {
  const [source, kind = source] = stream.split('.');
  const text = html`<span class="source">${source}.</span>${kind}`;
  return isLinked ? html`<a href="/streams/${streamPath(connection_id, stream)}">${text}</a>` : text;
}

const needsText = ({ state, deletions }: StreamFacts): boolean =>
  isProblem(state) || state === 'never' || state === 'paused' || state === 'syncing' || deletions !== null;

const hasCause = ({ state, deletions }: StreamFacts): boolean => isProblem(state) || deletions === 'blocked';

export function whatToDo(stream: StreamFacts, nowMs: number): Html {
  const { text, command } = stream.next_step;
  return html`<div class="why"><p class="reason">${sentence(stream.reason)}${stream.since === null ? null : html` <small>since ${ago(stream.since, nowMs)}</small>`}</p>
<p class="step"><b>What to do:</b> ${text}${command === null ? null : html` <code>${command}</code><button type="button" class="link copy">Copy<span class="hidden"> ${command}</span></button>`}</p></div>`;
}

function verificationOf(
  { verified_at, verified_rows, verified_share, verification_differences }: StreamFacts,
  nowMs: number,
): Html {
  if (verified_at === null)
    return html`<span title="leadmirror verify compares the mirror with the upstream">not yet</span>`;
  const differ = verification_differences ?? 0;
  const share = percent(verified_share ?? 0);
  const title = `${counted(verified_rows ?? 0, 'row')} compared, ${share} of them by content`;
  const result = differ > 0 ? html`<b class="warn">${count(differ)} differ</b>` : 'equal';
  return html`<span title="${title}">${result} <small>${ago(verified_at, nowMs)}</small></span>`;
}

function nextRunOf({ paused_at, next_runs, running, interval_seconds }: StreamFacts, nowMs: number): Html | string {
  if (running !== null) return html`<span class="now">reading</span>`;
  if (paused_at !== null) return 'paused';
  const [next] = [...next_runs].sort((a, b) => a.at.getTime() - b.at.getTime());
  if (next === undefined) return '–';
  return html`${until(next.at, nowMs)}${interval_seconds === null ? null : html` <small>every ${duration(interval_seconds)}</small>`}`;
}

/** Shorter runs get no line, which would only make the page jump. */
const LONG_MS = 3_000;

export const isLong = ({ started_at }: RunProgress, nowMs: number): boolean => nowMs - started_at.getTime() >= LONG_MS;

export function progressLine(progress: RunProgress, nowMs: number): Html {
  const { pass, read, expected, pages, rows_per_second: rate, eta_seconds: eta, started_at } = progress;
  const share = expected === null ? null : Math.min(99, Math.floor((read / expected) * 100));
  const notes = [
    expected === null
      ? `${counted(read, 'row')} read`
      : `${count(read)} of about ${counted(expected, 'row')} (${share} %)`,
    counted(pages, 'page'),
    ...(rate === null ? [] : [`${count(rate >= 10 ? Math.round(rate) : rate)} rows/s`]),
    ...(eta === null ? [] : [`${duration(eta)} left`]),
  ];
  const label = `${PASS_LABELS[pass] ?? pass} under way`;
  const bar =
    share === null
      ? html`<progress class="unknown" aria-label="${label}"></progress>`
      : html`<progress max="100" value="${share}" aria-label="${label}">${share} %</progress>`;
  return html`<div class="running soft"><span class="now">${PASS_LABELS[pass] ?? pass}</span>${bar}<span>${notes.join(' · ')} · began ${ago(started_at, nowMs)}</span></div>`;
}
