import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { LaneWorker } from '../../workers/lane-worker.ts';
import { type Daemon, startDaemon } from '../../workers/main.ts';
import type { RunWorker } from '../../workers/queue-backend.ts';
import { createQueues, enqueueRun, type Queues } from '../../workers/queues.ts';
import { openQueuePlaces, type QueuePlace } from './queue-places.ts';
import { createGate, createRecorder, createStubApp, NEVER, Observer, STREAM, StubUpstream, until } from './support.ts';

const places = await openQueuePlaces();
afterAll(() => places.close());

const CONNECTION = 'tiledesk:one';
const TIMEOUT_MS = 800;
const REPLACED = 'a worker takes no jobs although the queue answers; it is replaced';
const job = { connection: CONNECTION, stream: STREAM, pass: 'incremental', trigger: 'manual' } as const;

describe.each(places.list)('a worker with its queue in $name', (backend) => {
  let place: QueuePlace;
  let queues: Queues;
  let lane: LaneWorker;
  let recorder: ReturnType<typeof createRecorder>;
  let created: RunWorker[];
  let taken: string[];
  /** What the processor waits for. */
  let hold: Promise<void>;

  beforeEach(async () => {
    place = await backend.open();
    recorder = createRecorder();
    created = [];
    taken = [];
    hold = Promise.resolve();
    queues = await createQueues({
      config: { redis: place.redisUrl === null ? null : { urls: place.redisUrl.split(',') } },
      databaseUrl: place.databaseUrl,
      logger: recorder.logger,
      prefix: place.prefix,
      timeoutMs: TIMEOUT_MS,
      lockMs: 2_000,
    });
    const create = () => {
      const worker = queues.createWorker(
        'fast',
        async ({ id = '' }) => {
          taken.push(id);
          await hold;
        },
        2,
      );
      created.push(worker);
      return worker;
    };
    lane = new LaneWorker({
      lane: 'fast',
      create,
      ping: () => queues.ping(),
      logger: recorder.logger,
      timeoutMs: TIMEOUT_MS,
    });
  });

  afterEach(async () => {
    await lane.close();
    await queues.close();
    await until(async () => (await place.openConnections()) === 0);
    await place.close();
  });

  async function takesJobs(): Promise<void> {
    const before = taken.length;
    await enqueueRun(queues, job);
    await until(() => taken.length > before);
  }

  const replaced = () => recorder.lines.filter((line) => line === REPLACED).length;
  const newest = () => created.at(-1) as RunWorker;

  it('that is idle, or full, is left alone', async () => {
    await takesJobs();
    const gate = createGate();
    hold = gate.opened;
    const { fast } = queues.lanes;
    await Promise.all([1, 2, 3].map((n) => fast.add('run', { ...job, connection: `c${n}` })));
    await until(() => taken.length === 3);
    expect(lane.activeJobs).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 2.5 * TIMEOUT_MS));
    gate.open();
    await until(() => taken.length === 4);
    expect(replaced()).toBe(0);
  });

  it('whose loop has ended is replaced', async () => {
    await takesJobs();
    await newest().close();
    await until(() => replaced() === 1);
    await takesJobs();
    expect(created).toHaveLength(2);
  });

  it('that waits for an answer that never comes is replaced, and ends the run that it has', async () => {
    await takesJobs();
    const gate = createGate();
    hold = gate.opened;
    await enqueueRun(queues, job);
    await until(() => taken.length === 2);
    const backendOf = newest() as unknown as { backend: { waitForJob: () => Promise<null> } };
    backendOf.backend.waitForJob = () => new Promise(() => {});
    await until(() => replaced() === 1);
    expect(lane.activeJobs).toBe(1);
    await queues.lanes.fast.add('run', { ...job, connection: 'other' });
    await until(() => taken.length === 3);
    gate.open();
    await until(async () => (await queues.lanes.fast.getJobCountByTypes('active', 'waiting')) === 0);
    expect(new Set(taken).size).toBe(3);
  });
});

const { redis } = places;
if (redis?.isOwn) {
  describe('a worker on Redis', () => {
    let place: QueuePlace;
    let closers: (() => Promise<unknown>)[];
    let admin: Redis;

    beforeEach(async () => {
      const found = places.list.find(({ name }) => name === 'Redis');
      if (found === undefined) throw new Error('no Redis');
      place = await found.open();
      admin = new Redis(redis.url);
      closers = [() => admin.quit()];
    });

    afterEach(async () => {
      for (const close of closers.reverse()) await close();
      await until(async () => (await place.openConnections()) === 0);
      await place.close();
    });

    async function start({ redisUrl = redis?.url ?? '', timeoutMs = TIMEOUT_MS } = {}) {
      const upstream = new StubUpstream(CONNECTION, 1);
      const app = await createStubApp({
        databaseUrl: place.databaseUrl,
        redisUrl,
        upstreams: [upstream],
        incrementalCron: NEVER,
      });
      closers.push(() => app.close());
      const observer = new Observer();
      const { logger, lines } = createRecorder();
      const daemon: Daemon = await startDaemon(app, {
        roles: ['scheduler', 'worker'],
        logger,
        signal: new AbortController().signal,
        queueOptions: { prefix: place.prefix, timeoutMs, lockMs: 2_000 },
        schedulerOptions: { roundMs: 100, standbyMs: 100 },
        observer,
      });
      closers.push(() => daemon.stop());
      const runs = async (count = observer.jobs.length) => {
        await enqueueRun(daemon.queues, job);
        await observer.job({ trigger: 'manual', outcome: 'succeeded' }, count);
      };
      return { app, observer, daemon, lines, runs };
    }

    it('takes jobs again after the server cut all connections, twice', async () => {
      // BullMQ itself pauses for some seconds after an error.
      const { observer, runs, lines } = await start({ timeoutMs: 10_000 });
      await observer.job({ pass: 'incremental', outcome: 'succeeded' });
      for (let i = 0; i < 2; i++) {
        await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        await runs();
      }
      expect(lines).not.toContain(REPLACED);
    });

    it('takes jobs again after its connections went silent, without a word from the network', async () => {
      const proxy = await place.cuttable();
      closers.push(() => proxy.close());
      const { observer, runs } = await start({ redisUrl: proxy.url });
      await observer.job({ pass: 'incremental', outcome: 'succeeded' });
      proxy.freeze();
      await runs();
    });

    it('starts to work when its user is granted the rights that it lacked', async () => {
      // ioredis says it too, past our log.
      const ioredis = jest.spyOn(console, 'warn').mockImplementation(() => {});
      closers.push(async () => ioredis.mockRestore());
      await admin.acl('SETUSER', 'poor', 'reset', 'on', '>secret', '~*', '+@all', '-info');
      closers.push(() => admin.acl('DELUSER', 'poor'));
      const { lines, observer } = await start({ redisUrl: redis.url.replace('redis://', 'redis://poor:secret@') });
      await until(() => lines.length > 0);
      await admin.acl('SETUSER', 'poor', '+info');
      await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    });

    it('does not storm a server that refuses every write', async () => {
      const { observer, runs } = await start();
      await observer.job({ pass: 'incremental', outcome: 'succeeded' });
      await admin.config('SET', 'min-replicas-to-write', '1');
      await admin.config('RESETSTAT');
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const calls = Number(/total_commands_processed:(\d+)/.exec(await admin.info('stats'))?.[1]);
      await admin.config('SET', 'min-replicas-to-write', '0');
      expect(calls).toBeLessThan(300);
      await runs();
    });
  });
}
