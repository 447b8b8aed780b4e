/**
 * Do small connections stay fresh beside a first full read of a million rows? One worker process, one large connection, nine small ones of 300 rows with an
 * incremental pass every ten seconds and a full sync every minute. Four variants: 1, the small ones are mirrored and the large one joins them, one place in
 * the bulk lane; 2, its full read is at the head of the queue already when the small ones join, with first reads of their own; 3, so with two places in the
 * bulk lane; 4, as 2 with a large upstream of 200 requests a minute, where the full read would take most of an hour.
 *
 * ROWS (1,000,000) and MINUTES (5, at most; a variant ends with its large full read) choose others, VARIANT=1 to 4 one of them, QUEUE=postgres the
 * other queue; OUT=file adds the reports to it as JSON lines. Ends with 1 when a small stream's lag exceeded two intervals and a second after its
 * first full read, or that first full read was not complete before the large one.
 */
import { fileURLToPath } from 'node:url';
import { type FairnessReport, measureFairness } from '../helpers/bench/fairness.ts';
import { percentile, printVerdicts, saveReport, seconds, type Verdict } from '../helpers/bench/print.ts';
import { createCli } from '../helpers/cli.ts';
import { startTestServer } from '../helpers/test-server.ts';

const { ROWS = '1000000', MINUTES = '5', VARIANT, QUEUE = 'redis' } = process.env;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const INTERVAL_SECONDS = 10;
const variants = [
  { joins: 'large', bulkConcurrency: 1, requestsPerMinute: 100_000 },
  { joins: 'small', bulkConcurrency: 1, requestsPerMinute: 100_000 },
  { joins: 'small', bulkConcurrency: 2, requestsPerMinute: 100_000 },
  { joins: 'small', bulkConcurrency: 1, requestsPerMinute: 200 },
] as const;

const server = await startTestServer();
const cli = await createCli({ program: fileURLToPath(new URL('../../../bin/leadmirror.js', import.meta.url)) });
try {
  for (const [n, variant] of variants.entries()) {
    if (VARIANT !== undefined && VARIANT !== String(n + 1)) continue;
    const report = await measureFairness({
      ...{ cli, ...variant, queue: QUEUE === 'postgres' ? 'postgres' : 'redis' },
      ...{ rows: Number(ROWS), forMs: Number(MINUTES) * 60_000, smallConnections: 9, smallRows: 300 },
      largeStreams: 'leads,requests',
      ...{ intervalSeconds: INTERVAL_SECONDS, incrementalCron: '*/10 * * * * *', reconcileCron: '* * * * *' },
    });
    const { joins, bulkConcurrency, requestsPerMinute } = variant;
    const title = `${joins === 'large' ? `${ROWS} rows join the small ones` : `the small ones join ${ROWS} rows`}, ${requestsPerMinute} requests a minute, BULK_CONCURRENCY=${bulkConcurrency}, queue in ${QUEUE}`;
    if (report === null) {
      process.stdout.write(`\n${title}: no Redis, left out\n`);
      continue;
    }
    printVerdicts(title, judge(report));
    await saveReport(`fairness: ${title}`, report);
  }
} finally {
  await cli.close();
  await server.stop();
}

function judge({ small, largeReadMs, lookedForMs, largeRows, failedRuns, peakMemoryMb }: FairnessReport): Verdict[] {
  const lags = small.flatMap(({ maxLagMs }) => maxLagMs ?? []);
  const firstReads = small.flatMap(({ firstReadMs }) => firstReadMs ?? []);
  const mostMs = 2_000 * INTERVAL_SECONDS + 1_000;
  const worstMs = Math.max(0, ...lags);
  const late = lags.filter((lag) => lag > mostMs).length;
  const [first, half, last] = [0, 0.5, 1].map((share) => seconds(percentile(firstReads, share)));
  const isRead = firstReads.length === small.length;
  const isFirst = isRead && Math.max(...firstReads) < (largeReadMs ?? Number.POSITIVE_INFINITY);
  const worst = small.find(({ maxLagMs }) => maxLagMs === worstMs);
  return [
    {
      name: 'worst lag of a small stream',
      value: `${seconds(worstMs)} (${worst?.connection} ${worst?.stream}); median of the streams ${seconds(percentile(lags, 0.5))}`,
      bound: `at most ${seconds(mostMs)}`,
      isWell: late === 0 && lags.length > 0,
    },
    { name: 'small streams that were late', value: `${late} of ${small.length}` },
    {
      name: 'first full reads of small streams',
      value: `${firstReads.length} of ${small.length}: first ${first}, median ${half}, last ${last}`,
      bound: 'before the large one ends',
      isWell: isFirst,
    },
    {
      name: 'large full read',
      value: `${largeReadMs === null ? 'going on' : seconds(largeReadMs)}, ${largeRows} rows after ${seconds(lookedForMs)}`,
    },
    { name: 'failed runs', value: failedRuns, bound: 'none', isWell: failedRuns === 0 },
    { name: 'peak memory of the worker', value: `${peakMemoryMb} MB` },
  ];
}
