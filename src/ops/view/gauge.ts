import type { BudgetFacts } from '../status-document.ts';
import { type Html, html } from './html.ts';
import { count, until } from './words.ts';

/** Requests per minute used and allowed. */
export function budgetGauge(budget: BudgetFacts, nowMs: number): Html {
  const { used_per_minute: used, allowed_per_minute: allowed, configured_per_minute: configured } = budget;
  const isSlowed = allowed < configured;
  const others = budget.connections.length - 1;
  return html`<div class="gauge"><small>Requests per minute</small>
<meter max="${allowed}" value="${used}" aria-label="Requests per minute">${used}</meter>
<span class="soft">${count(used)} of ${count(allowed)} used${isSlowed ? html` · <b class="warn">slowed from ${count(configured)}</b>` : null}${
    others > 0 ? html` · shared by ${count(others + 1)} accounts` : null
  }</span>${
    budget.blocked_until === null
      ? null
      : html`<span><b class="warn">Waiting</b> ${reasonWords(budget.blocked_reason)}, goes on ${until(budget.blocked_until, nowMs)}</span>`
  }</div>`;
}

const reasonWords = (reason: string | null): string =>
  reason === null ? 'as the upstream asked' : `(${reason.replaceAll('_', ' ')})`;
