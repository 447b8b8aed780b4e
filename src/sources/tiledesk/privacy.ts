import type { Privacy } from '../../stream.ts';
import { dropEntries } from '../redact.ts';

/**
 * Where Tiledesk keeps IP addresses and user agents of visitors: `userAgent` and `location.ipAddress` of requests, `last_ip` of project users,
 * both again in snapshots and last messages, and whatever integrations put into the free-form attributes under the usual names.
 */
const DROPPED = new Set([
  'userAgent',
  'user_agent',
  'useragent',
  'ipAddress',
  'ip_address',
  'ipaddress',
  'ip',
  'last_ip',
  'lastIp',
  'remoteAddress',
  'remote_address',
  'clientIp',
  'client_ip',
]);

/** The chat widget writes the browser's user agent into `attributes.client`; other uses of that name are kept. */
const USER_AGENT_TEXT = /^(Mozilla|Opera|Dalvik|okhttp)\/\d/;

/** A copy without what `STORE_VISITOR_PII=false` forbids; the same object when there is nothing to drop. */
export function redactVisitor(record: unknown, privacy: Pick<Privacy, 'storeVisitorPii'>): unknown {
  return privacy.storeVisitorPii ? record : dropEntries(record, isVisitorTrace);
}

function isVisitorTrace(key: string, value: unknown): boolean {
  return DROPPED.has(key) || (key === 'client' && typeof value === 'string' && USER_AGENT_TEXT.test(value));
}
