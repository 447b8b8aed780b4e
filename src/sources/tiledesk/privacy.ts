import type { Privacy } from '../../stream.ts';

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
export function redactVisitor(record: unknown, privacy: Privacy): unknown {
  return privacy.storeVisitorPii ? record : drop(record);
}

function drop(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const copy = value.map(drop);
    return copy.some((entry, index) => entry !== value[index]) ? copy : value;
  }
  let changed: Record<string, unknown> | null = null;
  const source = value as Record<string, unknown>;
  for (const key in source) {
    const inner = source[key];
    if (DROPPED.has(key) || (key === 'client' && typeof inner === 'string' && USER_AGENT_TEXT.test(inner))) {
      changed ??= { ...source };
      delete changed[key];
      continue;
    }
    if (typeof inner !== 'object' || inner === null) continue;
    const kept = drop(inner);
    if (kept === inner) continue;
    changed ??= { ...source };
    changed[key] = kept;
  }
  return changed ?? value;
}
