/**
 * How many requests it takes to find rows that were removed upstream by comparing counts, and to find that none were.
 *
 *   ROWS    requests in the account (1000000)
 *   GONE    removed at random ages (40)
 *   SEED    which of them (1)
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/logger.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { measureCounts } from '../helpers/bench/counts.ts';

const { ROWS = '1000000', GONE = '40', SEED = '1' } = process.env;
const home = await mkdtemp(join(tmpdir(), 'leadmirror-bench-'));
const postgres = await startEmbeddedPostgres({ home, logger: silentLogger() });
try {
  await migrate({ url: postgres.url });
  const sizes = { rows: Number(ROWS), gone: Number(GONE), seed: Number(SEED) };
  const figures = await measureCounts({ databaseUrl: postgres.url, ...sizes });
  process.stdout.write(`${JSON.stringify({ ...sizes, ...figures }, null, 2)}\n`);
} finally {
  await postgres.close();
  await rm(home, { recursive: true, force: true });
}
