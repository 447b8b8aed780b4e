import { silentLogger } from '../../src/logger.ts';
import { startDaemon } from '../../workers/main.ts';
import { createQueues } from '../../workers/queues.ts';
import { createStubApp, Observer, StubUpstream } from './support.ts';

/**
 * A process of its own, because Node reads NODE_EXTRA_CA_CERTS at its start only: reads one stream through the queue and tells how it went, or why the
 * queue cannot be reached.
 */
const { databaseUrl, redisUrl, prefix } = JSON.parse(process.argv[2] ?? '{}');
const logger = silentLogger();
const app = await createStubApp({ databaseUrl, redisUrl, upstreams: [new StubUpstream('tiledesk:one', 3)] });
try {
  await (await createQueues({ config: app.config, databaseUrl, logger, prefix, reachMs: 1_000 })).close();
  const observer = new Observer();
  const { signal } = new AbortController();
  const daemon = await startDaemon(app, {
    roles: ['scheduler', 'worker'],
    logger,
    signal,
    queueOptions: { prefix },
    observer,
  });
  const { result } = await observer.job({ pass: 'backfill' });
  await daemon.stop();
  process.stdout.write(`${result?.outcome}: ${result?.created}`);
} catch (error) {
  process.stdout.write(error instanceof Error ? error.message : 'unknown');
} finally {
  await app.close();
}
