import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { createTiledeskSandbox, type RequestLogEntry, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import type { Cli } from './cli.ts';
import { compareMirror, type Difference } from './compare.ts';
import { STREAMS, variables } from './mirror.ts';
import { createTestDatabase } from './postgres.ts';
import { seededRandom } from './shifting-list.ts';

export interface KillsOptions {
  readonly cli: Cli;
  readonly kills: number;
  readonly seed: number;
  readonly leads: number;
  readonly requests: number;
  readonly pageSize: number;
  /** Kill when that share of the pages was answered since the last start, 0 to 1; at random places unless told. */
  readonly at?: number;
  /** After which kills the lease of the dead is waited for; after the others its end is put into the past. */
  readonly waitsForLease: (kill: number) => boolean;
}

export interface KillsReport {
  readonly kills: number;
  /** Pages that hold all rows, without any overlap: nobody can ask for fewer. */
  readonly pagesMinimum: number;
  /** Pages of an undisturbed first full read, and of the one with the kills. */
  readonly pagesUndisturbed: number;
  readonly requestsUndisturbed: number;
  readonly pages: number;
  /** Answers to a question that had been answered before. */
  readonly pagesTwice: number;
  readonly differences: readonly Difference[];
  /** Everything that was asked with the kills: the sign-in, role checks and incremental passes at each new start included. */
  readonly requests: number;
  /** Exit code and output of the sync that was left alone. */
  readonly end: { readonly code: number | null; readonly stdout: string; readonly stderr: string };
}

/** Long enough that a page is often under way when the process dies. */
const ANSWER_MS = 25;

/** First full reads that are killed again and again, each time somewhere else, until one is left alone. */
export async function killAgainAndAgain(options: KillsOptions): Promise<KillsReport> {
  const { cli, kills, seed, leads, requests } = options;
  const random = seededRandom(seed);
  const sandbox = createTiledeskSandbox({ seed, leads, requests });
  const database = await createTestDatabase();
  const admin = new pg.Client({ connectionString: database.url });
  try {
    await admin.connect();
    const { url } = await sandbox.listen();
    cli.guard(sandbox);
    const { pages: pagesUndisturbed, requests: requestsUndisturbed } = await readUndisturbed(sandbox, url, options);
    const env = settings(sandbox, url, database.url, options);
    sandbox.clearLog();
    sandbox.faults.push({ kind: 'slow', delayMs: ANSWER_MS, match: isPage, times: Number.POSITIVE_INFINITY });
    const pages = countingPages(sandbox);
    // On average the kills are spread over nine tenths of the walk.
    const span = Math.max(1, Math.round((1.8 * pagesUndisturbed) / kills));
    let killed = 0;
    for (let kill = 1; kill <= kills; kill++) {
      const running = cli.start(['sync'], { env });
      const until = pages() + Math.floor(options.at === undefined ? random() * span : options.at * pagesUndisturbed);
      let isOver = false;
      const ended = running.ended.finally(() => {
        isOver = true;
      });
      while (!isOver && pages() < until) await delay(2);
      await Promise.race([delay(random() * 2 * ANSWER_MS), ended]);
      running.kill('SIGKILL');
      if ((await ended).signal !== 'SIGKILL') break;
      killed += 1;
      if (!options.waitsForLease(kill)) await expireLeasesOfDead(admin);
    }
    const end = await cli.runProcess(['sync'], { env, timeoutMs: timeoutMs(options) });
    // One after the other: large tables need not be in memory together.
    const differences: Difference[] = [];
    for (const stream of STREAMS) differences.push(await compareMirror(database.url, sandbox, stream));
    return {
      kills: killed,
      pagesMinimum: Math.ceil(leads / options.pageSize) + Math.ceil(requests / options.pageSize),
      pagesUndisturbed,
      requestsUndisturbed,
      pages: pages(),
      pagesTwice: countTwice(sandbox.log.filter(isPage)),
      requests: sandbox.log.length,
      differences,
      end,
    };
  } finally {
    await admin.end();
    await sandbox.close();
    await database.drop();
  }
}

/**
 * Puts the leases of killed processes into the past. What such a process sent last may still be at work, and would renew the lease by writing its page: that is
 * waited for.
 */
export async function expireLeasesOfDead(admin: pg.Client): Promise<void> {
  const atWork = `select from pg_stat_activity where datname = current_database() and application_name = 'leadmirror'`;
  for (let looks = 0; looks < 500 && (await admin.query(atWork)).rowCount !== 0; looks++) await delay(10);
  await admin.query(
    "update sync.checkpoints set lease_until = clock_timestamp() - interval '1 s' where lease_until is not null",
  );
}

async function readUndisturbed(sandbox: TiledeskSandbox, url: string, options: KillsOptions) {
  const database = await createTestDatabase();
  try {
    const env = settings(sandbox, url, database.url, options);
    const { code, stdout } = await options.cli.runProcess(['sync'], { env, timeoutMs: timeoutMs(options) });
    if (code !== 0) throw new Error(`the undisturbed sync ended with ${code}:\n${stdout}`);
    if (countTwice(sandbox.log.filter(isPage)) > 0) throw new Error('the undisturbed sync asked a question twice');
    return { pages: sandbox.log.filter(isPage).length, requests: sandbox.log.length };
  } finally {
    await database.drop();
  }
}

/** Two minutes, and what very many rows take on a slow machine. */
const timeoutMs = ({ leads, requests }: KillsOptions): number => 120_000 + (leads + requests) * 6;

/** Looks at each line of the log once: the question is asked every few milliseconds, in the process that also answers the requests. */
function countingPages({ log }: TiledeskSandbox): () => number {
  let seen = 0;
  let count = 0;
  return () => {
    for (; seen < log.length; seen++) if (isPage(log[seen] as RequestLogEntry)) count += 1;
    return count;
  };
}

function settings(sandbox: TiledeskSandbox, url: string, databaseUrl: string, { pageSize }: KillsOptions) {
  return {
    ...variables(sandbox, url, databaseUrl),
    TILEDESK_PAGE_SIZE: String(pageSize),
    // So that a restart goes on with the session that is there.
    LEADMIRROR_SECRET_KEY: 'a-key-that-is-long-enough-for-a-test',
  };
}

/**
 * A page of the first full read. Not one: sign-in, role check, the question for the newest change, what a server is asked to find out what it can do;
 * and the incremental pass that every new start makes over the streams that are already complete (by change time).
 */
function isPage({ list, query }: Pick<RequestLogEntry, 'list' | 'query'>): boolean {
  const isList = list === 'leads' || list === 'requests';
  return isList && Number(query.get('limit')) > 5 && query.get('sort') !== 'updatedAt';
}

function countTwice(pages: readonly RequestLogEntry[]): number {
  const questions = pages.map(({ list, query }) => `${list}?${query}`);
  return questions.length - new Set(questions).size;
}
