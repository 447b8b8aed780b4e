import { afterAll, expect, it } from '@jest/globals';
import { isWell, simulate } from './simulate.ts';
import { Ground } from './world.ts';

const ground = new Ground();
afterAll(() => ground.close());

/** `npm run test:all` plays more seeds, `npm run test:deletions` a thousand. */
it.each([1, 2])(
  'nothing that is there is called deleted, nothing that is gone is missed, nothing is lost: seed %i',
  async (seed) => {
    const report = await simulate(ground, seed);
    if (!isWell(report)) throw new Error(`SEED=${seed}: ${JSON.stringify(report, null, 2)}`);
    expect(report).toBeDefined();
  },
  120_000,
);
