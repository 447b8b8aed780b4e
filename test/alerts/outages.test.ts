import { afterEach, expect, it } from '@jest/globals';
import { createDigest, type Digest, describeDigest } from '../../src/alerts/digest.ts';
import { createHeartbeat } from '../../src/alerts/heartbeat-url.ts';
import { watchOutages } from '../../src/alerts/outages.ts';
import { createWebhook } from '../../src/alerts/webhook.ts';
import { systemClock } from '../../src/clock.ts';
import { describeProcesses } from '../../src/store/engine/processes.ts';
import { until } from '../helpers/cli.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { startReceiver } from './receivers.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

/** A watch whose parts are away as the test says, with a webhook that accepts everything until the test says otherwise. */
async function setup(afterMs = 50) {
  const receiver = await startReceiver();
  const channel = createWebhook({ url: receiver.url, format: 'json' }, { allowInsecureHttp: false, proxy: null });
  const away = { database: false, queue: false, configuration: false };
  const check = (name: 'database' | 'queue') => async () => {
    if (away[name]) throw new Error('ECONNREFUSED');
  };
  const asked: boolean[] = [];
  const outages = watchOutages({
    logger: unheardLogger(),
    clock: systemClock,
    channels: [channel],
    checks: {
      database: check('database'),
      queue: check('queue'),
      configuration: async () => {
        asked.push(away.database);
        return away.configuration ? 'they differ' : null;
      },
    },
    afterMs,
    everyMs: 10,
  });
  opened.push(receiver, { close: () => outages.stop().then(() => channel.close()) });
  const kinds = () =>
    receiver.accepted.map((digest) => {
      const { opened, closed } = digest as unknown as Digest;
      return [...opened.map(({ kind }) => kind), ...closed.map(({ kind }) => `over: ${kind}`)].join();
    });
  return { receiver, away, outages, asked, kinds };
}

const lookSeveralTimes = () => new Promise((resolve) => setTimeout(resolve, 200));

it.each(['database', 'queue'] as const)(
  'an unreachable %s is reported once, from memory, and once more when it is over',
  async (kind) => {
    const { receiver, away, outages, kinds } = await setup();
    away[kind] = true;
    await until('the report', () => receiver.accepted.length > 0);
    expect(receiver.accepted).toMatchObject([
      { opened: [{ kind: `${kind}_unreachable`, reason: 'ECONNREFUSED' }], closed: [] },
    ]);
    expect(outages.cause()).toContain(`the ${kind} cannot be reached since`);
    await lookSeveralTimes();
    away[kind] = false;
    await until('its end', () => receiver.accepted.length > 1);
    expect(outages.cause()).toBeNull();
    await lookSeveralTimes();
    expect(kinds()).toEqual([`${kind}_unreachable`, `over: ${kind}_unreachable`]);
  },
);

it('start and end are tried under one id each until the channel accepts them', async () => {
  const { receiver, away, kinds } = await setup();
  const acceptAfter = async (tries: number) => {
    receiver.ids.length = 0;
    receiver.status = 500;
    await until('tries', () => receiver.ids.length >= tries);
    receiver.status = 200;
    const before = receiver.accepted.length;
    await until('acceptance', () => receiver.accepted.length > before);
    expect(new Set(receiver.ids).size).toBe(1);
    return receiver.ids[0];
  };
  away.queue = true;
  const start = await acceptAfter(3);
  receiver.status = 500;
  away.queue = false;
  const end = await acceptAfter(3);
  expect(kinds()).toEqual(['queue_unreachable', 'over: queue_unreachable']);
  expect(receiver.accepted.map(({ id }) => id)).toEqual([start, end]);
});

it('an outage that is over before a channel accepted its report is not reported there at all', async () => {
  const { receiver, away, outages, kinds } = await setup();
  receiver.status = 500;
  away.queue = true;
  await until('tries', () => receiver.ids.length > 1);
  away.queue = false;
  await until('the end', () => outages.cause() === null);
  receiver.status = 200;
  away.database = true;
  await until('the report of another', () => receiver.accepted.length > 0);
  expect(kinds()).toEqual(['database_unreachable']);
});

it('whether configurations differ is not judged while the database is down', async () => {
  const { receiver, away, asked, kinds } = await setup(0);
  away.configuration = true;
  await until('the report', () => receiver.accepted.length > 0);
  away.database = true;
  await until('the outage', () => receiver.accepted.length > 1);
  away.configuration = false;
  asked.length = 0;
  await lookSeveralTimes();
  expect(asked).toEqual([]);
  away.configuration = true;
  away.database = false;
  await until('its end', () => receiver.accepted.length > 2);
  await until('a judgement', () => asked.length > 2);
  expect(kinds()).toEqual(['configuration_differs', 'database_unreachable', 'over: database_unreachable']);
});

it('a check that never answers counts as an outage, and does not keep the watch from ending', async () => {
  const outages = watchOutages({
    logger: unheardLogger(),
    clock: systemClock,
    channels: [],
    checks: { database: () => new Promise(() => {}), queue: async () => {}, configuration: async () => null },
    afterMs: 0,
    everyMs: 10,
    checkMs: 50,
  });
  await until('the outage', () => outages.cause() !== null);
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
  const receiver = await startReceiver('/secret-path');
  opened.push(receiver);
  const lines: unknown[] = [];
  const logger = { warn: (...words: unknown[]) => lines.push(words) } as never;
  const heartbeat = createHeartbeat(receiver.url, { logger, allowInsecureHttp: false, proxy: null });
  opened.push(heartbeat);
  await heartbeat.call();
  expect(receiver.paths).toEqual(['/secret-path']);
  receiver.status = 500;
  await heartbeat.call();
  await heartbeat.call();
  expect(lines.length).toBe(1);
  expect(JSON.stringify(lines)).not.toContain('secret-path');
});
