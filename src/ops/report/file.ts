import { createHash } from 'node:crypto';
import type { Report } from '../../store/reports/report.ts';
import { assetText } from '../assets.ts';
import { Html, html } from '../view/html.ts';
import { reportView } from './view.ts';

/**
 * A report as one file that needs nothing else: styles, chart library and figures are inside, and its policy forbids all requests. Sums only; nothing of a
 * person is in it, but for agents that were asked for.
 */
export function reportFile(report: Report, nowMs: number): string {
  const scripts = [assetText('plotScript'), assetText('chartScript')].map(inline);
  const style = inline(assetText('css'));
  const hashes = scripts.map((text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`).join(' ');
  const [library, draw] = scripts.map((text) => new Html(text));
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src ${hashes}">
<title>leadmirror report, ${report.from} to ${report.to}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>${new Html(style)}</style>
</head>
<body>
<main id="main"><h1>Report</h1>
${reportView(report, nowMs)}
</main>
<script>${library}</script>
<script>${draw}</script>
</body>
</html>
`.text;
}

/** No text of ours or of the library's ends an element. */
function inline(text: string): string {
  if (/<\/(script|style)/i.test(text)) throw new Error('an asset holds the end of its own element');
  return text;
}
