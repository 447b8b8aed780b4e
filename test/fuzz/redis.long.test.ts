import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { LeadmirrorError } from '../../src/errors.ts';
import { createQueues, enqueueRun } from '../../workers/queues.ts';
import { REDIS_ERRORS } from '../helpers/error-words.ts';
import { type RedisAnswer, startFakeRedis } from '../helpers/fake-redis.ts';
import { startTestRedis, type TestRedis } from '../helpers/redis.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

let redis: TestRedis | null;
let address: string;
beforeAll(async () => {
  redis = await startTestRedis();
  if (redis === null) return;
  const client = new Redis(redis.url);
  await client.call('ACL', 'SETUSER', 'app', 'on', '>c4n4ry-of-redis', '~*', '&*', '+@all');
  client.disconnect();
  address = `${redis.url.replace('redis://', 'redis://app:c4n4ry-of-redis@')}/1`;
});
afterAll(() => redis?.close());

const JOB = { connection: 'tiledesk:a', stream: 'tiledesk.leads', pass: 'incremental', trigger: 'manual' } as const;

/** What a daemon or a command does with its queue: reach it, ask for a run, look at it, leave. */
async function faultOf(at: string, answer: RedisAnswer): Promise<string | null> {
  const fake = await startFakeRedis(address, (command) => (command === at ? answer : null));
  const startedAt = performance.now();
  const said: string[] = [];
  const faults: string[] = [];
  const use = async (what: string, work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      said.push((error as Error).message);
      if (!(error instanceof LeadmirrorError)) faults.push(`${what} throws ${String(error)}`);
    }
  };
  await use('reaching', async () => {
    const options = { config: { redis: { urls: [fake.url] } }, databaseUrl: '', logger: unheardLogger(), reachMs: 60 };
    const queues = await createQueues(options);
    await use('asking', () => enqueueRun(queues, JOB));
    await use('looking', async () => said.push((await queues.health()).error ?? ''));
    await queues.close();
  });
  await fake.close();
  const ms = performance.now() - startedAt;
  if (ms > 9_000) faults.push(`takes ${Math.round(ms)} ms`);
  for (const text of said) {
    if (text.includes('c4n4ry')) faults.push('shows the password');
    if (/\n\s+at |undefined|\[object|report this/.test(text)) faults.push(`not in words: ${text}`);
  }
  return faults.length === 0 ? null : faults.join('; ');
}

async function commandsOfAQueue(): Promise<readonly string[]> {
  const fake = await startFakeRedis(address);
  const queues = await createQueues({
    config: { redis: { urls: [fake.url] } },
    databaseUrl: '',
    logger: unheardLogger(),
  });
  await enqueueRun(queues, JOB);
  await queues.health();
  await queues.close();
  await fake.close();
  return [...new Set(fake.commands)];
}

const AT_ONCE = 200;

it('whatever Redis answers is named in words', async () => {
  if (redis === null) return;
  const commands = await commandsOfAQueue();
  expect(commands).toEqual(expect.arrayContaining(['SELECT', 'INFO', 'EVALSHA']));
  const answers = [...REDIS_ERRORS, 'silence', 'close', 'garbage'] as const;
  const cases = commands.flatMap((command) => answers.map((answer) => ({ command, answer })));
  const faults: string[] = [];
  for (let from = 0; from < cases.length; from += AT_ONCE) {
    const some = cases.slice(from, from + AT_ONCE);
    await Promise.all(
      some.map(async ({ command, answer }) => {
        const fault = await faultOf(command, answer);
        if (fault !== null) faults.push(`${command}: ${answer}: ${fault}`);
      }),
    );
  }
  expect(faults).toEqual([]);
}, 120_000);

it('credentials that are refused are not tried for ten seconds', async () => {
  if (redis === null) return;
  const fake = await startFakeRedis(address.replace('c4n4ry-of-redis', 'wrong'));
  const urls = [fake.url];
  const opening = createQueues({ config: { redis: { urls } }, databaseUrl: '', logger: unheardLogger() });
  await expect(opening).rejects.toMatchObject({
    code: 'queue_unavailable',
    message: expect.stringContaining('check user and password in REDIS_URL'),
  });
  const signIns = fake.commands.filter((command) => command === 'AUTH' || command === 'HELLO');
  await fake.close();
  expect(signIns.length).toBeLessThan(5);
});
