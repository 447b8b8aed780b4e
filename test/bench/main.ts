/**
 * All figures of speed and size, in one run: `npm run bench`. Each is a ratio of things measured side by side, the median of its rounds; the facts of
 * the machine, every round and a table for docs/benchmarks.md come along.
 *
 *   whole       `leadmirror sync` from the start of its process to its end, beside a floor, and a peer where PEER names the folder of its installation
 *   pipeline    inside of one pass: first full read beside the two limits of this machine and a loop of Prisma upserts; the same walk again with nothing changed
 *   memory      highest resident memory at 10,000, 100,000 and 1,000,000 objects, and with transcripts of 50 KB (Linux only)
 *   restart     a kill -9 half way: pages fetched twice
 *   latency     80 ms per answer, then 200 requests a minute: the share that is used
 *   cold-start  help, a sync of nothing, the first rows of the demo
 *   footprint   the package, and what its installation takes of the disk (needs the npm registry)
 *
 * PARTS=pipeline,memory for some of them. Sizes: PIPELINE_ROWS (100000), PIPELINE_BYTES (600), PIPELINE_STREAM (leads, or requests), ROUNDS (3),
 * UPSERTS (2000; 0: no such loop), MEMORY_ROWS (10000,100000,1000000), TRANSCRIPTS (2000; 0: none), RESTART_ROWS (9000), LATENCY_ROWS (20000), LATENCY_MS (80),
 * ALLOWANCE_SECONDS (120; 0: left out), STARTS (5). OUT=file writes the whole report there as one JSON document.
 * PAGE=docs/benchmarks.md puts the table into that page.
 *
 * A goal that was missed is printed as missed, with its figure, and the command still ends with 0: these are measurements, and machines differ. It
 * ends with 1 when something was wrong: rows lost, a mirror that differs, a process that failed. The parts after it are measured all the same.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describeColdStart, measureColdStart } from '../helpers/bench/cold-start.ts';
import {
  describeMachine,
  describePart,
  describeTable,
  type PartReport,
  readMachine,
  replaceTable,
} from '../helpers/bench/figures.ts';
import { describeFootprint, measureFootprint } from '../helpers/bench/footprint.ts';
import { describeLatency, measureLatency } from '../helpers/bench/latency.ts';
import { describeMemory, measureMemory } from '../helpers/bench/memory.ts';
import { describePipeline, measurePipeline } from '../helpers/bench/pipeline.ts';
import { describeRestart, measureRestart } from '../helpers/bench/restart.ts';
import { describeWhole, measureWhole } from '../helpers/bench/whole.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { ADMIN_URL_VARIABLE } from '../helpers/postgres.ts';
import { startTestServer } from '../helpers/test-server.ts';

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

interface Common {
  readonly cli: Cli;
  readonly onProgress: (text: string) => void;
}

/** @throws when it is no whole number: a typing error would measure nothing for half an hour */
function sizes(name: string, unlessTold: string): number[] {
  const texts = (process.env[name] ?? unlessTold).split(',').filter((text) => text !== '');
  if (texts.some((text) => !/^\d+$/.test(text))) throw new Error(`${name} takes whole numbers, not ${texts.join(',')}`);
  return texts.map(Number);
}

function size(name: string, unlessTold: number, least = 0): number {
  const [given = unlessTold] = sizes(name, String(unlessTold));
  if (given < least) throw new Error(`${name} is ${least} or more`);
  return given;
}

function oneOf<T extends string>(name: string, words: readonly [T, ...T[]]): T {
  const given = process.env[name] ?? words[0];
  const found = words.find((word) => word === given);
  if (found === undefined) throw new Error(`${name} is ${words.join(' or ')}, not ${given}`);
  return found;
}

