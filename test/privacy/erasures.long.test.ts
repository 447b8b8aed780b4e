import { expect, it } from '@jest/globals';
import { simulateErasures } from './erasures.ts';

/** A second and a half each. */
const SEEDS = Number(process.env.SEEDS ?? 40);
const FIRST = Number(process.env.SEED ?? 1);

it('nothing that reads, writes or repairs brings an erased person back', async () => {
  let erased = 0;
  const seen = new Set<string>();
  for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
    const result = await simulateErasures(seed).catch((error: unknown) => {
      throw new Error(`SEED=${seed} SEEDS=1: ${error}`, { cause: error });
    });
    if (result.found.length > 0) throw new Error(`SEED=${seed} SEEDS=1: ${result.found.join('\n')}`);
    erased += result.erased;
    for (const name of Object.keys(result.steps)) seen.add(name);
  }
  // A simulation in which nothing happens would find nothing wrong.
  if (SEEDS >= 20) expect(erased).toBeGreaterThan(SEEDS / 2);
  if (SEEDS >= 20) expect(seen.size).toBe(14);
}, 3_600_000);
