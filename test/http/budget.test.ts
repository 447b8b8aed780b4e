import { describe, expect, it } from '@jest/globals';
import { BURST, createLocalBudget, MAX_SLOWDOWN, spacingMs } from '../../src/http/budget.ts';
import fc from '../helpers/property.ts';
import { createTestClock } from './support.ts';

function setup(requestsPerMinute: number) {
  const clock = createTestClock();
  return { clock, budget: createLocalBudget(requestsPerMinute, clock) };
}

/** Asks as fast as the budget allows and returns when each request left. */
async function sendAll({ clock, budget }: ReturnType<typeof setup>, untilMs: number): Promise<number[]> {
  const start = clock.now();
  const sent: number[] = [];
  for (;;) {
    const { waitMs } = await budget.take(Number.POSITIVE_INFINITY);
    clock.advance(waitMs);
    if (clock.now() - start >= untilMs) return sent;
    sent.push(clock.now() - start);
  }
}

/** The largest number of requests in any window of one minute. */
function busiestMinute(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [index, time] of sorted.entries()) {
    while (time - (sorted[first] ?? time) >= 60_000) first += 1;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

describe('spacing', () => {
  it.each([
    [200, 60_000 / 195],
    [100, 60_000 / 95],
    [6, 60_000],
    [5, 12_000],
    [1, 60_000],
  ])('of %d a minute is %d ms', (limit, expected) => {
    expect(spacingMs(limit)).toBeCloseTo(expected, 6);
  });

  it('doubles when slowed, within bounds, and comes back step by step, never below the configured one', async () => {
    const configured = spacingMs(200);
    const budget = createLocalBudget(200, { now: () => 0, sleep: async () => {} });
    const spacing = async () => (await budget.take(Number.POSITIVE_INFINITY)).spacingMs ?? configured;
    for (let i = 0; i < 10; i += 1) await budget.slowDown();
    expect(await spacing()).toBeCloseTo(configured * MAX_SLOWDOWN, 6);
    await budget.recover();
    expect(await spacing()).toBeLessThan(configured * MAX_SLOWDOWN);
    for (let i = 0; i < 100; i += 1) await budget.recover();
    expect(await spacing()).toBe(configured);
  });
});

describe('createLocalBudget', () => {
  it('uses at least 97 % of 200 a minute over five minutes and never exceeds it', async () => {
    const sent = await sendAll(setup(200), 5 * 60_000);
    expect(sent.length).toBeGreaterThanOrEqual(0.97 * 5 * 200);
    expect(busiestMinute(sent)).toBeLessThanOrEqual(200);
  });

  it('never lets more than the limit through in any rolling minute, whatever happens in between', async () => {
    const event = fc.oneof(
      { weight: 8, arbitrary: fc.constant({ kind: 'take' as const, ms: 0 }) },
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant('pause' as const), ms: fc.integer({ min: 0, max: 90_000 }) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('block' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
      },
      { weight: 1, arbitrary: fc.constant({ kind: 'slowDown' as const, ms: 0 }) },
      { weight: 2, arbitrary: fc.constant({ kind: 'recover' as const, ms: 0 }) },
    );
    const plan = fc.array(fc.record({ event, times: fc.integer({ min: 1, max: 40 }) }), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 60 }), plan, async (limit, steps) => {
        const { clock, budget } = setup(limit);
        const sent: number[] = [];
        for (const step of steps) {
          const { kind, ms } = step.event;
          if (kind === 'pause') clock.advance(ms);
          if (kind === 'block') await budget.block(ms, 'test');
          if (kind === 'slowDown') await budget.slowDown();
          if (kind === 'recover') for (let i = 0; i < step.times; i += 1) await budget.recover();
          // Many callers at one moment: each waits for its own slot while the clock stands still.
          if (kind === 'take') {
            for (let i = 0; i < step.times; i += 1) {
              const { granted, waitMs } = await budget.take(10 * 60_000);
              if (granted) sent.push(clock.now() + waitMs);
            }
          }
        }
        expect(busiestMinute(sent)).toBeLessThanOrEqual(limit);
      }),
    );
  });

  it('lets a burst through at once and spaces what follows', async () => {
    const { budget } = setup(200);
    const waits: number[] = [];
    for (let i = 0; i < BURST + 2; i += 1) waits.push((await budget.take(60_000)).waitMs);
    expect(waits).toEqual([0, 0, 0, 0, 0, 308, 616]);
  });

  it('reserves nothing when the wait is too long', async () => {
    const { clock, budget } = setup(1);
    expect(await budget.take(0)).toEqual({ granted: true, waitMs: 0 });
    for (let i = 0; i < 3; i += 1) expect(await budget.take(1000)).toEqual({ granted: false, waitMs: 60_000 });
    clock.advance(60_000);
    expect(await budget.take(0)).toEqual({ granted: true, waitMs: 0 });
  });

  it('keeps everybody away while blocked, and a shorter block does not lift a longer one', async () => {
    const { clock, budget } = setup(200);
    await budget.block(10_000, 'Retry-After');
    await budget.block(1_000, 'Retry-After');
    expect(await budget.take(9_999)).toEqual({ granted: false, waitMs: 10_000 });
    clock.advance(10_000);
    expect(await budget.take(0)).toEqual({ granted: true, waitMs: 0 });
  });

  it('has no burst while slowed down, and its old pace after enough successes', async () => {
    const { clock, budget } = setup(200);
    await budget.slowDown();
    await budget.take(0);
    expect((await budget.take(60_000)).waitMs).toBe(Math.ceil(2 * spacingMs(200)));
    for (let i = 0; i < 50; i += 1) await budget.recover();
    clock.advance(60_000);
    for (let i = 0; i < BURST; i += 1) expect((await budget.take(0)).granted).toBe(true);
  });
});
