import type { StreamState } from '../../store/reports/status.ts';
import { type Html, html } from './html.ts';

/** Each state has a label, a shape and a colour: any one of them identifies it. */
const SHAPES: Readonly<Record<StreamState, string>> = {
  fresh: 'M3.5 8.4 6.6 11.5 12.6 4.8',
  syncing: 'M13 8a5 5 0 0 1-9.2 2.7M3 8a5 5 0 0 1 9.2-2.7M12.6 2.6v2.9h-2.9M3.4 13.4v-2.9h2.9',
  stale: 'M8 4.2V8l2.6 1.8M8 1.9a6.1 6.1 0 1 0 0 12.2A6.1 6.1 0 0 0 8 1.9Z',
  partial: 'M8 5.6v3.1M8 11.2v.1M8 2 1.7 13.2h12.6Z',
  blocked: 'M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6M5.4 1.9h5.2l3.5 3.5v5.2l-3.5 3.5H5.4l-3.5-3.5V5.4Z',
  paused: 'M5.6 3.6v8.8M10.4 3.6v8.8',
  never: 'M4.4 8h7.2M8 1.9a6.1 6.1 0 1 0 0 12.2A6.1 6.1 0 0 0 8 1.9Z',
};

export const STATE_MEANINGS: Readonly<Record<StreamState, string>> = {
  fresh: 'complete as of the last pass',
  syncing: 'the first full read is under way',
  stale: 'no complete pass in time',
  partial: 'something is missing or unconfirmed',
  blocked: 'cannot go on without a person',
  paused: 'a person stopped it',
  never: 'no run yet',
};

export const stateIcon = (state: StreamState): Html =>
  html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="${SHAPES[state]}"/></svg>`;

export const stateChip = (state: StreamState): Html =>
  html`<span class="chip is-${state}" title="${STATE_MEANINGS[state]}">${stateIcon(state)}${state}</span>`;

/** Why the states on a page are not sure. */
export const outageLine = (outage: string | null): Html | null =>
  outage === null ? null : html`<p class="banner" role="alert"><b>${outage}:</b> nothing new is read.</p>`;
