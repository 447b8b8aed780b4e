import { expect, it } from '@jest/globals';
import { type CountFigures, describeCounts, measureCounts } from '../helpers/bench/counts.ts';
import { createTestDatabase } from '../helpers/postgres.ts';

/** `npm run bench:counts` measures a million, with forty gone. */
it('finds what is gone from a large account with few requests, and that nothing is with fewer', async () => {
  const database = await createTestDatabase();
  const options = { databaseUrl: database.url, rows: { leads: 3_000, requests: 20_000 }, gone: 2 };
  try {
    const report = await measureCounts(options);
    const of = (read: (figures: CountFigures) => unknown, night: (typeof report)['after']['first']) => [
      read(night.leads),
      read(night.requests),
    ];
    const outcome = (figures: CountFigures) => figures.outcome;
    expect(of(outcome, report.after.still)).toEqual(['count succeeded', 'count succeeded']);
    expect(of(outcome, report.after.changed)).toEqual(['reconcile succeeded', 'count succeeded']);
    expect(of(outcome, report.before.still)).toEqual(['reconcile succeeded', 'reconcile succeeded']);
    expect(of(({ deleted }) => deleted, report.before.changed)).toEqual([2, 2]);
    expect(report.after.still.requests.requests).toBeLessThanOrEqual(6);
    // Far fewer than the pages that a full sync reads.
    expect(report.after.changed.requests.requests).toBeLessThan(60);
    expect(report.before.changed.requests.requests).toBeGreaterThan(200);
    expect(report.after.first.leads.requests).toBeLessThan(report.before.first.leads.requests);
    expect(report.check.requests).toBe(1);
    expect(report.isExact).toBe(true);
    expect(describeCounts(report, options)).toContain('| 20,000 requests: a night, nothing deleted | ');
  } finally {
    await database.drop();
  }
});
