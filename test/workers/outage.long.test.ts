import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { type DaemonOptions, startDaemon } from '../../workers/main.ts';
import { type CreateQueuesOptions, createQueues } from '../../workers/queues.ts';
import { type CuttableProxy, createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { openQueuePlaces, type QueuePlace } from './queue-places.ts';
import {
  createGate,
  createRecorder,
  createStubApp,
  EVERY_SECOND,
  NEVER,
  Observer,
  StubUpstream,
  until,
} from './support.ts';

const places = await openQueuePlaces();
afterAll(() => places.close());

const CONNECTION = 'tiledesk:one';
const ROUNDS = { roundMs: 200, standbyMs: 200 };

describe.each(places.list)('an outage of the queue in $name', (backend) => {
  let place: QueuePlace;
  let database: CuttableProxy;
  let queue: CuttableProxy;
  let closers: (() => Promise<void>)[];
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown) => void rejections.push(reason);

  beforeEach(async () => {
    process.on('unhandledRejection', onRejection);
    closers = [];
    place = await backend.open();
    database = await createCuttableProxy(place.databaseUrl);
    // With the queue in Postgres both are away together.
    queue = place.redisUrl === null ? database : await place.cuttable();
  });

  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    await database.close();
    await queue.close();
    await until(async () => (await place.openConnections()) === 0);
    await place.close();
    process.off('unhandledRejection', onRejection);
    expect(rejections).toEqual([]);
  });

  const urls = () => ({ databaseUrl: database.url, redisUrl: place.redisUrl === null ? null : queue.url });

  async function start(upstream: StubUpstream, options: Partial<DaemonOptions> = {}) {
    const app = await createStubApp({
      ...urls(),
      upstreams: [upstream],
      incrementalCron: EVERY_SECOND,
    });
    closers.push(() => app.close());
    const observer = new Observer();
    const daemon = await startDaemon(app, {
      roles: ['scheduler', 'worker'],
      logger: unheardLogger(),
      signal: new AbortController().signal,
      queueOptions: { prefix: place.prefix, lockMs: 2_000 },
      schedulerOptions: ROUNDS,
      observer,
      ...options,
    });
    closers.push(() => daemon.stop());
    return { app, observer, daemon };
  }

  it('is said once, and ends without a restart', async () => {
    const { logger, lines } = createRecorder();
    const upstream = new StubUpstream(CONNECTION, 1);
    const { app, observer, daemon } = await start(upstream, { logger });
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    await queue.cut();
    await until(() => lines.includes('the queue cannot be reached'));
    expect(await daemon.queues.health()).toMatchObject({ ok: false, lanes: null });
    await expect(daemon.queues.ping()).rejects.toMatchObject({ code: 'queue_unavailable' });
    await queue.restore();
    upstream.add();
    await until(() => lines.includes('the queue is back'));
    await until(async () => (await app.database.prisma.tiledeskDepartment.count()) === 2);
    expect(lines.filter((line) => line === 'the queue cannot be reached')).toHaveLength(1);
    expect(lines.filter((line) => line === 'the queue is back')).toHaveLength(1);
    expect(await daemon.queues.health()).toMatchObject({ ok: true });
  });

  it('in the middle of a run loses nothing', async () => {
    const upstream = new StubUpstream(CONNECTION, 6);
    const gate = createGate();
    upstream.trouble = (page) => (page === 1 ? gate.opened : undefined);
    const { app, observer } = await start(upstream);
    await upstream.whenAsked('backfill', 1);
    await queue.cut();
    gate.open();
    await queue.restore();
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    expect(await app.database.prisma.tiledeskDepartment.count()).toBe(6);
  });

  it('does not keep the daemon from stopping within its limit, and cleanly', async () => {
    const { logger, lines } = createRecorder();
    const { observer, daemon } = await start(new StubUpstream(CONNECTION, 1), { logger });
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    await queue.cut();
    await daemon.stop();
    expect(lines.join()).not.toContain('SHUTDOWN_TIMEOUT_SECONDS');
    await queue.restore();
  });

  it('fails a command within its time', async () => {
    await queue.cut();
    const options: CreateQueuesOptions = {
      config: { redis: place.redisUrl === null ? null : { urls: queue.url.split(',') } },
      databaseUrl: database.url,
      logger: unheardLogger(),
      reachMs: 500,
    };
    const code = place.redisUrl === null ? 'database_unavailable' : 'queue_unavailable';
    await expect(createQueues(options)).rejects.toMatchObject({ code });
    await queue.restore();
  });

  it('at the start is waited for', async () => {
    const upstream = new StubUpstream(CONNECTION, 1);
    const app = await createStubApp({ ...urls(), upstreams: [upstream], incrementalCron: NEVER });
    closers.push(() => app.close());
    await app.database.prisma.$queryRaw`select 1`;
    await queue.cut();
    const { logger, lines } = createRecorder();
    const observer = new Observer();
    const starting = startDaemon(app, {
      roles: ['scheduler', 'worker'],
      logger,
      signal: new AbortController().signal,
      queueOptions: { prefix: place.prefix },
      schedulerOptions: ROUNDS,
      observer,
    });
    closers.push(async () => (await starting).stop());
    await until(() => lines.length > 0);
    await queue.restore();
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
  });

  it('of a whole process, killed in the middle of a run, is made good by another one', async () => {
    const upstream = new StubUpstream(CONNECTION, 8);
    const { databaseUrl, redisUrl, prefix } = place;
    const job = { connection: CONNECTION, rows: 8, databaseUrl, redisUrl, prefix, lockMs: 2_000 };
    const observing = await createStubApp({ ...urls(), upstreams: [upstream] });
    closers.push(() => observing.close());
    const { prisma } = observing.database;
    const victim = spawn(
      process.execPath,
      ['--import', './test/helpers/typescript.js', 'test/workers/victim.ts', JSON.stringify(job)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(victim.stdout, 'data');
    // The page before the one that is being read may still be on its way to the database.
    await until(async () => (await prisma.tiledeskDepartment.count()) === 4);
    const ended = once(victim, 'exit');
    victim.kill('SIGKILL');
    await ended;
    const { observer } = await start(upstream);
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    expect(await prisma.tiledeskDepartment.count()).toBe(8);
    // The pages that the dead process had written are not read again.
    expect(upstream.asked.filter(({ pass }) => pass === 'backfill')[0]?.page).toBe(2);
    const runs = await prisma.syncRun.findMany({ where: { pass: 'backfill' }, orderBy: { id: 'asc' } });
    expect(runs.map(({ outcome, error_code }) => [outcome, error_code])).toEqual([
      ['cancelled', 'lease_lost'],
      ['succeeded', null],
    ]);
  });
});

// A shared server's settings are not ours to change.
const { redis } = places;
if (redis?.isOwn) {
  describe('a Redis that evicts keys', () => {
    it('is warned about at the start', async () => {
      // BullMQ says it too, past our log.
      const bullmq = jest.spyOn(console, 'warn').mockImplementation(() => {});
      const client = new Redis(redis.url);
      await client.config('SET', 'maxmemory-policy', 'allkeys-lru');
      const { logger, lines } = createRecorder();
      const queues = await createQueues({ config: { redis: { urls: [redis.url] } }, databaseUrl: '', logger });
      await queues.close();
      await client.config('SET', 'maxmemory-policy', 'noeviction');
      await client.quit();
      bullmq.mockRestore();
      expect(lines.join()).toContain('maxmemory-policy');
    });
  });
}
