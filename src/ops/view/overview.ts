import { groupBy } from '../../group-by.ts';
import { describeProcesses } from '../../store/engine/processes.ts';
import type { ErasureDay } from '../../store/privacy/erasure-counts.ts';
import type { StreamState } from '../../store/reports/status.ts';
import { type Cause, findCauses, findOutage, NO_WORKER } from '../causes.ts';
import type { QueueHealth } from '../parts.ts';
import { isOfAccount } from '../reasons.ts';
import {
  type BudgetFacts,
  type ErasureFacts,
  isProblem,
  nameOf,
  type RunFacts,
  STATES_BY_URGENCY,
  type StatusDocument,
  type StreamFacts,
  urgencyOf,
} from '../status-document.ts';
import { accountButtons } from './accounts-page.ts';
import { mainAction } from './actions.ts';
import { accountName, fleetTable, rowsOf, type Shown, sortFleet } from './fleet.ts';
import { ago, count, counted, elementId, sentence, streamPath, until } from './format.ts';
import { type Html, html } from './html.ts';
import type { Tone } from './layout.ts';
import { runsTable } from './runs-table.ts';
import { outageLine, stateChip, stateIcon } from './state.ts';
import { type RowOptions, streamRow, whatToDo } from './stream-row.ts';
import { table } from './table.ts';

interface OverviewQuery {
  /** Part of a connection's or a stream's name. */
  readonly q: string;
  readonly state: StreamState | null;
  readonly page: number;
  readonly order: string;
}

const ACCOUNTS_PER_PAGE = 200;
/** With more accounts each is a line of a table, with a page of its own. */
const SHOWN_WHOLE = 6;

export function overview(status: StatusDocument, query: OverviewQuery, options: RowOptions): Html {
  if (status.streams.length === 0)
    return html`${journalLine(status.erasures)}${queueLine(status.queue)}${emptyState(options.accounts?.canKeep === true)}${processesLine(status)}`;
  const all = selectConnections(status, query);
  const pages = Math.max(1, Math.ceil(all.length / ACCOUNTS_PER_PAGE));
  const page = Math.min(Math.max(1, query.page), pages);
  const isFleet = status.connections.length > SHOWN_WHOLE;
  return html`${summaryLine(status)}
${journalLine(status.erasures)}
${queueLine(status.queue)}
${workerLine(status)}
${causesList(findCauses(status), options)}
${filterForm(status, query, isFleet)}
${all.length === 0 ? html`<p class="soft">No stream matches. <a href="/">Show all</a></p>` : isFleet ? fleet(all, page, query, options) : html`<div class="connections">${all.map((one) => connectionCard(one, options))}</div>`}
${pages > 1 ? pager(query, page, pages) : null}
<section id="runs"><h2>Last runs</h2>${runsTable(status.runs, { nowMs: options.nowMs, isOfOneStream: false })}</section>
${erasuresList(status.erasures)}
${processesLine(status)}`;
}

function fleet(all: readonly Shown[], page: number, query: OverviewQuery, { nowMs }: RowOptions): Html {
  const shown = sortFleet(all, query.order).slice((page - 1) * ACCOUNTS_PER_PAGE, page * ACCOUNTS_PER_PAGE);
  const linkTo = (order: string) => pathOf({ ...query, order, page: 1 });
  const streams = all.reduce((total, { own }) => total + own.length, 0);
  const rows = all.reduce((total, one) => total + rowsOf(one), 0);
  return html`<section id="accounts"><h2>${counted(all.length, 'account')}, ${counted(streams, 'stream')}, ${counted(rows, 'row')}</h2>${fleetTable(shown, { nowMs, order: query.order, linkTo })}</section>`;
}

function pathOf({ q, state, order, page }: OverviewQuery): string {
  const given = { q, state: state ?? '', sort: order === 'state' ? '' : order, page: page === 1 ? '' : String(page) };
  const query = String(new URLSearchParams(Object.entries(given).filter(([, value]) => value !== '')));
  return query === '' ? '/' : `/?${query}`;
}

/** One account with all its streams. Null: it has none here. */
export function accountPage(
  status: StatusDocument,
  id: string,
  runs: readonly RunFacts[],
  options: RowOptions,
): Html | null {
  const one = selectConnections(status, { q: '', state: null }).find(({ connection }) => connection.id === id);
  if (one === undefined) return null;
  const causes = findCauses({ ...status, streams: one.own });
  return html`<p class="soft"><a href="/">All accounts</a></p><h1>${accountName(one.connection)}</h1>
${outageLine(findOutage(status))}
${causesList(causes, options)}
${connectionCard(one, options)}
<section id="runs"><h2>Last runs</h2>${runsTable(runs, { nowMs: options.nowMs, isOfOneStream: false })}</section>`;
}