// All of them now: a mistake is not found out after half an hour.
const { OUT, PAGE } = process.env;
if (PAGE) replaceTable(await readFile(PAGE, 'utf8'), '');
const bytesEach = size('PIPELINE_BYTES', 600);
const rounds = size('ROUNDS', 3, 1);
const rows = size('PIPELINE_ROWS', 100_000, 1);
const upserts = Math.min(rows, size('UPSERTS', 2_000));
const stream = oneOf('PIPELINE_STREAM', ['leads', 'requests']);
const memorySizes = sizes('MEMORY_ROWS', '10000,100000,1000000').sort((a, b) => a - b);
const transcripts = size('TRANSCRIPTS', 2_000);
const restartRows = size('RESTART_ROWS', 9_000, 300);
const leads = Math.round(restartRows / 3);
const restart = { leads, requests: restartRows - leads, pageSize: restartRows < 2_000 ? 20 : 100 };
const latency = { rows: size('LATENCY_ROWS', 20_000, 1), latencyMs: size('LATENCY_MS', 80, 1) };
const allowanceMs = size('ALLOWANCE_SECONDS', 120) * 1000;
const starts = size('STARTS', 5, 1);

const PARTS: Readonly<Record<string, (common: Common) => Promise<PartReport>>> = {
  whole: async (common) =>
    describeWhole(await measureWhole({ ...common, rows, bytesEach, rounds, peer: process.env.PEER || undefined })),
  pipeline: async (common) =>
    describePipeline(await measurePipeline({ ...common, stream, rows, bytesEach, rounds, upserts })),
  memory: async (common) =>
    describeMemory(await measureMemory({ ...common, sizes: memorySizes, bytesEach, transcripts })),
  restart: async (common) => describeRestart(await measureRestart({ ...common, ...restart, rounds })),
  latency: async (common) =>
    describeLatency(await measureLatency({ ...common, ...latency, bytesEach, rounds, allowanceMs })),
  'cold-start': async (common) => describeColdStart(await measureColdStart({ ...common, rounds: starts })),
  // The last one: it builds the program anew, which the others run.
  footprint: async (common) => describeFootprint(await measureFootprint(common)),
};
const asked = process.env.PARTS?.split(',').map((part) => part.trim()) ?? Object.keys(PARTS);
const unknown = asked.filter((part) => PARTS[part] === undefined);
if (unknown.length > 0)
  throw new Error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`);

// Durable and with autovacuum, as it would be: the figures are about that, too.
const server = await startTestServer({ isDurable: true });
const cli = await createCli({ program: fileURLToPath(new URL('../../../bin/leadmirror.js', import.meta.url)) });
const onProgress = (text: string) => void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
try {
  const startedAt = performance.now();
  const machine = await readMachine(process.env[ADMIN_URL_VARIABLE] ?? '');
  process.stdout.write(`${describeMachine(machine)}\n`);
  const reports: PartReport[] = [];
  const failed: string[] = [];
  for (const [name, measure] of Object.entries(PARTS)) {
    if (!asked.includes(name)) continue;
    try {
      const report = await measure({ cli, onProgress });
      process.stdout.write(describePart(report));
      reports.push(report);
    } catch (error) {
      failed.push(name);
      process.stderr.write(`${name} could not be measured: ${error instanceof Error ? error.stack : error}\n`);
    }
  }
  const leftOut = Object.keys(PARTS).filter((part) => !reports.some((report) => report.part === part));
  const table = describeTable(machine, reports, leftOut);
  process.stdout.write(table);
  if (PAGE) await writeFile(PAGE, replaceTable(await readFile(PAGE, 'utf8'), table));
  const tookSeconds = Math.round((performance.now() - startedAt) / 1000);
  process.stdout.write(`\nTook ${tookSeconds} s.\n`);
  if (OUT)
    await writeFile(OUT, `${JSON.stringify({ machine, tookSeconds, parts: reports, failed, leftOut }, null, 2)}\n`);
  if (failed.length > 0 || reports.some(({ wrong }) => wrong.length > 0)) process.exitCode = 1;
} finally {
  await cli.close();
  await server.stop();
}
