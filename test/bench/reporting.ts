/**
 * How fast questions are answered: 1,000,000 requests, 300,000 leads, 100,000 links and 300,000 visits, written straight into the mirrored tables.
 * Tells how long the first computation, a refresh after a minute's changes and one after none take; then the time of every view, read to its last row, and of
 * every recipe of docs/sql.md, the slowest of three. A second is the bound, of the first fifteen recipes a tenth of it; a recipe may scan no mirrored table.
 *
 * DATABASE_URL: an empty database of yours, left as it is filled; without it a Postgres of its own. BENCH_REQUESTS changes the size of everything.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/logger.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openSession } from '../../src/store/session.ts';
import { printVerdicts, saveReport, seconds, type Verdict } from '../helpers/bench/print.ts';
import { fillMirror, touchMirror } from '../helpers/bench/reporting.ts';
import { readRecipes } from '../helpers/recipes.ts';

const REQUESTS = Number(process.env.BENCH_REQUESTS ?? 1_000_000);
const VOLUME = {
  requests: REQUESTS,
  leads: Math.ceil(REQUESTS * 0.3),
  links: Math.ceil(REQUESTS * 0.1),
  visits: Math.ceil(REQUESTS * 0.3),
};
const BOUND_MS = 1_000;
/** What the leads of support and of sales ask. */
const QUESTIONS = { count: 15, boundMs: 100 } as const;
/** One row per request or link: to hand out all of them takes its time, a question about a period does not. */
const LONG_VIEWS: Readonly<Record<string, string>> = { requests: 'opened_on', link_journeys: 'sent_on' };
const MIRRORED = /"Node Type": ?"Seq Scan"[^{}]*?"Schema": ?"(?:tiledesk|tilkee)"/;

interface Plan {
  readonly 'Execution Time': number;
  readonly 'Planning Time': number;
}

const home = await mkdtemp(join(tmpdir(), 'leadmirror-bench-'));
const postgres =
  process.env.DATABASE_URL === undefined ? await startEmbeddedPostgres({ home, logger: silentLogger() }) : null;
const url = process.env.DATABASE_URL ?? postgres?.url ?? '';
const sql = await openSession(url);
try {
  await migrate({ url });
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const from = performance.now();
    await work();
    return performance.now() - from;
  };
  const refresh = () => timed(() => sql.query('select reporting.refresh()'));
  // Run to its last row inside the server; what travelling to a client takes is not the view's.
  const explain = async (query: string): Promise<{ ms: number; plan: string }> => {
    const { rows } = await sql.query(`explain (analyze, timing off, verbose, format json) ${query}`);
    const [plan] = rows[0]['QUERY PLAN'] as [Plan];
    return { ms: plan['Execution Time'] + plan['Planning Time'], plan: JSON.stringify(plan) };
  };
  const verdictOf = async (name: string, query: string, boundMs = BOUND_MS): Promise<Verdict> => {
    const runs = [await explain(query), await explain(query), await explain(query)];
    const ms = Math.max(...runs.map((run) => run.ms));
    const scans = runs.some(({ plan }) => MIRRORED.test(plan));
    const value = `${Math.round(ms)} ms${scans ? ', scans a mirrored table' : ''}`;
    return { name, value, isWell: ms < boundMs && !scans, bound: `under ${boundMs} ms` };
  };

  const filled = await timed(() => fillMirror(sql, VOLUME));
  const first = await refresh();
  await sql.query('vacuum analyze');
  const none = await refresh();
  await touchMirror(sql);
  const some = await refresh();
  const { rows } = await sql.query('select took_ms from reporting.response_histories');
  const verdicts: Verdict[] = [
    { name: 'filling the mirrored tables', value: seconds(filled) },
    { name: 'first computation', value: seconds(first) },
    { name: 'of that the percentiles over the whole history', value: seconds(Number(rows[0]?.took_ms)) },
    { name: 'refresh after no change', value: seconds(none) },
    { name: 'refresh after a minute of changes', value: seconds(some) },
  ];
  const { rows: views } = await sql.query<{ name: string }>(
    `select viewname as name from pg_views where schemaname = 'reporting' order by 1`,
  );
  for (const { name } of views) {
    const query = `select * from reporting.${name}`;
    const day = LONG_VIEWS[name];
    if (day === undefined) verdicts.push(await verdictOf(`reporting.${name}`, query));
    else {
      verdicts.push({ name: `reporting.${name}, every row`, value: `${Math.round((await explain(query)).ms)} ms` });
      const month = `${query} where ${day} > current_date - 30`;
      verdicts.push(await verdictOf(`reporting.${name}, the last thirty days`, month));
    }
  }
  for (const { number, question, sql: query } of readRecipes()) {
    verdicts.push(
      await verdictOf(`${number}. ${question}`, query, number > QUESTIONS.count ? BOUND_MS : QUESTIONS.boundMs),
    );
  }
  printVerdicts(`${REQUESTS} requests`, verdicts);
  await saveReport('reporting', verdicts);
} finally {
  await sql.end().catch(() => {});
  await postgres?.close();
  await rm(home, { recursive: true, force: true });
}
