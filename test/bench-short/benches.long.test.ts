/** The benchmarks of `test/bench`, scaled down until they take seconds: that they measure, and what holds at any size. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { measureBudget } from '../helpers/bench/budget.ts';
import { describeColdStart, measureColdStart } from '../helpers/bench/cold-start.ts';
import { measureFairness } from '../helpers/bench/fairness.ts';
import { describePart, describeTable, type PartReport } from '../helpers/bench/figures.ts';
import { describeLatency, measureLatency } from '../helpers/bench/latency.ts';
import { describeMemory, measureMemory } from '../helpers/bench/memory.ts';
import { measureOutage } from '../helpers/bench/outage.ts';
import { describePipeline, measurePipeline } from '../helpers/bench/pipeline.ts';
import { describeRestart, measureRestart } from '../helpers/bench/restart.ts';
import { measureScale } from '../helpers/bench/scale.ts';
import { describeScale } from '../helpers/bench/scale-tables.ts';
import { describeWhole, measureWhole } from '../helpers/bench/whole.ts';
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
    // On a busy machine it is less than half.
    expect(report.used).toBeGreaterThan(0.25);
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
    // Behind the large one they would wait until the end; a busy machine makes them wait for some ticks.
    expect(report.small.filter(({ maxLagMs }) => maxLagMs === null || maxLagMs > 15_000)).toEqual([]);
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
          ...{ cron: '*/4 * * * * *', ticks: 1, streams: ['requests'] },
        }),
      );
      // Of each connection: what changed, everything, and counts.
      expect(report.start.schedules).toBe(30);
      const [tick] = report.ticks;
      expect(tick).toMatchObject({ workers: 1, due: 10, ended: 10 });
      expect(tick?.lagMs.max).toBeGreaterThan(0);
      expect(tick?.requestsPerRun).toBeGreaterThanOrEqual(1);
      // Idle runs are counted, not listed.
      expect(tick?.newRunRows).toBe(0);
      expect(describeScale(report)).toMatch(/\| 1 \| 1 \| 10\/10 \|/);
    } finally {
      await database.drop();
    }
  });
});