export const AWAY = 'The database does not answer';

/** What was known last, without its colours, below what is wrong now. */
export function awayPage(
  message: string,
  { since, knownAt, known }: { since: Date; knownAt: Date; known: Html },
): Html {
  return html`<section class="summary"><h1>${AWAY}</h1></section>
<p class="banner" role="alert">${sentence(message)} Noticed ${ago(since)}. Runs go on by themselves when it answers; nothing is lost.</p>
<p class="soft">Below: what was known ${ago(knownAt)}.</p>
<div class="past">${known}</div>`;
}

function summaryLine(status: StatusDocument): Html {
  const { by_state: states } = status.summary;
  const chips = STATES_BY_URGENCY.filter((state) => states[state] > 0);
  return html`<section class="summary" id="summary"><h1>${headline(status)}</h1>
<ul class="counts" aria-label="Streams by state">${chips.map(
    (state) =>
      html`<li><a class="chip is-${state}" href="/?state=${state}">${stateIcon(state)}${count(states[state])} ${state}</a></li>`,
  )}</ul></section>`;
}

/** The answer to "is everything all right?"; never yes while nothing new is read. */
export function headline(status: StatusDocument): string {
  const { streams, by_state: states } = status.summary;
  if (streams === 0) return 'Nothing is mirrored yet';
  const outage = findOutage(status);
  if (outage !== null) return `${outage}: nothing new is read`;
  const causes = findCauses(status);
  const [first] = causes;
  if (first !== undefined) {
    const urgent = causes.filter(({ passes }) => !passes);
    const accounts = new Set((urgent.length > 0 ? urgent : causes).flatMap((cause) => cause.accounts)).size;
    const verb =
      urgent.length === 0 ? (accounts === 1 ? 'is waiting' : 'are waiting') : accounts === 1 ? 'needs you' : 'need you';
    const why =
      causes.length === 1
        ? `${first.text} (${counted(first.streams.length, 'stream')})`
        : counted(causes.length, 'cause');
    return `${counted(accounts, 'account')} ${verb}: ${why}`;
  }
  if (states.never === streams) return 'Ready for the first full read';
  if (states.syncing + states.never > 0) return 'The first full read is under way';
  if (states.paused > 0) return `${counted(states.paused, 'stream')} paused, all others fresh`;
  return streams === 1 ? 'The stream is fresh' : `All ${counted(streams, 'stream')} are fresh`;
}

export const toneOf = (status: StatusDocument): Tone =>
  findOutage(status) === null && !status.streams.some(({ state }) => isProblem(state)) ? 'good' : 'bad';

const SHOWN_CAUSES = 12;

/** Each cause once, with what to do about it; then its streams. */
function causesList(causes: readonly Cause[], options: RowOptions): Html | null {
  if (causes.length === 0) return null;
  const more = causes.length - SHOWN_CAUSES;
  return html`<section id="causes"><h2 class="hidden">What is wrong</h2><ul class="causes">${causes
    .slice(0, SHOWN_CAUSES)
    .map((cause) => {
      const [first] = cause.streams;
      return html`<li class="cause is-${cause.state}"><p class="what">${stateChip(cause.state)} <b>${sentence(cause.text)}</b></p>${whatToDo(first, options.nowMs)}${
        options.canChange ? causeButtons(cause, first, options) : null
      }<p class="soft">${counted(cause.streams.length, 'stream')}: ${cause.streams
        .slice(0, SHOWN_CAUSES)
        .map(
          ({ connection_id, stream }) =>
            html`<a class="item" href="/streams/${streamPath(connection_id, stream)}">${stream}${cause.accounts.length > 1 ? ` of ${connection_id}` : null}</a> `,
        )}${cause.streams.length > SHOWN_CAUSES ? '…' : null}</p></li>`;
    })}</ul>${more > 0 ? html`<p class="soft">and ${counted(more, 'more cause')}</p>` : null}</section>`;
}

