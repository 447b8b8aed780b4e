/**
 * All figures of speed and size, in one run: `npm run bench`. Each is a ratio of things measured side by side, the median of its rounds; the facts of
 * the machine, every round and a table for the README come along.
 *
 *   pipeline    first full read beside the two limits of this machine and a loop of Prisma upserts; the same walk again with nothing changed
 *   memory      highest resident memory at 10,000, 100,000 and 1,000,000 objects, and with transcripts of 50 KB (Linux only)
 *   restart     a kill -9 half way: pages fetched twice
 *   latency     80 ms per answer, then 200 requests a minute: the share that is used
 *   cold-start  help, a sync of nothing, the first rows of the demo
 *
 * PARTS=pipeline,memory for some of them. Sizes: PIPELINE_ROWS (100000), PIPELINE_BYTES (600), PIPELINE_STREAM (leads, or requests), ROUNDS (3),
 * UPSERTS (2000; 0: no such loop), MEMORY_ROWS (10000,100000,1000000), TRANSCRIPTS (2000; 0: none), RESTART_ROWS (9000), LATENCY_ROWS (20000), LATENCY_MS (80),
 * ALLOWANCE_SECONDS (120; 0: left out), STARTS (5). OUT=file writes the whole report there as one JSON document.
 *
 * A goal that was missed is printed as missed, with its figure, and the command still ends with 0: these are measurements, and machines differ. It
 * ends with 1 when something was wrong: rows lost, a mirror that differs, a process that failed. The parts after it are measured all the same.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describeColdStart, measureColdStart } from '../helpers/bench/cold-start.ts';
import {
  describeMachine,
  describePart,
  describeTable,
  type PartReport,
  readMachine,
} from '../helpers/bench/figures.ts';
import { describeLatency, measureLatency } from '../helpers/bench/latency.ts';
import { describeMemory, measureMemory } from '../helpers/bench/memory.ts';
import { describePipeline, measurePipeline } from '../helpers/bench/pipeline.ts';
import { describeRestart, measureRestart } from '../helpers/bench/restart.ts';
import { createCli } from '../helpers/cli.ts';
import { ADMIN_URL_VARIABLE } from '../helpers/postgres.ts';
import { startTestServer } from '../helpers/test-server.ts';

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

/** @throws when it is no whole number: a typing error would measure nothing for half an hour */
function sizes(name: string, unlessTold: string): number[] {
  const texts = (process.env[name] ?? unlessTold).split(',').filter((text) => text !== '');
  if (texts.some((text) => !/^\d+$/.test(text))) throw new Error(`${name} takes whole numbers, not ${texts.join(',')}`);
  return texts.map(Number);
}

const size = (name: string, unlessTold: number): number => sizes(name, String(unlessTold))[0] ?? unlessTold;

const bytesEach = size('PIPELINE_BYTES', 600);
const rounds = size('ROUNDS', 3);
const restartRows = size('RESTART_ROWS', 9_000);
const stream = process.env.PIPELINE_STREAM === 'requests' ? 'requests' : 'leads';
const onProgress = (text: string) => void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);

// Durable and with autovacuum, as it would be: the figures are about that, too.
const server = await startTestServer({ isDurable: true });
const cli = await createCli({ program: fileURLToPath(new URL('../../../bin/leadmirror.js', import.meta.url)) });
const common = { cli, bytesEach, onProgress };

const PARTS: Readonly<Record<string, () => Promise<PartReport>>> = {
  pipeline: async () => {
    const rows = size('PIPELINE_ROWS', 100_000);
    const upserts = Math.min(rows, size('UPSERTS', 2_000));
    return describePipeline(await measurePipeline({ ...common, stream, rows, rounds, upserts }));
  },
  memory: async () => {
    const options = { sizes: sizes('MEMORY_ROWS', '10000,100000,1000000'), transcripts: size('TRANSCRIPTS', 2_000) };
    return describeMemory(await measureMemory({ ...common, ...options }));
  },
  restart: async () => {
    const leads = Math.round(restartRows / 3);
    const options = { leads, requests: restartRows - leads, pageSize: restartRows < 2_000 ? 20 : 100, rounds };
    return describeRestart(await measureRestart({ ...common, ...options }));
  },
  latency: async () => {
    const options = { rows: size('LATENCY_ROWS', 20_000), latencyMs: size('LATENCY_MS', 80), rounds };
    const allowanceMs = size('ALLOWANCE_SECONDS', 120) * 1000;
    return describeLatency(await measureLatency({ ...common, ...options, allowanceMs }));
  },
  'cold-start': async () => describeColdStart(await measureColdStart({ ...common, rounds: size('STARTS', 5) })),
};

try {
  const asked = process.env.PARTS?.split(',').map((part) => part.trim()) ?? Object.keys(PARTS);
  const unknown = asked.filter((part) => PARTS[part] === undefined);
  if (unknown.length > 0)
    throw new Error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`);
  const startedAt = performance.now();
  const machine = await readMachine(process.env[ADMIN_URL_VARIABLE] ?? '');
  process.stdout.write(`${describeMachine(machine)}\n`);
  const reports: PartReport[] = [];
  const failed: string[] = [];
  for (const [name, measure] of Object.entries(PARTS)) {
    if (!asked.includes(name)) continue;
    try {
      const report = await measure();
      process.stdout.write(describePart(report));
      reports.push(report);
    } catch (error) {
      failed.push(name);
      process.stderr.write(`${name} could not be measured: ${error instanceof Error ? error.stack : error}\n`);
    }
  }
  const leftOut = Object.keys(PARTS).filter((part) => !reports.some((report) => report.part === part));
  process.stdout.write(describeTable(machine, reports, leftOut));
  const tookSeconds = Math.round((performance.now() - startedAt) / 1000);
  process.stdout.write(`\nTook ${tookSeconds} s.\n`);
  const { OUT } = process.env;
  if (OUT)
    await writeFile(OUT, `${JSON.stringify({ machine, tookSeconds, parts: reports, failed, leftOut }, null, 2)}\n`);
  if (failed.length > 0 || reports.some(({ wrong }) => wrong.length > 0)) process.exitCode = 1;
} finally {
  await cli.close();
  await server.stop();
}
