import { HttpClient, type HttpClientOptions } from '../http/client.ts';
import type { Logger } from '../logger.ts';

const TIMEOUT_MS = 10_000;

/**
 * Calls an address after each complete round, for services that report missing calls. Its path may be a secret, so only
 * its failure is logged, once. Returns the call, and the way to close.
 */
export function createHeartbeat(
  url: string,
  { logger, ...options }: Pick<HttpClientOptions, 'allowInsecureHttp' | 'proxy'> & { readonly logger: Logger },
) {
  const client = new HttpClient({ ...options, timeoutMs: TIMEOUT_MS, maxBytes: 64 * 1024 });
  let isFailing = false;
  return {
    async call(): Promise<void> {
      const status = await client.send({ method: 'GET', url }).then(
        (response) => response.status,
        (error: unknown) => (error as { code?: string }).code ?? 'failed',
      );
      const isOk = typeof status === 'number' && status >= 200 && status < 300;
      if (!isOk && !isFailing) logger.warn({ status }, 'HEARTBEAT_URL does not answer as it should');
      isFailing = !isOk;
    },
    close: () => client.close(),
  };
}
