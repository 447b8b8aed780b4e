import type { AnnouncedLimit } from './pace.ts';
import { parseHttpDate } from './retry-after.ts';

/**
 * Reads a server's limits from the known headers:
 *
 *   RateLimit-Limit / -Remaining / -Reset, X-RateLimit-*, X-Rate-Limit-*     100, 50, 30; also `100, 100;w=60`
 *   RateLimit: limit=100, remaining=50, reset=30                               older drafts of the IETF
 *   RateLimit: "default";r=50;t=30 with RateLimit-Policy: "default";q=100;w=60 the present one
 *
 * Nothing here can fail: what is absurd (negative, nought, no number) is not there.
 */
interface RateLimitNews {
  /** The tightest limit; null when none was given, or no time for it. */
  readonly limit: AnnouncedLimit | null;
  /** Nothing is left until then, in ms from now; null while something is, or when it is unknown. */
  readonly usedUpForMs: number | null;
}

const DEFAULT_WINDOW_MS = 60_000;
/** A server that counts by the minute may send a reset of a minute and the fraction it rounded up. */
const MINUTE_SLACK_MS = 5_000;
const DAY_MS = 24 * 60 * 60_000;
/** A quota that lasts longer is asked about again each hour: the header may be wrong, or the quota raised. */
const MAX_USED_UP_MS = 60 * 60_000;

const PREFIXES = ['ratelimit', 'x-ratelimit', 'x-rate-limit'];

export function parseRateLimit(
  headers: Readonly<Record<string, string>>,
  nowMs: number,
  serverDateMs: number | null,
): RateLimitNews | null {
  const clock = serverDateMs ?? nowMs;
  const prefix = PREFIXES.find((name) => `${name}-limit` in headers || `${name}-remaining` in headers);
  const combined = headers.ratelimit;
  if (prefix === undefined && combined === undefined && headers['ratelimit-policy'] === undefined) return null;

  const policies = [...itemsOf(headers['ratelimit-policy']), ...itemsOf(prefix && headers[`${prefix}-limit`])];
  const windows = policies.flatMap(policyOf);
  const counts = combined === undefined ? [] : countsIn(combined, clock);
  if (prefix !== undefined) {
    counts.push({
      limit: smallest(headers[`${prefix}-limit`]),
      remaining: smallest(headers[`${prefix}-remaining`]),
      resetMs: resetOf(headers[`${prefix}-reset`], clock),
    });
  }
  const limits = windows.length > 0 ? windows : counts.flatMap(perMinute);
  const usedUp = counts.flatMap(({ remaining, resetMs }) => (remaining === 0 && resetMs ? [resetMs] : []));
  return {
    limit: limits.sort((one, other) => one.requests / one.windowMs - other.requests / other.windowMs)[0] ?? null,
    usedUpForMs: usedUp.length > 0 ? Math.min(MAX_USED_UP_MS, Math.max(...usedUp)) : null,
  };
}

interface Count {
  readonly limit: number | null;
  readonly remaining: number | null;
  readonly resetMs: number | null;
}

/** A limit without its window is taken for one by the minute, unless it is reset later than that. */
function perMinute({ limit, resetMs }: Count): AnnouncedLimit[] {
  if (limit === null || limit < 1 || (resetMs ?? 0) > DEFAULT_WINDOW_MS + MINUTE_SLACK_MS) return [];
  return [{ requests: Math.floor(limit), windowMs: DEFAULT_WINDOW_MS }];
}

interface Item {
  /** `"default"`, `100`, `limit=100`. */
  readonly head: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** A header's list: `"burst";q=10;w=1, "day";q=1000;w=86400`. */
function itemsOf(header: string | undefined): Item[] {
  return (header ?? '').split(',').flatMap((part) => {
    const [head = '', ...rest] = part.split(';').map((field) => field.trim());
    const pairs = rest.map((field) => field.split('=', 2).map((side) => side.trim()) as [string, string?]);
    return head === ''
      ? []
      : [{ head, parameters: Object.fromEntries(pairs.map(([name, value = '']) => [name, value])) }];
  });
}

/** `"default";q=100;w=60`, or `100;w=60` of the older drafts. Policies that do not count requests are not ours. */
function policyOf({ head, parameters }: Item): AnnouncedLimit[] {
  const unit = parameters.qu?.replaceAll('"', '') ?? 'requests';
  const requests = numberOf(parameters.q ?? head);
  const seconds = numberOf(parameters.w);
  if (unit !== 'requests' || requests === null || requests < 1 || seconds === null || seconds < 1) return [];
  return seconds * 1000 > DAY_MS ? [] : [{ requests: Math.floor(requests), windowMs: seconds * 1000 }];
}

function countsIn(header: string, clock: number): Count[] {
  const items = itemsOf(header);
  const pairs = Object.fromEntries(items.map(({ head }) => head.split('=', 2).map((side) => side.trim())));
  if ('remaining' in pairs || 'limit' in pairs) {
    return [
      { limit: numberOf(pairs.limit), remaining: numberOf(pairs.remaining), resetMs: resetOf(pairs.reset, clock) },
    ];
  }
  return items.map(({ parameters: { r, t } }) => ({ limit: null, remaining: numberOf(r), resetMs: resetOf(t, clock) }));
}

/** Gateways that answer one after the other each add their own: the smallest counts. */
function smallest(header: string | undefined): number | null {
  const numbers = numbersIn(header);
  return numbers.length > 0 ? Math.min(...numbers) : null;
}

const numbersIn = (header: string | undefined): number[] => itemsOf(header).flatMap(({ head }) => numberOf(head) ?? []);

function numberOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,15}(\.\d+)?$/.test(text) ? Number(text) : null;
}

/** Seconds from now, of several the most; some gateways write a moment instead. More than a day is a mistake. */
function resetOf(header: string | undefined, clock: number): number | null {
  const longest = Math.max(...numbersIn(header));
  const ms = parseHttpDate(header) ?? (longest >= 1e12 ? longest : longest * 1000);
  const waitMs = Math.ceil(ms >= 1e12 ? ms - clock : ms);
  return waitMs >= 0 && waitMs <= DAY_MS ? waitMs : null;
}
