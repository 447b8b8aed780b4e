/**
 * What do very many connections cost, and how many does one installation carry? CONNECTIONS (10,000) accounts with STREAMS (requests) of ROWS (20) each,
 * over an upstream that answers at once: real scheduler and worker processes, queue in Redis; then PG_CONNECTIONS (1,000) with the queue in Postgres.
 * Each number of WORKERS (1,2,4) is watched for TICKS (2) whole ticks of CRON (every five minutes); in the first of them each new worker process signs
 * in everywhere. CONCURRENCY (8) jobs per lane and worker.
 *
 * CRON=auto: one account of BUSY_ONE_OF (10) gets a new lead and a new request a minute, and each number of workers is watched for TICKS times five
 * minutes; the lag is that of these rows. STREAMS=leads,requests,departments,project_users for four of them.
 *
 * Prints Markdown; OUT=file adds the reports to it as JSON lines. Nothing is extrapolated but the last table, which says so. Linux only.
 */
import { fileURLToPath } from 'node:url';
import { saveReport } from '../helpers/bench/print.ts';
import { measureScale } from '../helpers/bench/scale.ts';
import { describeScale } from '../helpers/bench/scale-tables.ts';
import { createCli } from '../helpers/cli.ts';
import { createTestDatabase } from '../helpers/postgres.ts';
import { startTestServer } from '../helpers/test-server.ts';

const { CONNECTIONS = '10000', PG_CONNECTIONS = '1000', WORKERS = '1,2,4', CONCURRENCY = '8' } = process.env;
const { CRON = '*/5 * * * *', TICKS = '2', ROWS = '20', STREAMS = 'requests', BUSY_ONE_OF = '10' } = process.env;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

// Durable and with autovacuum, as it would be: the figures are about that, too.
const server = await startTestServer({ isDurable: true });
const cli = await createCli({ program: fileURLToPath(new URL('../../../bin/leadmirror.js', import.meta.url)) });
try {
  await measure('redis', Number(CONNECTIONS));
  await measure('postgres', Number(PG_CONNECTIONS));
} finally {
  await cli.close();
  await server.stop();
}

async function measure(queue: 'redis' | 'postgres', connections: number): Promise<void> {
  if (connections === 0) return;
  const database = await createTestDatabase();
  try {
    const report = await measureScale({
      ...{ cli, queue, connections, databaseUrl: database.url, cron: CRON },
      ...{
        rowsEach: Number(ROWS),
        concurrency: Number(CONCURRENCY),
        ticks: Number(TICKS),
        streams: STREAMS.split(','),
      },
      ...(CRON === 'auto' && { busyOneOf: Number(BUSY_ONE_OF) }),
      workers: WORKERS.split(',').map(Number),
      onProgress: (text) => process.stderr.write(`${new Date().toISOString()} ${text}\n`),
    });
    if (report === null) {
      process.stdout.write(`\n## queue in ${queue}: no Redis, left out\n`);
      return;
    }
    process.stdout.write(describeScale(report));
    await saveReport(`scale: queue in ${queue}`, report);
  } finally {
    await database.drop();
  }
}
