import { type Clock, systemClock } from '../clock.ts';
import { type Config, hostsOf } from '../config.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { createLocalBudget, type DayLimit, type RequestBudget } from '../http/budget.ts';
import { HttpClient } from '../http/client.ts';
import { createUpstream, type Upstream } from '../http/upstream.ts';
import type { Logger } from '../logger.ts';
import type { Instruments } from '../ops/instruments.ts';
import { createDatabaseBudget } from '../store/engine/budgets.ts';
import type { FetchOptions } from '../stream.ts';
import { nextTick } from '../sync/schedule.ts';

export interface UpstreamParts {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly client: HttpClient;
  /** Counts, times and traces requests; a command that ends at once needs none. */
  readonly instruments?: Instruments;
  readonly budgetOf: (account: Account) => RequestBudget;
}

/** Whose requests they are, and how many of them a minute and a day may have. */
export interface Account {
  /** What the requests are counted under: `tiledesk`. */
  readonly source: string;
  /** Names the budget, which all connections with this name share. Not a secret: it is stored, logged and shown. */
  readonly credential: string;
  readonly requestsPerMinute: number;
  /** Default: no limit of a day. */
  readonly requestsPerDay?: number | undefined;
}

/** The limit of a calendar day in a time zone, which a reload of the configuration may change. */
export const dayLimit = (requests: number | undefined, timezone: () => string): DayLimit | undefined =>
  requests === undefined
    ? undefined
    : { requests, endOf: (nowMs) => nextTick({ cron: '0 0 * * *', timezone: timezone() }, nowMs) };

/** Budgets that all processes share. */
export const databaseBudgets =
  (prisma: PrismaClient, { timeoutMs }: Config['http'], timezone: () => string): UpstreamParts['budgetOf'] =>
  ({ credential, requestsPerMinute, requestsPerDay }) => {
    const limits = { requestTimeoutMs: timeoutMs, day: dayLimit(requestsPerDay, timezone) };
    return createDatabaseBudget(prisma, credential, requestsPerMinute, limits);
  };

/** The way to one account's server: each request within the account's budget, tried again where that helps. */
export type UpstreamOf = (account: Account) => Upstream;

export function createUpstreams({ retryAttempts, retryMaxMs }: Config['http'], parts: UpstreamParts): UpstreamOf {
  const { client, clock, logger, instruments } = parts;
  return (account) =>
    createUpstream({
      client: instruments?.sender(account.source, client) ?? client,
      budget: parts.budgetOf(account),
      credential: account.credential,
      clock: instruments?.clock(account.source, clock) ?? clock,
      logger,
      attempts: retryAttempts,
      maxTotalMs: retryMaxMs,
    });
}

type HttpConfig = Pick<Config, 'http' | 'connections' | 'stored' | 'connectionHosts'>;

/** Takes the configuration as it is at each request. */
export function createHttpClient(current: () => HttpConfig, clock: Clock): HttpClient {
  const { timeoutMs, allowInsecureHttp, proxy } = current().http;
  const guarded = new WeakMap<HttpConfig, ReadonlySet<string>>();
  const isGuarded = (host: string): boolean => {
    const config = current();
    const hosts = guarded.get(config) ?? guardedHosts(config);
    guarded.set(config, hosts);
    return hosts.has(host);
  };
  return new HttpClient({ timeoutMs, allowInsecureHttp, proxy, clock, isGuarded });
}

/** Hosts that only accounts of the database name, and no operator. */
function guardedHosts({ connections, stored, connectionHosts }: HttpConfig): ReadonlySet<string> {
  const kept = new Set(stored);
  const [unsure, trusted] = [true, false].map((isKept) =>
    connections.filter(({ id }) => kept.has(id) === isKept).flatMap(hostsOf),
  ) as [string[], string[]];
  const known = new Set([...trusted, ...connectionHosts]);
  return new Set(unsure.filter((host) => !known.has(host)));
}

/** Works with the servers of a configuration without the database: with a local budget, and nothing is kept. */
export async function withUpstreams<T>(
  config: Config,
  { logger, signal }: { readonly logger: Logger; readonly signal: AbortSignal },
  work: (parts: UpstreamParts, fetch: FetchOptions) => Promise<T>,
): Promise<T> {
  const { timeoutMs, retryMaxMs } = config.http;
  const client = createHttpClient(() => config, systemClock);
  const budgetOf = ({ requestsPerMinute }: Account) =>
    createLocalBudget(requestsPerMinute, systemClock, { requestTimeoutMs: timeoutMs });
  const fetch = { signal, maxWaitMs: retryMaxMs, onRequest: () => {} };
  return work({ logger, clock: systemClock, client, budgetOf }, fetch).finally(() => client.close());
}
