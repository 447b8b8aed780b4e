import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  CIRCUIT_FAILURES,
  createLocalBudget,
  type RequestBudget,
  spacingMs,
  type Taken,
} from '../../src/http/budget.ts';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { createDatabaseBudget } from '../../src/store/engine/budgets.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import fc from '../helpers/property.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { type Store, setupStore } from './support.ts';

/** The budget as many workers see it: lanes, slow-downs, announced limits and the circuit, in one row. */
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

const START = Date.UTC(2026, 10, 22, 2, 10);
const random = () => 0.5;

function countStatements() {
  const counts = { statements: 0, failures: 0 };
  const counted = store.prisma.$extends({
    query: {
      async $allOperations({ args, query }) {
        counts.statements += 1;
        if (counts.failures-- > 0) throw new Error('away');
        return query(args);
      },
    },
  }) as unknown as typeof store.prisma;
  return { counted, counts };
}

/** Two processes with one credential, on a clock of their own. */
function setup(limit = 200) {
  const credential = `shared ${++names}`;
  let now = START;
  const options = { now: () => new Date(now), random };
  const budgets = [store.prisma, other.prisma].map((prisma) =>
    createDatabaseBudget(prisma, credential, limit, options),
  );
  const local = createLocalBudget(limit, { now: () => now, sleep: async () => {} }, { random });
  const row = async () =>
    (await store.query<Record<string, unknown>>('select * from sync.budgets where credential = $1', [credential]))[0];
  return {
    ...{ credential, local, row },
    budgets: budgets as [RequestBudget, RequestBudget],
    advance: (ms: number) => {
      now += ms;
    },
  };
}

describe('the rule in SQL', () => {
  it('agrees with the one in memory, whatever happens', async () => {
    const ms = fc.integer({ min: 0, max: 4_000 });
    const take = fc.record({
      kind: fc.constant('take' as const),
      lane: fc.constantFrom('fast' as const, 'bulk' as const),
      ms: fc.constantFrom(0, 700, 5_000, 60_000),
    });
    const others = fc.record({
      kind: fc.constantFrom('block', 'slowDown', 'refused', 'recover', 'fail', 'answer', 'enter', 'learn'),
      ms,
    });
    const step = fc.oneof(
      { weight: 10, arbitrary: take },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('pause' as const), ms }) },
      { weight: 3, arbitrary: others },
    );
    const outage = fc.constant({ kind: 'fail' as const, ms: CIRCUIT_FAILURES });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(5, 65, 120, 125),
        fc.array(fc.oneof({ weight: 20, arbitrary: step }, { weight: 1, arbitrary: outage }), { maxLength: 40 }),
        async (limit, steps) => {
          const { budgets, local, advance } = setup(limit);
          let taken: [Taken, Taken] | null = null;
          for (const [index, one] of steps.entries()) {
            // Who does it must not matter, but for what only the last taker can know.
            const budget = budgets[one.kind === 'take' ? index % 2 : 0] as RequestBudget;
            if (one.kind === 'pause') advance(one.ms * 10);
            if (one.kind === 'take' && 'lane' in one) {
              taken = [await budget.take(one.ms, one.lane), await local.take(one.ms, one.lane)];
              expectSame(...taken);
            }
            if (one.kind === 'enter') expectSame(await budget.circuit.enter(), await local.circuit.enter());
            if (one.kind === 'block') await Promise.all([budget.block(one.ms, 'x'), local.block(one.ms, 'x')]);
            if (one.kind === 'slowDown') await Promise.all([budget.slowDown(), local.slowDown()]);
            if (one.kind === 'refused' && taken)
              await Promise.all([budget.slowDown(taken[0]), local.slowDown(taken[1])]);
            if (one.kind === 'learn') {
              const limitTold = { requests: 1 + one.ms / 10, windowMs: 60_000 };
              await Promise.all([budget.learn(limitTold), local.learn(limitTold)]);
            }
            if (one.kind === 'fail') {
              for (let i = 0; i <= one.ms % (CIRCUIT_FAILURES + 1); i++) {
                const probe = taken?.[1].probe;
                const [stored, kept] = [
                  await budget.circuit.failed('503', probe),
                  await local.circuit.failed('503', probe),
                ];
                expect(stored).toEqual(kept);
              }
            }
            // These two go by what the process saw last.
            if (one.kind === 'recover' || one.kind === 'answer')
              expectSame(await budget.circuit.enter(), await local.circuit.enter());
            if (one.kind === 'recover') await Promise.all([budget.recover(), local.recover()]);
            if (one.kind === 'answer') expect(await budget.circuit.answered()).toEqual(await local.circuit.answered());
            expect(await budget.isClosed()).toBe(await local.isClosed());
          }
        },
      ),
      { numRuns: 15 },
    );
  });
});

function expectSame(stored: Taken, kept: Taken) {
  expect({ ...stored, waitMs: 0, spacingMs: 0, open: undefined }).toEqual({
    ...kept,
    waitMs: 0,
    spacingMs: 0,
    open: undefined,
  });
  expect(Math.abs(stored.waitMs - kept.waitMs)).toBeLessThanOrEqual(1);
  expect(Math.abs((stored.spacingMs ?? 0) - (kept.spacingMs ?? 0))).toBeLessThan(0.01);
  expect(stored.open?.nextTryAt).toEqual(kept.open?.nextTryAt);
}

