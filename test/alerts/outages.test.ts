import { createServer } from 'node:http';
import { afterEach, expect, it } from '@jest/globals';
import { createDigest, describeDigest } from '../../src/alerts/digest.ts';
import { createHeartbeat } from '../../src/alerts/heartbeat-url.ts';
import { watchOutages } from '../../src/alerts/outages.ts';
import { createWebhook } from '../../src/alerts/webhook.ts';
import { systemClock } from '../../src/clock.ts';
import { describeProcesses } from '../../src/store/engine/processes.ts';
import { until } from '../helpers/cli.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function startReceiver() {
  const received: { readonly path: string; readonly body: string }[] = [];
  const state = { status: 200 };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    received.push({ path: request.url ?? '', body: Buffer.concat(chunks).toString('utf8') });
    response.writeHead(state.status).end();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  opened.push({
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => {
        server.close(resolve);
      });
    },
  });
  return { received, state, url: `http://127.0.0.1:${(server.address() as { port: number }).port}/secret-path` };
}

it.each(['database', 'queue'] as const)(
  'an unreachable %s is reported once, from memory, and once more when it is over',
  async (kind) => {
    const receiver = await startReceiver();
    const channel = createWebhook({ url: receiver.url, format: 'json' }, { allowInsecureHttp: false, proxy: null });
    const away = { database: false, queue: false };
    const check = (name: 'database' | 'queue') => async () => {
      if (away[name]) throw new Error('ECONNREFUSED');
    };
    const outages = watchOutages({
      logger: unheardLogger(),
      clock: systemClock,
      channels: [channel],
      checks: { database: check('database'), queue: check('queue') },
      afterMs: 50,
      everyMs: 10,
    });
    opened.push({ close: () => outages.stop().then(() => channel.close()) });
    const kinds = () => receiver.received.map(({ body }) => JSON.parse(body));

    away[kind] = true;
    // A channel that fails is tried again.
    receiver.state.status = 500;
    await until('a first try', () => receiver.received.length > 0);
    receiver.state.status = 200;
    receiver.received.length = 0;
    await until('the report', () => receiver.received.length > 0);
    expect(kinds()).toMatchObject([{ opened: [{ kind: `${kind}_unreachable`, reason: 'ECONNREFUSED' }], closed: [] }]);
    expect(outages.cause()).toContain(`the ${kind} cannot be reached since`);

    away[kind] = false;
    await until('its end', () => receiver.received.length > 1);
    expect(kinds()[1]).toMatchObject({ opened: [], closed: [{ kind: `${kind}_unreachable` }] });
    expect(outages.cause()).toBeNull();
  },
);

it('a check that never answers counts as an outage, and does not keep the watch from ending', async () => {
  const outages = watchOutages({
    logger: unheardLogger(),
    clock: systemClock,
    channels: [],
    checks: { database: () => new Promise(() => {}), queue: async () => {} },
    afterMs: 0,
    everyMs: 10,
  });
  await until('the outage', () => outages.cause() !== null, 10_000);
  await outages.stop();
});

it('stale streams are not blamed for a queue that is away', () => {
  const now = new Date();
  const row = {
    connection_id: 'tiledesk:a',
    stream: 'tiledesk.leads',
    kind: 'stale' as const,
    reason: 'no complete pass in time',
  };
  const alert = { ...row, since: now, opened_at: now, seen_since: now, value: null } as never;
  const digest = createDigest({ opened: [alert], closed: [] }, now, 'the queue cannot be reached since 12:00');
  expect(digest === null ? '' : describeDigest(digest)).toContain('the queue cannot be reached since 12:00');
});

it('status names the process that cannot reach the queue', () => {
  const record = {
    id: '1',
    host: 'host-a',
    pid: 7,
    roles: [],
    version: '0',
    started_at: new Date(),
    beat_at: new Date(),
  };
  const state = { is_leading: true, queue_ok: false, running_runs: 0, is_alive: true };
  expect(describeProcesses([{ ...record, ...state } as never])).toContain('the queue cannot be reached from host-a:7');
});

it('the heartbeat calls its address, and its failure names nothing of it', async () => {
  const receiver = await startReceiver();
  const lines: unknown[] = [];
  const logger = { warn: (...words: unknown[]) => lines.push(words) } as never;
  const heartbeat = createHeartbeat(receiver.url, { logger, allowInsecureHttp: false, proxy: null });
  opened.push(heartbeat);
  await heartbeat.call();
  expect(receiver.received.map(({ path }) => path)).toEqual(['/secret-path']);
  receiver.state.status = 500;
  await heartbeat.call();
  await heartbeat.call();
  expect(lines.length).toBe(1);
  expect(JSON.stringify(lines)).not.toContain('secret-path');
});
