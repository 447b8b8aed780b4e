import { expect, it } from '@jest/globals';
import { createPlan, INCIDENTS, VARIANTS } from './plan.ts';

const seed = Number(process.env.SEED ?? 36);

it('a plan is the same for the same seed, and each kind of incident comes up', () => {
  for (const variant of VARIANTS) {
    const plan = createPlan({ variant, seed, rounds: 60 });
    expect(createPlan({ variant, seed, rounds: 60 })).toEqual(plan);
    const possible = Object.values(INCIDENTS).filter(({ variants }) => variants.includes(variant)).length;
    expect(new Set(plan.map(({ kind }) => kind)).size).toBe(possible);
  }
});
