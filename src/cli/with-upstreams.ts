import type { UpstreamParts } from '../app/upstreams.ts';
import { createHttpClient } from '../app/upstreams.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { createLocalBudget } from '../http/budget.ts';
import type { Logger } from '../logger.ts';
import type { FetchOptions } from '../stream.ts';

/** Works with the servers of a configuration without the database: a budget of its own for a handful of requests, and nothing is kept afterwards. */
export async function withUpstreams<T>(
  config: Config,
  { logger, signal }: { readonly logger: Logger; readonly signal: AbortSignal },
  work: (parts: UpstreamParts, fetch: FetchOptions) => Promise<T>,
): Promise<T> {
  const { timeoutMs, retryMaxMs } = config.http;
  const client = createHttpClient(config, systemClock);
  const budgetOf = (_credential: string, perMinute: number) =>
    createLocalBudget(perMinute, systemClock, { requestTimeoutMs: timeoutMs });
  const fetch = { signal, maxWaitMs: retryMaxMs, onRequest: () => {} };
  return work({ logger, clock: systemClock, client, budgetOf }, fetch).finally(() => client.close());
}
