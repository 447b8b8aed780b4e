import type { BudgetFacts } from '../status-document.ts';
import { type Html, html } from './html.ts';
import { count, until } from './words.ts';

const WIDTH = 200;

/** Requests per minute used and allowed. */
export function budgetGauge(budget: BudgetFacts, nowMs: number): Html {
  const { used_per_minute: used, allowed_per_minute: allowed, configured_per_minute: configured } = budget;
  const isSlowed = allowed < configured;
  const others = budget.connections.length - 1;
  const filled = Math.round(Math.min(1, used / Math.max(1, allowed)) * WIDTH);
  return html`<div class="gauge"><span class="label">Requests per minute</span>
<svg class="meter" viewBox="0 0 ${WIDTH} 8" preserveAspectRatio="none" role="img" aria-label="${count(used)} of ${count(allowed)} requests per minute used"><rect class="room" width="${WIDTH}" height="8"/><rect class="used" width="${used > 0 ? Math.max(2, filled) : 0}" height="8"/></svg>
<span class="numbers">${count(used)} of ${count(allowed)} used${isSlowed ? html` · <b class="warn">slowed from ${count(configured)}</b>` : null}${
    others > 0 ? html` · shared by ${count(others + 1)} accounts` : null
  }</span>${
    budget.blocked_until === null
      ? null
      : html`<span class="blocked"><b class="warn">Waiting</b> ${reasonWords(budget.blocked_reason)}, goes on ${until(budget.blocked_until, nowMs)}</span>`
  }</div>`;
}

const reasonWords = (reason: string | null): string =>
  reason === null ? 'as the upstream asked' : `(${reason.replaceAll('_', ' ')})`;
