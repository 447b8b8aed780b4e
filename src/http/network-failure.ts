import { TransientError } from '../errors.ts';

/**
 * Turns what sockets, TLS and undici throw into an error that shows the operator where to look. Only code and message
 * are kept: some errors carry the socket, the certificate or bytes of the answer.
 */

/** Code of the failure, what it means to a person, what to check. First match wins. */
const HINTS: readonly (readonly [code: RegExp, meaning: string, hint: string])[] = [
  [
    /^ECONNREFUSED$/,
    'cannot reach',
    'nothing accepts connections there; check host and port, and that the server runs',
  ],
  [/^(ENOTFOUND|EAI_AGAIN|EAI_NODATA)$/, 'cannot find', 'the name does not resolve; check its spelling and the DNS'],
  [
    /^(ENETUNREACH|EHOSTUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL)$/,
    'cannot reach',
    'there is no route; check the network, firewall and proxy settings',
  ],
  [/^(EACCES|EPERM)$/, 'cannot reach', 'this machine forbids the connection; check its firewall'],
  [/^(EMFILE|ENFILE)$/, 'cannot reach', 'this process may not open more files; raise its limit (ulimit -n)'],
  [
    /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/,
    'cannot trust',
    'its certificate is outside its dates; check the clock of this machine, and ask the operator of the server; for another authority set NODE_EXTRA_CA_CERTS',
  ],
  [
    /ALTNAME/,
    'cannot trust',
    'its certificate is for another name; check the host, and NODE_EXTRA_CA_CERTS where a company proxy re-signs traffic',
  ],
  [
    /CERT|SELF_SIGNED|^UNABLE_TO_|^UND_ERR_PRX_TLS$/,
    'cannot trust',
    'its certificate is signed by an authority that is not known here; put that authority in a PEM file and name it in NODE_EXTRA_CA_CERTS',
  ],
  [
    /^(EPROTO|ERR_SSL_.*|ERR_TLS_.*)$/,
    'cannot talk TLS with',
    'check that the port speaks https and that no device in between interferes',
  ],
  [/^HPE_/, 'cannot understand', 'what answers there does not speak HTTP; check host and port'],
];

const BROKEN = [
  'lost the connection to',
  'it closed before the answer was complete; this often passes by itself',
] as const;

const PROXY_REFUSAL = [
  'cannot reach',
  'the proxy did not open the connection; check HTTPS_PROXY, its user name and password, and NO_PROXY',
] as const;

/** The failure's machine code; null when this is no failure of the network but a mistake in a program. */
export function networkCode(error: unknown): string | null {
  if (!(typeof error === 'object' && error !== null)) return null;
  if ('code' in error && typeof error.code === 'string' && error.code !== '') return error.code;
  if ('name' in error && error.name === 'HTTPParserError') return 'HPE_INVALID';
  return 'cause' in error ? networkCode(error.cause) : null;
}

/** `where` is the host with its port; `proxied` adds the proxy to the suspects. */
export function networkFailure(
  error: unknown,
  options: { code: string; where: string; proxied: boolean },
): TransientError {
  const { code, where, proxied } = options;
  // undici calls a refused tunnel an abort; a real abort was handled before.
  const refusedTunnel = proxied && code === 'UND_ERR_ABORTED';
  const [, meaning, hint] = HINTS.find(([pattern]) => pattern.test(code)) ?? [
    null,
    ...(refusedTunnel ? PROXY_REFUSAL : BROKEN),
  ];
  const route = proxied && !refusedTunnel ? '; the request goes through the configured proxy' : '';
  return new TransientError('network', `${meaning} ${where} (${code}): ${hint}${route}`, {
    cause: bareCause(error, code),
  });
}

export function bareCause(error: unknown, code: string): Error {
  return Object.assign(new Error(error instanceof Error || hasMessage(error) ? error.message : code), { code });
}

function hasMessage(error: unknown): error is { message: string } {
  return typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string';
}
