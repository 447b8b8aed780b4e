import { ConfigError, UpstreamRefusedError } from '../errors.ts';
import { isLoopback } from '../loopback.ts';

interface SecureUrlOptions {
  readonly allowInsecureHttp?: boolean;
  readonly variable?: string;
}

/**
 * Parses an address. @throws ConfigError for an unreadable one, a protocol other than http(s), `http://` beyond this
 * machine, a user name or password inside (it would end up in logs). The message never repeats the address.
 */
export function assertSecureUrl(address: string | URL, options: SecureUrlOptions = {}): URL {
  const refuse = (message: string) => new ConfigError([{ variable: options.variable ?? 'url', message }]);
  if (!URL.canParse(String(address))) throw refuse('is not an address; write it as https://host/path');
  const url = new URL(address);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refuse('must start with https://');
  if (url.username !== '' || url.password !== '') {
    throw refuse('must not hold a user name or password; configure the credential by its own setting');
  }
  if (url.protocol === 'http:' && !options.allowInsecureHttp && !isLoopback(url.hostname)) {
    throw refuse(
      `plain http:// would send the credential readable for everyone on the way to ${url.host}; use https://, or allow insecure http for this connection`,
    );
  }
  return url;
}

/** Host and port as people write them in firewall rules: `api.example.com:443`. */
export function hostAndPort(url: URL): string {
  return `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`;
}

/** What of an address may appear in logs and errors: its path. The query can hold names, addresses and tokens. */
export function redactedPath(address: string | URL): string {
  return URL.canParse(String(address)) ? new URL(address).pathname : '[unreadable address]';
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 3;

export const isRedirect = (status: number): boolean => REDIRECTS.has(status);

interface Redirect {
  readonly from: URL;
  readonly method: string;
  readonly status: number;
  readonly location: string | undefined;
  readonly followed: number;
}

/**
 * Where a redirect leads: the same host, not less safe; anything else would carry the credential away.
 * @throws UpstreamRefusedError (`redirect_refused`)
 */
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
    throw refuse(`it leads to ${to.host || 'another address'}, and the credential must not leave its host`);
  }
  return to;
}
