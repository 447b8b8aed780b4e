/**
 * What does a crash cost? A first full read is killed (SIGKILL) twenty times at random moments and started again each time, the lease of the dead
 * waited for as in real life; then the mirror is compared with the upstream, row by row. Ends with 1 when they differ, when a kill made
 * leadmirror fetch more than two pages twice, or when all of it took more requests, sign-in and role checks included, than 1.2 times the least number of
 * pages and two a kill.
 *
 * KILLS, ROWS and SEED choose others: `KILLS=200 ROWS=100000 npm run bench:kills`. Of very many kills only every tenth waits for its lease.
 */
import { fileURLToPath } from 'node:url';
import { createCli } from '../helpers/cli.ts';
import { killAgainAndAgain } from '../helpers/kills.ts';
import { startTestServer } from '../helpers/test-server.ts';

const kills = Number(process.env.KILLS ?? 20);
const rows = Number(process.env.ROWS ?? 9_000);
const seed = Number(process.env.SEED ?? 1);
const leads = Math.round(rows / 3);

const server = await startTestServer();
const cli = await createCli({ program: fileURLToPath(new URL('../../../bin/leadmirror.js', import.meta.url)) });
try {
  const startedAt = performance.now();
  const report = await killAgainAndAgain({
    ...{ cli, kills, seed, leads, requests: rows - leads, pageSize: rows > 20_000 ? 100 : 50 },
    waitsForLease: (kill) => kills <= 20 || kill % 10 === 0,
  });
  const { requests, pages, pagesTwice, pagesMinimum, pagesUndisturbed, differences, end } = report;
  const most = Math.floor(pagesMinimum * 1.2 + 2 * report.kills);
  const isEqual = end.code === 0 && differences.every((one) => Object.values(one).every((ids) => ids.length === 0));
  const lines = {
    kills: report.kills,
    rows,
    'requests in all': `${requests} (at most ${most} = minimum x 1.2 + 2 x kills)`,
    'pages fetched': pages,
    'pages, minimum': pagesMinimum,
    'pages, undisturbed': pagesUndisturbed,
    'pages fetched twice': `${pagesTwice} (at most ${2 * report.kills})`,
    'mirror equals upstream': isEqual ? 'yes' : 'no',
    took: `${Math.round((performance.now() - startedAt) / 1000)} s`,
  };
  for (const [name, value] of Object.entries(lines)) process.stdout.write(`${name.padEnd(24)}${value}\n`);
  if (end.code !== 0) process.stderr.write(`the last sync ended with ${end.code}:\n${end.stdout}${end.stderr}\n`);
  const extra = Math.max(pagesTwice, pages - pagesUndisturbed);
  if (!isEqual || extra > 2 * report.kills || requests > most || report.kills < kills) process.exitCode = 1;
} finally {
  await cli.close();
  await server.stop();
}
