/**
 * How many requests a first full read takes, and a night with and without deletions: by default, and without wide pages and counts
 * (TILEDESK_MAX_PAGE_SIZE=100, SYNC_FULL_SYNC_DAYS=0).
 *
 *   LEADS, ROWS  leads and requests in the account (100000, 1000000)
 *   GONE         of each, removed at random ages before a night (40)
 *   SEED         which of them (1)
 *
 * Ends with 1 when another row than these was marked, or a goal was missed. PAGE=docs/benchmarks.md puts the table into that page.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/logger.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { describeCounts, measureCounts } from '../helpers/bench/counts.ts';
import { replaceTable } from '../helpers/bench/figures.ts';
import { printVerdicts, saveReport } from '../helpers/bench/print.ts';

const { LEADS = '100000', ROWS = '1000000', GONE = '40', SEED = '1', PAGE } = process.env;
const SCRIPT = 'bench:counts';
if (PAGE) replaceTable(await readFile(PAGE, 'utf8'), '', SCRIPT);
const home = await mkdtemp(join(tmpdir(), 'leadmirror-bench-'));
const postgres = await startEmbeddedPostgres({ home, logger: silentLogger() });
try {
  await migrate({ url: postgres.url });
  const rows = { leads: Number(LEADS), requests: Number(ROWS) };
  const onProgress = (text: string) => void process.stderr.write(`${text}\n`);
  const options = { databaseUrl: postgres.url, rows, gone: Number(GONE), seed: Number(SEED), onProgress };
  const report = await measureCounts(options);
  const { first, still, changed } = report.after;
  const atMost = (name: string, value: number, most: number) => ({
    name,
    value,
    bound: `at most ${most}`,
    isWell: value <= most,
  });
  printVerdicts('requests', [
    atMost('first full read of the leads', first.leads.requests, Math.ceil(rows.leads * 0.0013)),
    atMost('a night of the requests, nothing deleted', still.requests.requests, 6),
    atMost('a night of the requests, some deleted', changed.requests.requests, 15 * options.gone),
    { name: 'marked exactly what was removed', value: String(report.isExact), isWell: report.isExact },
  ]);
  const table = describeCounts(report, options);
  process.stdout.write(`\n${table}`);
  if (PAGE) await writeFile(PAGE, replaceTable(await readFile(PAGE, 'utf8'), table, SCRIPT));
  await saveReport('counts', report);
} finally {
  await postgres.close();
  await rm(home, { recursive: true, force: true });
}
