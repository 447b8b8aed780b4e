import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { access, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type RunningInProcess, startInProcess } from './in-process.ts';
import { declareSecrets } from './printed/record.ts';

/** The commands of leadmirror, with nothing but the given environment. */
export interface Cli {
  /** `bin/leadmirror.js` of the build. */
  readonly program: string;
  /** An empty directory: no `.env`, no `leadmirror.yaml`. Where commands run unless told. */
  readonly cwd: string;
  /** Runs a command to its end within this process, however many at once; stops it when that takes longer than `timeoutMs`. */
  run(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** The same with the compiled program, as users run it: a process of its own, ended by force after `timeoutMs`. It takes a second. */
  runProcess(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Starts a command within this process that is typed to, and answers. */
  converse(args: readonly string[], options?: Omit<RunOptions, 'timeoutMs'>): RunningInProcess;
  /** Starts a process that goes on, or that gets signals, loses its output or is killed. */
  start(args: readonly string[], options?: RunOptions): Running;
  /** Texts that no output may hold from now on: the sandbox's password and the e-mail addresses of its leads. */
  guard(...secrets: readonly (TiledeskSandbox | string)[]): void;
  /**
   * Ends what still runs.
   * @throws when a process was left running, or an output held a guarded text
   */
  close(): Promise<void>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** The output is meant to hold a secret: the `sandbox` command prints a password. */
  readonly isUnguarded?: boolean;
}

export interface Finished {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface Running {
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves with the match once stdout or stderr holds it. @throws when the process ends first, or after 30 s */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  /** As `| head` does: stdout is read no more. */
  closeOutput(): void;
  readonly ended: Promise<Finished>;
}

const RUN_TIMEOUT_MS = 120_000;
const SAYS_TIMEOUT_MS = 120_000;
/** Every token of the sandbox begins so. */
const TOKEN_START = Buffer.from('{"alg":"HS256"').toString('base64url').slice(0, 16);

/** `program`: another one than the sources as they are now. */
export async function createCli(options: { readonly program?: string } = {}): Promise<Cli> {
  const program = options.program ?? (await buildProgram());
  const cwd = await mkdtemp(join(tmpdir(), 'leadmirror-cli-'));
  const children = new Set<ChildProcess>();
  const outputs: { readonly command: string; readonly text: string }[] = [];
  const secrets = new Set<string>([TOKEN_START]);
  const onExit = () => {
    for (const child of children) child.kill('SIGKILL');
  };
  // A run of the tests that is cut short leaves nothing behind either.
  process.on('exit', onExit);

  function start(args: readonly string[], options: RunOptions = {}): Running {
    const { PATH = '', HOME = '' } = process.env;
    declareSecrets(options.env ?? {});
    const child = spawn(process.execPath, [program, ...args], {
      cwd: options.cwd ?? cwd,
      env: { PATH, HOME, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.add(child);
    return observe(child, (text) => {
      children.delete(child);
      if (!options.isUnguarded) outputs.push({ command: args.join(' '), text });
    });
  }

  function converse(args: readonly string[], options: RunOptions = {}): RunningInProcess {
    const { PATH = '', HOME = '' } = process.env;
    const env = { PATH, HOME, ...options.env };
    const running = startInProcess(args, { env, cwd: options.cwd ?? cwd });
    const ended = running.ended.then((said) => {
      if (!options.isUnguarded) outputs.push({ command: args.join(' '), text: `${said.stdout}\n${said.stderr}` });
      return said;
    });
    return { ...running, ended };
  }

  return {
    program,
    cwd,
    start,
    converse,
    async run(args, options = {}) {
      const startedAt = performance.now();
      const running = converse(args, options);
      running.stdin.end();
      const timer = setTimeout(() => running.kill('SIGINT'), options.timeoutMs ?? RUN_TIMEOUT_MS);
      const ended = await running.ended.finally(() => clearTimeout(timer));
      return { ...ended, signal: null, ms: performance.now() - startedAt };
    },
    async runProcess(args, options = {}) {
      const running = start(args, options);
      const timer = setTimeout(() => running.kill('SIGKILL'), options.timeoutMs ?? RUN_TIMEOUT_MS);
      return running.ended.finally(() => clearTimeout(timer));
    },
    guard(...added) {
      for (const each of added)
        for (const text of typeof each === 'string' ? [each] : secretsOf(each)) secrets.add(text);
    },
    async close() {
      const left = [...children];
      const gone = left.map((child) => once(child, 'close'));
      for (const child of left) child.kill('SIGKILL');
      await Promise.all(gone);
      process.off('exit', onExit);
      await rm(cwd, { recursive: true, force: true });
      const leaks = findLeaks(outputs, [...secrets]);
      if (leaks.length > 0) throw new Error(`secrets or personal data in the output of: ${leaks.join('; ')}`);
      if (left.length > 0)
        throw new Error(`left running: ${left.map(({ spawnargs }) => spawnargs.join(' ')).join('; ')}`);
    },
  };
}

/** Commands whose output holds one of the texts; the text itself is not repeated. */
export function findLeaks(
  outputs: readonly { readonly command: string; readonly text: string }[],
  secrets: readonly string[],
): string[] {
  return outputs.filter(({ text }) => secrets.some((secret) => text.includes(secret))).map(({ command }) => command);
}

function secretsOf({ password, data }: TiledeskSandbox): string[] {
  const emails = [...data.leads.values()].map(({ email }) => email);
  return [password, ...emails.filter((email): email is string => typeof email === 'string' && email.includes('@'))];
}

function observe(child: ChildProcess, onEnd: (text: string) => void): Running {
  const startedAt = performance.now();
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      texts[name] += chunk;
      child.emit('said');
    });
  }
  const ended = once(child, 'close').then(([code, signal]): Finished => {
    onEnd(`${texts.stdout}\n${texts.stderr}`);
    child.emit('said');
    return { code, signal, ...texts, ms: performance.now() - startedAt };
  });
  return {
    pid: child.pid ?? 0,
    get stdout() {
      return texts.stdout;
    },
    get stderr() {
      return texts.stderr;
    },
    async says(pattern) {
      const deadline = AbortSignal.timeout(SAYS_TIMEOUT_MS);
      for (;;) {
        const match = pattern.exec(`${texts.stdout}\n${texts.stderr}`);
        if (match !== null) return match;
        const isOver = child.exitCode !== null || child.signalCode !== null || deadline.aborted;
        if (isOver) throw new Error(`it did not say ${pattern}, but:\n${texts.stdout}\n${texts.stderr}`);
        await Promise.race([once(child, 'said', { signal: deadline }).catch(() => {}), once(child, 'exit')]);
      }
    },
    kill: (signal) => void child.kill(signal),
    closeOutput: () => void child.stdout?.destroy(),
    ended,
  };
}

/** For facts that nobody announces, such as a row in a table. */
export async function until(what: string, fact: () => Promise<boolean> | boolean, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await fact())) {
    if (performance.now() > deadline) throw new Error(`did not happen within ${timeoutMs} ms: ${what}`);
    await delay(25);
  }
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(ROOT, 'node_modules/.cache/leadmirror-tests');
const SOURCES = [
  ...['src', 'workers', 'sandbox', 'bin', 'tsconfig.json', 'tsconfig.build.json', 'package.json', 'docs/sql.md'],
  // Processes of the benchmarks, started from the same build.
  ...['test/bench', 'test/helpers/endless-tiledesk.ts'],
];
const OLD_MS = 3_600_000;

/**
 * Compiles the sources as they are now, apart from `dist`, which may be older. The directory is named after their content: one build serves all test
 * files, made by the first of them while the others wait, and a changed source never meets an old one. Below `node_modules`, so that packages are found; `prisma/` is looked for upwards too.
 */
export async function buildProgram(): Promise<string> {
  const directory = join(CACHE, await digestOf(SOURCES));
  const program = join(directory, 'bin/leadmirror.js');
  if (await exists(program)) {
    await utimes(directory, new Date(), new Date());
    return program;
  }
  await mkdir(CACHE, { recursive: true });
  const lock = `${directory}.lock`;
  while (!(await take(lock))) await delay(100);
  try {
    if (!(await exists(program))) await build(directory);
  } finally {
    await rm(lock, { force: true });
  }
  await removeOldBuilds();
  return program;
}

async function build(directory: string): Promise<void> {
  const draft = `${directory}.draft`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft);
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const settings = ['-p', join(ROOT, 'tsconfig.build.json'), '--outDir', join(draft, 'dist'), '--sourceMap', 'false'];
  await promisify(execFile)(process.execPath, [compiler, ...settings]).catch(async ({ stdout }: { stdout: string }) => {
    await rm(draft, { recursive: true, force: true });
    throw new Error(`the program does not compile:\n${stdout}`);
  });
  await writeFile(join(draft, 'package.json'), '{ "type": "module" }\n');
  await cp(join(ROOT, 'bin'), join(draft, 'bin'), { recursive: true });
  await cp(join(ROOT, 'src/ops/assets'), join(draft, 'dist/src/ops/assets'), { recursive: true });
  await cp(join(ROOT, 'docs/sql.md'), join(draft, 'docs/sql.md'));
  await rename(draft, directory);
}

/** False while another process has it; that of a process that was killed is removed. */
async function take(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    const owner = Number(await readFile(lock, 'utf8').catch(() => ''));
    try {
      process.kill(owner, 0);
    } catch {
      await rm(lock, { force: true });
    }
    return false;
  }
}

async function digestOf(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    const entries = path.includes('.') ? [''] : await readdir(join(ROOT, path), { recursive: true });
    for (const entry of entries.sort()) {
      const file = join(ROOT, path, entry);
      if (!(await stat(file)).isFile()) continue;
      hash.update(`${path}/${entry}\0`).update(await readFile(file));
    }
  }
  return hash.digest('hex').slice(0, 20);
}

async function removeOldBuilds(): Promise<void> {
  for (const name of await readdir(CACHE)) {
    const { mtimeMs } = await stat(join(CACHE, name)).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > OLD_MS) await rm(join(CACHE, name), { recursive: true, force: true });
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
