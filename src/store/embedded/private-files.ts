import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DatabaseError } from '../../errors.ts';

/*
 * Files and folders that no other user controls. Root above all must not open, create or give away anything in a folder
 * where the server's account, or any other, may replace it by a link.
 */

const MAX_LINKS = 40;

const STICKY = 0o1000;

/**
 * Returns the folder without links, made where it does not exist.
 *
 * The folder, and each link on the way to it, must belong to this user or to root. For root that holds for every folder
 * on the way, too, and no other user may write in them.
 */
export async function privateFolder(path: string): Promise<string> {
  if (process.getuid !== undefined) return walk(resolve(path), { isLast: true, links: 0 });
  await mkdir(path, { recursive: true });
  return realpath(path);
}

async function walk(path: string, { isLast, links }: { isLast: boolean; links: number }): Promise<string> {
  const parent = dirname(path);
  const here = parent === path ? path : join(await walk(parent, { isLast: false, links }), basename(path));
  const stats = await lstat(here).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    // Recursive: no failure when another process that starts at the same time makes it.
    await mkdir(here, { recursive: true });
    return lstat(here);
  });
  const problem = findProblem(stats, { uid: process.getuid?.() ?? 0, isLink: stats.isSymbolicLink(), isLast });
  if (problem === 'foreign') throw foreignFolder(here, stats.uid);
  if (problem === 'shared') throw sharedFolder(here, (stats.mode & STICKY) !== 0);
  if (stats.isSymbolicLink()) {
    if (links === MAX_LINKS) await stat(here);
    return walk(resolve(dirname(here), await readlink(here)), { isLast, links: links + 1 });
  }
  return here;
}

/** Why the user `uid` must not rely on a folder, or link, on the way to its files; null: it may. */
export function findProblem(
  stats: Pick<Stats, 'mode' | 'uid' | 'gid'>,
  { uid, isLink, isLast }: { readonly uid: number; readonly isLink: boolean; readonly isLast: boolean },
): 'foreign' | 'shared' | null {
  const isRoot = uid === 0;
  if ((isRoot || isLink || isLast) && stats.uid !== uid && stats.uid !== 0) return 'foreign';
  if (!isRoot || isLink) return null;
  const isShared = (stats.mode & (stats.gid === 0 ? 0o002 : 0o022)) !== 0;
  // In a folder like /tmp others may add, and not replace.
  return isShared && (isLast || (stats.mode & STICKY) === 0) ? 'shared' : null;
}

function foreignFolder(path: string, uid: number): DatabaseError {
  return new DatabaseError(
    'database_refused',
    `${path} belongs to the user with id ${uid}, who could replace the files of the built-in Postgres. Run leadmirror as ` +
      'that user, set LEADMIRROR_HOME to a folder that belongs to this one, or set DATABASE_URL to a Postgres server.',
  );
}

function sharedFolder(path: string, isMeantToBe: boolean): DatabaseError {
  const remedy = isMeantToBe ? 'Make a folder below it' : `Close it (chmod go-w ${path})`;
  return new DatabaseError(
    'database_refused',
    `Other users may write in ${path}, and could replace the files of the built-in Postgres, which root must not risk. ` +
      `${remedy}, set LEADMIRROR_HOME to another folder, or run leadmirror as an ordinary user.`,
  );
}

/** Opens a file of this user, or of the owner of its folder; never a link, a second name, or anything but a file. */
export async function openPrivate(path: string, flags: number): Promise<FileHandle> {
  // Without waiting: the other end of a pipe may never come.
  const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
  const file = await open(path, flags | O_NOFOLLOW | O_NONBLOCK, 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ELOOP' || error.code === 'EMLINK') throw refused(path, 'is a link');
    if (error.code === 'ENXIO' || error.code === 'EISDIR') throw refused(path, 'is not a file');
    throw error;
  });
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw refused(path, 'is not a file');
    if (process.getuid === undefined) return file;
    // None at all is a file that another process removed since it was opened.
    if (stats.nlink > 1) throw refused(path, 'has a second name elsewhere');
    if (stats.uid !== process.getuid() && stats.uid !== (await stat(dirname(path))).uid) {
      throw refused(path, `belongs to the user with id ${stats.uid}`);
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function refused(path: string, what: string): DatabaseError {
  return new DatabaseError(
    'database_refused',
    `${path} ${what}; the built-in Postgres uses only files of its own. Look who put it there, remove it, and start again.`,
  );
}

const MAX_BYTES = 64 * 1024;

/** The text of such a file from a position on, of a longer one the last 64 KB; null when there is none. */
export async function readPrivate(path: string, position = 0): Promise<string | null> {
  const file = await openPrivate(path, constants.O_RDONLY).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (file === null) return null;
  try {
    const from = Math.max(position, (await file.stat()).size - MAX_BYTES);
    const { bytesRead, buffer } = await file.read({ buffer: Buffer.alloc(MAX_BYTES), position: from });
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
