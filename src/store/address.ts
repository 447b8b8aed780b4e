import { DatabaseError } from '../errors.ts';
import { SSL_MODES, type SslMode, type TlsSettings } from './wire.ts';

/** `host:port/name`, without user and password, for messages. */
export function placeOf(url: string): string {
  try {
    const { hostname, port, pathname, searchParams } = new URL(url);
    return `${searchParams.get('host') ?? (hostname || 'localhost')}:${port || '5432'}${pathname}`;
  } catch {
    return 'given by DATABASE_URL';
  }
}

const TLS_PARAMETERS = [
  'ssl',
  'sslmode',
  'sslnegotiation',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslpassword',
  'uselibpqcompat',
] as const;

/** Of what may stand behind the "?": other words are for other programs, and some would change how the driver reads answers. */
const PASSED_ON: ReadonlySet<string> = new Set([
  ...['user', 'password', 'host', 'port', 'options', 'application_name', 'fallback_application_name'],
  ...['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'],
]);

/** What node-postgres gets of an address, and what we do ourselves. @throws DatabaseError `database_refused` */
export function parseAddress(address: string) {
  const url = new URL(address);
  const given = Object.fromEntries(TLS_PARAMETERS.map((name) => [name, url.searchParams.get(name) || null]));
  for (const name of [...url.searchParams.keys()]) if (!PASSED_ON.has(name)) url.searchParams.delete(name);
  const options = url.searchParams.get('options') ?? '';
  const named = [...options.matchAll(/(?:^|\s)(?:-c\s*|--)([\w-]+)\s*=/g)].map(([, name]) =>
    name?.replaceAll('-', '_'),
  );
  return {
    connectionString: url.href,
    tls: tlsSettings(given),
    limits: new Set([...named, ...url.searchParams.keys()]),
  };
}

function tlsSettings(given: Readonly<Record<string, string | null>>): TlsSettings {
  const isDirect = given.sslnegotiation === 'direct';
  const rootCert = given.sslrootcert === 'system' ? null : (given.sslrootcert ?? null);
  const usual = given.sslrootcert === 'system' ? 'verify-full' : isDirect ? 'require' : 'prefer';
  const mode = modeOf(given) ?? usual;
  const isOptional = mode === 'disable' || mode === 'allow' || mode === 'prefer';
  if (isDirect && isOptional) throw refused('sslnegotiation=direct goes with sslmode=require or stricter only');
  if (given.sslrootcert === 'system' && mode !== 'verify-full') {
    throw refused('sslrootcert=system goes with sslmode=verify-full only');
  }
  if (mode === 'verify-ca' && rootCert === null) {
    throw refused(
      'sslmode=verify-ca needs the certificate of the authority; name its file with sslrootcert, or write sslmode=verify-full',
    );
  }
  if ((given.sslcert === null) !== (given.sslkey === null)) throw refused('sslcert and sslkey go together; give both');
  return {
    mode,
    isDirect,
    rootCert,
    cert: given.sslcert ?? null,
    key: given.sslkey ?? null,
    keyPassword: given.sslpassword ?? null,
  };
}

/** `ssl=true` and `no-verify` are node-postgres' own words. */
const OTHER_WORDS: Readonly<Record<string, SslMode>> = {
  true: 'verify-full',
  1: 'verify-full',
  false: 'disable',
  0: 'disable',
  'no-verify': 'require',
};

function modeOf({ sslmode, ssl }: Readonly<Record<string, string | null>>): SslMode | undefined {
  const word = sslmode ?? ssl ?? null;
  if (word === null) return undefined;
  const mode = OTHER_WORDS[word] ?? SSL_MODES.find((known) => known === word);
  if (mode === undefined) throw refused(`sslmode has to be one of ${SSL_MODES.join(', ')}`);
  return mode;
}

const refused = (message: string): DatabaseError => new DatabaseError('database_refused', `DATABASE_URL: ${message}`);
