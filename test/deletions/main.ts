/**
 * Rows vanish, come, change, and the upstream lies about it, a thousand times: see `simulate.ts`. Ends with 1 when a row that is there was called deleted, a
 * deletion was missed, a row was lost, or anything else was not as it must be.
 *
 *   SEEDS   how many (1000), from FIRST (1) on
 *   SEED    this one alone, with every pass
 *   LANES   seeds at the same time (3): some wait for Postgres while one computes
 */
import { startTestServer } from '../helpers/test-server.ts';
import { isWell, type SeedReport, simulate } from './simulate.ts';
import { addTo, describe, noTotals } from './totals.ts';
import { Ground } from './world.ts';

const { SEED, SEEDS, FIRST, LANES } = process.env;
const first = Number(SEED ?? FIRST ?? 1);
const seeds = SEED === undefined ? Number(SEEDS ?? 1000) : 1;
const EVERY = 50;

const say = (text: string) => process.stdout.write(`${text}\n`);
const from = performance.now();
const totals = noTotals();
const server = await startTestServer();
let next = first;
try {
  await Promise.all(Array.from({ length: SEED === undefined ? Number(LANES ?? 3) : 1 }, playLane));
} finally {
  await server.stop();
}
say(describe(totals));
if (totals.failed.length > 0) {
  say(`The same again, with every pass: SEED=${totals.failed[0]} npm run test:deletions`);
}
// By name: what a broken seed left open must not keep the figures from being the end.
process.exit(totals.failed.length > 0 ? 1 : 0);

async function playLane(): Promise<void> {
  const ground = new Ground();
  while (next < first + seeds) {
    const seed = next++;
    // What breaks the simulation itself must not end it: the other seeds still have something to say.
    const played = simulate(ground, seed, SEED === undefined ? undefined : say);
    const report = await played.catch((error: unknown) => broken(seed, error));
    addTo(totals, report);
    if (!isWell(report)) for (const line of complaints(report)) say(line);
    if (totals.seeds % EVERY === 0) say(progress());
  }
  await ground.close();
}

function broken(seed: number, error: unknown): SeedReport {
  const problems = [`the simulation broke: ${error instanceof Error ? error.stack : String(error)}`];
  const changes = { inserts: 0, edits: 0, 'status changes': 0, 'soft deletes': 0, 'hard deletes': 0 };
  const counts = { changes, faults: {}, passes: {}, requests: 0, found: 0 };
  return { seed, source: 'tiledesk', ...counts, falseDeletions: [], missedDeletions: [], lost: [], problems };
}

function complaints({ seed, source, ...report }: SeedReport): string[] {
  const lines = [
    ...report.falseDeletions.map((what) => `false deletion: ${what}`),
    ...report.missedDeletions.map((what) => `missed deletion: ${what}`),
    ...report.lost.map((what) => `lost: ${what}`),
    ...report.problems,
  ];
  return [`SEED=${seed} (${source}):`, ...lines.slice(0, 12).map((line) => `  ! ${line}`)];
}

function progress(): string {
  const { seeds: done, falseDeletions, missedDeletions, lost, failed } = totals;
  const seconds = Math.round((performance.now() - from) / 1000);
  return `${done} seeds, ${seconds} s: ${falseDeletions} false deletions, ${missedDeletions} missed, ${lost} lost, ${failed.length} seeds failed`;
}
