import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { App } from '../../src/app.ts';
import { AuthError, RateLimitedError } from '../../src/errors.ts';
import { type Daemon, type DaemonOptions, startDaemon } from '../../workers/main.ts';
import { createQueues, enqueueRun } from '../../workers/queues.ts';
import { RUN, scheduleId } from '../../workers/run-job.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { countRuns, cutConnections, type QueueBackendPlace, type QueuePlace } from './queue-places.ts';
import {
  createGate,
  createRecorder,
  createStubApp,
  EVERY_SECOND,
  NEVER,
  Observer,
  STREAM,
  type StubAppOptions,
  StubUpstream,
  until,
} from './support.ts';

const CONNECTION = 'tiledesk:one';

/** What a daemon does, wherever its queue is. */
export function testDaemon(backend: QueueBackendPlace): void {
  let place: QueuePlace;
  let closers: (() => Promise<void>)[];

  beforeEach(async () => {
    place = await backend.open();
    closers = [];
  });

  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    await until(async () => (await place.openConnections()) === 0);
    await place.close();
  });

  async function createApp(upstreams: readonly StubUpstream[], options: Partial<StubAppOptions> = {}): Promise<App> {
    const { databaseUrl, redisUrl } = place;
    const app = await createStubApp({ databaseUrl, redisUrl, upstreams, ...options });
    closers.push(() => app.close());
    return app;
  }

  async function start(app: App, options: Partial<DaemonOptions> = {}) {
    const observer = new Observer();
    const daemon = await startDaemon(app, {
      roles: ['scheduler', 'worker'],
      logger: unheardLogger(),
      signal: new AbortController().signal,
      queueOptions: { prefix: place.prefix },
      schedulerOptions: { roundMs: 200, standbyMs: 100 },
      observer,
      ...options,
    });
    closers.push(() => daemon.stop());
    return { daemon, observer };
  }

  async function setup(upstream: StubUpstream, options: Partial<StubAppOptions> = {}) {
    const app = await createApp([upstream], options);
    return { app, upstream, ...(await start(app)) };
  }

  const manual = (daemon: Daemon, pass: 'incremental' | 'backfill' | 'reconcile') =>
    enqueueRun(daemon.queues, { connection: CONNECTION, stream: STREAM, pass, trigger: 'manual' });

  const countRows = (app: App) => app.database.prisma.tiledeskDepartment.count();

  it('reads a new stream whole, and at once what changed meanwhile', async () => {
    const { app, observer, daemon } = await setup(new StubUpstream(CONNECTION, 7));
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    expect(await countRows(app)).toBe(7);
    await until(async () => (await countRuns(daemon.queues)) === 0);
    expect(await daemon.queues.health()).toMatchObject({ ok: true, error: null });
  });

  it('polls a stream whose interval adapts without a tick, one job at a time, and a person still comes first', async () => {
    const upstream = new StubUpstream(CONNECTION, 3);
    const app = await createApp([upstream], { isAdaptive: true });
    const { daemon, observer } = await start(app, { leastPollMs: 300 });
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    upstream.add();
    await until(async () => (await countRows(app)) === 4);
    const { fast } = daemon.queues.lanes;
    const others = async () => (await fast.getJobs(['delayed'])).filter(({ name }) => name === RUN);
    await until(async () => (await others()).length === 1);
    // A tick, which asks for what waits already.
    const tick = { connection: CONNECTION, stream: STREAM, pass: 'incremental', trigger: 'schedule' } as const;
    await enqueueRun(daemon.queues, tick);
    expect((await others()).length).toBeLessThanOrEqual(1);
    const { prisma } = app.database;
    const [row] = await prisma.syncStream.findMany({ where: { connection_id: CONNECTION } });
    expect(row?.interval_seconds).toBeGreaterThanOrEqual(0.3);
    const seen = observer.jobs.length;
    await manual(daemon, 'incremental');
    await observer.job({ trigger: 'manual', outcome: 'succeeded' }, seen);
    upstream.add();
    await until(async () => (await countRows(app)) === 5);
  });

  it('leaves a stream with a cron to its ticks', async () => {
    const { app, observer, daemon } = await setup(new StubUpstream(CONNECTION, 3));
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    await until(async () => (await countRuns(daemon.queues)) === 0);
    const [row] = await app.database.prisma.syncStream.findMany();
    expect(row).toMatchObject({ next_due_at: null, interval_seconds: null });
  });

  it('shows no interval any more where a stream has got a cron', async () => {
    const upstream = new StubUpstream(CONNECTION, 3);
    const adaptive = await createApp([upstream], { isAdaptive: true });
    const { prisma } = adaptive.database;
    await prisma.syncStream.updateMany({ data: { interval_seconds: 15 } });
    await adaptive.assertStreams();
    const intervals = async () => (await prisma.syncStream.findMany()).map((row) => row.interval_seconds);
    expect(await intervals()).toEqual([15]);
    await (await createApp([upstream])).assertStreams();
    expect(await intervals()).toEqual([null]);
  });

  it('works what a run brought into the reporting tables', async () => {
    const app = await createApp([new StubUpstream(CONNECTION, 7)]);
    await start(app, { refreshGapMs: 50 });
    const names = () => app.database.prisma.$queryRaw<{ name: string }[]>`
      select name from reporting.names where connection_id = ${CONNECTION} and kind = 'department'`;
    await until(async () => (await names()).length === 7);
    await until(async () => {
      const [source] = await app.database.prisma.$queryRaw<{ is_current: boolean }[]>`
        select s.as_of = t.as_of as is_current from reporting.sources s join sync.status t using (connection_id, stream)`;
      return source?.is_current === true;
    });
  });

  it('runs an incremental pass at each tick', async () => {
    const { app, observer, upstream } = await setup(new StubUpstream(CONNECTION, 3), { incrementalCron: EVERY_SECOND });
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    upstream.add();
    await until(async () => (await countRows(app)) === 4);
    const ticks = observer.jobs.length;
    await observer.job({ pass: 'incremental', trigger: 'schedule', outcome: 'succeeded' }, ticks);
  });

  it('removes the schedules of a connection that is no longer configured, and follows a changed cron', async () => {
    const both = await start(await createApp([new StubUpstream(CONNECTION, 0), new StubUpstream('tiledesk:two', 0)]));
    await both.observer.round(1);
    await both.daemon.stop();
    const { daemon, observer } = await start(
      await createApp([new StubUpstream(CONNECTION, 0)], { incrementalCron: '0 4 * * *' }),
    );
    await observer.round(1);
    const schedules = await daemon.queues.lanes.fast.getJobSchedulers();
    expect(schedules.map(({ key }) => key)).toEqual([
      scheduleId({ connection: CONNECTION, stream: STREAM, pass: 'incremental' }),
    ]);
    expect(schedules[0]?.pattern).toMatch(/^\d+ 0 4 \* \* \*$/);
  });

  it('hands the lead to the other scheduler when the first one stops', async () => {
    const upstreams = [new StubUpstream(CONNECTION, 0)];
    const first = await start(await createApp(upstreams), { roles: ['scheduler'] });
    await first.observer.round(1);
    const second = await start(await createApp(upstreams), { roles: ['scheduler'] });
    expect([first.daemon.isLeading, second.daemon.isLeading]).toEqual([true, false]);
    await first.daemon.stop();
    await second.observer.round(1);
    expect(second.daemon.isLeading).toBe(true);
  });

  it('runs a stream once at a time, and a slow run never piles up', async () => {
    const upstream = new StubUpstream(CONNECTION, 1);
    const { observer, daemon } = await setup(upstream, { incrementalCron: EVERY_SECOND });
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    const gate = createGate();
    upstream.trouble = () => gate.opened;
    const asked = upstream.asked.length;
    await until(() => upstream.asked.length > asked);
    const before = observer.jobs.length;
    const id = scheduleId({ connection: CONNECTION, stream: STREAM, pass: 'incremental' });
    const ticks = async () => (await daemon.queues.lanes.fast.getJobScheduler(id))?.iterationCount ?? 0;
    const start = await ticks();
    await until(async () => (await ticks()) >= start + 3);
    expect(await countRuns(daemon.queues)).toBe(1);
    expect(observer.jobs).toHaveLength(before);
    gate.open();
    await until(() => observer.jobs.length > before);
    expect(upstream.most.get('incremental')).toBe(1);
  });

  it('runs once more after a trigger by hand during a run, however often it was asked', async () => {
    const upstream = new StubUpstream(CONNECTION, 1);
    const { observer, daemon } = await setup(upstream);
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    await until(async () => (await countRuns(daemon.queues)) === 0);
    const before = observer.jobs.length;
    const gate = createGate();
    upstream.trouble = () => gate.opened;
    const asked = upstream.asked.length;
    await manual(daemon, 'incremental');
    await until(() => upstream.asked.length > asked);
    for (let i = 0; i < 5; i++) await manual(daemon, 'incremental');
    gate.open();
    await until(() => observer.jobs.length === before + 2);
    await until(async () => (await countRuns(daemon.queues)) === 0);
    expect(observer.jobs.slice(before).map(({ trigger }) => trigger)).toEqual(['manual', 'manual']);
    expect(upstream.most.get('incremental')).toBe(1);
  });

  it('puts off a run for as long as the upstream asks, and goes on at the checkpoint without counting an attempt', async () => {
    const upstream = new StubUpstream(CONNECTION, 8);
    let refusals = 0;
    upstream.trouble = (page, pass) => {
      if (pass === 'backfill' && page === 2 && refusals++ === 0)
        throw new RateLimitedError('too many', { waitMs: 2_000 });
    };
    const { app, observer, daemon } = await setup(upstream);
    const first = await observer.job({ pass: 'backfill', outcome: 'postponed' });
    expect(first.result?.error?.code).toBe('rate_limited');
    const [waiting, ...others] = (await daemon.queues.lanes.bulk.getDelayed()).filter(({ name }) => name === 'run');
    expect(others).toEqual([]);
    expect(waiting).toMatchObject({ attemptsMade: 0, data: { postponed: { count: 1 } } });
    // The scheduler sees an unfinished read every round; the job that waits stands for it.
    await observer.round(observer.rounds.length + 2);
    expect(await countRuns(daemon.queues)).toBe(1);
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    const pages = upstream.asked.filter(({ pass }) => pass === 'backfill').map(({ page }) => page);
    expect(pages).toEqual([0, 1, 2, 2, 3]);
    expect(await countRows(app)).toBe(8);
  });

  it('does not make a person wait for a run that was put off', async () => {
    const upstream = new StubUpstream(CONNECTION, 1);
    const { observer, daemon } = await setup(upstream);
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    await until(async () => (await countRuns(daemon.queues)) === 0);
    upstream.trouble = () => {
      throw new RateLimitedError('too many', { waitMs: 600_000 });
    };
    await manual(daemon, 'incremental');
    await observer.job({ pass: 'incremental', outcome: 'postponed' });
    upstream.trouble = () => {};
    const before = observer.jobs.length;
    await manual(daemon, 'incremental');
    await observer.job({ trigger: 'manual', outcome: 'succeeded' }, before);
    await until(async () => (await countRuns(daemon.queues)) === 0);
  });

  it('leaves a connection alone after a refused sign-in, until a person asks and it works', async () => {
    const upstream = new StubUpstream(CONNECTION, 1);
    const { observer, daemon } = await setup(upstream, { incrementalCron: EVERY_SECOND });
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    upstream.trouble = () => {
      throw new AuthError('auth_failed', 'refused');
    };
    await observer.job({ outcome: 'failed' });
    const asked = upstream.asked.length;
    const failed = observer.jobs.length;
    await observer.job({ skipped: 'cooling_down' }, failed);
    await until(() => observer.jobs.length >= failed + 2);
    expect(upstream.asked).toHaveLength(asked);
    upstream.trouble = () => {};
    // Ticks go on every second; one of them may be the run that waits already.
    await until(async () => (await countRuns(daemon.queues)) === 0);
    await manual(daemon, 'incremental');
    await observer.job({ trigger: 'manual', outcome: 'succeeded' });
    await observer.job({ trigger: 'schedule', outcome: 'succeeded' }, failed);
  });

  it('does not run a paused stream', async () => {
    const upstream = new StubUpstream(CONNECTION, 1);
    const app = await createApp([upstream]);
    await app.database.prisma.syncStream.updateMany({ data: { paused_at: new Date() } });
    const { daemon, observer } = await start(app);
    await manual(daemon, 'backfill');
    await observer.job({ skipped: 'paused' });
    await observer.round(2);
    expect(upstream.asked).toEqual([]);
  });

  it('drops a job of a stream that is gone, and one that it cannot read', async () => {
    const { daemon, observer } = await setup(new StubUpstream(CONNECTION, 1));
    await enqueueRun(daemon.queues, {
      connection: 'tiledesk:gone',
      stream: STREAM,
      pass: 'incremental',
      trigger: 'manual',
    });
    await observer.job({ connection: 'tiledesk:gone', skipped: 'not_configured' });
    await daemon.queues.lanes.fast.add('run', {} as never, { attempts: 5 });
    await until(async () => (await daemon.queues.lanes.fast.getFailedCount()) === 1);
  });

  it('puts everything back after the queue lost all of its memory', async () => {
    const upstream = new StubUpstream(CONNECTION, 6);
    const gate = createGate();
    upstream.trouble = (page) => (page === 1 ? gate.opened : undefined);
    const app = await createApp([upstream], { incrementalCron: EVERY_SECOND });
    // A worker that was left stuck is replaced after a minute otherwise, which is as long as the test waits.
    const { observer, daemon } = await start(app, { queueOptions: { prefix: place.prefix, timeoutMs: 8_000 } });
    await upstream.whenAsked('backfill', 1);
    await place.wipe();
    const bulk = daemon.queues.lanes.bulk;
    const fast = daemon.queues.lanes.fast;
    await until(async () => (await bulk.getJobSchedulersCount()) === 1 && (await fast.getJobSchedulersCount()) === 1);
    gate.open();
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    await observer.job({ pass: 'incremental', trigger: 'schedule', outcome: 'succeeded' });
    expect(await countRows(app)).toBe(6);
    // Also what was only waiting: nobody but the database remembers it. It cannot end before the queue is wiped.
    const again = createGate();
    upstream.trouble = (page) => (page === 1 ? again.opened : undefined);
    const before = observer.jobs.length;
    await app.database.prisma.syncCheckpoint.updateMany({ where: { pass: 'backfill' }, data: { completed_at: null } });
    await place.wipe();
    again.open();
    await observer.job({ pass: 'backfill', outcome: 'succeeded' }, before);
    // Each of the four steps may wait for a worker's next look, which is ten seconds away at most, on a busy machine more.
  }, 120_000);

  it('does not ask again for hundreds of first reads that the queue still holds, and does for those that it lost', async () => {
    const upstreams = Array.from({ length: 201 }, (_, i) => new StubUpstream(`tiledesk:${i}`, 1));
    const { observer, daemon } = await start(await createApp(upstreams), { roles: ['scheduler'] });
    await observer.round(2);
    expect(observer.rounds.slice(0, 2).map(({ enqueued }) => enqueued)).toEqual([201, 0]);
    const { bulk } = daemon.queues.lanes;
    const held = async () => (await bulk.getJobCounts('waiting')).waiting;
    expect(await held()).toBe(201);
    await place.wipe();
    await until(async () => (await held()) === 201);
    // A round is reported when it has ended, a moment after its last job.
    await until(() => observer.rounds.filter(({ enqueued }) => enqueued > 0).length > 1);
  });

  it('stops within its limit, keeps the checkpoint and loses no job', async () => {
    const upstream = new StubUpstream(CONNECTION, 8);
    const gate = createGate();
    upstream.trouble = (page) => (page === 2 ? gate.opened : undefined);
    const { logger, lines } = createRecorder();
    const app = await createApp([upstream]);
    const first = { app, ...(await start(app, { logger })) };
    await upstream.whenAsked('backfill', 2);
    await until(async () => (await countRows(first.app)) === 4);
    await first.daemon.stop();
    expect(lines.join()).not.toContain('SHUTDOWN_TIMEOUT_SECONDS');
    const key = { connection_id: CONNECTION, stream: STREAM, pass: 'backfill' };
    const checkpoint = await first.app.database.prisma.syncCheckpoint.findUnique({
      where: { connection_id_stream_pass: key },
    });
    expect(checkpoint).toMatchObject({ completed_at: null, lease_until: null });
    expect(checkpoint?.cursor).not.toBeNull();
    gate.open();
    // A worker alone: the job itself must still be there, nobody makes a new one.
    const second = await start(await createApp([upstream]), { roles: ['worker'] });
    await second.observer.job({ pass: 'backfill', outcome: 'succeeded' });
    expect(upstream.asked.filter(({ pass }) => pass === 'backfill').map(({ page }) => page)).toEqual([0, 1, 2, 2, 3]);
  });

  it('lets another worker go on at once when one stops', async () => {
    const upstream = new StubUpstream(CONNECTION, 4);
    const gate = createGate();
    upstream.trouble = (page) => (page === 1 ? gate.opened : undefined);
    const first = await setup(upstream);
    await upstream.whenAsked('backfill', 1);
    const second = await start(await createApp([upstream]), { roles: ['worker'] });
    const stopped = first.daemon.stop();
    gate.open();
    await stopped;
    await until(() =>
      [...first.observer.jobs, ...second.observer.jobs].some(({ result }) => result?.outcome === 'succeeded'),
    );
    expect(await countRows(first.app)).toBe(4);
  });

  it('goes on by itself after all of its database connections were cut', async () => {
    const { app, observer, upstream } = await setup(new StubUpstream(CONNECTION, 1), { incrementalCron: EVERY_SECOND });
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    await cutConnections(place.databaseUrl);
    upstream.add();
    await until(async () => (await countRows(app).catch(() => 0)) === 2);
    await observer.round(observer.rounds.length + 2);
  });

  it('retries what failed for the sake of the database', async () => {
    const upstream = new StubUpstream(CONNECTION, 4);
    let isCut = false;
    upstream.trouble = async (page) => {
      if (page !== 1 || isCut) return;
      isCut = true;
      await cutConnections(place.databaseUrl);
    };
    const { app, observer } = await setup(upstream);
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    expect(await countRows(app)).toBe(4);
  });

  it('can be asked from another process that only has the queue', async () => {
    const { app, observer, daemon } = await setup(new StubUpstream(CONNECTION, 1), { incrementalCron: NEVER });
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    await until(async () => (await countRuns(daemon.queues)) === 0);
    const options = {
      config: app.config,
      databaseUrl: place.databaseUrl,
      logger: unheardLogger(),
      prefix: place.prefix,
    };
    const queues = await createQueues(options);
    await queues.ping();
    await enqueueRun(queues, { connection: CONNECTION, stream: STREAM, pass: 'reconcile', trigger: 'manual' });
    await queues.close();
    await observer.job({ pass: 'reconcile', outcome: 'succeeded' });
  });
}
