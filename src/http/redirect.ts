import { UpstreamRefusedError } from '../errors.ts';
import { hostAndPort, redactedPath } from './secure-url.ts';

/**
 * Where a redirect may lead: the same host, not less safe than before. Anything else would carry the credential away, so it is
 * refused with words instead of followed without it: a base URL that needs a redirect to another host is a wrong base URL.
 */

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 3;

export function isRedirect(status: number): boolean {
  return REDIRECTS.has(status);
}

interface Redirect {
  readonly from: URL;
  readonly method: string;
  readonly status: number;
  readonly location: string | undefined;
  /** Redirects followed before this one. */
  readonly followed: number;
}

/** @throws UpstreamRefusedError (`redirect_refused`) when it is not to be followed. */
export function redirectTarget({ from, method, status, location, followed }: Redirect): URL {
  const refuse = (reason: string) =>
    new UpstreamRefusedError(
      'redirect_refused',
      `${hostAndPort(from)} answered ${method} ${redactedPath(from)} with a redirect (${status}) that is not followed: ${reason}; check the base URL`,
      { status },
    );
  if (method !== 'GET') throw refuse('only GET requests follow redirects');
  if (followed >= MAX_REDIRECTS) throw refuse(`it follows ${MAX_REDIRECTS} others`);
  if (location === undefined || !URL.canParse(location, from.href)) throw refuse('it names no readable target');
  const to = new URL(location, from);
  if (from.protocol === 'https:' && to.protocol === 'http:') throw refuse('it leaves https');
  // The step from http to https changes the port as well, so there the name alone decides.
  const sameHost = from.protocol === to.protocol ? from.host === to.host : from.hostname === to.hostname;
  const isWeb = to.protocol === 'http:' || to.protocol === 'https:';
  if (!sameHost || !isWeb || to.username !== '' || to.password !== '') {
    throw refuse(`it leads to ${to.host || 'another place'}, and the credential must not leave its host`);
  }
  return to;
}
