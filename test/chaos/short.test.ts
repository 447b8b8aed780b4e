import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { type Cli, createCli } from '../helpers/cli.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { createPlan, INCIDENTS, VARIANTS } from './plan.ts';
import { isWell, play, describe as report } from './play.ts';

const redis = await startTestRedis();
const seed = Number(process.env.SEED ?? 36);

// A plan is the same for a seed, what meets what is not: a failure is printed, and has to happen twice to stop everything. `npm run test:chaos` has no second
// try.
jest.retryTimes(1, { logErrorsBeforeRetry: true });

let cli: Cli;
beforeAll(async () => {
  cli = await createCli();
});
afterAll(async () => {
  await redis?.close();
  await cli.close();
});

it('a plan is the same for the same seed, and each kind of incident comes up', () => {
  for (const variant of VARIANTS) {
    const plan = createPlan({ variant, seed, rounds: 60 });
    expect(createPlan({ variant, seed, rounds: 60 })).toEqual(plan);
    const possible = Object.values(INCIDENTS).filter(({ variants }) => variants.includes(variant)).length;
    expect(new Set(plan.map(({ kind }) => kind)).size).toBe(possible);
  }
});

it.each(VARIANTS.filter((variant) => variant === 'embedded' || (variant === 'redis' && redis !== null)))(
  'no row is lost, whatever goes wrong: %s',
  async (variant) => {
    const result = await play({ ...{ cli, variant, seed, redis }, rows: 800, rounds: 14, everyMs: 600 });
    if (!isWell(result)) throw new Error(report(result));
  },
  180_000,
);
