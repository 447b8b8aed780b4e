import { type DatabaseCode, DatabaseError, LeadmirrorError } from '../errors.ts';
import { WireError } from './wire-errors.ts';

/** What a failure of the database means to us: the code that is acted on, and what happened with what to do next. */
type DatabaseFault = { readonly code: DatabaseCode; readonly message: string };

/** `$1` stands for the SQLSTATE. The first entry that fits decides. */
type Meanings = readonly (readonly [RegExp, DatabaseCode, string])[];

const CREDENTIALS = 'user or password refused; correct DATABASE_URL';
const NO_DATABASE = 'there is no database of this name; create it or correct DATABASE_URL';
const FULL = 'it has no connection left; waiting may help, or a higher limit for the role, the database or the pooler';
const TLS_ONLY =
  'it takes encrypted connections only; write sslmode=require in DATABASE_URL (verify-full to check its certificate)';
const UNREACHABLE = 'cannot be reached; is it running, and is DATABASE_URL right?';
const NOT_ALLOWED =
  'its pg_hba.conf allows no such connection; look at user, database, the address of this machine, and sslmode in DATABASE_URL';
const BAD_OPTIONS =
  'it does not take a setting that sessions are to begin with ($1); look at options in DATABASE_URL, and at what the role and the database are set to';
const UNKNOWN_TENANT =
  'the pooler knows no such project or user; it may be paused, or the user or host in DATABASE_URL is wrong (Supabase: user postgres.<project>)';
const POOLER_SETTING =
  'a pooler such as PgBouncer refuses a setting of DATABASE_URL; take it out (`options` first), or name it in ignore_startup_parameters there';
const NO_CERTIFICATE =
  'it wants a client certificate that belongs to this user; name one with sslcert and sslkey in DATABASE_URL';
const NO_LOGIN = 'this role may not log in; as an administrator: alter role … login';
const READ_ONLY =
  'it only lets itself be read: a standby after a failover, or a server that was set read-only; waiting may help, or correct the host in DATABASE_URL';
const NO_RIGHT = 'the role lacks a right ($1); it needs CREATE on the database and has to own the tables of leadmirror';
const MISSING =
  'a table, column or function of leadmirror is missing ($1); run leadmirror migrate, and restore it from a backup if it was removed';
const UNSUPPORTED =
  'it does not take a statement of leadmirror ($1); it has to be PostgreSQL 13 or later with the tables as leadmirror made them. If it is, please report this';
const REFUSED_VALUE =
  'it refuses a value of leadmirror ($1); look for constraints and triggers that were added to its tables. If there are none, please report this';
const UNKNOWN_END = 'it ended a statement with $1, which leadmirror does not know; please report this';
const UNKNOWN_ANSWER = 'it or a pooler before it answered with $1, which leadmirror does not know; it is tried again';
const UNKNOWN_SIGN_IN =
  'it asks for a kind of sign-in that leadmirror does not know; SCRAM, md5 and plain passwords are known';

/**
 * Poolers and hosting services put very different refusals under one SQLSTATE (PgBouncer: 08P01, Supavisor and Neon:
 * XX000), and Postgres puts several under
 * 28000. So only for these classes the server's message selects our message; it is never shown.
 */
const BY_MESSAGE: Meanings = [
  [/start-?up (parameter|option|packet)/i, 'database_refused', POOLER_SETTING],
  [/no pg_hba\.conf entry|pg_hba\.conf rejects/i, 'database_refused', NOT_ALLOWED],
  [/client certificate|certificate authentication/i, 'database_refused', NO_CERTIFICATE],
  [/not permitted to log ?in/i, 'database_refused', NO_LOGIN],
  [/try again later|has been failing|cannot connect to server/i, 'database_unavailable', UNREACHABLE],
  [
    /no such (database|db)|database .*(not exist|not found)|no pool configured|route for/i,
    'database_refused',
    NO_DATABASE,
  ],
  [/(tenant|endpoint|project)\b.*(not|no longer|disabled|paused|exist)/i, 'database_unavailable', UNKNOWN_TENANT],
  [
    /no such user|role .*not exist|password|(auth\w*|SASL|SCRAM|login)\b.*(fail|error|reject|refus)|no credentials/i,
    'database_refused',
    CREDENTIALS,
  ],
  [/(SSL|TLS|encrypt\w*)\b.*requir|requir\w*.*\b(SSL|TLS|encrypt)|insecure/i, 'database_refused', TLS_ONLY],
  [
    /max.?clients|too many (clients|connections|tcp)|no more connections|connections exceeded|wait_timeout|check ?out|connection slots|quota/i,
    'database_unavailable',
    FULL,
  ],
];

