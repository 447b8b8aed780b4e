import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import pg from 'pg';
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from '../../src/store/embedded/embedded.ts';
import { findAccount, locationIn, type ServerAccount } from '../../src/store/embedded/location.ts';
import { parseLockFile } from '../../src/store/embedded/postmaster.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

/** The server is one for several processes, so these tests need processes: plain Node on the compiled sources. */
const CHILD = `
import { createInterface } from 'node:readline';
import { createLogger } from './out/src/logger.js';
import { startEmbeddedPostgres } from './out/src/store/embedded/embedded.js';

const say = (message) => process.stdout.write(JSON.stringify(message) + '\\n');
const logger = await createLogger({ level: 'debug', format: 'json' });
const { rounds = 1, ...options } = JSON.parse(process.argv[2]);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
try {
  for (let round = 1; round < rounds; round++) await (await startEmbeddedPostgres({ ...options, logger })).close();
  const server = await startEmbeddedPostgres({ ...options, logger });
  say({ url: server.url, psql: server.psql, joined: server.joined });
  await lines.next();
  await server.close();
  say({ closed: true });
  process.exit(0);
} catch (error) {
  say({ error: { name: error.name, code: error.code, message: error.message } });
  process.exit(1);
}
`;

export const FAST = { fsync: 'off', full_page_writes: 'off' };
export const IS_ROOT = process.getuid?.() === 0;
const PROJECT = process.cwd();

export interface Answer {
  readonly url: string;
  readonly psql: string;
  readonly joined: boolean;
  readonly error?: { readonly name: string; readonly code: string; readonly message: string };
}

export interface Child {
  readonly process: ChildProcess;
  readonly answer: Promise<Answer>;
  /** What it logged so far, one JSON document a line. */
  log(): string;
  /** Lets it close and end. */
  close(): Promise<void>;
  kill(): Promise<void>;
}

export interface ChildOptions extends Partial<Omit<EmbeddedPostgresOptions, 'logger' | 'signal'>> {
  readonly rounds?: number;
}

/** One temporary directory for a test file, open for everybody, with the compiled sources once they are needed. */
export async function setup() {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'leadmirror-embedded-')));
  await chmod(root, 0o755);
  const children: Child[] = [];
  const servers: EmbeddedPostgres[] = [];
  let directories = 0;
  let template: Promise<string> | undefined;

  async function compile(): Promise<void> {
    await symlink(join(PROJECT, 'node_modules'), join(root, 'node_modules'));
    const config = {
      extends: join(PROJECT, 'tsconfig.json'),
      compilerOptions: { noEmit: false, noCheck: true, outDir: join(root, 'out'), rootDir: PROJECT },
      files: ['src/logger.ts', 'src/store/embedded/embedded.ts'].map((path) => join(PROJECT, path)),
      include: [],
    };
    await writeFile(join(root, 'tsconfig.json'), JSON.stringify(config));
    await writeFile(join(root, 'package.json'), '{"type":"module"}');
    await writeFile(join(root, 'child.js'), CHILD);
    const compiler = join(PROJECT, 'node_modules', 'typescript', 'bin', 'tsc');
    await promisify(execFile)(process.execPath, [compiler, '-p', root]);
    await promisify(execFile)('chmod', ['-R', 'a+rX', join(root, 'out')]);
  }

  async function createDirectory(mode = 0o755): Promise<string> {
    const path = join(root, `${++directories}`);
    await mkdir(path);
    await chmod(path, mode);
    return path;
  }

  /** A home that was used before. A copy of one: to create the data takes ten times as long. */
  async function createUsedHome(): Promise<string> {
    template ??= (async () => {
      const home = await createDirectory();
      await (await start({ home })).close();
      return home;
    })();
    const home = join(await createDirectory(), 'home');
    await promisify(execFile)('cp', ['-Rp', await template, home]);
    // The port of another home would be taken whenever both are in use.
    await rm(join(locationIn(home).dataDirectory, 'postmaster.opts'));
    return home;
  }

  async function start(options: Partial<EmbeddedPostgresOptions> & { home: string }): Promise<EmbeddedPostgres> {
    const server = await startEmbeddedPostgres({ logger: unheardLogger(), settings: FAST, ...options });
    servers.push(server);
    return server;
  }

  function startChild(options: ChildOptions & { home: string }, account: ServerAccount | null = null): Child {
    const child = spawn(process.execPath, [join(root, 'child.js'), JSON.stringify({ settings: FAST, ...options })], {
      cwd: root,
      // Its own process group, as a shell gives it, so that a test can press Ctrl-C.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(account && { uid: account.uid, gid: account.gid }),
    });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    const exited = once(child, 'exit');
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const answer = lines.next().then(({ value }): Answer => {
      if (typeof value !== 'string') throw new Error(`the process ended without an answer: ${log}`);
      return JSON.parse(value);
    });
    const result: Child = {
      process: child,
      answer,
      log: () => log,
      close: async () => {
        child.stdin.write('close\n');
        await exited;
      },
      kill: async () => {
        child.kill('SIGKILL');
        await exited;
      },
    };
    answer.catch(() => {});
    children.push(result);
    return result;
  }

  /** Whatever a test did or failed to do, no process stays behind. */
  async function stopAll(): Promise<void> {
    const running = children
      .splice(0)
      .filter(({ process: { exitCode, signalCode } }) => exitCode === null && signalCode === null);
    await Promise.all(running.map((child) => child.kill()));
    await Promise.all(servers.splice(0).map((server) => server.close()));
    for (const pid of await findPostmasters(root)) await endPostmaster(pid, 'SIGQUIT');
  }

  async function cleanUp(): Promise<void> {
    await stopAll();
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
  }

  return { compile, createDirectory, createUsedHome, start, startChild, stopAll, cleanUp };
}

export type Surroundings = Awaited<ReturnType<typeof setup>>;

async function findPostmasters(directory: string): Promise<number[]> {
  const pids: number[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.name === 'postgres' && entry.isDirectory()) {
      const pid = await readPostmaster(locationIn(directory).dataDirectory);
      // A test may have put its own process id there.
      if (pid !== null && pid !== process.pid) pids.push(pid);
    } else if (entry.isDirectory() && !['out', 'native'].includes(entry.name))
      pids.push(...(await findPostmasters(path)));
  }
  return pids;
}

/** The process id of the server on these data; null when there is none. */
export async function readPostmaster(dataDirectory: string): Promise<number | null> {
  const text = await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '');
  return parseLockFile(text)?.pid ?? null;
}

export async function endPostmaster(pid: number, signal: 'SIGKILL' | 'SIGQUIT'): Promise<void> {
  try {
    process.kill(pid, signal);
    while (await isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
  } catch {
    // Already gone.
  }
}

export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // Where nobody asks for a dead process' end it stays as a zombie.
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/\) Z /.test(stat);
}

export async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client(url);
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

/** Why a server cannot be reached: `ECONNREFUSED` when it is down, null when it is up. */
export async function connectionFailure(url: string): Promise<string | null> {
  return query(url, 'select 1').then(
    () => null,
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
}

/** An ordinary user to become: only root can and has to; everybody else already is one. */
export async function ordinaryUser(): Promise<ServerAccount | null> {
  if (!IS_ROOT) return null;
  const passwd = await readFile('/etc/passwd', 'utf8');
  const nobody = findAccount(passwd.replaceAll(/^_?postgres:.*$/gm, ''));
  if (!nobody) throw new Error('these tests need a user "nobody" when they run as root');
  return nobody;
}
