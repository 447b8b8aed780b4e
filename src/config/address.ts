import { z } from 'zod';
import { isLoopback } from '../loopback.ts';
import { first, list, percentDecoded, text } from './values.ts';

/**
 * Returns what is wrong with an address, without repeating any of it; null when nothing is. The URL class takes a raw
 * `/`, `?` or `#` in a password for the end of the host: it would be sent to another host, or printed as its name.
 */
export function addressProblem(address: string): string | null {
  const [, scheme = '', authority = '', rest = ''] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/is.exec(address) ?? [];
  if (scheme === '' || !URL.canParse(address)) return MALFORMED;
  const isWeb = /^https?$/i.test(scheme);
  const parts = authority.split('@');
  // In a web address without a port or user, an "@" further on can only be a part of the path.
  const mayHideHost = !isWeb || /[@:]/.test(authority);
  if (parts.length > 2 || (mayHideHost && rest.includes('@'))) return RAW_CHARACTERS;
  // Only a web address may have a fragment; elsewhere it is the rest of a password in the query.
  if (!isWeb && rest.includes('#')) return RAW_CHARACTERS;
  if (/[\s\p{Cc}\\<>"`]/u.test(address) || !isDecodable(address)) return RAW_CHARACTERS;
  return null;
}

const MALFORMED = 'is not a valid address';
const RAW_CHARACTERS =
  'holds a raw "/", "@", "#", "?", "%" or space where only its percent-encoded form is read; percent-encode special characters of user and password (/ is %2F, @ is %40, # is %23, ? is %3F, % is %25)';

const isDecodable = (address: string): boolean => /^\P{Cc}*$/u.test(percentDecoded(address) ?? '\0');

/** An address that may hold a password, as it is given. `example` stands in the message when it is malformed. */
export function secretAddress(protocol: RegExp, example: string) {
  return text.superRefine((address, context) => {
    const problem = addressProblem(address);
    const isOther = problem === null && !protocol.test(new URL(address).protocol.slice(0, -1));
    if (problem === null && !isOther) return;
    const malformed = `must be a full address such as ${example}, special characters percent-encoded`;
    const message = problem === RAW_CHARACTERS ? problem : malformed;
    // What comes after it reads the address.
    context.addIssue({ code: 'custom', message, continue: false });
  });
}

/** Nothing that is sent there can be read on the way, unless that is allowed. */
export const isConfidential = ({ protocol, hostname }: URL, allowInsecureHttp: boolean): boolean =>
  protocol === 'https:' || allowInsecureHttp || isLoopback(hostname);

/** Address of an upstream, prefix included, without a trailing slash. */
export function baseUrl({ allowInsecureHttp, example }: { allowInsecureHttp: boolean; example: string }) {
  return secretAddress(/^https?$/, example)
    .transform((address) => new URL(address))
    .refine(
      ({ username, password }) => username === '' && password === '',
      first('must not hold a user name or password; give them in their own settings'),
    )
    .refine(({ href }) => !/[?#]/.test(href), first('must not have a query or fragment: nothing from "?" or "#" on'))
    .refine(
      (url) => isConfidential(url, allowInsecureHttp),
      'must begin with https://; to send credentials unencrypted on purpose, set ALLOW_INSECURE_HTTP=true',
    )
    .transform(({ origin, pathname }) => `${origin}${pathname}`.replace(/\/+$/, ''));
}

export const proxyUrl = secretAddress(/^https?$/, 'http://proxy.example:3128').refine((address) => {
  const { origin, href } = new URL(address);
  return href.replace(/\/\/[^/@]*@/, '//') === `${origin}/`;
}, 'must end with the port, such as http://proxy.example:3128');

const DATABASE = secretAddress(/^postgres(ql)?$/, 'postgres://user:password@host:5432/database');

export const databaseUrl = text
  .refine(
    (address) => !SEVERAL_HOSTS.test(address),
    first('names several hosts, or has a raw "," in it; name one host'),
  )
  .pipe(DATABASE)
  .refine(
    (address) => /^\/[^/]*$|^$/.test(new URL(address).pathname),
    'must name one database behind the host, such as postgres://user:password@host:5432/database',
  );

/** Several hosts are refused: a pooler or a name in the DNS does that. */
const SEVERAL_HOSTS = /^postgres(ql)?:\/\/([^/?#]*@)?[^/?#@]*,[^/?#@]*([/?#]|$)/i;

/** A number of a database behind the host; a cluster has only 0. */
export const redisUrls = list
  .refine(({ length }) => length > 0, 'must be redis://host:6379 or rediss://…; several comma separated for a cluster')
  .pipe(
    z.array(
      secretAddress(/^rediss?$/, 'redis://user:password@host:6379').refine((address) => {
        const { hostname, pathname } = new URL(address);
        return hostname !== '' && /^\/?\d{0,5}$/.test(pathname);
      }, 'must have a host, and behind it nothing but the number of a database, such as redis://host:6379/0'),
    ),
  );
