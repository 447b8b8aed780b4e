import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from '@jest/globals';
import { createDatabase } from '../../src/store/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/embedded/embedded.ts';
import { findLocation } from '../../src/store/embedded/location.ts';
import { migrate } from '../../src/store/migrate.ts';
import { ensureFeed, readChanges } from '../../src/store/mirror/feed.ts';
import { withClient } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { runFeedLoad } from './feed-load.ts';
import { LEADS } from './support.ts';

/** Changes of the load; a million takes some minutes. */
const CHANGES = Number(process.env.FEED_CHANGES ?? 100_000);

const releases: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const release of releases.splice(0).reverse()) await release();
});

/** A server of its own that keeps what it commits. */
async function setup() {
  const home = await mkdtemp(join(tmpdir(), 'leadmirror-feed-'));
  releases.push(() => rm(home, { recursive: true, force: true }));
  let server: EmbeddedPostgres | null = null;
  const start = async () => {
    server = await startEmbeddedPostgres({ home, logger: unheardLogger() });
    return server.url;
  };
  const stop = async () => {
    await server?.close();
    server = null;
  };
  releases.push(stop);
  const url = await start();
  await migrate({ url });
  await ensureFeed({ ...open(url), url }, [LEADS], ['tiledesk.leads']);
  const { location } = await findLocation(home);
  return { url, start, stop, files: location.dataDirectory };
}

function open(url: string) {
  const database = createDatabase({ url, logger: unheardLogger() });
  releases.push(() => database.close());
  return database;
}

it('of a large load none is missed and none out of order, with kills of writers, of the reader and of the server', async () => {
  const { url } = await setup();
  const load = runFeedLoad({ url, changes: CHANGES, killEveryMs: 500 });
  await delay(3_000);
  // A backend that dies takes all sessions with it, and the server recovers from its log.
  const pid = await withClient(url, async (client) => {
    const { rows } = await client.query(`select pid from pg_stat_activity where application_name = 'load' limit 1`);
    return rows[0]?.pid;
  });
  process.kill(pid, 'SIGKILL');
  const result = await load;
  expect(result).toMatchObject({ missed: 0, outOfOrder: 0 });
  expect(result.committed).toBeGreaterThanOrEqual(CHANGES);
  expect(result.kills).toBeGreaterThan(3);
  expect(result.missedByNumber).toBeGreaterThan(0);
}, 900_000);

it('a standby refuses to be read, and tells the consumers of before once it took over', async () => {
  const { url, start, stop, files } = await setup();
  const consumer = { consumer: 'copy', limit: 10 };
  await readChanges(open(url).prisma, { ...consumer, ack: null });
  await stop();
  await writeFile(join(files, 'standby.signal'), '');
  const standby = await start();
  const { prisma } = open(standby);
  await expect(readChanges(prisma, consumer)).rejects.toThrow(/standby/);
  await prisma.$queryRaw`select pg_promote()`;
  await prisma.$executeRaw`checkpoint`;
  await expect(readChanges(prisma, consumer)).rejects.toMatchObject({ code: 'consumer_restored' });
});
