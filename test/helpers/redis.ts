import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

/** A Redis for one test file. */
export interface TestRedis {
  readonly url: string;
  /** Only a server of our own may be flushed and stopped. */
  readonly isOwn: boolean;
  /** Stops the own server without a goodbye, as a crash does. What it held is gone. */
  kill(): Promise<void>;
  /** Starts the own server again, empty, at the same address. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Where a Redis for the tests is to be had: a program to start or an address; null where there is none. */
async function findRedis(): Promise<{ program: string } | { url: string } | null> {
  const { TEST_REDIS_URL } = process.env;
  if (TEST_REDIS_URL) return { url: TEST_REDIS_URL };
  const program = (await findProgram('redis-server')) ?? (await findProgram('valkey-server'));
  if (program !== null) return { program };
  return (await answers(LOCAL)) ? { url: LOCAL } : null;
}

const LOCAL = 'redis://127.0.0.1:6379';
const MISSING = 'No Redis: TEST_REDIS_URL is not set, no redis-server or valkey-server on PATH, none on 127.0.0.1:6379';

/** Once before all tests: one line where half of them cannot run. */
export async function announceMissingRedis(): Promise<void> {
  if ((await findRedis()) === null) process.stderr.write(`${MISSING}. The tests on Redis do not run.\n`);
}

/**
 * TEST_REDIS_URL, else a server from PATH on a free port, else 127.0.0.1:6379; null where there is none.
 * @throws where there is none and `CI=true`
 */
export async function startTestRedis(): Promise<TestRedis | null> {
  const found = await findRedis();
  if (found === null && process.env.CI === 'true') throw new Error(MISSING);
  if (found === null) return null;
  return 'url' in found ? shared(found.url) : startServer(found.program);
}

function shared(url: string): TestRedis {
  const refuse = async () => {
    throw new Error('this Redis belongs to somebody else');
  };
  return { url, isOwn: false, kill: refuse, restart: refuse, close: async () => {} };
}

async function startServer(program: string): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'leadmirror-redis-'));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  let server: ChildProcess;
  const start = async () => {
    const settings = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      directory,
    ];
    server = spawn(program, settings, { stdio: 'ignore' });
    for (let i = 0; !(await answers(url)); i++) {
      if (i === 200 || server.exitCode !== null) throw new Error(`${program} did not start`);
      await delay(25);
    }
  };
  const kill = async () => {
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  };
  const onExit = () => server.kill('SIGKILL');
  process.once('exit', onExit);
  await start();
  return {
    url,
    isOwn: true,
    kill,
    restart: start,
    async close() {
      process.off('exit', onExit);
      if (server.exitCode === null && server.signalCode === null) await kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function answers(url: string): Promise<boolean> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    if (client.status !== 'end') client.disconnect();
  }
}

async function findProgram(name: string): Promise<string | null> {
  for (const directory of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const file = join(directory, name);
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file;
  }
  return null;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
