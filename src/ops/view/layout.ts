import type { AssetUrls } from '../assets.ts';
import { type Html, html } from './html.ts';

/** The icon of the browser's tab: `bad`: something needs a look, or nothing can be known. */
export type Tone = 'good' | 'bad';

export interface LayoutOptions {
  readonly title: string;
  readonly assets: AssetUrls;
  readonly main: Html;
  readonly tone?: Tone;
  /** Why no state on the page is sure; null or absent: all are. */
  readonly outage?: string | null;
  readonly isSignedIn?: boolean;
  readonly hasQueues?: boolean;
  /** Whether accounts can be added here. */
  readonly hasAccounts?: boolean;
  /** Which state of the live page this is; absent: it does not change by itself. */
  readonly live?: string;
  /** Which of the page's parts this is; absent: none, and there is no way to them, as before the sign-in. */
  readonly tab?: (typeof TABS)[number][0];
}

const TABS = [
  ['streams', '/', 'Streams'],
  ['runs', '/runs', 'Runs'],
  ['decide', '/decide', 'To decide'],
  ['data', '/data', 'Data'],
  ['report', '/report', 'Report'],
  ['accounts', '/accounts', 'Accounts'],
] as const;

export function layout({
  title,
  assets,
  main,
  isSignedIn,
  hasQueues,
  hasAccounts = false,
  live,
  tab,
  tone = 'good',
  outage = null,
}: LayoutOptions): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title} · leadmirror</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<link rel="icon" type="image/svg+xml" href="${tone === 'good' ? assets.icon : assets.iconBad}">
<link rel="stylesheet" href="${assets.css}">
${tab === undefined ? null : scripts(assets)}</head>
<body${live === undefined ? null : html` data-live="${live}"`}>
<a class="skip" href="#main">Skip to the ${tab === 'streams' ? 'streams' : 'content'}</a>
<header class="bar">
<a class="brand" href="/"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3v18"/><path class="left" d="M9 6.5 4 12l5 5.5z"/><path class="right" d="M15 6.5 20 12l-5 5.5z"/></svg>leadmirror</a>
<span class="live soft" id="live" role="status">${live === undefined ? null : html`<noscript>reload to see what is new</noscript>`}</span>
<nav aria-label="More">${tab === undefined ? null : TABS.filter(([name]) => name !== 'accounts' || hasAccounts).map(([name, href, text]) => html`<a href="${href}"${name === tab ? html` aria-current="page"` : null}>${text}</a>`)}${hasQueues ? html`<a href="/queues">Queues</a>` : null}${live === undefined ? null : html`<a href="/api/status">JSON</a>`}${
    isSignedIn ? html`<form method="post" action="/sign-out"><button class="link">Sign out</button></form>` : null
  }</nav>
</header>
<main id="main"${outage === null ? null : html` class="unsure"`}>${main}</main>
<div class="toast" id="toast" role="status" aria-live="polite"></div>
</body>
</html>
`;
}

const scripts = (
  assets: AssetUrls,
): Html => html`${[assets.plotScript, assets.morphScript, assets.chartScript].map((url) => html`<script defer src="${url}"></script>`)}
<script type="module" src="${assets.script}"></script>
`;
