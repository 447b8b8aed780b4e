import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Random } from '../../sandbox/random.ts';
import { dayLimit } from '../../src/app/upstreams.ts';
import type { Database } from '../../src/store/database.ts';
import { createDatabase } from '../../src/store/database.ts';
import { createDatabaseBudget } from '../../src/store/engine/budgets.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { readBudgets, readDayLeft, readPauses } from '../../src/store/reports/budget-status.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { CONNECTION, type Store, setupStore } from './support.ts';

let store: Store;
let others: Database[];
beforeAll(async () => {
  store = await setupStore();
  others = [1, 2].map(() => createDatabase({ url: store.url, logger: unheardLogger() }));
});
afterAll(async () => {
  for (const other of others) await other.close();
  await store.close();
});

const HOUR = 3_600_000;

it('never grants three workers more than the day may have, at whatever moment and in whatever lane they ask', async () => {
  const LIMIT = 60;
  let now = Date.UTC(2026, 10, 22, 2, 10);
  const day = dayLimit(LIMIT, () => 'UTC');
  const workers = [store, ...others].map(({ prisma }) =>
    createDatabaseBudget(prisma, 'three workers', 100_000, { now: () => new Date(now), day }),
  );
  const random = new Random(7);
  const byDay = new Map<string, number>();
  for (const end = now + 72 * HOUR; now < end; now += random.int(1, 3 * HOUR)) {
    const asking = workers.flatMap((worker) => [worker, worker, worker]);
    const taken = await Promise.all(asking.map((worker) => worker.take(5_000, random.chance(0.3) ? 'bulk' : 'fast')));
    for (const { granted, waitMs } of taken) {
      const date = new Date(now + waitMs).toISOString().slice(0, 10);
      if (granted) byDay.set(date, (byDay.get(date) ?? 0) + 1);
    }
  }
  expect([...byDay.values()].every((requests) => requests <= LIMIT)).toBe(true);
  expect([...byDay.values()].filter((requests) => requests === LIMIT).length).toBeGreaterThanOrEqual(2);
});

it('shows that the day is used up and until when, and goes on when the limit is raised', async () => {
  const credential = 'tiledesk:used-up';
  const stream = { connectionId: CONNECTION, stream: 'tiledesk.leads', freshWithinSeconds: 900, credential };
  await registerStreams(store.prisma, [stream], { retires: 'always' });
  const create = (requests: number) =>
    createDatabaseBudget(store.prisma, credential, 100_000, { day: dayLimit(requests, () => 'UTC') });
  const small = create(3);
  const take = async (count: number, budget = small) => {
    const taken = [];
    for (let n = 0; n < count; n++) taken.push((await budget.take(5_000)).granted);
    return taken;
  };
  expect(await take(2)).toEqual([true, true]);
  expect(await readDayLeft(store.prisma, credential)).toMatchObject({ requests: 1 });
  expect((await readStatus(store.prisma))[0]?.reason_code).toBe('no_run');
  expect(await take(2)).toEqual([true, false]);

  const own = async () => (await readBudgets(store.prisma)).find((one) => one.credential === credential);
  const endsAt = (await own())?.day?.endsAt;
  expect(endsAt?.getTime()).toBe(dayLimit(3, () => 'UTC')?.endOf(Date.now()));
  expect(await own()).toMatchObject({ blocked_until: endsAt, blocked_reason: 'day_limit', day: { used: 3, limit: 3 } });
  expect((await readStatus(store.prisma))[0]).toMatchObject({
    ...{ state: 'blocked', reason_code: 'day_limit' },
    reason: expect.stringMatching(
      /^the requests of this day are used up \(3 of 3\); it goes on by itself at .* 00:00 UTC$/,
    ),
  });
  expect((await readPauses(store.prisma)).get(CONNECTION)).toEqual(endsAt);

  expect(await take(2, create(4))).toEqual([true, false]);
  expect(await take(1, create(100))).toEqual([true]);
  expect(await own()).toMatchObject({ blocked_until: null, day: { used: 5, limit: 100 } });
  expect((await readStatus(store.prisma))[0]?.reason_code).toBe('no_run');
  const unlimited = createDatabaseBudget(store.prisma, credential, 100_000);
  expect(await take(1, unlimited)).toEqual([true]);
  expect((await own())?.day).toBeNull();
});