describe('a budget that many workers share', () => {
  it('leaves the fast lane its fifth when bulk stands in line', async () => {
    const { budgets, advance } = setup();
    const bulk = await Promise.all(
      Array.from({ length: 16 }, (_, i) => (budgets[i % 2] as RequestBudget).take(60_000, 'bulk')),
    );
    expect(Math.max(...bulk.map(({ waitMs }) => waitMs))).toBeGreaterThan(3_000);
    advance(100);
    expect((await budgets[1].take(60_000, 'fast')).waitMs).toBeLessThanOrEqual(5 * spacingMs(200));
  });

  it('slows down once for a burst of refusals that meets both', async () => {
    const { budgets, row } = setup(125);
    const taken = await Promise.all(
      Array.from({ length: 8 }, (_, i) => (budgets[i % 2] as RequestBudget).take(60_000)),
    );
    await Promise.all(taken.map((one, i) => (budgets[i % 2] as RequestBudget).slowDown(one)));
    expect((await row())?.spacing_ms).toBeCloseTo(1_000, 6);
  });

  it('counts what it grants', async () => {
    const { budgets, row } = setup(5);
    await budgets[0].take(60_000);
    await budgets[1].take(60_000);
    await budgets[1].take(0);
    // A sign-in asks the circuit alone.
    await budgets[0].circuit.enter();
    expect(Number((await row())?.requests)).toBe(2);
  });

  it('knows for all what the server announced to one', async () => {
    const { budgets, row } = setup();
    await budgets[0].take(0);
    await budgets[0].learn({ requests: 65, windowMs: 60_000 });
    expect((await budgets[1].take(60_000)).spacingMs).toBe(1_000);
    expect(await row()).toMatchObject({ learnt_spacing_ms: 1_000, learnt_limit: 65, spacing_ms: spacingMs(200) });
    await budgets[1].learn({ requests: 900, windowMs: 60_000 });
    expect((await budgets[0].take(60_000)).spacingMs).toBeUndefined();
  });
});

describe('a circuit that many workers share', () => {
  it('opens and closes once, however many see it happen, and lets one probe through', async () => {
    const { budgets, advance } = setup();
    await Promise.all(budgets.map((budget) => budget.take(0)));
    const failures = await Promise.all(
      Array.from({ length: 24 }, (_, i) => (budgets[i % 2] as RequestBudget).circuit.failed('503')),
    );
    expect(failures.filter(({ opened }) => opened)).toHaveLength(1);
    expect(await budgets[1].take(60_000)).toMatchObject({
      granted: false,
      open: { reason: '503', failures: 24, failingSince: new Date(START) },
    });

    advance(15_000);
    const taken = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (budgets[i % 2] as RequestBudget).take(60_000)),
    );
    expect(taken.filter(({ granted }) => granted)).toEqual([expect.objectContaining({ probe: 1 })]);
    expect(taken.filter(({ granted }) => !granted).every(({ waitMs }) => waitMs <= 2_000)).toBe(true);

    const closed = await Promise.all(
      Array.from({ length: 8 }, (_, i) => (budgets[i % 2] as RequestBudget).circuit.answered()),
    );
    expect(closed.filter((one) => one !== null)).toEqual([{ reason: '503', outageMs: 15_000 }]);
    expect((await budgets[0].take(60_000)).granted).toBe(true);
  });

  it('costs a good request nothing beside its take', async () => {
    const credential = `counted ${++names}`;
    const { counted, counts } = countStatements();
    const budget = createDatabaseBudget(counted, credential, 10_000);
    const request = async () => {
      await budget.take(60_000);
      await budget.learn({ requests: 20_000, windowMs: 60_000 });
      await budget.circuit.answered();
      await budget.recover();
    };
    await request();
    counts.statements = 0;
    for (let i = 0; i < 5; i++) await request();
    // A take writes the row; where this process was not the last to write it, the row is read first.
    expect(counts.statements).toBe(6);
  });

  it('lets the takers of one process follow each other, also behind one that failed', async () => {
    const { counted, counts } = countStatements();
    const budget = createDatabaseBudget(counted, `in turn ${++names}`, 10_000);
    await budget.take(60_000);
    Object.assign(counts, { statements: 0, failures: 1 });
    const takes = await Promise.allSettled(Array.from({ length: 24 }, () => budget.take(60_000)));
    expect(takes.map(({ status }) => status)).toEqual(['rejected', ...Array(23).fill('fulfilled')]);
    expect(counts.statements).toBe(2 + 23);
  });

  it('shows in the status of every stream that is paid from it, until it closes', async () => {
    const credential = `status ${++names}`;
    const streams = ['a.one', 'a.two'].map((stream) => ({
      connectionId: 'a:1',
      stream,
      credential,
      freshWithinSeconds: 900,
    }));
    await registerStreams(
      store.prisma,
      [...streams, { connectionId: 'b:1', stream: 'b.one', credential: 'another', freshWithinSeconds: 900 }],
      { retires: 'always' },
    );
    const budget = createDatabaseBudget(store.prisma, credential, 200);
    const states = async () => (await readStatus(store.prisma)).map(({ state }) => state);
    for (let i = 0; i < CIRCUIT_FAILURES; i++) await budget.circuit.failed('503');
    expect(await states()).toEqual(['blocked', 'blocked', 'never']);
    const [line] = await readStatus(store.prisma);
    expect(line?.reason).toMatch(/^the upstream does not answer \(503 since \d\d:\d\d UTC\); next try \d\d:\d\d UTC$/);
    expect(Date.now() - (line?.since?.getTime() ?? 0)).toBeLessThan(60_000);
    await budget.circuit.answered();
    expect(await states()).toEqual(['never', 'never', 'never']);
  });
});
