import { ConfigError } from '../errors.ts';
import { isLoopback } from '../loopback.ts';

/**
 * Which addresses may be asked at all. Every request carries a credential, so plain `http://` is for this machine only: nothing
 * can listen in between.
 */

interface SecureUrlOptions {
  /** Accepts plain `http://` to any host. For a private network whose wires are trusted. */
  readonly allowInsecureHttp?: boolean;
  /** The setting to name in the error (`TILEDESK_BASE_URL`). */
  readonly variable?: string;
}

/**
 * Parses an address and refuses one that would send a credential in the clear.
 *
 * @throws ConfigError for an unreadable address, a protocol other than http(s), `http://` beyond this machine, or a user name or
 * password inside the address (it would end up in logs). The message never repeats the address.
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
