import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { readProcesses } from '../../src/store/engine/processes.ts';
import { startHeartbeat } from '../../workers/heartbeat.ts';
import { type CuttableProxy, createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { type Store, setupStore } from '../store/support.ts';
import { until } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());

describe('a heartbeat', () => {
  let proxy: CuttableProxy;
  let database: Database;
  let heartbeat: ReturnType<typeof startHeartbeat>;
  const LEADS = { connectionId: 'tiledesk:a', stream: 'tiledesk.leads' };
  const state = { isLeading: false, isQueueThere: true, runs: 0, streams: [LEADS] };

  beforeEach(async () => {
    await store.query('truncate sync.processes');
    Object.assign(state, { isLeading: false, isQueueThere: true, runs: 0, streams: [LEADS] });
    proxy = await createCuttableProxy(store.url);
    database = createDatabase({ url: proxy.url, logger: unheardLogger() });
    heartbeat = startHeartbeat({
      app: {
        database: { prisma: database.prisma },
        get streams() {
          return state.streams;
        },
      },
      daemon: {
        queues: {
          ping: async () => {
            if (!state.isQueueThere) throw new Error('away');
          },
        },
        get isLeading() {
          return state.isLeading;
        },
        get activeJobs() {
          return state.runs;
        },
      },
      logger: unheardLogger(),
      roles: ['worker', 'web'],
      intervalMs: 30,
    });
  });

  afterEach(async () => {
    await heartbeat.stop();
    await database.close();
    await proxy.close();
  });

  const read = async () => (await readProcesses(store.prisma))[0];

  it('tells how the process is, again and again', async () => {
    await until(async () => (await read()) !== undefined);
    expect(await read()).toMatchObject({
      id: heartbeat.id,
      pid: process.pid,
      roles: ['worker', 'web'],
      is_leading: false,
      queue_ok: true,
      running_runs: 0,
      is_alive: true,
    });
    Object.assign(state, { isLeading: true, isQueueThere: false, runs: 2 });
    await until(async () => (await read())?.running_runs === 2);
    expect(await read()).toMatchObject({ id: heartbeat.id, is_leading: true, queue_ok: false });
  });

  it('tells by a digest which accounts and streams are configured, in whatever order', async () => {
    let runs = 0;
    const digestOf = async (...streams: (typeof state.streams)[number][]) => {
      runs += 1;
      Object.assign(state, { streams, runs });
      await until(async () => (await read())?.running_runs === runs);
      return (await read())?.config_hash;
    };
    const other = { connectionId: 'tiledesk:b', stream: 'tiledesk.leads' };
    const both = await digestOf(LEADS, other);
    expect(both).toMatch(/^[0-9a-f]{16}$/);
    expect(await digestOf(other, LEADS)).toBe(both);
    expect(await digestOf(LEADS)).not.toBe(both);
    expect(await digestOf(LEADS, { ...LEADS, stream: 'tiledesk.requests' })).not.toBe(both);
  });

  it('is stored once it has begun, so that a page that is shown then knows its worker', async () => {
    await heartbeat.begun;
    expect(await read()).toMatchObject({ id: heartbeat.id, is_alive: true });
  });

  it('begins although the database is away', async () => {
    await proxy.cut();
    await heartbeat.begun;
  });

  it('ends with a farewell', async () => {
    await until(async () => (await read()) !== undefined);
    await heartbeat.stop();
    expect(await read()).toBeUndefined();
  });

  it('goes on after the database was away, also when its row is gone', async () => {
    await until(async () => (await read()) !== undefined);
    await proxy.cut();
    await store.query('delete from sync.processes');
    await proxy.restore();
    await until(async () => (await read())?.id === heartbeat.id);
  });

  it('does not hold up the stop while the database is away', async () => {
    await proxy.cut();
    await heartbeat.stop();
  });
});
