import { afterAll, beforeAll, it } from '@jest/globals';
import { type Cli, createCli } from '../helpers/cli.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { VARIANTS } from './plan.ts';
import { isWell, play, describe as report } from './play.ts';

const redis = await startTestRedis();
const seed = Number(process.env.SEED ?? 36);

let cli: Cli;
beforeAll(async () => {
  cli = await createCli();
});
afterAll(async () => {
  await redis?.close();
  await cli.close();
});

it.each(VARIANTS.filter((variant) => variant === 'embedded' || (variant === 'redis' && redis !== null)))(
  'no row is lost, whatever goes wrong: %s',
  async (variant) => {
    const result = await play({ ...{ cli, variant, seed, redis }, rows: 800, rounds: 14, everyMs: 600 });
    if (!isWell(result)) throw new Error(report(result));
  },
  180_000,
);
