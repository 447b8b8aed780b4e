import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { endRun, noCounts, pruneRuns } from '../../src/store/engine/runs.ts';
import { findRuns } from '../../src/store/reports/run-history.ts';
import { DONE, lead, type Store, setupStore } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(() => store.query('truncate tiledesk.leads, sync.checkpoints, sync.runs, sync.quarantine'));

/** One whole run of one page. */
const run = async (version: number, end = DONE) => store.save(await store.lease(), [lead('a', version)], { end });
const lines = () =>
  store.query<{ outcome: string; created: number; updated: number; idle_runs: number }>(
    'select outcome, created, updated, idle_runs from sync.runs order by id',
  );

describe('idle runs', () => {
  it('are counted on the idle run before them, and begin anew after a change', async () => {
    for (const version of [1, 1, 1, 1, 2, 2]) await run(version);
    expect(await lines()).toEqual([
      { outcome: 'succeeded', created: 1, updated: 0, idle_runs: 0 },
      { outcome: 'succeeded', created: 0, updated: 0, idle_runs: 2 },
      { outcome: 'succeeded', created: 0, updated: 1, idle_runs: 0 },
      { outcome: 'succeeded', created: 0, updated: 0, idle_runs: 0 },
    ]);
  });

  it('move the end of the line they are counted on', async () => {
    for (const version of [1, 1]) await run(version);
    await store.query(`update sync.runs set ended_at = now() - interval '1 hour'`);
    await run(1);
    const [newest] = await findRuns(store.prisma, { limit: 1 });
    expect(Date.now() - (newest?.ended_at?.getTime() ?? 0)).toBeLessThan(60_000);
  });

  it.each([
    ['a failure', `outcome = 'failed'`],
    ['a run that goes on', 'outcome = null'],
    ['a run of the day before', `started_at = now() - interval '25 hours'`],
  ])('are not counted on %s', async (_, change) => {
    for (const version of [1, 1]) await run(version);
    await store.query(`update sync.runs set ${change} where id = (select max(id) from sync.runs)`);
    await run(1);
    expect((await lines()).map(({ idle_runs }) => idle_runs)).toEqual([0, 0, 0]);
  });

  it('are not counted on another pass, stream or connection', async () => {
    for (const version of [1, 1]) await run(version);
    const others = [
      { pass: 'reconcile' as const },
      { stream: 'tiledesk.requests' },
      { connectionId: 'tiledesk:other' },
    ];
    for (const other of others) await store.save(await store.lease(other), [], { end: DONE });
    expect((await lines()).map(({ idle_runs }) => idle_runs)).toEqual([0, 0, 0, 0, 0]);
  });

  it('that failed have a line each', async () => {
    const error = { code: 'network', message: 'away' };
    for (let i = 0; i < 3; i++) {
      await endRun(store.prisma, await store.lease(), new Date(), noCounts(), { ...DONE, outcome: 'failed', error });
    }
    expect(await lines()).toHaveLength(3);
  });
});

it('a run’s line grows with its pages and is closed with the last', async () => {
  const lease = await store.lease();
  const first = await store.save(lease, [lead('a', 1)]);
  expect(await lines()).toEqual([{ outcome: null, created: 1, updated: 0, idle_runs: 0 }]);

  await store.save(lease, [lead('b', 1), lead('a', 2)], { counts: { ...first, requests: 5 }, end: DONE });

  const [line] = await findRuns(store.prisma, { limit: 5 });
  expect(line).toMatchObject({
    id: lease.runId,
    outcome: 'succeeded',
    pages: 2,
    read: 3,
    created: 2,
    updated: 1,
    requests: 5,
  });
});

describe('pruneRuns', () => {
  const insert = (stream: string, pass: string, daysAgo: number | null) =>
    store.query(
      `insert into sync.runs (connection_id, stream, pass, outcome, ended_at)
       values ('c', $1, $2, case when $3::int is not null then 'succeeded' end, now() - make_interval(days => $3::int))`,
      [stream, pass, daysAgo],
    );
  const left = async () =>
    (
      await store.query<{ line: string }>(
        `select concat_ws(' ', stream, pass, round(extract(epoch from now() - ended_at) / 86400)) as line from sync.runs order by id`,
      )
    ).map(({ line }) => line);

  it('removes what is older than the retention, and keeps the newest of each stream and pass', async () => {
    for (const days of [300, 200, 100]) await insert('leads', 'incremental', days);
    for (const days of [300, 89, 1]) await insert('leads', 'backfill', days);
    await insert('requests', 'incremental', 400);

    expect(await pruneRuns(store.prisma, 90)).toBe(3);

    expect(await left()).toEqual([
      'leads incremental 100',
      'leads backfill 89',
      'leads backfill 1',
      'requests incremental 400',
    ]);
  });

  it('leaves a run that has not ended', async () => {
    await insert('leads', 'incremental', null);
    await insert('leads', 'incremental', 100);
    await insert('leads', 'incremental', 1);
    expect(await pruneRuns(store.prisma, 90)).toBe(1);
    expect(await left()).toEqual(['leads incremental', 'leads incremental 1']);
  });
});
