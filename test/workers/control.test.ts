import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { App } from '../../src/app.ts';
import { cancelRuns, pauseStream, resumeStream, resyncStream } from '../../src/store/engine/control.ts';
import { LEASE_RENEW_MS } from '../../src/store/engine/leases.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import { type DaemonOptions, startDaemon } from '../../workers/main.ts';
import { enqueueRun } from '../../workers/queues.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import {
  createGate,
  createStubApp,
  NEVER,
  Observer,
  STREAM,
  type StubAppOptions,
  StubUpstream,
  until,
} from './support.ts';

const CONNECTION = 'tiledesk:one';
const KEY = { connectionId: CONNECTION, stream: STREAM };
/** A wish reaches a run with its next renewal. */
const EFFECTIVE_MS = 5_000;

let database: TestDatabase;
let closers: (() => Promise<void>)[];
beforeEach(async () => {
  database = await createTestDatabase();
  closers = [];
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  await database.drop();
});

async function setup(upstream: StubUpstream, options: Partial<StubAppOptions & DaemonOptions> = {}) {
  const app = await createStubApp({
    ...{ databaseUrl: database.url, redisUrl: null, upstreams: [upstream], incrementalCron: NEVER },
    ...options,
  });
  closers.push(() => app.close());
  const observer = new Observer();
  const daemon = await startDaemon(app, {
    roles: ['scheduler', 'worker'],
    logger: unheardLogger(),
    signal: new AbortController().signal,
    schedulerOptions: { roundMs: 200, standbyMs: 100 },
    observer,
    ...options,
  });
  closers.push(() => daemon.stop());
  return { app, daemon, observer, prisma: app.database.prisma };
}

const countRows = (app: App) => app.database.prisma.tiledeskDepartment.count();

const checkpointOf = (app: App, pass = 'backfill') =>
  app.database.prisma.syncCheckpoint.findUniqueOrThrow({
    where: { connection_id_stream_pass: { connection_id: CONNECTION, stream: STREAM, pass } },
  });

const statusOf = async (app: App) => (await readStatus(app.database.prisma))[0];

const pagesOf = (upstream: StubUpstream) =>
  upstream.asked.filter(({ pass }) => pass === 'backfill').map(({ page }) => page);

/** Four pages; the third never comes, unless the gate is opened. */
function stuckOnPage2() {
  const upstream = new StubUpstream(CONNECTION, 8);
  const gate = createGate();
  upstream.trouble = (page, pass) => (page === 2 && pass === 'backfill' ? gate.opened : undefined);
  return { upstream, gate };
}

describe('pause', () => {
  it('ends a run under way within five seconds, and resume goes on at its checkpoint', async () => {
    const { upstream, gate } = stuckOnPage2();
    const { app, observer, daemon, prisma } = await setup(upstream);
    await upstream.whenAsked('backfill', 2);
    await until(async () => (await countRows(app)) === 4);
    expect(await pauseStream(prisma, KEY)).toMatchObject({ wasPaused: false, running: ['backfill'] });
    const { result } = await observer.job({ pass: 'backfill', outcome: 'cancelled' });
    // Each renewal of the lease learns of it; how long a busy machine takes for one is not judged.
    expect(LEASE_RENEW_MS).toBeLessThan(EFFECTIVE_MS);
    expect(result?.error).toEqual({
      code: 'paused',
      message: `paused by a person while it ran; progress is kept, and it goes on after: leadmirror resume ${STREAM} --connection ${CONNECTION}`,
    });
    expect(await prisma.syncRun.findMany()).toMatchObject([{ outcome: 'cancelled', error_code: 'paused', pages: 2 }]);
    expect(await checkpointOf(app)).toMatchObject({ lease_until: null, completed_at: null, cursor: expect.anything() });
    expect(await statusOf(app)).toMatchObject({ state: 'paused', reason: 'paused by a person' });

    // Neither the schedule nor a person's trigger runs it meanwhile.
    gate.open();
    await enqueueRun(daemon.queues, { connection: CONNECTION, stream: STREAM, pass: 'backfill', trigger: 'manual' });
    await observer.job({ skipped: 'paused' });
    await observer.round(observer.rounds.length + 2);
    expect(await countRows(app)).toBe(4);
    expect(await pauseStream(prisma, KEY)).toMatchObject({ wasPaused: true, running: [] });

    expect(await resumeStream(prisma, KEY)).toBeInstanceOf(Date);
    expect(await resumeStream(prisma, KEY)).toBeNull();
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    expect(pagesOf(upstream)).toEqual([0, 1, 2, 2, 3]);
    expect(await countRows(app)).toBe(8);
  });
});

describe('a stream that another process took out of the configuration', () => {
  it('ends its run; a process that still has it may run it again', async () => {
    const { upstream, gate } = stuckOnPage2();
    const { app, observer, daemon, prisma } = await setup(upstream, {
      // A leader that still has the stream would switch it on again in its next round.
      schedulerOptions: { roundMs: 60_000, standbyMs: 100 },
    });
    await upstream.whenAsked('backfill', 2);
    await registerStreams(prisma, [{ connectionId: 'tiledesk:two', stream: STREAM, freshWithinSeconds: 900 }], {
      retires: 'always',
    });
    const { result } = await observer.job({ pass: 'backfill', outcome: 'cancelled' });
    expect(result?.error?.code).toBe('not_configured');
    gate.open();
    await enqueueRun(daemon.queues, { connection: CONNECTION, stream: STREAM, pass: 'backfill', trigger: 'manual' });
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    expect(await countRows(app)).toBe(8);
  });
});

