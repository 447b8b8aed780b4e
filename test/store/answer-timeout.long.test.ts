/** Connections that stay open and carry nothing any more, in the middle of a statement. */
import { afterEach, expect, it } from '@jest/globals';
import { createDatabase } from '../../src/store/database.ts';
import { databaseError } from '../../src/store/faults.ts';
import { openSession } from '../../src/store/session.ts';
import { createCuttableProxy } from '../helpers/cuttable-proxy.ts';
import { createTestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function setup() {
  const database = await createTestDatabase();
  const proxy = await createCuttableProxy(database.url);
  const { prisma, close } = createDatabase({ url: proxy.url, logger: unheardLogger(), maxConnections: 2 });
  opened.push({ close: () => database.drop() }, proxy, { close });
  const sleep = (seconds: number) =>
    prisma.$queryRaw`select pg_sleep(${seconds}::int)::text`.catch((error: unknown) => {
      throw databaseError(error, 'there');
    });
  await sleep(0);
  return { proxy, sleep };
}

const STOPPED = { code: 'database_unavailable', message: 'database there: it stopped answering' };
const under = async (ms: number, work: Promise<unknown>) => {
  const at = performance.now();
  await work;
  expect(performance.now() - at).toBeLessThan(ms);
};

it('a statement is given up within half a minute where the server is silent, or works on it no more; a long one is waited for', async () => {
  const [silent, forgotten, working] = [await setup(), await setup(), await setup()];
  const session = await openSession(silent.proxy.url);
  session.on('error', () => {});
  const ends = [
    under(55_000, expect(silent.sleep(3)).rejects.toMatchObject(STOPPED)),
    under(55_000, expect(session.query('select pg_sleep(3)')).rejects.toThrow('it stopped answering')),
    under(55_000, expect(forgotten.sleep(3)).rejects.toMatchObject(STOPPED)),
    expect(working.sleep(33)).resolves.toEqual([{ pg_sleep: '' }]),
  ];
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  silent.proxy.silence();
  forgotten.proxy.freeze();
  await Promise.all(ends);
  await forgotten.sleep(0);
});
