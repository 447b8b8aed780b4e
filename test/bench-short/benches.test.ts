/** The benchmarks of `test/bench`, scaled down until they take seconds: that they measure, and what holds at any size. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { measureBudget } from '../helpers/bench/budget.ts';
import { measureFairness } from '../helpers/bench/fairness.ts';
import { measureOutage } from '../helpers/bench/outage.ts';
import { measureScale } from '../helpers/bench/scale.ts';
import { describeScale } from '../helpers/bench/scale-tables.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { EQUAL } from '../helpers/compare.ts';
import { createTestDatabase } from '../helpers/postgres.ts';

// Seconds on a machine that does nothing else; each starts several processes, and the suite runs beside them.
jest.setTimeout(150_000);

let cli: Cli;
beforeAll(async () => {
  cli = await createCli();
});
afterAll(() => cli.close());

/** On Redis where there is one. */
async function onQueue<T>(measure: (queue: 'redis' | 'postgres') => Promise<T | null>): Promise<T> {
  const report = (await measure('redis')) ?? (await measure('postgres'));
  if (report === null) throw new Error('there is always Postgres');
  return report;
}

describe('bench:budget', () => {
  it('uses the allowance of one account with two worker processes, and is not refused', async () => {
    const report = await onQueue((queue) =>
      measureBudget({
        ...{ cli, queue, requestsPerMinute: 600, workers: 2, concurrency: 4, connections: 4 },
        // 30 in three seconds are configured; the burst that a whole minute has room for, and a loaded machine, come on top.
        ...{ enforced: { requests: 45, windowMs: 3_000 }, incrementalCron: '*/3 * * * * *' },
        ...{ warmUpMs: 0, steadyMs: 3_500 },
      }),
    );
    expect(report.refused).toBe(0);
    expect(report.inside).toBe(0);
    expect(report.busiestWindow).toBeLessThanOrEqual(45);
    expect(report.used).toBeGreaterThan(0.5);
    expect(report.used).toBeLessThan(1.3);
    expect(Object.keys(report.byList)).toEqual(expect.arrayContaining(['leads', 'requests']));
  });
});

describe('bench:outage', () => {
  it('goes on at the same page after an outage, and asked little meanwhile', async () => {
    const report = await onQueue((queue) =>
      measureOutage({
        ...{
          cli,
          queue,
          outageMs: 2_500,
          retryAfterMs: 2_000,
          leads: 400,
          requests: 700,
          pageSize: 10,
          pagesBefore: 6,
        },
        ...{ requestsPerMinute: 3_000, incrementalCron: '* * * * *', restMs: 30_000 },
      }),
    );
    expect(report.requests).toBeGreaterThan(0);
    expect(report.requests).toBeLessThanOrEqual(40);
    expect(report.isComplete).toBe(true);
    expect(report.differences).toEqual([EQUAL, EQUAL, EQUAL, EQUAL]);
    for (const back of Object.values(report.stepsBack)) expect(back).toBeLessThanOrEqual(2);
    expect(report.pagesTwice).toBeLessThanOrEqual(4);
  });
});

describe('bench:fairness', () => {
  it('keeps small connections fresh beside a large first full read', async () => {
    const report = await onQueue((queue) =>
      measureFairness({
        ...{
          cli,
          queue,
          joins: 'small',
          rows: 1_000_000,
          largeStreams: 'requests',
          bulkConcurrency: 2,
          requestsPerMinute: 1_200,
        },
        ...{ smallConnections: 2, smallRows: 30, intervalSeconds: 3, incrementalCron: '*/3 * * * * *' },
        ...{ reconcileCron: '0 0 1 1 *', forMs: 30_000, enoughMs: 4_000 },
      }),
    );
    expect(report.small).toHaveLength(8);
    expect(report.small.filter(({ firstReadMs }) => firstReadMs === null)).toEqual([]);
    expect(report.small.filter(({ maxLagMs }) => maxLagMs === null || maxLagMs > 7_000)).toEqual([]);
    expect(report.largeReadMs).toBeNull();
    expect(report.failedRuns).toBe(0);
  });
});

describe('bench:scale', () => {
  it('counts what a tick of many connections costs', async () => {
    const database = await createTestDatabase();
    try {
      const report = await onQueue((queue) =>
        measureScale({
          ...{ cli, queue, databaseUrl: database.url, connections: 10, rowsEach: 3, workers: [1], concurrency: 4 },
          ...{ cron: '*/4 * * * * *', ticks: 1 },
        }),
      );
      expect(report.start.schedules).toBe(20);
      const [tick] = report.ticks;
      expect(tick).toMatchObject({ workers: 1, due: 10, ended: 10 });
      expect(tick?.lagMs.max).toBeLessThan(4_000);
      expect(tick?.requestsPerRun).toBeGreaterThanOrEqual(1);
      // Idle runs are counted, not listed.
      expect(tick?.newRunRows).toBe(0);
      expect(describeScale(report)).toMatch(/\| 1 \| 1 \| 10\/10 \|/);
    } finally {
      await database.drop();
    }
  });
});