describe('cancel', () => {
  it('ends the run under way, not the next one, and the job is not handed back', async () => {
    const { upstream, gate } = stuckOnPage2();
    const { app, observer, daemon, prisma } = await setup(upstream, { roles: ['worker'] });
    await enqueueRun(daemon.queues, { connection: CONNECTION, stream: STREAM, pass: 'backfill', trigger: 'manual' });
    await upstream.whenAsked('backfill', 2);
    await until(async () => (await countRows(app)) === 4);
    expect(await cancelRuns(prisma, KEY, 'reconcile')).toEqual([]);
    expect(await cancelRuns(prisma, KEY, null)).toMatchObject([{ pass: 'backfill', isAlive: true }]);
    expect(await cancelRuns(prisma, KEY, null)).toEqual([]);
    // Before the process even knows: what it wanted to write is not written any more.
    expect(await prisma.syncRun.findMany()).toMatchObject([
      { outcome: 'cancelled', error_code: 'cancelled_by_person', pages: 2, created: 4 },
    ]);
    gate.open();
    const { result } = await observer.job({ pass: 'backfill', outcome: 'cancelled' });
    expect(result?.error?.code).toBe('cancelled_by_person');
    expect(await countRows(app)).toBe(4);
    await until(async () => (await daemon.queues.lanes.bulk.getJobCountByTypes('waiting', 'active', 'delayed')) === 0);

    await enqueueRun(daemon.queues, { connection: CONNECTION, stream: STREAM, pass: 'backfill', trigger: 'manual' });
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    expect(await countRows(app)).toBe(8);
    // Page 3 was asked for as soon as page 2 had arrived, before anybody could know that this one would not be written.
    expect(pagesOf(upstream)).toEqual([0, 1, 2, 3, 2, 3]);
  });
});

describe('resync', () => {
  it('reads everything again, past the version guard, keeps the rows, and lets incremental passes go on', async () => {
    const upstream = new StubUpstream(CONNECTION, 8);
    const { app, observer, daemon, prisma } = await setup(upstream);
    await observer.job({ pass: 'incremental', outcome: 'succeeded' });
    expect((await statusOf(app))?.state).toBe('fresh');
    // What a wrong hand can do: a row is gone, and one claims to be newer than it is.
    await prisma.tiledeskDepartment.deleteMany({ where: { id: 'row-00003' } });
    await prisma.$executeRaw`update tiledesk.departments set name = 'wrong', content_hash = 'x',
      updated_at = now() + interval '1 day', synced_at = now() - interval '1 hour' where id = 'row-00005'`;
    const gate = createGate();
    upstream.trouble = (page, pass) => (page === 1 && pass === 'backfill' ? gate.opened : undefined);
    const first = observer.jobs.length;

    expect(await resyncStream(prisma, KEY)).toEqual({ ended: [], wasComplete: true, isPaused: false });
    // The scheduler finds it by itself.
    await until(() => pagesOf(upstream).length === 6);
    expect(await statusOf(app)).toMatchObject({
      ...{ state: 'syncing', reason: 'a full re-read (resync), asked for by a person, is under way', as_of: null },
      ...{ running_pass: 'backfill', backfill_completed_at: null },
    });
    upstream.add();
    await enqueueRun(daemon.queues, { connection: CONNECTION, stream: STREAM, pass: 'incremental', trigger: 'manual' });
    await observer.job({ pass: 'incremental', outcome: 'succeeded' }, first);
    gate.open();
    await observer.job({ pass: 'backfill', outcome: 'succeeded' }, first);
    expect(await countRows(app)).toBe(9);
    expect(await prisma.tiledeskDepartment.count({ where: { name: 'wrong' } })).toBe(0);
    await until(async () => (await statusOf(app))?.state === 'fresh');
  });

  it('under way ends the full sync, whose holder cannot write its old progress back', async () => {
    const { upstream, gate } = stuckOnPage2();
    const { app, observer, prisma } = await setup(upstream);
    await upstream.whenAsked('backfill', 2);
    await until(async () => (await countRows(app)) === 4);
    await prisma.$executeRaw`insert into sync.seen_ids (connection_id, stream, pass, list, id)
      select ${CONNECTION}, ${STREAM}, pass, 'all', 'x' from unnest(array['backfill', 'reconcile', 'verify']) pass`;
    const resynced = await resyncStream(prisma, KEY);
    expect(resynced).toMatchObject({ ended: [{ pass: 'backfill' }], wasComplete: false });
    expect((await prisma.syncSeenId.findMany()).map(({ pass }) => pass)).toEqual(['verify']);
    gate.open();
    const { result } = await observer.job({ pass: 'backfill', outcome: 'cancelled' });
    expect(result?.error?.code).toBe('resync');
    await observer.job({ pass: 'backfill', outcome: 'succeeded' });
    expect(pagesOf(upstream).slice(0, 8)).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  });
});
