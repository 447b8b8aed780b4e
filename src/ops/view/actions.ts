import type { QueuedPass } from '../../stream.ts';
import type { StreamFacts } from '../status-document.ts';
import { elementId, streamPath } from './format.ts';
import { type Html, html } from './html.ts';

/** What is asked for, its label, what comes of it; what is sent along, and the question that the script asks first. */
type Action = readonly [
  action: string,
  label: string,
  effect: string,
  more?: { readonly fields?: Readonly<Record<string, string>>; readonly confirm?: string },
];

const run = (pass: QueuedPass, label: string, effect: string): Action => [
  'trigger',
  label,
  effect,
  { fields: { pass } },
];
const RUN = run('incremental', 'Run now', 'Reads what changed.');
const READ = run('backfill', 'Read now', 'Begins the first full read, or goes on with it.');
const WALK = run('reconcile', 'Full sync', 'Reads everything and finds deletions.');
const VERIFY: Action = ['verify', 'Verify', 'Compares every row with the upstream; changes nothing.'];
const REPAIR: Action = [
  'verify',
  'Verify and repair',
  'Compares, and reads again just the rows that differ.',
  { fields: { repair: 'yes' } },
];
const RETRY: Action = ['retry-quarantine', 'Retry quarantine', 'Maps and writes the quarantined records again.'];
const PAUSE: Action = ['pause', 'Pause', 'No run begins until it is resumed.'];
const RESUME: Action = ['resume', 'Resume', 'Runs go on as scheduled.'];
const CANCEL: Action = ['cancel', 'Stop this run', 'Its checkpoint is kept.'];
const RESYNC: Action = [
  'resync',
  'Resync',
  'Reads everything again from zero; rows are kept.',
  { confirm: 'Read the whole stream again from zero? Rows are kept; it costs as many requests as a first read.' },
];
const ACCEPT: Action = [
  'accept-deletions',
  'Accept deletions',
  'A full sync marks the deletions that the guard blocks.',
  { confirm: 'Were these rows really deleted upstream? A full sync will mark them as deleted.' },
];

/** What may be done to a stream now, the likeliest first. */
function actionsFor(stream: StreamFacts): readonly Action[] {
  const isPaused = stream.paused_at !== null;
  const isRead = stream.backfill_completed_at !== null;
  return [
    ...(stream.deletions === 'blocked' ? [ACCEPT] : []),
    ...((stream.verification_differences ?? 0) > 0 ? [REPAIR] : []),
    ...(stream.reason_code === 'open_quarantine' ? [RETRY] : []),
    ...(isPaused ? [RESUME] : [isRead ? RUN : READ]),
    ...(stream.running !== null ? [CANCEL] : []),
    ...(isPaused || !isRead ? [] : [WALK]),
    ...(isPaused ? [] : [PAUSE]),
    ...(isRead ? [VERIFY] : []),
    ...(isRead && (stream.verification_differences ?? 0) === 0 ? [REPAIR] : []),
    ...(stream.open_quarantine > 0 && stream.reason_code !== 'open_quarantine' ? [RETRY] : []),
    ...(isRead ? [RESYNC] : []),
  ];
}

/** What helps most likely, beside a cause; of one of several streams it names which. */
export function mainAction(stream: StreamFacts, isNamed = false): Html | null {
  const [first] = actionsFor(stream);
  return first === undefined ? null : form(stream, first, 'cause', isNamed);
}

export const retryButton = (stream: StreamFacts): Html => form(stream, RETRY, 'decide');

/** The first as a button, all of them in a sheet with what comes of each. Forms: they work without the script too. */
export function actionButtons(stream: StreamFacts): Html {
  const { connection_id, stream: name } = stream;
  const actions = actionsFor(stream);
  const [first] = actions;
  const sheet = elementId('more', connection_id, name);
  return html`<div class="actions">${first === undefined ? null : form(stream, first, 'row')}
<button class="link" type="button" popovertarget="${sheet}" id="${`${sheet}_open`}">More<span class="hidden"> actions for ${name} of ${connection_id}</span></button>
<div class="sheet" popover id="${sheet}" role="dialog" aria-label="Actions for ${name} of ${connection_id}"><p class="soft"><b>${name}</b> ${connection_id}</p>
${actions.map((action) => html`<div class="choice">${form(stream, action, 'sheet')}<span>${action[2]}</span></div>`)}
<button type="button" class="link" popovertarget="${sheet}" popovertargetaction="hide">Close</button></div></div>`;
}

function form(stream: StreamFacts, [action, label, effect, more]: Action, location: string, isNamed = false): Html {
  const { fields = {}, confirm } = more ?? {};
  const { connection_id, stream: name } = stream;
  const id = elementId(location, action, ...Object.values(fields), connection_id, name);
  return html`<form method="post" action="/api/streams/${streamPath(connection_id, name)}/${action}"${confirm === undefined ? null : html` data-confirm="${confirm}"`}>${Object.entries(
    fields,
  ).map(
    ([field, value]) => html`<input type="hidden" name="${field}" value="${value}">`,
  )}<button id="${id}" title="${effect}">${label}<span${isNamed ? null : html` class="hidden"`}> ${name} of ${connection_id}</span></button></form>`;
}
