/** How long until the program answers? Its help; a `sync` that finds nothing new, with the built-in Postgres stopped and there already; the first rows of the demo. */
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Cli, Finished } from '../cli.ts';
import { stopWithProcess } from '../test-server.ts';
import { startUpstream } from './children.ts';
import { type Figure, inRounds, median, type PartReport, range, ratio } from './figures.ts';

export interface ColdStartOptions {
  readonly cli: Cli;
  readonly rounds: number;
  readonly onProgress?: (text: string) => void;
}

export interface ColdStartMeasured {
  readonly rounds: readonly ColdStartRound[];
}

export interface ColdStartRound {
  readonly helpMs: number;
  readonly syncMs: number;
  /** Into a new folder, the creation of its database included. */
  readonly demoRowsMs: number;
  /** Until `demo --once` has shown all and stopped. */
  readonly demoMs: number;
  /** A Node process that does nothing. */
  readonly nodeMs: number;
}

const WAIT_FOR_ROWS_MS = 60_000;

export async function measureColdStart({
  cli,
  rounds: wanted,
  onProgress,
}: ColdStartOptions): Promise<ColdStartMeasured> {
  const upstream = await startUpstream(cli, {});
  const home = await openHome();
  try {
    const env = { ...upstream.variables, LEADMIRROR_HOME: home.path };
    // Makes the database; and the first start of a program reads its files from the disk.
    orThrow('the first sync', await cli.runProcess(['sync'], { env }));
    const rounds: ColdStartRound[] = [];
    for (let round = 1; round <= wanted; round++) {
      const node = cli.runProcess(['--version'], { env: { NODE_OPTIONS: NOTHING_ELSE } });
      const nodeMs = orThrow('node', await node).ms;
      const helpMs = orThrow('--help', await cli.runProcess(['--help'])).ms;
      const syncMs = orThrow('sync', await cli.runProcess(['sync'], { env })).ms;
      const times = { nodeMs, helpMs, syncMs, ...(await demoOnce(cli)) };
      rounds.push(times);
      const text = Object.entries(times).map(([name, ms]) => `${name.replace('Ms', '')} ${Math.round(ms)} ms`);
      onProgress?.(`cold-start, round ${round} of ${wanted}: ${text.join(', ')}`);
    }
    return { rounds };
  } finally {
    await upstream.close();
    await home.remove();
  }
}

/** Ends the process before the program is loaded. */
const NOTHING_ELSE = '--import=data:text/javascript,process.exit()';

export function describeColdStart({ rounds }: ColdStartMeasured): PartReport {
  const figure = (name: string, msOf: (round: ColdStartRound) => number, boundMs?: number): Figure => {
    const times = rounds.map(msOf);
    const value = range(times, (ms) => `${Math.round(ms)} ms`);
    if (boundMs === undefined) return { name, value };
    const measured = median(times);
    return { name, value, measured, goal: `under ${boundMs} ms`, isReached: measured < boundMs };
  };
  return {
    part: 'cold-start',
    subject: `from the start of the process, ${inRounds(rounds.length)}`,
    figures: [
      figure('`leadmirror --help`', ({ helpMs }) => helpMs, 200),
      figure('`sync` of nothing, built-in Postgres started and stopped', ({ syncMs }) => syncMs, 1_500),
      figure('`demo --once`: first rows in a new database', ({ demoRowsMs }) => demoRowsMs, 5_000),
      figure('`demo --once`: to its end', ({ demoMs }) => demoMs),
      figure('a Node process that does nothing', ({ nodeMs }) => nodeMs),
      {
        name: '`leadmirror --help` / that process',
        value: ratio(median(rounds.map(({ helpMs, nodeMs }) => helpMs / nodeMs))),
      },
    ],
    wrong: [],
    notMeasured: ['the first start after the machine itself: the files of program and database are in its memory'],
    rounds,
  };
}

async function demoOnce(cli: Cli): Promise<Pick<ColdStartRound, 'demoRowsMs' | 'demoMs'>> {
  const home = await openHome('demo');
  try {
    const startedAt = performance.now();
    const running = cli.start(['demo', '--once'], { env: { LEADMIRROR_HOME: home.path }, isUnguarded: true });
    const [, passfile = '', port = ''] = await running.says(/PGPASSFILE=(\S+) psql -h \S+ -p (\d+) /);
    const line = (await readFile(passfile, 'utf8')).trim().split(':');
    const url = `postgres://${line[3]}:${encodeURIComponent(line.slice(4).join(':'))}@127.0.0.1:${port}/leadmirror`;
    await firstRows(url);
    const demoRowsMs = performance.now() - startedAt;
    return { demoRowsMs, demoMs: orThrow('demo --once', await running.ended).ms };
  } finally {
    await home.remove();
  }
}

/** Resolves when somebody who asks the database sees the first rows. */
async function firstRows(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  // The demo ends with its server; should it end early, the query says so.
  client.on('error', () => {});
  await client.connect();
  try {
    const deadline = performance.now() + WAIT_FOR_ROWS_MS;
    while (performance.now() < deadline) {
      const { rows } = await client.query<{ found: boolean }>('select exists (select from tiledesk.leads) as found');
      if (rows[0]?.found === true) return;
      await delay(10);
    }
    throw new Error(`the demo had no rows within ${WAIT_FOR_ROWS_MS} ms`);
  } finally {
    await client.end();
  }
}

function orThrow(what: string, finished: Finished): Finished {
  if (finished.code === 0) return finished;
  throw new Error(`${what} ended with ${finished.code ?? finished.signal}:\n${finished.stdout}${finished.stderr}`);
}

/** A folder for LEADMIRROR_HOME; `below`: where in it the server will be. For root, Postgres runs under an account of its own, which has to enter it. */
export async function openHome(below = ''): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'leadmirror-bench-'));
  await chmod(path, 0o755);
  const forget = await stopWithProcess(join(path, below));
  return {
    path,
    async remove() {
      forget();
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
