import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createServer as createTlsServer, type Server } from 'node:tls';
import { Redis } from 'ioredis';
import { findClosedPort, findClosedPorts } from './closed-port.ts';

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
  const program = await findServerProgram();
  if (program !== null) return { program };
  return (await answers(LOCAL)) ? { url: LOCAL } : null;
}

/** A server that the tests may start, as often and with whatever settings they like. */
async function findServerProgram(): Promise<string | null> {
  return (await findProgram('redis-server')) ?? (await findProgram('valkey-server'));
}

const LOCAL = 'redis://127.0.0.1:6379';
const MISSING = 'No Redis: TEST_REDIS_URL is not set, no redis-server or valkey-server on PATH, none on 127.0.0.1:6379';

/** Once before all tests: one line where half of them cannot run. */
export async function announceMissingRedis(): Promise<void> {
  if ((await findRedis()) === null) process.stderr.write(`${MISSING}. The tests on Redis do not run.\n`);
}

/**
 * The program for tests that need a server of their own; null where there is none.
 * @throws where there is none and `CI=true`
 */
export async function serverProgramForTests(): Promise<string | null> {
  const program = await findServerProgram();
  if (program === null && process.env.CI === 'true') throw new Error('No redis-server or valkey-server on PATH');
  return program;
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
  const port = await findClosedPort();
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

/** A Redis that speaks TLS on `port`, and plainly on `plainPort`. */
export interface TestRedisOverTls {
  readonly port: number;
  readonly plainPort: number;
  /** A server that was built without TLS gets a proxy in front of it. */
  readonly terminatedBy: 'server' | 'proxy';
  command(name: string, ...words: string[]): Promise<unknown>;
  close(): Promise<void>;
}

export interface RedisOverTlsOptions {
  readonly program: string;
  /** For the files of the certificate. */
  readonly directory: string;
  readonly certificate: { readonly key: string; readonly cert: string };
}

export async function startRedisOverTls(options: RedisOverTlsOptions): Promise<TestRedisOverTls> {
  const { program, directory, certificate } = options;
  const [port = 0, plainPort = 0] = await findClosedPorts(2);
  const [key, cert] = [join(directory, 'redis-key.pem'), join(directory, 'redis-cert.pem')];
  await writeFile(key, certificate.key, { mode: 0o600 });
  await writeFile(cert, certificate.cert);
  const plain = ['--port', String(plainPort), '--save', '', '--dir', directory];
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert];
  const secure = [...plain, '--tls-port', String(port), '--tls-auth-clients', 'no', ...files];
  let terminatedBy: 'server' | 'proxy' = 'server';
  let proxy: Server | null = null;
  let server = await spawnUntilReached(program, secure, plainPort);
  if (server === null) {
    terminatedBy = 'proxy';
    server = await spawnUntilReached(program, plain, plainPort);
    if (server === null) throw new Error(`${program} did not start`);
    proxy = createTlsServer(certificate, (near) => {
      const far = connect(plainPort, '127.0.0.1');
      near.on('error', () => far.destroy());
      far.on('error', () => near.destroy());
      near.pipe(far).pipe(near);
    }).listen(port, '127.0.0.1');
  }
  const running = server;
  const onExit = () => running.kill('SIGKILL');
  process.once('exit', onExit);
  const client = new Redis({ port: plainPort, host: '127.0.0.1' });
  return {
    port,
    plainPort,
    terminatedBy,
    command: (name, ...words) => client.call(name, ...words),
    async close() {
      process.off('exit', onExit);
      client.disconnect();
      proxy?.close();
      const ended = once(running, 'exit');
      running.kill('SIGKILL');
      await ended;
    },
  };
}

/** Null when the program ends at once, as it does at a setting that it does not know. */
async function spawnUntilReached(program: string, words: string[], port: number): Promise<ChildProcess | null> {
  const server = spawn(program, words, { stdio: 'ignore' });
  for (let i = 0; i < 200; i++) {
    if (server.exitCode !== null) return null;
    if (await answers(`redis://127.0.0.1:${port}`)) return server;
    await delay(25);
  }
  throw new Error(`${program} did not start`);
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
