import type { IncomingHttpHeaders } from 'node:http';

/** `127.0.0.1:8080`, `[::1]`, `Example.org` to the bare name in lower case; empty when there is none. */
export function hostName(host: string | undefined): string {
  try {
    return new URL(`http://${host ?? ''}`).hostname.toLowerCase().replace(/^\[|\]$/g, '');
  } catch {
    return '';
  }
}

/**
 * Whether a request that changes something comes from this page itself. Browsers send it in `Sec-Fetch-Site`, which no
 * page can set, and older ones, or those on plain http, in `Origin`.
 * @returns null when neither is there: no browser sent it.
 */
export function isFromOurPage({ host, origin, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean | null {
  if (site !== undefined) return site === 'same-origin';
  if (origin === undefined) return null;
  try {
    const { protocol, host: theirs } = new URL(origin);
    // Of the same scheme, so that a default port counts as none in both.
    return theirs !== '' && theirs === new URL(`${protocol}//${host ?? ''}`).host;
  } catch {
    return false;
  }
}