/** Where the account itself is what is wrong, a run is of no use before that is corrected. */
const causeButtons = ({ streams }: Cause, first: StreamFacts, { accounts }: RowOptions): Html | null =>
  accounts !== undefined && isOfAccount(first.reason_code)
    ? accountButtons(first.connection_id, accounts, 'button primary')
    : html`<div class="actions">${mainAction(first, streams.length > 1)}${first.reason_code === 'open_quarantine' ? html`<a class="button" href="/decide#quarantine">See these records</a>` : null}</div>`;

function queueLine(queue: QueueHealth | null): Html {
  if (queue === null) {
    return html`<p class="soft" id="queue">This process has no queue: runs are neither seen nor started from here.</p>`;
  }
  const backend = queue.backend === 'redis' ? 'Redis' : 'Postgres';
  if (!queue.ok || queue.lanes === null) {
    return html`<p class="banner" id="queue" role="alert"><b>The queue in ${backend} does not answer</b> (${queue.error ?? 'no reason known'}). Scheduled runs wait until it does; <code>leadmirror sync</code> works without it.</p>`;
  }
  const { fast, bulk } = queue.lanes;
  const describe = (lane: typeof fast) =>
    `${count(lane.active)} running, ${count(lane.waiting)} waiting${lane.failed > 0 ? `, ${count(lane.failed)} given up` : ''}`;
  return html`<p class="soft" id="queue">Queue in ${backend} · changes: ${describe(fast)} · full syncs: ${describe(bulk)}</p>`;
}

/** `3 processes, leader host-a:4711; 1 lost since …`: the daemon on all machines. */
const processesLine = ({ processes }: StatusDocument): Html =>
  html`<p class="soft" id="processes">Daemon: ${describeProcesses(processes) ?? html`no process is known; <code>leadmirror start</code> runs one`}</p>`;

const workerLine = (status: StatusDocument): Html | null =>
  findOutage(status) === NO_WORKER
    ? html`<p class="banner" role="alert"><b>No worker is running.</b> <code>leadmirror start</code> runs one; runs go on from their checkpoints then.</p>`
    : null;

function journalLine({ problem }: ErasureFacts): Html | null {
  if (problem === null) return null;
  return html`<p class="banner" id="journal" role="alert"><b>No run begins.</b> ${sentence(problem.message)}</p>`;
}

function erasuresList({ total, unfinished, days }: ErasureFacts): Html | null {
  if (total === 0) return null;
  const columns = [
    { head: 'Day (UTC)', cell: ({ day }: ErasureDay) => html`<time datetime="${day}">${day}</time>` },
    { head: 'Erasures', cell: (row: ErasureDay) => count(row.count), isNumber: true },
  ];
  return html`<section id="erasures"><h2>${counted(total, 'erasure')}</h2>${
    unfinished === 0
      ? null
      : html`<p><b class="warn">${count(unfinished)} not finished:</b> <code>sync.erasures</code> has their ids; <code>leadmirror forget --resume</code> continues one.</p>`
  }${table({ label: 'Erasures by day', columns, rows: days })}</section>`;
}

function connectionCard(shown: Shown, options: RowOptions): Html {
  const { connection, streams, own, budget } = shown;
  const { id, state } = connection;
  const notices = [...new Set(own.flatMap(({ notice }) => notice ?? []))];
  const worst = own.filter((stream) => stream.state === state).length;
  const all = counted(own.length, 'stream');
  return html`<details class="connection is-${state}" id="${elementId('c', id)}" open>
<summary><span class="head"><h2>${accountName(connection)}</h2>${stateChip(state)}<span class="soft">${worst === own.length ? all : `${count(worst)} of ${all}`} · ${counted(rowsOf(shown), 'row')}</span></span></summary>
<div class="overhead">${budget === undefined ? html`<span class="soft">No request yet</span>` : budgetGauge(budget, options.nowMs)}
<div class="charts" data-history="/api/history/${encodeURIComponent(id)}" data-name="${nameOf(connection)}"></div></div>
<ul class="streams">${streams.map((stream) => streamRow(stream, { ...options, isPartOfAccount: true, label: connection.label }))}</ul>
${notices.map((text) => html`<p class="soft notice"><b>Good to know:</b> ${text}.</p>`)}
${accountButtons(id, options.accounts)}</details>`;
}

