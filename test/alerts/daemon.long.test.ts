/** What a daemon itself reports of its surroundings: a real process, with its database and its queue behind proxies. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox } from '../../sandbox/tiledesk.ts';
import type { Digest } from '../../src/alerts/digest.ts';
import { createCli, until } from '../helpers/cli.ts';
import { createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase } from '../helpers/postgres.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { startReceiver } from './receivers.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterAll(async () => {
  for (const one of opened.reverse()) await one.close();
});

/** Counts the calls of HEARTBEAT_URL. */
async function startCounter() {
  const counter = { calls: 0, url: '' };
  const server = createServer((_, response) => {
    counter.calls += 1;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  counter.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ping`;
  opened.push({ close: async () => server.close() });
  return counter;
}

const redis = await startTestRedis();
if (redis !== null) opened.push(redis);

// Where there is no Redis at all, the suite has said so.
if (redis !== null) {
  it('calls its heartbeat address, and reports when its queue and its database are away, with what follows from it', async () => {
    const cli = await createCli();
    const sandbox = createTiledeskSandbox({ leads: 5, requests: 5 });
    const { url } = await sandbox.listen();
    const database = await createTestDatabase();
    const [databaseProxy, queueProxy] = [await createCuttableProxy(database.url), await createCuttableProxy(redis.url)];
    const [receiver, counter] = [await startReceiver(), await startCounter()];
    const sql = new pg.Client({ connectionString: database.url });
    sql.on('error', () => {});
    await sql.connect();
    opened.push({ close: () => database.drop() }, { close: () => sql.end() }, sandbox, cli, receiver);
    opened.push(databaseProxy, queueProxy);
    const env = {
      ...variables(sandbox, url, databaseProxy.url),
      REDIS_URL: queueProxy.url,
      OPS_PORT: '0',
      SHUTDOWN_TIMEOUT_SECONDS: '5',
      ALERT_WEBHOOK_URL: receiver.url,
      ALERT_AFTER_SECONDS: '0',
      HEARTBEAT_URL: counter.url,
    };
    const digests = () => receiver.accepted as unknown as Digest[];
    const reported = (kind: string, side: 'opened' | 'closed') =>
      digests().some((digest) => digest[side].some((alert) => alert.kind === kind));
    const status = async () => (await cli.run(['status'], { env: { ...env, DATABASE_URL: database.url } })).stdout;

    const daemon = cli.start(['start'], { env });
    await until('a complete round', () => counter.calls > 0);
    await queueProxy.cut();
    await until('the queue', () => reported('queue_unreachable', 'opened'));
    await until('status', async () => (await status()).includes('the queue cannot be reached from'));
    const isExplained = ({ opened }: Digest) =>
      opened.some(({ kind, reason }) => kind === 'stale' && reason.includes('the queue cannot be reached since'));
    await until(
      'the cause of stale streams',
      async () => {
        await sql.query('update sync.streams set fresh_within_seconds = 1');
        return digests().some(isExplained);
      },
      60_000,
    );
    await databaseProxy.cut();
    await until('the database', () => reported('database_unreachable', 'opened'));
    await Promise.all([queueProxy.restore(), databaseProxy.restore()]);
    await until(
      'the ends',
      () => reported('queue_unreachable', 'closed') && reported('database_unreachable', 'closed'),
    );

    daemon.kill('SIGTERM');
    expect((await daemon.ended).code).toBe(0);
  }, 180_000);
}
