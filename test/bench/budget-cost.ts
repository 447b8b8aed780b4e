/**
 * What the shared budget costs per request: ms per take (median, p95), statements per request and rows written, with 10,000 credentials in the table
 * and 1, 8 and 24 takers at once. Each taker does what a good request does: take, then tell of the success.
 *
 *   own     every taker has a credential of its own: the usual case
 *   shared  all takers of a process share one credential and its budget: they stand in line for its row
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/logger.ts';
import { createDatabase } from '../../src/store/database.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded/embedded.ts';
import { createDatabaseBudget } from '../../src/store/engine/budgets.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openSession } from '../../src/store/session.ts';

const CREDENTIALS = Number(process.env.BENCH_CREDENTIALS ?? 10_000);
const TAKES = Number(process.env.BENCH_TAKES ?? 2_000);
const TAKERS = [1, 8, 24];
/** So high that nobody waits: what is measured is the statement. */
const LIMIT = 6_000_000;

const quantile = (sorted: readonly number[], share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;

const home = await mkdtemp(join(tmpdir(), 'leadmirror-bench-'));
const postgres = await startEmbeddedPostgres({ home, logger: silentLogger() });
const sql = await openSession(postgres.url);
try {
  await migrate({ url: postgres.url });
  await sql.query(
    `insert into sync.budgets (credential, base_spacing_ms, spacing_ms)
     select 'bench ' || n, 60000.0 / ${LIMIT - 5}, 60000.0 / ${LIMIT - 5} from generate_series(1, $1::int) n`,
    [CREDENTIALS],
  );
  await sql.query('analyze sync.budgets');

  const rowsWritten = async () => {
    await sql.query('select pg_stat_force_next_flush()');
    const { rows } = await sql.query<{ updated: string; hot: string }>(
      `select n_tup_upd as updated, n_tup_hot_upd as hot from pg_stat_user_tables where schemaname = 'sync' and relname = 'budgets'`,
    );
    return { updated: Number(rows[0]?.updated), hot: Number(rows[0]?.hot) };
  };

  const measure = async (takers: number, isShared: boolean) => {
    const { prisma, close } = createDatabase({ url: postgres.url, logger: silentLogger(), maxConnections: takers });
    let statements = 0;
    const count = async () => {
      statements += 1;
    };
    const counted = prisma.$extends({
      query: {
        $queryRaw: ({ args, query }) => count().then(() => query(args)),
        $executeRaw: ({ args, query }) => count().then(() => query(args)),
      },
    }) as unknown as typeof prisma;
    const create = (n: number) => createDatabaseBudget(counted, `bench ${n}`, LIMIT);
    const shared = create(1);
    const budgets = Array.from({ length: takers }, (_, index) =>
      isShared ? shared : create(1 + index * Math.floor(CREDENTIALS / takers)),
    );
    // Connections, the row's first look, plans.
    await Promise.all(budgets.map((budget) => budget.take(60_000)));
    const bare: number[] = [];
    await Promise.all(
      budgets.map(async () => {
        for (let i = 0; i < TAKES / takers / 4; i++) {
          const at = performance.now();
          await prisma.$queryRaw`select 1`;
          bare.push(performance.now() - at);
        }
      }),
    );
    bare.sort((one, other) => one - other);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const before = await rowsWritten();
    statements = 0;
    const times: number[] = [];
    const from = performance.now();
    await Promise.all(
      budgets.map(async (budget) => {
        for (let i = 0; i < TAKES / takers; i++) {
          const at = performance.now();
          await budget.take(60_000, 'bulk');
          await budget.recover();
          await budget.circuit.answered();
          times.push(performance.now() - at);
        }
      }),
    );
    const seconds = (performance.now() - from) / 1000;
    await close();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const after = await rowsWritten();
    const requests = times.length;
    times.sort((one, other) => one - other);
    const written = after.updated - before.updated;
    process.stdout.write(
      `${String(takers).padStart(2)} takers, ${isShared ? 'shared' : 'own   '} credential: median ${quantile(times, 0.5).toFixed(2)} ms, p95 ${quantile(times, 0.95).toFixed(2)} ms (bare round trip ${quantile(bare, 0.5).toFixed(2)} ms), ${Math.round(requests / seconds)} takes/s, ${(statements / requests).toFixed(2)} statements and ${(written / requests).toFixed(2)} rows written per request, ${Math.round(((after.hot - before.hot) / Math.max(1, written)) * 100)} % of them HOT\n`,
    );
  };

  process.stdout.write(`${CREDENTIALS} credentials, ${TAKES} requests each:\n`);
  for (const isShared of [false, true]) for (const takers of TAKERS) await measure(takers, isShared);
} finally {
  await sql.end();
  await postgres.close();
  await rm(home, { recursive: true, force: true });
}
