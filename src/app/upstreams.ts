import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { RequestBudget } from '../http/budget.ts';
import { HttpClient } from '../http/client.ts';
import { createUpstream, type Upstream } from '../http/upstream.ts';
import type { Logger } from '../logger.ts';
import type { Instruments } from '../ops/instruments.ts';

export interface UpstreamParts {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly client: HttpClient;
  /** Counts, times and traces requests; a command that ends at once needs none. */
  readonly instruments?: Instruments;
  readonly budgetOf: (credential: string, requestsPerMinute: number) => RequestBudget;
}

/** Whose requests they are, and how many of them a minute may have. */
export interface Account {
  /** What the requests are counted under: `tiledesk`. */
  readonly source: string;
  /** Names the budget, which everybody with the same word shares, on all machines. No secret: it is stored, logged and shown. */
  readonly credential: string;
  readonly requestsPerMinute: number;
}

/** The way to one account's server: each request within the account's budget, tried again where that helps. */
export type UpstreamOf = (account: Account) => Upstream;

export function createUpstreams({ retryAttempts, retryMaxMs }: Config['http'], parts: UpstreamParts): UpstreamOf {
  const { client, clock, logger, instruments } = parts;
  return ({ source, credential, requestsPerMinute }) =>
    createUpstream({
      client: instruments?.sender(source, client) ?? client,
      budget: parts.budgetOf(credential, requestsPerMinute),
      credential,
      clock: instruments?.clock(source, clock) ?? clock,
      logger,
      attempts: retryAttempts,
      maxTotalMs: retryMaxMs,
    });
}

export function createHttpClient({ http }: Pick<Config, 'http'>, clock: Clock): HttpClient {
  const { timeoutMs, allowInsecureHttp, proxy } = http;
  return new HttpClient({ timeoutMs, allowInsecureHttp, proxy, clock });
}
