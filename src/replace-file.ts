import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** The folder takes no new file, or the name is a mount point, while the file itself may well be written. */
const OVERWRITE_CODES: ReadonlySet<unknown> = new Set(['EACCES', 'EPERM', 'EROFS', 'EBUSY', 'EXDEV']);

const MAX_LINKS = 40;

/**
 * Writes a file whole or not at all: a reader of the old one keeps it, and a full disk leaves it as it was. Links are followed, and the permissions of
 * an existing file stay; `isPrivate`: only its owner may read the new one.
 *
 * Only a plain file is ever replaced. A device, a pipe or a socket is written into, which fails when nothing reads there.
 */
export async function replaceFile(path: string, text: string, { isPrivate = false } = {}): Promise<void> {
  const old = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return null;
  });
  const end = await endOfLinks(path, old?.uid);
  if (old !== null && !old.isFile()) return writeInto(path, text);
  const target = old === null ? end : await realpath(path);
  const draft = join(dirname(target), `.leadmirror-${randomBytes(6).toString('hex')}`);
  try {
    await writeDraft(draft, text, { old, isPrivate });
    // The other names of this file would keep the old text.
    if (old !== null && old.nlink > 1) await writeInto(target, text);
    else await rename(draft, target);
  } catch (error) {
    if (old === null || isPrivate || !OVERWRITE_CODES.has((error as NodeJS.ErrnoException).code)) throw error;
    await writeInto(target, text);
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Where a link leads, also to nothing yet. One that another user made is only followed to a file of theirs: in a folder that all may write it would lead
 * root to any file.
 */
async function endOfLinks(path: string, owner: number | undefined): Promise<string> {
  let end = path;
  for (let links = 0; links < MAX_LINKS; links++) {
    const stats = await lstat(end).catch(() => null);
    if (stats === null || !stats.isSymbolicLink()) break;
    if (![process.getuid?.() ?? stats.uid, 0, owner].includes(stats.uid)) {
      throw Object.assign(new Error(`${end} is a link of another user`), { code: 'EPERM' });
    }
    end = resolve(dirname(end), await readlink(end));
  }
  return end;
}

async function writeDraft(
  path: string,
  text: string,
  { old, isPrivate }: { old: Stats | null; isPrivate: boolean },
): Promise<void> {
  const file = await open(path, 'wx', isPrivate || old !== null ? 0o600 : 0o666);
  try {
    await file.writeFile(text);
    if (old !== null) {
      // Only root gives files away; the draft of other users is theirs.
      await file.chown(old.uid, old.gid).catch(() => {});
      if (!isPrivate) await file.chmod(old.mode & 0o777);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeInto(path: string, text: string): Promise<void> {
  // A pipe without a reader is refused (ENXIO) instead of waited for.
  const probe = await open(path, constants.O_WRONLY | (constants.O_NONBLOCK ?? 0));
  let file: FileHandle | null = null;
  try {
    const isFile = (await probe.stat()).isFile();
    file = await open(path, isFile ? 'r+' : constants.O_WRONLY);
    await file.writeFile(text);
    if (isFile) await file.truncate(Buffer.byteLength(text));
  } finally {
    await file?.close();
    await probe.close();
  }
}
