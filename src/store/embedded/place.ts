import { createHash } from 'node:crypto';
import { lstat, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseError } from '../../errors.ts';
import { replaceFile } from '../../replace-file.ts';
import { type Account, chooseAccount, findBarrier, foreignData } from './account.ts';
import { ownFolder, readOwn } from './own-files.ts';

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
 * system, and `<home>/embedded.json` says where.
 */
export interface Place {
  readonly base: string;
  readonly directory: string;
  readonly dataDirectory: string;
  readonly passwordFile: string;
  readonly logFile: string;
}

/** Where root keeps what cannot live in its home. */
export const SYSTEM_DIRECTORY = '/var/lib/leadmirror';

export function placeIn(base: string): Place {
  const directory = join(base, 'postgres');
  return {
    base,
    directory,
    dataDirectory: join(directory, 'data'),
    passwordFile: join(directory, 'pgpass'),
    logFile: join(directory, 'server.log'),
  };
}

export interface FoundPlace {
  readonly place: Place;
  readonly account: Account | null;
  readonly isOutsideHome: boolean;
}

/** Finds the files of this home, or decides where they will be. Creates the base, never the data. */
export async function findPlace(home: string, systemDirectory: string): Promise<FoundPlace> {
  const realHome = await ownFolder(home);
  const known = (await holdsData(realHome)) ? realHome : await readRecord(realHome);
  if (known !== null) return findKnownPlace(known, realHome);

  const account = await chooseAccount(null);
  const barrier = account && (await findBarrier(realHome, account));
  if (!account || barrier === null) return { place: placeIn(realHome), account, isOutsideHome: false };

  const base = join(systemDirectory, createHash('sha256').update(realHome).digest('hex').slice(0, 12));
  const realBase = await ownFolder(base, { isOpen: true });
  const barrierThere = await findBarrier(realBase, account);
  if (barrierThere !== null) throw unreachable(realBase, barrierThere, account);
  await replaceFile(join(realHome, 'embedded.json'), `${JSON.stringify({ directory: realBase }, null, 2)}\n`);
  return { place: placeIn(realBase), account, isOutsideHome: true };
}

async function findKnownPlace(known: string, home: string): Promise<FoundPlace> {
  const base = await ownFolder(known, { isOpen: true });
  const place = placeIn(base);
  const account = await chooseAccount((await holdsData(base)) ? place.dataDirectory : null);
  const barrier = account && (await findBarrier(base, account));
  if (account && barrier !== null) throw unreachable(base, barrier, account);
  return { place, account, isOutsideHome: base !== home };
}

function unreachable(directory: string, barrier: string, { name }: Account): DatabaseError {
  return new DatabaseError(
    'database_refused',
    `Postgres does not run as root, and the user it runs as here (${name}) may not enter ${barrier} on the way to ` +
      `${directory}. Let that user enter it (chmod o+x ${barrier}), set LEADMIRROR_HOME to a directory that it may ` +
      'enter, start leadmirror as an ordinary user, or set DATABASE_URL to a Postgres server.',
  );
}

async function holdsData(base: string): Promise<boolean> {
  const { dataDirectory, directory } = placeIn(base);
  try {
    await lstat(directory);
    await ownFolder(directory);
    await stat(dataDirectory);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    // The directory is closed to everybody but its owner, so it is somebody else's.
    if (code !== 'EACCES') throw error;
    const owner = await stat(directory).catch(() => null);
    throw foreignData(directory, owner?.uid ?? null, process.getuid?.());
  }
}

async function readRecord(home: string): Promise<string | null> {
  const path = join(home, 'embedded.json');
  const text = await readOwn(path);
  if (text === null) return null;
  const directory = parseRecord(text);
  if (directory !== null) return directory;
  // Guessing would start an empty database beside the full one.
  throw new DatabaseError(
    'database_refused',
    `${path} should say where the built-in Postgres keeps its files, as {"directory": "/..."}, and cannot be read so. ` +
      `Correct it; as root the usual place is below ${SYSTEM_DIRECTORY}.`,
  );
}

function parseRecord(text: string): string | null {
  try {
    const record: unknown = JSON.parse(text);
    if (typeof record !== 'object' || record === null || !('directory' in record)) return null;
    return typeof record.directory === 'string' && record.directory !== '' ? record.directory : null;
  } catch {
    return null;
  }
}
