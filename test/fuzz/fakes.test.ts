import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import pg from 'pg';
import { type FakePostgres, type PostgresTrouble, startFakePostgres } from '../helpers/fake-postgres.ts';
import { type FakeRedis, startFakeRedis } from '../helpers/fake-redis.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { startTestRedis, type TestRedis } from '../helpers/redis.ts';

describe('a Postgres with troubles', () => {
  let database: TestDatabase;
  let fake: FakePostgres;
  beforeAll(async () => {
    database = await createTestDatabase({ migrated: false });
    fake = await startFakePostgres(database.url);
  });
  afterAll(async () => {
    await fake.close();
    await database.drop();
  });

  const ask = async (url = fake.url): Promise<unknown> => {
    // Only silence is waited out: a busy machine takes its time for a connection.
    const connectionTimeoutMillis = fake.trouble.connection === 'silence' ? 300 : 30_000;
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis });
    client.on('error', () => {});
    try {
      await client.connect();
      const prepared = { name: 'two', text: 'select $1::int + 1 as n' };
      const results = [];
      for (const n of [1, 2]) results.push(await client.query(prepared, [n]).catch(({ code }) => String(code)));
      return results.map((result) => (typeof result === 'string' ? result : result.rows[0].n));
    } catch (error) {
      return (error as { code?: string }).code ?? (error as Error).message;
    } finally {
      await client.end().catch(() => {});
    }
  };

  const cases: readonly (readonly [string, PostgresTrouble, unknown])[] = [
    ['none', {}, [2, 3]],
    ['a refusal at the start-up', { startUp: () => ({ sqlstate: 'XX000' }) }, 'XX000'],
    ['a demand for TLS', { plain: { sqlstate: '28000' } }, '28000'],
    ['a password that is refused', { authentication: 'cleartext' }, '28P01'],
    ['silence', { connection: 'silence' }, 'timeout expired'],
    ['an end', { startUp: () => 'close' }, 'Connection terminated unexpectedly'],
    ['an error at the second use', { query: (_, nth) => (nth === 3 ? { sqlstate: '25006' } : null) }, [2, '25006']],
    [
      'an error that ends the connection',
      { query: (_, nth) => (nth === 1 ? { sqlstate: '57P01', severity: 'FATAL' } : null) },
      ['57P01', 'undefined'],
    ],
  ];
  it.each(cases)('%s', async (_, trouble, expected) => {
    fake.trouble = trouble;
    expect(await ask()).toEqual(expected);
  });
});

describe('a Redis with troubles', () => {
  let redis: TestRedis | null;
  let fake: FakeRedis;
  beforeAll(async () => {
    redis = await startTestRedis();
    if (redis !== null) fake = await startFakeRedis(redis.url);
  });
  afterAll(async () => {
    await fake?.close();
    await redis?.close();
  });

  it('puts its answers in their order', async () => {
    if (redis === null) return;
    fake.trouble = (command) => (command === 'STRLEN' ? 'OOM command not allowed' : null);
    const client = new Redis(fake.url);
    const long = 'x'.repeat(200_000);
    const answers = await Promise.allSettled([
      client.set('a', long),
      client.strlen('a'),
      client.get('a'),
      client.strlen('b'),
      client.echo('e'),
    ]);
    expect(answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : answer.reason.message))).toEqual([
      'OK',
      'OOM command not allowed',
      long,
      'OOM command not allowed',
      'e',
    ]);
    const multi = await client.multi().set('c', '1').strlen('c').exec();
    expect(multi?.map(([error, value]) => error?.message ?? value)).toEqual(['OK', 'OOM command not allowed']);
    client.disconnect();
  });

  it.each([['close'], ['garbage'], ['silence']] as const)('%s', async (answer) => {
    if (redis === null) return;
    fake.trouble = (command) => (command === 'GET' ? answer : null);
    const client = new Redis(fake.url, { retryStrategy: () => null, commandTimeout: 300 });
    client.on('error', () => {});
    await expect(client.get('a')).rejects.toThrow();
    if (client.status !== 'end') client.disconnect();
  });
});