/** Quoted names are removed: a user may have any name. */
const withoutNames = (text: string): string => text.replace(/"[^"]*"/g, '""');

/** The codes whose message is looked at first. */
const NEEDS_MESSAGE = /^(08|28000|55|58|XX)/;

/**
 * Every SQLSTATE has a meaning here, so that no error of a database or of a pooler before it is called a bug. What
 * passes by itself is `database_unavailable` or `database_disk_full`. `database_mismatch` is about one statement: the
 * others may well succeed.
 */
const BY_SQLSTATE: Meanings = [
  [/^53100/, 'database_disk_full', 'its disk is full; free space there, nothing was lost'],
  [/^53300/, 'database_unavailable', FULL],
  [/^53/, 'database_unavailable', 'it is short of memory or other resources ($1); waiting may help'],
  [/^25006/, 'database_unavailable', READ_ONLY],
  [/^57014/, 'database_unavailable', 'it cancelled a statement (a time limit, or a person); it is tried again'],
  [/^57P03/, 'database_unavailable', 'it is starting up or recovering; waiting helps'],
  [/^57P04/, 'database_refused', NO_DATABASE],
  [/^(57|08)/, 'database_unavailable', UNREACHABLE],
  [/^(40|55|25|26|3B|24|34|42P05)/, 'database_unavailable', 'it gave up a transaction ($1); it is tried again'],
  [/^XX00[12]/, 'database_refused', 'it found damaged data ($1); see the log of the server, and restore a backup'],
  [/^(58|72|F0|HV|XX)/, 'database_unavailable', 'it has a problem of its own ($1); see its log. Waiting may help'],
  [/^28P01/, 'database_refused', CREDENTIALS],
  [/^28/, 'database_refused', NOT_ALLOWED],
  [/^3D/, 'database_refused', NO_DATABASE],
  [/^(42501|0L|0P|2B)/, 'database_refused', NO_RIGHT],
  [/^(3F|42P01|42703|42704|42883)/, 'database_mismatch', MISSING],
  [/^(0A|42)/, 'database_mismatch', UNSUPPORTED],
  [/^(09|21|22|23|27|38|39|44|54|P0)/, 'database_mismatch', REFUSED_VALUE],
  [/^(0[0-39B-Z]|10|20|2[DF])/, 'database_mismatch', UNKNOWN_END],
  [/^/, 'database_unavailable', UNKNOWN_ANSWER],
];

const NETWORK_CODE =
  /^(ECONN(REFUSED|RESET|ABORTED)|ENOTFOUND|EAI_(AGAIN|FAIL|NODATA)|ETIMEDOUT|EPIPE|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL)$/;
/** Prisma's own codes for the same: cannot reach, timed out, connection closed, pool timeout, transaction gone. */
const PRISMA_CONNECTION_CODE = /^(P1001|P1002|P1008|P1017|P2024|P2028)$/;
/** Prisma's codes that stand for one SQLSTATE where it gives none. */
const PRISMA_SQLSTATES: Readonly<Record<string, string>> = { P1000: '28P01', P1003: '3D000', P2034: '40001' };

/** Messages of node-postgres without a code: of a connection that ended, under a query or not, of a full pool. */
const CODELESS_LOSS =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout (exceeded|expired)|Query read timeout|Cannot use a pool after)/;

/** Its messages about a server's answers, without a code. */
const BY_DRIVER_MESSAGE: Meanings = [
  [/client password must be/, 'database_refused', 'it asks for a password, and DATABASE_URL has none'],
  [/^SASL: |^Unknown authenticationOk/, 'database_refused', UNKNOWN_SIGN_IN],
  [
    /^received invalid response|^Received unexpected \w+ message|^There was an error establishing an SSL/,
    'database_unavailable',
    'what answers there does not speak as Postgres does; if it lasts, check host and port in DATABASE_URL',
  ],
];

/** The database may take the same again later: a page is written again, a job is kept, a daemon waits. */
export function passesByWaiting(error: unknown): boolean {
  const code = error instanceof DatabaseError ? error.code : describeDatabaseFault(error)?.code;
  return code === 'database_unavailable' || code === 'database_disk_full';
}

/** Whether the same transaction is worth another try in a moment: what passes, less a full disk. */
export function isRetryableDatabaseError(error: unknown): boolean {
  return describeDatabaseFault(error)?.code === 'database_unavailable';
}

/**
 * The database refuses what a statement carries, whatever state it is in: a data exception, a broken constraint, a
 * limit of the program (an index entry too large, nested too deeply), a foreign trigger. Writing the same again is
 * useless; writing the rest of the page is not.
 */
export function isRefusedContent(error: unknown): boolean {
  const { codes } = factsOf(error);
  return codes.some((code) => /^(09|22|23|27|38|39|44|54|P0)[0-9A-Z]{3}$/.test(code)) && !isConnectionLoss(codes);
}

