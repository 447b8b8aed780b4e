import { readFileSync } from 'node:fs';

/** Why there is no connection: one sentence, with what to do. Carries nothing that the server sent. */
export class WireError extends Error {
  readonly isPassing: boolean;

  constructor(message: string, options?: { readonly cause?: unknown; readonly isPassing?: boolean }) {
    super(message, options);
    this.isPassing = options?.isPassing ?? false;
  }
}

export const NO_TLS =
  'the server has no TLS, and sslmode in DATABASE_URL asks for it; switch TLS on there, or write sslmode=prefer';
export const NO_POSTGRES = 'what answers there does not speak as Postgres does; check host and port in DATABASE_URL';
export const NO_DIRECT = 'it does not know sslnegotiation=direct (PostgreSQL 17 does); take that out of DATABASE_URL';

/** @throws WireError */
export function readPem(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new WireError(`cannot read ${path} (${code}); correct ${name} in DATABASE_URL`, { cause });
  }
}

/** By Node's code for what is wrong with a certificate, or with the handshake. */
const TLS_REASONS: readonly (readonly [RegExp, string])[] = [
  [
    /ALTNAME|HOSTNAME_MISMATCH/,
    'its certificate is for another name; correct the host in DATABASE_URL, or write sslmode=verify-ca',
  ],
  [/HAS_EXPIRED/, 'its certificate has expired; renew it there, or check the clock of this machine'],
  [/NOT_YET_VALID/, 'its certificate is not valid yet; check the clock of this machine'],
  [/REVOKED/, 'its certificate was revoked; renew it there'],
  [
    /SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)|CERT_UNTRUSTED|INVALID_CA|CERT_SIGNATURE/,
    'its certificate is signed by an authority that is not known here; name the PEM file of that authority with sslrootcert in DATABASE_URL',
  ],
  [
    /KEY_VALUES_MISMATCH|KEY_TYPE_MISMATCH/,
    'sslcert and sslkey in DATABASE_URL do not belong together; name the key of that certificate',
  ],
  [
    /BAD_DECRYPT|INTERRUPTED|BAD_PASSWORD|PROBLEMS_GETTING_PASSWORD/,
    'the key that sslkey in DATABASE_URL names is encrypted; give its password with sslpassword',
  ],
  [
    /ERR_OSSL|PEM|ASN1/,
    'a file that sslrootcert, sslcert or sslkey in DATABASE_URL names holds no certificate or key in PEM format',
  ],
  [
    /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)|CERTIFICATE_REQUIRED/,
    'it does not take our client certificate, or wants one; correct sslcert and sslkey in DATABASE_URL',
  ],
  [/^(CERT|CRL|INVALID_PURPOSE)/, 'its certificate is not fit for a server; renew it there'],
];

/** `isDirect`: TLS from the first byte was asked for. */
export function explainTls(cause: unknown, { isDirect }: { readonly isDirect: boolean }): Error {
  if (cause instanceof WireError) return cause;
  const code = String((cause as { code?: unknown }).code ?? '');
  const known = TLS_REASONS.find(([pattern]) => pattern.test(code))?.[1];
  if (known !== undefined) return new WireError(known, { cause });
  if (isDirect) return new WireError(NO_DIRECT, { cause });
  if (/^(EPROTO|ERR_SSL|ERR_TLS)/.test(code)) {
    return new WireError(
      'an encrypted connection cannot be agreed upon; check that its TLS is 1.2 or later, and sslmode in DATABASE_URL',
      { cause },
    );
  }
  return cause as Error;
}
