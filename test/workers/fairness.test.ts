import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { App } from '../../src/app.ts';
import { cancelRuns } from '../../src/store/engine/control.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import { type Daemon, startDaemon } from '../../workers/main.ts';
import { enqueueRun } from '../../workers/queues.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { countRuns, openQueuePlaces, type QueuePlace } from './queue-places.ts';
import { createGate, createStubApp, Observer, STREAM, StubUpstream, until } from './support.ts';

const places = await openQueuePlaces();
afterAll(() => places.close());

const HUGE = 'tiledesk:huge';
const SLICE_MS = 100;

/** One place a lane, and slices of a tenth of a second. */
describe.each(places.list)('turns in a queue in $name', (backend) => {
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

  async function setup(small: number, pages = 1) {
    const huge = new StubUpstream(HUGE, 8);
    const others = Array.from({ length: small }, (_, i) => new StubUpstream(`tiledesk:small-${i}`, 2 * pages));
    const { databaseUrl, redisUrl } = place;
    const upstreams = [huge, ...others];
    const app = await createStubApp({ databaseUrl, redisUrl, upstreams, concurrency: 1, bulkConcurrency: 1 });
    closers.push(() => app.close());
    const observer = new Observer();
    const daemon = await startDaemon(app, {
      roles: ['worker'],
      logger: unheardLogger(),
      signal: new AbortController().signal,
      queueOptions: { prefix: place.prefix },
      sliceMs: SLICE_MS,
      observer,
    });
    closers.push(() => daemon.stop());
    return { app, daemon, observer, huge, others };
  }

  const ask = (daemon: Daemon, connection: string, pass: 'backfill' | 'incremental' = 'backfill') =>
    enqueueRun(daemon.queues, { connection, stream: STREAM, pass, trigger: 'manual' });

  const runsOf = (app: App, connection: string, pass = 'backfill') =>
    app.database.prisma.syncRun.findMany({ where: { connection_id: connection, pass }, orderBy: { id: 'asc' } });

  /** Enough for the slice to be over at the next page's edge. */
  const pastTheSlice = () => new Promise<void>((resolve) => setTimeout(resolve, SLICE_MS + 20));

  it('one account without an end and nine small ones: all nine are done, and the huge one is a single run', async () => {
    const { app, daemon, observer, huge, others } = await setup(9);
    const nineWait = createGate();
    let isEndless = true;
    huge.trouble = async (page, pass) => {
      if (pass !== 'backfill') return;
      if (page === 1) await nineWait.opened;
      if (isEndless) for (let i = 0; i < 2; i++) huge.add();
      await new Promise((resolve) => setTimeout(resolve, 10));
    };
    await ask(daemon, HUGE);
    await huge.whenAsked('backfill', 1);
    for (const { id } of others) await ask(daemon, id);
    await pastTheSlice();
    nineWait.open();
    await until(() => others.every(({ id }) => observer.jobs.some((job) => job.connection === id && job.result)));
    const bulk = observer.jobs.filter(({ pass }) => pass === 'backfill').map(({ connection }) => connection);
    // Behind all that waited, not straight back to the front.
    expect(bulk.slice(0, 10)).toEqual([HUGE, ...others.map(({ id }) => id)]);
    expect(observer.jobs[0]?.result).toMatchObject({ outcome: 'postponed', error: { code: 'yielded' } });
    expect(observer.jobs[0]?.result?.pages).toBeGreaterThan(0);

    isEndless = false;
    await observer.job({ connection: HUGE, pass: 'backfill', outcome: 'succeeded' });
    const [run, ...more] = await runsOf(app, HUGE);
    expect(more).toEqual([]);
    const rows = await app.database.prisma.tiledeskDepartment.count({ where: { connection_id: HUGE } });
    expect(rows).toBe(huge.rows.length);
    expect(run).toMatchObject({ outcome: 'succeeded', created: rows, read: rows, pages: rows / 2, error_code: null });
    const slices = observer.jobs.flatMap(({ connection, pass, result }) =>
      connection === HUGE && pass === 'backfill' && result ? [result.slice.created] : [],
    );
    expect(slices.length).toBeGreaterThan(1);
    expect(slices.reduce((one, other) => one + other)).toBe(rows);
    // No page was asked for twice: a slice ends before the next page is fetched ahead.
    const pages = huge.asked.filter(({ pass }) => pass === 'backfill').map(({ page }) => page);
    expect(pages).toEqual([...new Set(pages)]);
  });

  it('does not yield while nobody waits', async () => {
    const { daemon, observer, huge } = await setup(0);
    huge.trouble = () => new Promise<void>((resolve) => setTimeout(resolve, SLICE_MS));
    await ask(daemon, HUGE);
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    expect(observer.jobs.filter(({ pass }) => pass === 'backfill')).toHaveLength(1);
  });

  it('between its turns a first full read is syncing, holds its deduplication, and keeps the count of what it was put off', async () => {
    const { app, daemon, observer, huge, others } = await setup(1);
    const [small] = others;
    if (small === undefined) throw new Error('none');
    const [hugeGate, smallGate] = [createGate(), createGate()];
    huge.trouble = (page) => (page === 1 ? hugeGate.opened : undefined);
    small.trouble = () => smallGate.opened;
    await ask(daemon, HUGE);
    await huge.whenAsked('backfill', 1);
    await ask(daemon, small.id);
    await pastTheSlice();
    hugeGate.open();
    await small.whenAsked('backfill');
    const [status] = (await readStatus(app.database.prisma)).filter(({ connection_id }) => connection_id === HUGE);
    expect(status).toMatchObject({ state: 'syncing', reason: 'the first full read is under way', running_pass: null });
    expect(await runsOf(app, HUGE)).toMatchObject([{ outcome: null, pages: 2 }]);
    await enqueueRun(daemon.queues, { connection: HUGE, stream: STREAM, pass: 'backfill', trigger: 'schedule' });
    expect(await countRuns(daemon.queues)).toBe(2);
    const [waiting] = await daemon.queues.lanes.bulk.getJobs(['waiting', 'delayed']);
    expect(waiting?.data).toEqual({
      ...{ connection: HUGE, stream: STREAM, pass: 'backfill', trigger: 'manual' },
      continues: String((await runsOf(app, HUGE))[0]?.id),
    });
    expect(waiting?.attemptsMade).toBe(0);
    // Cancelled while it waits: its job comes to nothing.
    expect(await cancelRuns(app.database.prisma, { connectionId: HUGE, stream: STREAM }, null)).toMatchObject([
      { pass: 'backfill', isAlive: true },
    ]);
    smallGate.open();
    await observer.job({ connection: HUGE, skipped: 'over' });
    expect(await runsOf(app, HUGE)).toMatchObject([{ outcome: 'cancelled', error_code: 'cancelled_by_person' }]);
  });

  it('the fast lane takes turns too', async () => {
    const { app, daemon, observer, huge, others } = await setup(1);
    for (const { id } of [huge, ...others]) await ask(daemon, id);
    await until(() => observer.jobs.filter(({ pass }) => pass === 'incremental').length === 2);
    await until(async () => (await countRuns(daemon.queues)) === 0);
    const before = observer.jobs.length;
    const gate = createGate();
    huge.trouble = (page) => (page === 1 ? gate.opened : undefined);
    const asked = huge.asked.length;
    await ask(daemon, HUGE, 'incremental');
    await until(() => huge.asked.length === asked + 2);
    for (const { id } of others) await ask(daemon, id, 'incremental');
    await pastTheSlice();
    gate.open();
    await observer.job({ connection: HUGE, outcome: 'succeeded' }, before);
    expect(observer.jobs.slice(before).map(({ connection }) => connection)).toEqual([
      HUGE,
      ...others.map(({ id }) => id),
      HUGE,
    ]);
    const runs = await runsOf(app, HUGE, 'incremental');
    expect(runs.at(-1)).toMatchObject({ outcome: 'succeeded', pages: 4 });
  });
});
