import { DatabaseError } from '../errors.ts';
import { SSL_MODES, type SslMode, type TlsSettings } from './wire.ts';

/** `host:port/name`, without user and password, for messages. */
export function addressOf(url: string): string {
  try {
    const { hostname, port, pathname, searchParams } = new URL(url);
    return `${searchParams.get('host') ?? (hostname || 'localhost')}:${port || '5432'}${pathname}`;
  } catch {
    return 'given by DATABASE_URL';
  }
}

/** The allowed parameters behind the "?": some others would change how the driver reads answers. */
const PASSED_ON: ReadonlySet<string> = new Set([
  ...['user', 'password', 'host', 'port', 'options', 'application_name', 'fallback_application_name'],
  ...['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'],
]);

/** What node-postgres gets of an address, and what we do ourselves. @throws DatabaseError `database_refused` */
export function parseAddress(address: string) {
  const url = new URL(address);
  const tls = tlsSettings((name) => url.searchParams.get(name) || null);
  for (const name of [...url.searchParams.keys()]) if (!PASSED_ON.has(name)) url.searchParams.delete(name);
  const options = url.searchParams.get('options') ?? '';
  const named = [...options.matchAll(/(?:^|\s)(?:-c\s*|--)([\w-]+)\s*=/g)].map(([, name]) =>
    name?.replaceAll('-', '_'),
  );
  return { connectionString: url.href, tls, limits: new Set([...named, ...url.searchParams.keys()]) };
}

type ReadParameter = (name: string) => string | null;

function tlsSettings(given: ReadParameter): TlsSettings {
  const isDirect = given('sslnegotiation') === 'direct';
  const isSystem = given('sslrootcert') === 'system';
  const rootCert = isSystem ? null : given('sslrootcert');
  const [cert, key] = [given('sslcert'), given('sslkey')];
  const mode = modeOf(given) ?? (isSystem ? 'verify-full' : isDirect ? 'require' : 'prefer');
  const isOptional = mode === 'disable' || mode === 'allow' || mode === 'prefer';
  if (isDirect && isOptional) throw refused('sslnegotiation=direct goes with sslmode=require or stricter only');
  if (isSystem && mode !== 'verify-full') {
    throw refused('sslrootcert=system goes with sslmode=verify-full only');
  }
  if (mode === 'verify-ca' && rootCert === null) {
    throw refused(
      'sslmode=verify-ca needs the certificate of the authority; name its file with sslrootcert, or write sslmode=verify-full',
    );
  }
  if ((cert === null) !== (key === null)) throw refused('sslcert and sslkey go together; give both');
  return { mode, isDirect, rootCert, cert, key, keyPassword: given('sslpassword') };
}

/** `ssl=true` and `no-verify` are modes of node-postgres. */
const OTHER_SSL_MODES: Readonly<Record<string, SslMode>> = {
  true: 'verify-full',
  1: 'verify-full',
  false: 'disable',
  0: 'disable',
  'no-verify': 'require',
};

function modeOf(given: ReadParameter): SslMode | undefined {
  const text = given('sslmode') ?? given('ssl');
  if (text === null) return undefined;
  const mode = OTHER_SSL_MODES[text] ?? SSL_MODES.find((known) => known === text);
  if (mode === undefined) throw refused(`sslmode has to be one of ${SSL_MODES.join(', ')}`);
  return mode;
}

const refused = (message: string): DatabaseError => new DatabaseError('database_refused', `DATABASE_URL: ${message}`);
