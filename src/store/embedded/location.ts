import { createHash } from 'node:crypto';
import { lstat, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseError } from '../../errors.ts';
import { chooseAccount, findBarrier, foreignData, type ServerAccount } from './account.ts';
import { privateFolder } from './private-files.ts';

/**
 * Where the built-in Postgres keeps its files:
 *
 *     <base>/postgres/data/          the data directory
 *     <base>/postgres/pgpass         the password, in libpq's password file format, mode 0600
 *     <base>/postgres/server.log     the server's log
 *     <base>/postgres-programs-.../  a copy of the programs, only where the installed ones cannot be used
 *
 * All of it belongs to the user who runs leadmirror; only the data directory belongs to the server's account. So root never
 * writes where that account may put a link, and reads there nothing but its files.
 *
 * The base is LEADMIRROR_HOME, except for root whose home lies below a directory that the server's account may not
 * enter, /root above all. Opening such a directory is not ours to do, so the files then live in a directory of the
 * system, and `<home>/postgres` is a link to them.
 */
export interface DataLocation {
  readonly base: string;
  readonly directory: string;
  readonly dataDirectory: string;
  readonly passwordFile: string;
  readonly logFile: string;
}

/** Where root keeps what cannot live in its home. */
export const SYSTEM_DIRECTORY = '/var/lib/leadmirror';

export const locationIn = (base: string): DataLocation => locationAt(join(base, 'postgres'));

const locationAt = (directory: string): DataLocation => ({
  base: dirname(directory),
  directory,
  dataDirectory: join(directory, 'data'),
  passwordFile: join(directory, 'pgpass'),
  logFile: join(directory, 'server.log'),
});

/** Finds the files of this home, or decides where they will be. Creates the base, never the data. */
export async function findLocation(home: string, systemDirectory: string) {
  const realHome = await privateFolder(home);
  const { location, hasData } = await findFiles(locationIn(realHome));
  const account = await chooseAccount(hasData ? location.dataDirectory : null);
  const barrier = account && (await findBarrier(location.base, account));
  if (!account || barrier === null) return { location, account, isOutsideHome: location.base !== realHome };
  if (hasData || location.base !== realHome) throw unreachable(location.base, barrier, account);

  const name = createHash('sha256').update(realHome).digest('hex').slice(0, 12);
  const elsewhere = locationIn(await privateFolder(join(systemDirectory, name), { isOpen: true }));
  const barrierThere = await findBarrier(elsewhere.base, account);
  if (barrierThere !== null) throw unreachable(elsewhere.base, barrierThere, account);
  await symlink(elsewhere.directory, location.directory).catch((error: NodeJS.ErrnoException) => {
    // Another process that starts at the same time made it.
    if (error.code !== 'EEXIST') throw error;
  });
  return { location: elsewhere, account, isOutsideHome: true };
}

function unreachable(directory: string, barrier: string, { name }: ServerAccount): DatabaseError {
  return new DatabaseError(
    'database_refused',
    `Postgres does not run as root, and the user it runs as here (${name}) may not enter ${barrier} on the way to ` +
      `${directory}. Let that user enter it (chmod o+x ${barrier}), set LEADMIRROR_HOME to a directory that it may ` +
      'enter, start leadmirror as an ordinary user, or set DATABASE_URL to a Postgres server.',
  );
}

/** Follows the link to files elsewhere, and returns whether there are data. */
async function findFiles(location: DataLocation): Promise<{ location: DataLocation; hasData: boolean }> {
  let found = location;
  try {
    await lstat(location.directory);
    found = locationAt(await privateFolder(location.directory, { isOpen: true }));
    await stat(found.dataDirectory);
    return { location: found, hasData: true };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { location: found, hasData: false };
    // The directory is closed to all but its owner, so it belongs to another user.
    if (code !== 'EACCES') throw error;
    const owner = await stat(location.directory).catch(() => null);
    throw foreignData(location.directory, owner?.uid ?? null, process.getuid?.());
  }
}
