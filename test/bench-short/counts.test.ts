import { expect, it } from '@jest/globals';
import { measureCounts } from '../helpers/bench/counts.ts';
import { createTestDatabase } from '../helpers/postgres.ts';

/** `npm run bench:counts` measures a million, with forty gone. */
it('finds what is gone from a large account with few requests, and that nothing is with fewer', async () => {
  const database = await createTestDatabase();
  try {
    const measured = await measureCounts({ databaseUrl: database.url, rows: 40_000, gone: 4 });
    const { before, found, after, isExact } = measured;
    expect([before.outcome, found.outcome, after.outcome]).toEqual(Array(3).fill('count succeeded'));
    // The first finds out what the server can do, and signs in.
    expect(before.requests).toBeLessThanOrEqual(7);
    expect(found).toMatchObject({ deleted: 4 });
    // 40 times fewer than the pages that a full sync reads.
    expect(found.requests).toBeLessThan(80);
    expect(after.requests).toBe(1);
    expect(isExact).toBe(true);
  } finally {
    await database.drop();
  }
});
