import type { RunFacts } from '../status-document.ts';
import { type Html, html } from './html.ts';
import { ago, count, duration, PASS_WORDS, streamPath } from './words.ts';

/** The runs as a table; `isOfOneStream` leaves out what is the same in every line. */
export function runsTable(
  runs: readonly RunFacts[],
  { nowMs, isOfOneStream }: { nowMs: number; isOfOneStream: boolean },
): Html {
  if (runs.length === 0) return html`<p class="none">No run yet.</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Runs"><table>
<thead><tr><th scope="col">Began</th>${isOfOneStream ? null : html`<th scope="col">Stream</th>`}<th scope="col">Pass</th><th scope="col">Outcome</th><th scope="col" class="n">Read</th><th scope="col" class="n">New</th><th scope="col" class="n">Changed</th><th scope="col" class="n">Deleted</th><th scope="col" class="n">Requests</th><th scope="col" class="n">Took</th></tr></thead>
<tbody>${runs.map((run) => runLine(run, nowMs, isOfOneStream))}</tbody></table></div>`;
}

function runLine(run: RunFacts, nowMs: number, isOfOneStream: boolean): Html {
  const { connection_id, stream, pass, outcome, error, idle_runs } = run;
  const took = run.ended_at === null ? null : (run.ended_at.getTime() - run.started_at.getTime()) / 1000;
  const columns = isOfOneStream ? 9 : 10;
  return html`<tr class="is-${outcome}"><td>${ago(run.started_at, nowMs)}</td>${
    isOfOneStream
      ? null
      : html`<td><a href="/streams/${streamPath(connection_id, stream)}">${stream}</a> <small>${connection_id}</small></td>`
  }<td>${PASS_WORDS[pass] ?? pass}</td><td><span class="outcome">${outcome}</span></td><td class="n">${count(run.read)}</td><td class="n">${count(run.created)}</td><td class="n">${count(run.updated)}</td><td class="n">${count(run.deleted)}</td><td class="n">${count(run.requests)}</td><td class="n">${
    took === null
      ? '…'
      : idle_runs > 0
        ? html`<span title="and as many runs after it found nothing new">+ ${count(idle_runs)} idle</span>`
        : took < 10
          ? `${took.toFixed(1)} s`
          : duration(took)
  }</td></tr>${error === null ? null : html`<tr class="error"><td colspan="${columns}"><code>${error.code}</code> ${error.message}</td></tr>`}`;
}
