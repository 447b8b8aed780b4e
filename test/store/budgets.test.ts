import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PrismaClient } from '../../src/generated/prisma/client.ts';
import { BURST, MAX_SLOWDOWN, type RequestBudget, spacingMs } from '../../src/http/budget.ts';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { createDatabaseBudget } from '../../src/store/engine/budgets.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { type Store, setupStore } from './support.ts';

let store: Store;
let other: Database;
let names = 0;
beforeAll(async () => {
  store = await setupStore();
  other = createDatabase({ url: store.url, logger: unheardLogger() });
});
afterAll(async () => {
  await other.close();
  await store.close();
});

const LIMIT = 120;
const HOUR = 3_600_000;

/** Two processes with one credential: clients of their own, one row. */
function setup(limit = LIMIT): { credential: string; budgets: [RequestBudget, RequestBudget] } {
  const credential = `credential ${++names}`;
  const create = (prisma: PrismaClient) => createDatabaseBudget(prisma, credential, limit);
  return { credential, budgets: [create(store.prisma), create(other.prisma)] };
}

const now = async () =>
  Number((await store.query<{ ms: number }>('select extract(epoch from clock_timestamp()) * 1000 as ms'))[0]?.ms);

const spacingOf = async (credential: string) =>
  (
    await store.query<{ spacing_ms: number }>('select spacing_ms from sync.budgets where credential = $1', [credential])
  )[0]?.spacing_ms;

interface Slot {
  /** The slot lies between these two, by the database's clock. */
  readonly from: number;
  readonly to: number;
}

async function take(budget: RequestBudget): Promise<Slot> {
  const before = await now();
  const { granted, waitMs } = await budget.take(HOUR);
  expect(granted).toBe(true);
  return { from: before + waitMs - 1, to: (await now()) + waitMs };
}

describe('a budget in Postgres', () => {
  it('shared by two clients grants no more than the limit in any rolling minute, and nearly all of it', async () => {
    const { budgets } = setup();
    const slots: Slot[] = [];
    for (let i = 0; i < LIMIT; i++) slots.push(...(await Promise.all(budgets.map(take))));

    const times = slots.sort((one, two) => one.to - two.to);
    const spans = times.slice(LIMIT).map(({ to }, index) => to - (times[index]?.from ?? Number.NaN));
    expect(spans).toHaveLength(LIMIT);
    expect(Math.min(...spans)).toBeGreaterThanOrEqual(60_000);
    const steady = (times.at(-1)?.from ?? 0) - (times[BURST]?.to ?? 0);
    expect((slots.length - BURST - 1) / (steady / 60_000)).toBeGreaterThan(LIMIT * 0.94);
  });

  it('never grants one slot to two that ask at the same moment', async () => {
    // Slots so far apart that the moment of asking does not matter.
    const limit = 25;
    const { budgets } = setup(limit);
    const waits = await Promise.all(Array.from({ length: 40 }, (_, i) => budgets[i % 2 === 0 ? 0 : 1].take(HOUR)));
    const sorted = waits.map(({ waitMs }) => waitMs).sort((one, other) => one - other);
    const gaps = sorted.slice(BURST).map((waitMs, index) => waitMs - (sorted[BURST - 1 + index] ?? Number.NaN));
    expect(gaps).toHaveLength(40 - BURST);
    expect(Math.min(...gaps)).toBeGreaterThan(spacingMs(limit) / 2);
  });

  it('that would have to wait longer than the caller may grants and reserves nothing', async () => {
    const { budgets, credential } = setup(60);
    const [budget] = budgets;
    for (let i = 0; i < BURST; i++) expect((await budget.take(0)).granted).toBe(true);
    const row = () => store.query('select next_free_at from sync.budgets where credential = $1', [credential]);
    const before = await row();

    for (let i = 0; i < 10; i++) {
      const refused = await budget.take(10);
      expect(refused.granted).toBe(false);
      expect(refused.waitMs).toBeGreaterThan(10);
      expect(refused.waitMs).toBeLessThanOrEqual(Math.ceil(spacingMs(60)));
    }

    expect(await row()).toEqual(before);
    expect((await budget.take(HOUR)).waitMs).toBeLessThanOrEqual(Math.ceil(spacingMs(60)));
  });

  it('that is blocked is blocked for both, and a shorter block does not shorten it', async () => {
    const { budgets } = setup();
    await budgets[0].block(30_000, 'Retry-After on 429');
    await budgets[1].block(1_000, 'Retry-After on 503');
    for (const budget of budgets) {
      const { granted, waitMs } = await budget.take(1000);
      expect(granted).toBe(false);
      expect(waitMs).toBeGreaterThan(29_000);
      expect(waitMs).toBeLessThanOrEqual(30_000);
    }
  });

  it('slows down for both without a burst, within bounds, and recovers step by step to where it was', async () => {
    const { budgets, credential } = setup();
    const base = spacingMs(LIMIT);
    await budgets[0].take(HOUR);
    await budgets[0].slowDown();
    expect(await spacingOf(credential)).toBeCloseTo(base * 2, 6);
    const first = await budgets[1].take(HOUR);
    const second = await budgets[1].take(HOUR);
    expect(second.waitMs - first.waitMs).toBeGreaterThan(base * 1.5);

    for (let i = 0; i < 10; i++) await budgets[1].slowDown();
    expect(await spacingOf(credential)).toBeCloseTo(base * MAX_SLOWDOWN, 6);

    let before = Number.POSITIVE_INFINITY;
    for (let steps = 0; before > base; steps++) {
      expect(steps).toBeLessThan(60);
      await budgets[1].recover();
      const spacing = (await spacingOf(credential)) ?? Number.NaN;
      expect(spacing).toBeLessThan(before);
      expect(spacing).toBeGreaterThanOrEqual(base);
      before = spacing;
    }
    await budgets[1].recover();
    expect(await spacingOf(credential)).toBeCloseTo(base, 6);
  });

  it('takes over a limit that was configured anew', async () => {
    const { budgets, credential } = setup();
    await budgets[0].take(HOUR);
    await createDatabaseBudget(store.prisma, credential, 30).take(HOUR);
    expect(await spacingOf(credential)).toBeCloseTo(spacingMs(30), 6);
  });

  it('whose row vanished is made again', async () => {
    const { budgets, credential } = setup();
    await budgets[0].take(HOUR);
    await store.query('delete from sync.budgets where credential = $1', [credential]);
    await budgets[0].take(HOUR);
    await budgets[0].take(HOUR);
    expect(await spacingOf(credential)).toBeCloseTo(spacingMs(LIMIT), 6);
  });

  it('knows nothing of other credentials', async () => {
    const one = setup();
    const two = setup();
    await one.budgets[0].block(60_000, 'x');
    expect(await two.budgets[0].take(0)).toMatchObject({ granted: true });
  });
});
