import type { AccountForm, CheckResult, KeptAccount, KeptAccounts } from '../parts.ts';
import { counted, elementId } from './format.ts';
import { type Html, html } from './html.ts';
import { table } from './table.ts';

interface AccountsPage {
  readonly kept: readonly KeptAccount[];
  readonly forms: readonly AccountForm[];
  /** The account whose form is open, or the source of the one that is being added. */
  readonly opened?: string;
  /** What was typed into it. */
  readonly given?: Readonly<Record<string, string>>;
  readonly done?: string;
  readonly problems?: readonly string[];
}

/** The accounts that the database keeps: a form for each, and for a new one. */
export function accountsPage({ kept, forms, opened = '', given = {}, done, problems = [] }: AccountsPage): Html {
  return html`<h1>Accounts</h1>
${done === undefined ? null : html`<p class="banner is-fresh" role="status">${done}</p>`}
${problems.length === 0 ? null : html`<div class="banner" role="alert">${problems.map((text) => html`<p>${text}</p>`)}</div>`}
<section><h2>Kept in the database</h2>${kept.length === 0 ? html`<p class="soft">None yet.</p>` : null}${kept.map(
    (account) => {
      const form = forms.find(({ source }) => source === account.source);
      return html`<details class="entry" id="${elementId('k', account.id)}"${openIf(opened === account.id)}><summary>${settingText(account.settings.label) || account.id} <small>${account.id} · ${account.state}</small></summary>
${account.reason === null ? null : html`<p class="reason">${account.reason}</p>`}
${form === undefined ? null : accountForm(form, { account, given: opened === account.id ? given : {} })}
<div class="actions">${checkButton(account.id)}<form method="post" action="${pathOf(account.id)}/remove" data-confirm="End the mirroring of ${account.id}? Its rows and runs stay; its secrets are deleted."><button>Remove<span class="hidden"> ${account.id}</span></button></form></div></details>`;
    },
  )}</section>
<section><h2>Add</h2>${forms.map(
    (form) => html`<details class="entry"${openIf(opened === form.source)}><summary>${form.title}</summary>
${accountForm(form, { given: opened === form.source ? given : {} })}</details>`,
  )}</section>
<p class="soft">Accounts of <code>leadmirror.yaml</code> and of the environment are changed there. Everything of an account is erased with <code>leadmirror connection remove --erase</code>.</p>`;
}

const openIf = (isOpen: boolean): Html | null => (isOpen ? html` open` : null);

const pathOf = (id: string): string => `/accounts/${encodeURIComponent(id)}`;

/** A setting as a field has it. */
export const settingText = (value: unknown): string =>
  Array.isArray(value) ? value.join(',') : typeof value === 'string' ? value : '';

function accountForm(
  form: AccountForm,
  { account, given }: { readonly account?: KeptAccount; readonly given: Readonly<Record<string, string>> },
): Html {
  const field = (key: string) => {
    const isPrivate = form.privateFields.includes(key);
    const id = elementId('f', account?.id ?? form.source, key);
    const isStored = account?.secrets?.includes(key) === true;
    const value = isPrivate ? '' : (given[key] ?? settingText(account?.settings[key]));
    const type = form.secretFields.includes(key) ? 'password' : 'text';
    return html`<label for="${id}">${labelOf(key)}</label><input id="${id}" name="${key}" type="${type}" value="${value}" autocomplete="${type === 'password' ? 'new-password' : 'off'}"${isStored ? html` placeholder="stored; empty: as it is"` : null}>`;
  };
  const fields = form.fields.filter((key) => account === undefined || key !== 'id');
  const more = fields.filter((key) => form.fields.indexOf(key) >= form.firstFields);
  return html`<form class="fields" method="post" action="${account === undefined ? '/accounts' : pathOf(account.id)}">${
    account === undefined ? html`<input type="hidden" name="source" value="${form.source}">` : null
  }${fields.filter((key) => !more.includes(key)).map(field)}
<details><summary>More settings</summary><div class="fields">${more.map(field)}</div></details>
<button class="primary">${account === undefined ? 'Add and check' : 'Save and check'}</button></form>`;
}

/** `requestsPerMinute` as `Requests per minute`. */
const labelOf = (key: string): string =>
  key.charAt(0).toUpperCase() + key.slice(1).replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

const checkButton = (id: string): Html =>
  html`<form method="post" action="${pathOf(id)}/check"><button>Check account<span class="hidden"> ${id}</span></button></form>`;

/** What may be done about an account as a whole. */
export const accountButtons = (
  id: string,
  accounts: Pick<KeptAccounts, 'isKept'> | undefined,
  look = 'button',
): Html | null =>
  accounts === undefined
    ? null
    : html`<div class="actions">${accounts.isKept(id) ? html`<a class="${look}" href="/accounts?edit=${encodeURIComponent(id)}">Change its settings<span class="hidden"> ${id}</span></a>` : null}${checkButton(id)}</div>`;

interface CheckPage {
  readonly id: string;
  readonly checks: readonly CheckResult[];
  /** What was done before. */
  readonly done: string | undefined;
  readonly isKept: boolean;
}

/** What came of the check of one account. */
export function checkPage({ id, checks, done, isKept }: CheckPage): Html {
  const failed = checks.filter(({ ok }) => !ok).length;
  const verdict = failed === 0 ? 'Everything can be read.' : `${failed} of ${counted(checks.length, 'check')} failed.`;
  return html`<h1>Check of ${id}</h1>
<p class="banner is-${failed === 0 ? 'fresh' : 'blocked'}" role="status">${done === undefined ? null : `${id} ${done} `}${checks.length === 0 ? 'It is switched off, so nothing was tried.' : verdict}</p>
${table({
  label: 'Checks',
  rows: checks,
  classOf: ({ ok }) => (ok ? 'is-succeeded' : 'is-failed'),
  columns: [
    { head: 'What', cell: ({ name }) => name },
    { head: 'Outcome', cell: ({ ok }) => html`<span class="outcome">${ok ? 'ok' : 'failed'}</span>` },
    { head: 'Detail', cell: ({ detail, error }) => html`<span class="detail">${error?.message ?? detail}</span>` },
  ],
})}
<p><a href="/">All streams</a>${isKept ? html` · <a href="/accounts?edit=${encodeURIComponent(id)}">Change its settings</a>` : null}</p>`;
}
