import type { DatabaseCode } from '../errors.ts';

/** What a failed statement means to us. Decided by SQLSTATE, system error code or Prisma code; never by message text. */
export interface DatabaseFault {
  readonly code: DatabaseCode;
  readonly message: string;
}

const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
/** Prisma's own words for the same: cannot reach, timed out, connection closed, pool timeout, transaction gone. */
const PRISMA_CONNECTION_CODES = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028']);

/** A page is written again after these: deadlock, serialisation failure, lost connection. Everything else is final. */
export function isRetryableDatabaseError(error: unknown): boolean {
  const codes = codesOf(error);
  return codes.some((code) => code === '40P01' || code === '40001' || code === 'P2034') || isConnectionLoss(codes);
}

/**
 * The database refuses what a statement carries, whatever state it is in: a data exception, a broken constraint, a limit of the program (an index entry too
 * large, nested too deeply). Writing the same again is useless; writing the rest of the page is not.
 */
export function isRefusedContent(error: unknown): boolean {
  const codes = codesOf(error);
  return codes.some((code) => /^(22|23|54)[0-9A-Z]{3}$/.test(code)) && !isConnectionLoss(codes);
}

/** Null when the error is not about the state of the database: a mistake of ours, or data it refuses. */
export function describeDatabaseFault(error: unknown): DatabaseFault | null {
  const codes = codesOf(error);
  const has = (...wanted: string[]) => codes.some((code) => wanted.includes(code));
  if (has('28P01', '28000', 'P1000')) {
    return { code: 'database_refused', message: 'user or password refused; correct DATABASE_URL' };
  }
  if (has('3D000', 'P1003')) {
    return {
      code: 'database_refused',
      message: 'there is no database of this name; create it or correct DATABASE_URL',
    };
  }
  if (has('42501')) {
    return { code: 'database_refused', message: 'the role lacks a right; it needs CREATE on the database' };
  }
  if (has('53100')) {
    return { code: 'database_disk_full', message: 'its disk is full; free space there, nothing was lost' };
  }
  if (has('53300')) {
    return { code: 'database_unavailable', message: 'it has no connection left; waiting may help' };
  }
  if (isConnectionLoss(codes)) {
    return { code: 'database_unavailable', message: 'cannot be reached; is it running, and is DATABASE_URL right?' };
  }
  return null;
}

function isConnectionLoss(codes: readonly string[]): boolean {
  return codes.some(
    (code) =>
      /^(08...|57P0[123])$/.test(code) ||
      NETWORK_CODES.has(code) ||
      PRISMA_CONNECTION_CODES.has(code) ||
      code === CONNECTION_ENDED,
  );
}

const CONNECTION_ENDED = 'pg:connection-ended';

/** What node-postgres says without a code: of a connection that ends under a query, of one that ended between two, of a full pool. */
const CODELESS_LOSS =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout exceeded when trying to connect)/;

/** All machine words found along the chain of causes: Prisma wraps the driver's error, and sometimes twice. */
function codesOf(error: unknown, depth = 0): string[] {
  if (typeof error !== 'object' || error === null || depth > 6) return [];
  const found: string[] = [];
  const bag = error as Record<string, unknown>;
  for (const key of ['code', 'originalCode', 'errorCode']) {
    if (typeof bag[key] === 'string') found.push(bag[key]);
  }
  // The driver adapter passes kinds instead of codes.
  if (bag.kind === 'ConnectionClosed' || bag.kind === 'SocketTimeout' || bag.kind === 'DatabaseNotReachable') {
    found.push(CONNECTION_ENDED);
  }
  if (error instanceof Error && CODELESS_LOSS.test(error.message)) found.push(CONNECTION_ENDED);
  for (const key of ['cause', 'meta', 'driverAdapterError']) found.push(...codesOf(bag[key], depth + 1));
  if (Array.isArray(bag.errors)) for (const inner of bag.errors) found.push(...codesOf(inner, depth + 1));
  return found;
}