describe('bench', () => {
  const namesOf = ({ figures }: PartReport) => figures.map(({ name }) => name);
  const reached = ({ figures }: PartReport) => figures.filter(({ isReached }) => isReached).map(({ name }) => name);

  it.each(['leads', 'requests'] as const)(
    'reads all %s, and finds them unchanged without writing one of them again',
    async (stream) => {
      const rows = 650;
      const measured = await measurePipeline({ cli, stream, rows, bytesEach: 1_000, rounds: 1, upserts: 30 });
      const [round] = measured.rounds;
      expect(measured.meanBytes).toBe(1_000);
      expect(round?.mirror).toMatchObject({ read: expect.any(Number), created: rows, updated: 0, deleted: 0 });
      expect(round?.again).toMatchObject({ created: 0, updated: 0, deleted: 0 });
      expect(round?.again.unchanged).toBeGreaterThanOrEqual(rows);
      expect(round?.table.before).toMatchObject({ rows, inserted: rows, updated: 0, deleted: 0, dead: 0 });
      expect(round?.table.after).toEqual(round?.table.before);
      for (const ms of [round?.drainMs, round?.writeMs, round?.upsertMs]) expect(ms).toBeGreaterThan(0.05);
      const share = Math.max(round?.drainMs ?? 0, round?.writeMs ?? 0) / (round?.mirror.ms ?? 0);
      expect(share).toBeGreaterThan(0.01);
      expect(share).toBeLessThan(1.5);
      const report = describePipeline(measured);
      expect(report.wrong).toEqual([]);
      expect(reached(report)).toEqual(
        expect.arrayContaining(['rows that it wrote anew', 'dead row versions that it left in the table']),
      );
    },
  );

  it('says what is wrong, and which goals were missed', async () => {
    const options = { stream: 'leads', rows: 100, bytesEach: 600, rounds: 1, upserts: 0 } as const;
    const [round] = (await measurePipeline({ cli, ...options })).rounds;
    if (round === undefined) throw new Error('a round was wanted');
    const { mirror, table } = round;
    const spoilt = {
      ...{ ...round, drainMs: 1, writeMs: 1, mirror: { ...mirror, created: 99, ms: 100 } },
      table: { before: table.before, after: { ...table.after, rows: 98, updated: 5, dead: 7 } },
    };
    const report = describePipeline({ options, meanBytes: 600, rounds: [spoilt] });
    expect(report.wrong).toEqual([
      'round 1: the first read created 99 of 100 rows',
      'round 1: the table had 98 of 100 rows after the second walk',
    ]);
    const text = describePart(report);
    expect(text).toMatch(/^- first read \/ slower limit +0\.01 \(goal 0\.80 or more: missed\)$/m);
    expect(text).toMatch(/^- rows that it wrote anew +5 \(goal 0: missed\)$/m);
    expect(text).toMatch(/^! round 1: the table had 98 of 100 rows/m);
    const machine = {
      ...{ date: '2026-11-22', cpu: 'Some CPU', cores: 2, memoryGb: 4, loadBefore: 0.1, platform: 'linux x64' },
      ...{ node: 'v20.19.0', postgres: '18.4' },
    };
    const markdown = describeTable(machine, [report], ['memory']);
    expect(markdown).toContain('| pipeline | first read / slower limit | 0.01 | 0.80 or more | missed |');
    expect(markdown).toContain('- pipeline: a real server');
    expect(markdown).toContain('- memory: this part was left out');
  });

  it('times whole processes, and all of them have every row', async () => {
    const measured = await measureWhole({ cli, rows: 400, bytesEach: 600, rounds: 1, peer: undefined });
    const [round] = measured.rounds;
    expect(round?.fixed.requests).toBeGreaterThan(round?.growing.requests ?? Infinity);
    expect(round?.growing.rowsDoneMs).toBeLessThan(round?.growing.ms ?? 0);
    expect(round?.growing.firstPageMs).toBeLessThanOrEqual(round?.growing.rowsDoneMs ?? 0);
    const report = describeWhole(measured);
    expect(report.wrong).toEqual([]);
    const spoilt = measured.rounds.map((each) => ({ ...each, fixed: { ...each.fixed, rows: 399 } }));
    expect(describeWhole({ ...measured, rounds: spoilt }).wrong).toEqual(['round 1: 399 of 400 rows']);
  });

  it('knows the highest memory of a read', async () => {
    const measured = await measureMemory({ cli, sizes: [300, 600], bytesEach: 600, transcripts: 40 });
    expect(measured.reads.map(({ rows, mirrored }) => [rows, mirrored])).toEqual(
      [0, 300, 600, 40].map((rows) => [rows, rows]),
    );
    for (const { peakMb } of measured.reads) {
      expect(peakMb).toBeGreaterThan(40);
      expect(peakMb).toBeLessThan(400);
    }
    const report = describeMemory(measured);
    expect(report.wrong).toEqual([]);
    expect(namesOf(report)).toEqual(expect.arrayContaining(['peak at 600 / at 300']));
  });

  it('is killed half way, and fetches at most two pages twice', async () => {
    const measured = await measureRestart({
      ...{ cli, leads: 200, requests: 400, pageSize: 20, rounds: 1, waitsForLease: false },
    });
    const [round] = measured.rounds;
    expect(round).toMatchObject({ kills: 1, end: { code: 0 }, differences: [EQUAL, EQUAL, EQUAL, EQUAL] });
    expect(round?.pagesTwice).toBeLessThanOrEqual(2);
    const report = describeRestart(measured);
    expect(report.wrong).toEqual([]);
    expect(reached(report)).toEqual(['pages fetched twice, most of a round']);
  });

  it('compares a far upstream with what its latency allows', async () => {
    const options = { rows: 1_000, bytesEach: 600, latencyMs: 40, rounds: 1, allowanceMs: 0 };
    const measured = await measureLatency({ cli, ...options });
    const [round] = measured.rounds;
    expect(round?.mirror.created).toBe(1_000);
    // Timers never fire early by more than their own rounding: ten pages, one after the other.
    expect(round?.drainMs).toBeGreaterThanOrEqual(10 * 39);
    expect(round?.mirror.ms).toBeGreaterThanOrEqual((round?.mirror.pages ?? 0) * 39);
    expect(describeLatency(measured).wrong).toEqual([]);
  });

  it('starts from nothing', async () => {
    const measured = await measureColdStart({ cli, rounds: 1 });
    const [round] = measured.rounds;
    for (const ms of Object.values(round ?? {})) expect(ms).toBeGreaterThan(5);
    expect(round?.helpMs).toBeGreaterThan(round?.nodeMs ?? 0);
    expect(round?.demoMs).toBeGreaterThan(round?.demoRowsMs ?? 0);
    expect(namesOf(describeColdStart(measured))).toHaveLength(6);
  });
});
