import { readFileSync, rmSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { silentLogger } from '../../src/logger.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded/embedded.ts';
import { findLocation } from '../../src/store/embedded/location.ts';
import { migrate } from '../../src/store/migrate.ts';
import { ADMIN_URL_VARIABLE, databaseUrl, TEMPLATE } from './postgres.ts';

export interface TestServerOptions {
  /** As a server is run that keeps what it is given, autovacuum included; for measurements. */
  readonly isDurable?: boolean;
}

const FAST = { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', autovacuum: 'off' };

/** One Postgres for the whole run: started and migrated once; each test file clones the migrated database. */
export async function startTestServer(options: TestServerOptions = {}): Promise<{ stop(): Promise<void> }> {
  const own = process.env.TEST_POSTGRES_URL;
  if (own !== undefined) {
    await createTemplate(own);
    process.env[ADMIN_URL_VARIABLE] = own;
    return { stop: async () => {} };
  }
  const home = await mkdtemp(join(tmpdir(), 'leadmirror-test-'));
  // Postgres refuses to run as root and then works under an account of its own, which has to enter this directory.
  await chmod(home, 0o755);
  const settings = { max_connections: '300', ...(options.isDurable === true ? {} : FAST) };
  const removeHome = () => rm(home, { recursive: true, force: true });
  const postgres = await startEmbeddedPostgres({ home, logger: silentLogger(), settings }).catch(async (error) => {
    await removeHome();
    throw error;
  });
  const forget = await stopWithProcess(home);
  try {
    await createTemplate(postgres.url);
  } catch (error) {
    await postgres.close();
    await removeHome();
    throw error;
  }
  process.env[ADMIN_URL_VARIABLE] = postgres.url;
  return {
    async stop() {
      await postgres.close();
      forget();
      await removeHome();
    },
  };
}

/**
 * The built-in server of a home, which is removed too, ends with this process. It is nobody's child: without this, a run that is cut short by Ctrl-C
 * would leave it behind. Returns the way to leave it alone after all.
 */
export async function stopWithProcess(home: string): Promise<() => void> {
  const { location } = await findLocation(home);
  const onExit = () => {
    try {
      process.kill(
        Number.parseInt(readFileSync(join(location.dataDirectory, 'postmaster.pid'), 'utf8'), 10),
        'SIGQUIT',
      );
    } catch {
      // Already gone.
    }
    rmSync(home, { recursive: true, force: true, maxRetries: 3 });
  };
  const onSignal = () => process.exit(130);
  process.once('exit', onExit).once('SIGINT', onSignal).once('SIGTERM', onSignal);
  return () => {
    process.off('exit', onExit).off('SIGINT', onSignal).off('SIGTERM', onSignal);
  };
}

async function createTemplate(url: string): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    await admin.query(`drop database if exists ${TEMPLATE}`);
    await admin.query(`create database ${TEMPLATE}`);
    await migrate({ url: databaseUrl(url, TEMPLATE) });
    // A database can only be cloned while nobody is connected to it.
    const connected = 'select from pg_stat_activity where datname = $1';
    while ((await admin.query(connected, [TEMPLATE])).rowCount !== 0) await delay(20);
    await admin.query(`alter database ${TEMPLATE} with allow_connections false`);
  } finally {
    await admin.end();
  }
}
