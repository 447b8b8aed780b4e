import { type Html, html } from './html.ts';

/** Numbers and times as people read them. Times are UTC; the script adds the reader's time zone as a tooltip. */

export { count, counted } from '../../counted.ts';

/** `45 s`, `3 min`, `5 h`, `2 d`; hours and days with so many digits. The pages' chart.js writes the same. */
export function duration(seconds: number, digits = 0): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7_200) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${(s / 3_600).toFixed(digits)} h` : `${(s / 86_400).toFixed(digits)} d`;
}

/** Formats figures of a report, with one digit where whole hours would hide the difference. */
export const span = (seconds: number | null): string => (seconds === null ? '–' : duration(seconds, 1));

/** `2026-11-22 03:04:05 UTC`. */
export const utc = (at: Date): string => `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`;

/** `2 min ago`; the script keeps it up to date. */
export function ago(at: Date, nowMs = Date.now()): Html {
  const text = `${duration((nowMs - at.getTime()) / 1000)} ago`;
  return html`<time datetime="${at.toISOString()}" title="${utc(at)}" data-ago>${text}</time>`;
}

/** `in 3 min`, `now`. */
export function until(at: Date, nowMs = Date.now()): Html {
  const seconds = (at.getTime() - nowMs) / 1000;
  const text = seconds < 1 ? 'now' : `in ${duration(seconds)}`;
  return html`<time datetime="${at.toISOString()}" title="${utc(at)}" data-until>${text}</time>`;
}

/** The share is never rounded up to all of it. */
export const percent = (share: number): string => `${Math.floor(share * 100 + 1e-9)} %`;

export const PASS_LABELS: Readonly<Record<string, string>> = {
  backfill: 'first full read',
  incremental: 'changes',
  reconcile: 'full sync',
  count: 'count check',
  verify: 'verify',
};

/** Letters, digits and dashes, one for each text: names an element. */
export const elementId = (prefix: string, ...names: readonly string[]): string =>
  [
    prefix,
    ...names.map((name) => name.replace(/[^a-zA-Z0-9]/g, (sign) => `-${sign.charCodeAt(0).toString(36)}-`)),
  ].join('_');

export const streamPath = (connection: string, stream: string): string =>
  `${encodeURIComponent(connection)}/${encodeURIComponent(stream)}`;

/** A full stop behind it, and a capital before it, but not in what may be a name: `tiledesk.leads`, `iPhone`. */
export const sentence = (text: string): string => {
  const begun = text.replace(/^[a-z]+(?=[ ,;'-])/, (first) => first.charAt(0).toUpperCase() + first.slice(1));
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
};
