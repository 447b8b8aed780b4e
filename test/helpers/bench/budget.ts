/**
 * How well is the allowance of one credential used by many workers, and is it kept? Three worker processes and a scheduler mirror several projects of one
 * account; their backfills never end, their incremental passes go on. The upstream enforces the limit in any rolling window, and its log is the judge.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Cli, until } from '../cli.ts';
import { ENDLESS_ACCOUNT, endlessProjectId, startEndlessTiledesk } from '../endless-tiledesk.ts';
import { createTestDatabase } from '../postgres.ts';
import { seededRandom } from '../shifting-list.ts';
import { Daemons, logLines, openQueue, type QueueKind } from './processes.ts';
import { busiestWindow, type Trespasses, trespasses, type UseOfLimit, useOfLimit } from './requests.ts';

export interface BudgetOptions {
  readonly cli: Cli;
  readonly queue: QueueKind;
  /** Per minute, as it is configured. */
  readonly requestsPerMinute: number;
  /** What the upstream lets through in any rolling window; unless told, `requestsPerMinute` a minute. */
  readonly enforced?: { readonly requests: number; readonly windowMs: number };
  readonly workers: number;
  readonly concurrency: number;
  readonly connections: number;
  /** After every worker process is running, and the first pages of the long lists were answered. */
  readonly warmUpMs: number;
  readonly steadyMs: number;
  readonly incrementalCron: string;
  /** 429 with Retry-After out of the blue, at random moments of the steady time. */
  readonly injected?: { readonly times: number; readonly retryAfterMs: number; readonly seed: number };
}

export interface BudgetReport extends UseOfLimit, Omit<Trespasses, 'hints'> {
  readonly queue: QueueKind;
  readonly busiestWindow: number;
  readonly allowedInWindow: number;
  /** Refusals with a Retry-After, injected ones included. */
  readonly hints: number;
  /** Calls of each list in the steady time, by list. */
  readonly byList: Readonly<Record<string, number>>;
  /** Of all incremental runs in the steady time: since the last complete one, when it ended. */
  readonly pausesMs: readonly number[];
  /** Lines of the daemons' logs at level warn or above. */
  readonly warnings: number;
}

/** What comes in so soon after a refusal was sent was under way already. */
const UNDER_WAY_MS = 50;
/** Enough for hours at any limit: a page has at most 100. */
const ROWS = 10_000_000;

/** Null where there is no Redis. */
export async function measureBudget(options: BudgetOptions): Promise<BudgetReport | null> {
  const { cli, requestsPerMinute, connections, warmUpMs, steadyMs } = options;
  const enforced = options.enforced ?? { requests: requestsPerMinute, windowMs: 60_000 };
  const queue = await openQueue(options.queue);
  if (queue === null) return null;
  const ids = Array.from({ length: connections }, (_, n) => endlessProjectId(n));
  const list = { rows: ROWS, spacingMs: 2_000, isGrowing: true };
  const upstream = await startEndlessTiledesk({
    project: (id) => (ids.includes(id) ? { leads: list, requests: list } : undefined),
    requestsPerWindow: enforced.requests,
    rateWindowMs: enforced.windowMs,
  });
  const database = await createTestDatabase();
  const daemons = new Daemons(cli, {
    ...queue.env,
    DATABASE_URL: database.url,
    TILEDESK_BASE_URL: upstream.url,
    TILEDESK_PROJECT_ID: ids.join(','),
    TILEDESK_EMAIL: ENDLESS_ACCOUNT.email,
    TILEDESK_PASSWORD: ENDLESS_ACCOUNT.password,
    TILEDESK_REQUESTS_PER_MINUTE: String(requestsPerMinute),
    SYNC_INCREMENTAL_CRON: options.incrementalCron,
    SYNC_RECONCILE_CRON: '0 0 1 1 *',
    WORKER_CONCURRENCY: String(options.concurrency),
    BULK_CONCURRENCY: String(options.concurrency),
  });
  try {
    await daemons.start('scheduler');
    await Promise.all(Array.from({ length: options.workers }, () => daemons.start('worker')));
    const hasPages = () => upstream.log.filter(({ query }) => Number(query.get('limit')) > 10).length >= connections;
    await until('the full reads are under way', hasPages, 120_000);
    await delay(warmUpMs);
    const fromMs = Date.now();
    const injection = inject(upstream.faults, options);
    await delay(steadyMs);
    await injection;
    const toMs = Date.now();
    const steady = upstream.log.filter(({ at }) => at >= fromMs && at < toMs);
    const warnings = daemons.all.flatMap(logLines).filter(({ level }) => Number(level) >= 40).length;
    await daemons.stop();
    return {
      queue: options.queue,
      ...useOfLimit(upstream.log, {
        ...{ fromMs, toMs, windowMs: enforced.windowMs },
        perWindow: (requestsPerMinute * enforced.windowMs) / 60_000,
      }),
      busiestWindow: busiestWindow(upstream.log, enforced.windowMs),
      allowedInWindow: enforced.requests,
      ...trespasses(upstream.log, UNDER_WAY_MS),
      byList: count(steady.map(({ list, query }) => (query.get('sort') === 'updatedAt' ? `${list} by change` : list))),
      pausesMs: pausesBetween(
        steady.filter(({ query, status }) => query.get('sort') === 'updatedAt' && status === 200),
      ),
      warnings,
    };
  } finally {
    await daemons.stop();
    await upstream.close();
    await database.drop();
    await queue.close();
  }
}

async function inject(faults: { push: (rule: { kind: '429'; retryAfterMs: number }) => void }, options: BudgetOptions) {
  if (options.injected === undefined) return;
  const { times, retryAfterMs, seed } = options.injected;
  const random = seededRandom(seed);
  // Never two that overlap: each has its share of the time.
  const share = options.steadyMs / times;
  if (share < 1.2 * retryAfterMs) throw new Error('not enough time for so many refusals');
  for (let i = 0; i < times; i++) {
    const at = random() * (share - 1.2 * retryAfterMs);
    await delay(at);
    faults.push({ kind: '429', retryAfterMs });
    await delay(share - at);
  }
}

function count(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** Between two looks at what changed, by list of a project. */
function pausesBetween(log: readonly { readonly at: number; readonly path: string }[]): number[] {
  const last = new Map<string, number>();
  const pauses: number[] = [];
  for (const { at, path } of log) {
    const previous = last.get(path);
    if (previous !== undefined) pauses.push(at - previous);
    last.set(path, at);
  }
  return pauses;
}
