import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, constants, copyFile, open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { promisify } from 'node:util';

/** The text of a file; null when there is none. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

const MAX_BACKUPS = 1000;

/** Keeps the file as `<path>.bak`, or the first `<path>.bak.<n>` that is free; only its owner may read it. Returns where. */
export async function backUp(path: string): Promise<string> {
  for (let number = 0; number < MAX_BACKUPS; number++) {
    const backup = number === 0 ? `${path}.bak` : `${path}.bak.${number}`;
    try {
      await copyFile(path, backup, constants.COPYFILE_EXCL);
      await chmod(backup, 0o600);
      return backup;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  throw new Error(`there are ${MAX_BACKUPS} backups of ${path} already; remove some`);
}

/** Whole or not at all, readable by its owner only. A link keeps pointing where it does. */
export async function writePrivate(path: string, text: string): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const draft = `${target}.${randomBytes(4).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await rename(draft, target);
}

/** Would git take this file in? False outside of a repository, and where there is no git. */
export async function isOpenToGit(cwd: string, file: string): Promise<boolean> {
  try {
    await promisify(execFile)('git', ['check-ignore', '--quiet', file], { cwd });
    return false;
  } catch (error) {
    // 1: not ignored. 128: no repository.
    return (error as { code?: unknown }).code === 1;
  }
}