/** Null when the error does not come from a database, its pooler or the way there. */
export function describeDatabaseFault(error: unknown): DatabaseFault | null {
  const { codes, texts, wire, isFatal } = factsOf(error);
  if (wire !== undefined) {
    return { code: wire.isPassing ? 'database_unavailable' : 'database_refused', message: wire.message };
  }
  const sqlState = codes.find((code) => SQLSTATE.test(code));
  if (isFatal && sqlState !== undefined && /^(22|42(?!501)|55P02)/.test(sqlState)) {
    return { code: 'database_refused', message: BAD_OPTIONS.replace('$1', sqlState) };
  }
  if (sqlState !== undefined) {
    const byMessage = NEEDS_MESSAGE.test(sqlState) ? firstOf(BY_MESSAGE, texts.map(withoutNames)) : null;
    return byMessage ?? firstOf(BY_SQLSTATE, [sqlState], sqlState);
  }
  if (isConnectionLoss(codes)) return { code: 'database_unavailable', message: UNREACHABLE };
  return firstOf(BY_DRIVER_MESSAGE, texts);
}

/** Wraps whatever the driver threw into the one error that callers act on; other errors pass unchanged. */
export function databaseError(cause: unknown, address: string): unknown {
  // Named already; its own cause may be a network error too, of another server.
  if (cause instanceof LeadmirrorError) return cause;
  const fault = describeDatabaseFault(cause);
  return fault === null ? cause : new DatabaseError(fault.code, `database ${address}: ${fault.message}`, { cause });
}

/** The SQLSTATE of a failure, or null. */
export const stateOf = (error: unknown): string | null =>
  factsOf(error).codes.find((code) => SQLSTATE.test(code)) ?? null;

function firstOf(meanings: Meanings, texts: readonly string[], sqlState = ''): DatabaseFault | null {
  const found = meanings.find(([pattern]) => texts.some((text) => pattern.test(text)));
  return found === undefined ? null : { code: found[1], message: found[2].replace('$1', sqlState) };
}

/** Five digits or capitals, at least one digit. Prisma's own codes (`P2010`) look alike; theirs never begin with P0. */
const SQLSTATE = /^(?!P[1-9]\d{3}$)(?=.*\d)[0-9A-Z]{5}$/;

function isConnectionLoss(codes: readonly string[]): boolean {
  const patterns = [/^(08...|57P0[123])$/, NETWORK_CODE, PRISMA_CONNECTION_CODE];
  return codes.some((code) => code === CONNECTION_ENDED || patterns.some((pattern) => pattern.test(code)));
}

const CONNECTION_ENDED = 'pg:connection-ended';

interface Facts {
  readonly codes: string[];
  readonly texts: string[];
  wire?: WireError;
  /** It ended the connection, or kept it from beginning. */
  isFatal?: boolean;
}

/** Returns all codes and texts along the chain of causes: Prisma wraps the driver's error, and sometimes twice. */
function factsOf(error: unknown, depth = 0, facts: Facts = { codes: [], texts: [] }): Facts {
  if (typeof error !== 'object' || error === null || depth > 6) return facts;
  const { codes, texts } = facts;
  if (error instanceof WireError) facts.wire ??= error;
  const bag = error as Record<string, unknown>;
  for (const key of ['code', 'originalCode', 'errorCode']) {
    const code = bag[key];
    if (typeof code === 'string') codes.push(PRISMA_SQLSTATES[code] ?? code);
  }
  if (bag.severity === 'FATAL') facts.isFatal = true;
  // An error of a server that gives no code, or none that is one.
  if (typeof bag.severity === 'string' && !(typeof bag.code === 'string' && SQLSTATE.test(bag.code)))
    codes.push('XX000');
  for (const key of ['message', 'originalMessage']) if (typeof bag[key] === 'string') texts.push(bag[key]);
  // The driver adapter passes kinds instead of codes.
  if (bag.kind === 'ConnectionClosed' || bag.kind === 'SocketTimeout' || bag.kind === 'DatabaseNotReachable') {
    codes.push(CONNECTION_ENDED);
  }
  // A socket file that is not there, or not for us.
  if (bag.syscall === 'connect' && typeof bag.errno === 'number') codes.push(CONNECTION_ENDED);
  if (error instanceof Error && CODELESS_LOSS.test(error.message)) codes.push(CONNECTION_ENDED);
  for (const key of ['cause', 'meta', 'driverAdapterError']) factsOf(bag[key], depth + 1, facts);
  if (Array.isArray(bag.errors)) for (const inner of bag.errors) factsOf(inner, depth + 1, facts);
  return facts;
}
