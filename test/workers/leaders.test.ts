import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { type Daemon, startDaemon } from '../../workers/main.ts';
import { scheduleId } from '../../workers/run-job.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { openQueuePlaces, type QueuePlace } from './queue-places.ts';
import { createStubApp, EVERY_SECOND, Observer, STREAM, StubUpstream, until } from './support.ts';

const places = await openQueuePlaces();
afterAll(() => places.close());

/** Each in a place of its own. `LEADER_ROUNDS=20` for a thorough look. */
const ROUNDS = Number(process.env.LEADER_ROUNDS ?? 1);
const CONNECTIONS = Array.from({ length: 5 }, (_, i) => `tiledesk:${i}`);

const idsOf = (pass: 'incremental' | 'reconcile') =>
  CONNECTIONS.map((connection) => scheduleId({ connection, stream: STREAM, pass })).sort();

/** All but the start. The streams are paused: a tick asks for a run, and the run ends at once. */
async function prepare(place: QueuePlace, closers: (() => Promise<void>)[]) {
  const { databaseUrl, redisUrl, prefix } = place;
  const upstreams = CONNECTIONS.map((id) => new StubUpstream(id, 0));
  const app = await createStubApp({ databaseUrl, redisUrl, upstreams, incrementalCron: EVERY_SECOND });
  closers.push(() => app.close());
  await app.database.prisma.syncStream.updateMany({ data: { paused_at: new Date() } });
  return async () => {
    const observer = new Observer();
    const daemon = await startDaemon(app, {
      roles: ['scheduler', 'worker'],
      logger: unheardLogger(),
      signal: new AbortController().signal,
      queueOptions: { prefix },
      schedulerOptions: { roundMs: 100, standbyMs: 100 },
      observer,
    });
    closers.push(() => daemon.stop());
    return { observer, daemon };
  };
}

/**
 * Milliseconds from each tick of a schedule to its next one, as far as they are seen until every schedule has come round. A tick's id ends in its time.
 */
async function gapsBetweenTicks({ queues }: Daemon): Promise<number[]> {
  const times = new Map<string, Set<number>>();
  const haveAllTicked = () => [...times.values()].filter(({ size }) => size >= 3).length === CONNECTIONS.length;
  await until(async () => {
    const jobs = await queues.lanes.fast.getJobs(['delayed', 'waiting', 'active']);
    for (const { id = '' } of jobs.filter((job) => job?.name === 'tick')) {
      const colon = id.lastIndexOf(':');
      const schedule = id.slice(0, colon);
      times.set(schedule, (times.get(schedule) ?? new Set()).add(Number(id.slice(colon + 1))));
    }
    return haveAllTicked();
  });
  return [...times.values()].flatMap((set) => {
    const sorted = [...set].sort((a, b) => a - b);
    return sorted.slice(1).map((time, i) => time - (sorted[i] ?? 0));
  });
}

describe.each(places.list)('two schedulers that start at once on $name', (backend) => {
  let closers: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    closers = [];
  });

  it.each(Array.from({ length: ROUNDS }, (_, i) => i + 1))(
    'have one leader, and each schedule and each tick once (round %i)',
    async () => {
      const place = await backend.open();
      closers.push(() => place.close());
      const starters = await Promise.all([prepare(place, closers), prepare(place, closers)]);
      const started = await Promise.all(starters.map((start) => start()));
      const [first] = started;
      if (first === undefined) throw new Error('not started');
      await Promise.race(started.map(({ observer }) => observer.round(1)));
      expect(Math.min(...(await gapsBetweenTicks(first.daemon)))).toBeGreaterThanOrEqual(1_000);
      const { fast, bulk } = first.daemon.queues.lanes;
      const keys = await Promise.all(
        [fast, bulk].map(async (queue) => (await queue.getJobSchedulers()).map(({ key }) => key).sort()),
      );
      expect(keys).toEqual([idsOf('incremental'), idsOf('reconcile')]);
      expect(started.filter(({ daemon }) => daemon.isLeading)).toHaveLength(1);
      const rounds = started.flatMap(({ observer }) => observer.rounds);
      expect(rounds.reduce((sum, { added }) => sum + added, 0)).toBe(2 * CONNECTIONS.length);
    },
  );
});
