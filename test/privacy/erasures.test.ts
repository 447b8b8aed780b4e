import { expect, it } from '@jest/globals';
import { simulateErasures } from './erasures.ts';

/** The first of many: `npm run test:all` has more. */
it.each([1, 2, 3])('nothing that reads, writes or repairs brings an erased person back (seed %i)', async (seed) => {
  expect((await simulateErasures(seed)).found).toEqual([]);
});
