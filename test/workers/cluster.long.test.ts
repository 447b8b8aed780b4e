import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type DaemonOptions, startDaemon } from '../../workers/main.ts';
import { createQueues, type QueueOverrides } from '../../workers/queues.ts';
import { scheduleId } from '../../workers/run-job.ts';
import { startTestCluster } from '../helpers/redis-cluster.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { clusterPlace, type QueuePlace } from './queue-places.ts';
import {
  createGate,
  createRecorder,
  createStubApp,
  EVERY_SECOND,
  Observer,
  STREAM,
  StubUpstream,
  until,
} from './support.ts';

/**
 * What only a cluster can do wrong; everything else about the queue runs on it with `QUEUE_BACKENDS=cluster`. Its own processes, three of them, so it runs
 * wherever a server can be started.
 */
const cluster = await startTestCluster();
afterAll(() => cluster?.close());

const CONNECTION = 'tiledesk:one';

if (cluster !== null) {
  describe('a queue in a Redis Cluster of three nodes', () => {
    let place: QueuePlace;
    let closers: (() => Promise<void>)[];

    beforeEach(async () => {
      closers = [];
      place = await clusterPlace(cluster).open();
    });

    afterEach(async () => {
      for (const close of closers.reverse()) await close();
      await until(async () => (await place.openConnections()) === 0);
      await place.close();
    });

    async function start(upstream: StubUpstream, options: Partial<DaemonOptions> = {}, redisUrl = cluster?.url ?? '') {
      const { databaseUrl, prefix } = place;
      const app = await createStubApp({ databaseUrl, redisUrl, upstreams: [upstream], incrementalCron: EVERY_SECOND });
      closers.push(() => app.close());
      const observer = new Observer();
      const daemon = await startDaemon(app, {
        roles: ['scheduler', 'worker'],
        logger: unheardLogger(),
        signal: new AbortController().signal,
        // A worker that the crash left stuck is replaced after a minute otherwise, which is longer than the tests wait.
        queueOptions: { prefix, lockMs: 2_000, timeoutMs: 8_000 },
        schedulerOptions: { roundMs: 200, standbyMs: 200 },
        observer,
        ...options,
      });
      closers.push(() => daemon.stop());
      return { app, observer, daemon };
    }

    const connect = (
      urls: readonly string[],
      overrides: QueueOverrides & { logger?: ReturnType<typeof unheardLogger> },
    ) => createQueues({ config: { redis: { urls } }, databaseUrl: '', logger: unheardLogger(), ...overrides });

    const owner = () => cluster.ownerOf(`${place.prefix}:any`);
    const countRows = (app: Awaited<ReturnType<typeof start>>['app']) => app.database.prisma.tiledeskDepartment.count();

    /** From now on: a change upstream reaches the mirror by the schedule alone. */
    async function bringsChanges(upstream: StubUpstream, app: Parameters<typeof countRows>[0]) {
      upstream.add();
      await until(async () => (await countRows(app).catch(() => 0)) === upstream.rows.length);
    }

    it('keeps both lanes in the slot of one node', async () => {
      const upstream = new StubUpstream(CONNECTION, 5);
      const { app, observer, daemon } = await start(upstream);
      await observer.job({ pass: 'backfill', outcome: 'succeeded' });
      await observer.job({ pass: 'incremental', outcome: 'succeeded' });
      await bringsChanges(upstream, app);
      const holders = await Promise.all(
        cluster.nodes.map(async ({ admin }) =>
          (await admin.keys('*')).filter((key) => !key.startsWith(`${place.prefix}:`)),
        ),
      );
      expect(holders).toEqual([[], [], []]);
      const keys = await (await owner()).admin.keys('*');
      for (const queue of Object.values(daemon.queues.lanes)) {
        expect(keys).toContain(`${place.prefix}:${queue.name}:meta`);
      }
      expect(await daemon.queues.health()).toMatchObject({ backend: 'redis', ok: true });
    });

    it('goes on by itself after its node crashed in the middle of a run and came back empty', async () => {
      const upstream = new StubUpstream(CONNECTION, 6);
      const gate = createGate();
      upstream.trouble = (page, pass) => (pass === 'backfill' && page === 1 ? gate.opened : undefined);
      const { logger, lines } = createRecorder();
      const { app, observer } = await start(upstream, { logger });
      await upstream.whenAsked('backfill', 1);
      const node = await owner();
      await node.kill();
      gate.open();
      await until(() => lines.includes('the queue cannot be reached'));
      await node.restart();
      await until(() => lines.includes('the queue is back'));
      await bringsChanges(upstream, app);
      await observer.job({ pass: 'incremental', outcome: 'succeeded' }, observer.jobs.length);
      expect(lines.filter((line) => line === 'the queue cannot be reached')).toHaveLength(1);
      // The nodes agree by time-outs of their own, which take long on a busy machine.
    }, 120_000);

    it('is whole again after all nodes were flushed while runs were under way', async () => {
      const upstream = new StubUpstream(CONNECTION, 6);
      const gate = createGate();
      upstream.trouble = (page) => (page === 1 ? gate.opened : undefined);
      const { app, observer, daemon } = await start(upstream);
      await upstream.whenAsked('backfill', 1);
      await place.wipe();
      const { fast, bulk } = daemon.queues.lanes;
      await until(async () => (await bulk.getJobSchedulersCount()) + (await fast.getJobSchedulersCount()) === 2);
      gate.open();
      await observer.job({ pass: 'backfill', outcome: 'succeeded' });
      await bringsChanges(upstream, app);
      const id = scheduleId({ connection: CONNECTION, stream: STREAM, pass: 'incremental' });
      expect((await fast.getJobSchedulers()).map(({ key }) => key)).toEqual([id]);
    });

    it('works with a user that may only touch its own keys', async () => {
      const password = 'p@ss:word';
      const rights = [
        'SETUSER',
        'mirror',
        'reset',
        'on',
        `>${password}`,
        `~${place.prefix}*`,
        '+@all',
        '-@admin',
      ] as const;
      await Promise.all(cluster.nodes.map(({ admin }) => admin.acl(...rights)));
      const url = cluster.url.replaceAll('redis://', `redis://mirror:${encodeURIComponent(password)}@`);
      const { observer } = await start(new StubUpstream(CONNECTION, 3), {}, url);
      await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    });

    it('of which one node alone is named, says so', async () => {
      const isOwner = await owner();
      const other = cluster.nodes.find((node) => node !== isOwner);
      const connecting = connect([other?.proxy.url ?? ''], { prefix: place.prefix, reachMs: 300 });
      await expect(connecting).rejects.toMatchObject({
        code: 'queue_unavailable',
        message: expect.stringContaining('one node of a Redis Cluster'),
      });
    });

    it('is warned about when any node evicts keys', async () => {
      const bullmq = jest.spyOn(console, 'warn').mockImplementation(() => {});
      const { logger, lines } = createRecorder();
      await cluster.nodes[2]?.admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
      const queues = await connect(cluster.url.split(','), { prefix: place.prefix, logger });
      await queues.close();
      await cluster.nodes[2]?.admin.config('SET', 'maxmemory-policy', 'noeviction');
      bullmq.mockRestore();
      expect(lines.join()).toContain('maxmemory-policy');
    });
  });
} else {
  it.todo('needs a redis-server or valkey-server on PATH');
}
