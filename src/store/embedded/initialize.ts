import { randomBytes } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { succeeds } from '../../clock.ts';
import { DatabaseError } from '../../errors.ts';
import { accountOf, type DataLocation, locationIn } from './location.ts';
import { readPrivate } from './private-files.ts';
import type { Programs } from './programs.ts';
import { lastLines, programFailure, runProgram } from './run-program.ts';
import type { ServerParts } from './server.ts';

/** User and database of the built-in server. */
export const NAME = 'leadmirror';

/** A draft this old belongs to a process that ended in the middle: initdb itself takes seconds. */
const ABANDONED_AFTER_MS = 60 * 60_000;

/** Written into postgresql.conf, where a person may change them. What leadmirror relies on is given at each start. */
const INITIAL_SETTINGS: Readonly<Record<string, string>> = {
  max_connections: '100',
  shared_buffers: '128MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  // The details of a refused row are personal data; they stay out of a log that people paste into tickets.
  log_error_verbosity: 'terse',
  // Containers give shared memory files little room, and systemd may delete those of a user who logs out.
  ...(process.platform === 'linux' && { dynamic_shared_memory_type: 'mmap' }),
};

/**
 * Makes sure that the location has a data directory of our major version, and its password. A new one is prepared as a
 * draft and renamed whole: of several processes at once, one wins and the others discard theirs.
 */
export async function ensureInitialized(parts: ServerParts, signal: AbortSignal): Promise<void> {
  const { location, programs } = parts;
  await removeAbandonedDrafts(location);
  const found = await readMajorVersion(location);
  if (found === null) return initialize(parts, signal);
  if (found !== programs.majorVersion) throw otherMajorVersion(location, found, programs);
}

export async function readPassword({ passwordFile, directory }: DataLocation): Promise<string> {
  const password = /^(?:[^:\n]*:){4}([^:\n]+)$/m.exec((await readPrivate(passwordFile)) ?? '')?.[1];
  if (password !== undefined) return password;
  throw new DatabaseError(
    'database_refused',
    `The password of the built-in Postgres is missing: ${passwordFile} should hold "*:*:*:${NAME}:<password>". Restore ` +
      `that file, or move ${directory} away to begin with an empty mirror.`,
  );
}

async function readMajorVersion({ directory, dataDirectory }: DataLocation): Promise<string | null> {
  const text = await readPrivate(join(dataDirectory, 'PG_VERSION'));
  if (text !== null) return text.trim();
  const strangers = await readdir(directory).catch(() => []);
  if (strangers.length === 0) return null;
  throw new DatabaseError(
    'database_refused',
    `${directory} exists and is not a data directory of the built-in Postgres. Move it away, or set LEADMIRROR_HOME to ` +
      'another directory.',
  );
}

function otherMajorVersion({ base, directory }: DataLocation, found: string, { version, majorVersion }: Programs) {
  const later = Number(found) > Number(majorVersion);
  return new DatabaseError(
    later ? 'database_newer' : 'database_refused',
    [
      `The data in ${directory} were written by Postgres ${found}; this release of leadmirror brings Postgres ${version}, ` +
        'which cannot read them. Nothing was changed. To carry the data over (with the Postgres client programs):',
      '  1. With the release of leadmirror that wrote them, run `leadmirror start --role web`. It prints a psql line; run',
      '     that line with `pg_dump --no-owner --file leadmirror.sql` instead of `psql`, then stop leadmirror.',
      `  2. With this release, set LEADMIRROR_HOME to a new directory instead of ${base} and run`,
      '     `leadmirror start --role web`. It prints the psql line of the new database.',
      '  3. Run that line with `dropdb --force` instead of `psql` (leadmirror makes the database anew, empty, at once),',
      '     then with `psql --file leadmirror.sql`. Stop leadmirror and start it as usual, with the new LEADMIRROR_HOME.',
      'Or start with a new LEADMIRROR_HOME and mirror everything again; only what the upstream has deleted is lost then.',
    ].join('\n'),
  );
}

async function initialize(parts: ServerParts, signal: AbortSignal): Promise<void> {
  const { location, account } = parts;
  const draft = locationIn(join(location.base, `postgres-new-${randomBytes(6).toString('hex')}`));
  try {
    // The account passes through the first two, and owns the data alone.
    await mkdir(draft.dataDirectory, { recursive: true, mode: 0o700 });
    if (account) {
      for (const path of [draft.base, draft.directory]) await chmod(path, 0o755);
      await chown(draft.dataDirectory, account.uid, account.gid);
    }
    await runInitdb(draft, parts, signal);
    await rename(draft.directory, location.directory).catch(async (error: unknown) => {
      if ((await readMajorVersion(location)) === null) throw error;
    });
  } finally {
    await removeBase(draft.base);
  }
}

async function runInitdb(draft: DataLocation, { programs, account, settings }: ServerParts, signal: AbortSignal) {
  const password = randomBytes(24).toString('base64url');
  const initialPassword = join(draft.base, 'password');
  await writeFile(initialPassword, `${password}\n`, { flag: 'wx', mode: 0o600 });
  await writeFile(draft.passwordFile, `*:*:*:${NAME}:${password}\n`, { flag: 'wx', mode: 0o600 });
  if (account) await chown(initialPassword, account.uid, account.gid);
  const { status, stderr } = await runProgram(
    programs.initdb,
    [
      `--pgdata=${draft.dataDirectory}`,
      `--username=${NAME}`,
      `--pwfile=${initialPassword}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // Sorts by code point like plain C, the same on every system, and knows that É is the capital of é.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
      ...(settings.fsync === 'off' ? ['--no-sync'] : []),
      ...Object.entries(INITIAL_SETTINGS).map(([name, value]) => `--set=${name}=${value}`),
    ],
    { account, cwd: draft.base, signal },
  );
  if (status === 0) return;
  const message = `The built-in Postgres could not create its data directory in ${draft.base}:\n${lastLines(stderr)}`;
  throw await programFailure(draft.base, message);
}

async function removeAbandonedDrafts({ base }: DataLocation): Promise<void> {
  for (const name of await readdir(base)) {
    if (!name.startsWith('postgres-new-')) continue;
    const path = join(base, name);
    const age = Date.now() - ((await lstat(path).catch(() => null))?.mtimeMs ?? Date.now());
    if (age > ABANDONED_AFTER_MS) await removeBase(path);
  }
}

const REMOVAL_TIMEOUT_MS = 60_000;

/**
 * Removes a base, or the draft of one, with its data. What the server's account owns is emptied as that account: a link
 * that it puts there meanwhile would lead root to other files.
 */
export async function removeBase(base: string): Promise<void> {
  const { dataDirectory } = locationIn(base);
  const owner = await lstat(dataDirectory).catch(() => null);
  if (owner !== null && process.getuid?.() === 0 && owner.uid !== 0) {
    const options = { account: accountOf(owner), cwd: '/', signal: AbortSignal.timeout(REMOVAL_TIMEOUT_MS) };
    await runProgram('/bin/rm', ['-rf', dataDirectory], options);
    // Where something is in it again another program uses it: it is kept for the operator.
    if (!(await succeeds(rmdir(dataDirectory)))) return;
  }
  await rm(base, { recursive: true, force: true, maxRetries: 3 });
}