function budgetGauge(budget: BudgetFacts, nowMs: number): Html {
  const { used_per_minute: used, allowed_per_minute: allowed, configured_per_minute: configured } = budget;
  const isSlowed = allowed < configured;
  const others = budget.connections.length - 1;
  return html`<div class="gauge"><small>Requests per minute</small>
<meter max="${allowed}" value="${used}" aria-label="Requests per minute">${used}</meter>
<span class="soft">${count(used)} of ${count(allowed)} used${isSlowed ? html` · <b class="warn">slowed from ${count(configured)}</b>` : null}${
    others > 0 ? html` · shared by ${counted(others + 1, 'account')}` : null
  }${
    budget.allowed_per_day === null
      ? null
      : html` · ${count(budget.used_today ?? 0)} of ${count(budget.allowed_per_day)} today`
  }</span>${
    budget.blocked_until === null
      ? null
      : html`<span><b class="warn">Waiting</b> ${budget.blocked_reason === null ? 'as the upstream asked' : `(${budget.blocked_reason.replaceAll('_', ' ')})`}, goes on ${until(budget.blocked_until, nowMs)}</span>`
  }</div>`;
}

function filterForm({ streams }: StatusDocument, { q, state, order }: OverviewQuery, isFleet: boolean): Html | null {
  if (streams.length < 10 && q === '' && state === null) return null;
  return html`<form class="filter" role="search" method="get" action="/" data-whole="${isFleet ? 'no' : 'yes'}">${order === 'state' ? null : html`<input type="hidden" name="sort" value="${order}">`}
<label>Find <input id="q" name="q" type="search" value="${q}" placeholder="account or stream" autocomplete="off"></label>
<label>State <select name="state"><option value="">any</option>${STATES_BY_URGENCY.map(
    (one) => html`<option value="${one}"${one === state ? html` selected` : null}>${one}</option>`,
  )}</select></label><button>Show</button>${q !== '' || state !== null ? html`<a href="/">Show all</a>` : null}</form>`;
}

/** Returns the matching connections, those that require action first. */
export function selectConnections(
  status: StatusDocument,
  { q, state }: Pick<OverviewQuery, 'q' | 'state'>,
): readonly Shown[] {
  const term = q.trim().toLowerCase();
  const labels = new Map(status.connections.map(({ id, label }) => [id, label ?? '']));
  const textOf = ({ connection_id, stream, state }: StreamFacts) =>
    `${connection_id} ${labels.get(connection_id)} ${stream} ${state}`.toLowerCase();
  const matches = (stream: StreamFacts) =>
    (state === null || stream.state === state) && (term === '' || textOf(stream).includes(term));
  // Put in order once: with thousands of connections nothing goes through all streams for each.
  const streamsOf = groupBy(status.streams, ({ connection_id }) => connection_id);
  const budgets = new Map(status.budgets.map((budget) => [budget.credential, budget]));
  return status.connections
    .map((connection): Shown => {
      const own = streamsOf.get(connection.id) ?? [];
      const streams = own
        .filter(matches)
        .sort((a, b) => urgencyOf(a.state) - urgencyOf(b.state) || a.stream.localeCompare(b.stream));
      return { connection, streams, own, budget: budgets.get(connection.credential ?? '') };
    })
    .filter(({ streams }) => streams.length > 0);
}

function pager(query: OverviewQuery, page: number, pages: number): Html {
  const link = (to: number) => pathOf({ ...query, page: to });
  return html`<nav class="pager" aria-label="Pages">${page > 1 ? html`<a href="${link(page - 1)}" rel="prev">Previous</a>` : null}<span>Page ${page} of ${pages}</span>${
    page < pages ? html`<a href="${link(page + 1)}" rel="next">Next</a>` : null
  }</nav>`;
}

function emptyState(canAdd: boolean): Html {
  return html`<section class="box"><h1>Nothing is mirrored yet</h1>
${canAdd ? html`<p><a href="/accounts">Add an account here</a>, or in the environment:</p>` : null}
<p>No account is configured. Tell leadmirror where yours is, in the environment or in a file <code>.env</code> beside it, and restart it:</p>
<pre><code>TILEDESK_PROJECT_ID=…
TILEDESK_EMAIL=…
TILEDESK_PASSWORD=…</code></pre>
<p>For Tilkee: <code>TILKEE_USERNAME</code>, <code>TILKEE_PASSWORD</code>, <code>TILKEE_CLIENT_ID</code>, <code>TILKEE_CLIENT_SECRET</code>. Then see whether it works:</p>
<pre><code>leadmirror check</code></pre>
<p>To look around first, everything simulated: <code>leadmirror demo</code>. This page fills by itself.</p></section>`;
}
