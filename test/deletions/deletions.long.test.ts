import { afterAll, expect, it } from '@jest/globals';
import { isWell, simulate } from './simulate.ts';
import { addTo, describe, noTotals } from './totals.ts';
import { Ground } from './world.ts';

/** A busy machine plays them ten times slower, and a test that was given up would go on in the database of the next. */
const PATIENCE_MS = 300_000;

/** The first of the thousand that `npm run test:deletions` plays. */
const SEEDS = 12;

const ground = new Ground();
afterAll(() => ground.close());

it(
  'nothing that is there is called deleted, nothing that is gone is missed, nothing is lost',
  async () => {
    const totals = noTotals();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const report = await simulate(ground, seed);
      if (!isWell(report)) throw new Error(`SEED=${seed}: ${JSON.stringify(report, null, 2)}`);
      addTo(totals, report);
    }
    // A simulation in which nothing happens would find nothing wrong.
    const { found, sources, faults } = totals;
    if (found === 0 || Object.keys(sources).length < 2 || Object.keys(faults).length < 3)
      throw new Error(describe(totals));
  },
  PATIENCE_MS,
);

it(
  'a seed is played the same way twice',
  async () => {
    expect(await simulate(ground, 3)).toEqual(await simulate(ground, 3));
  },
  PATIENCE_MS,
);
