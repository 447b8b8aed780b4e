import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { readOptionalText } from '../../config.ts';
import { UsageError } from '../command.ts';

/** The text of a `.env`; null when there is none. @throws UsageError when it cannot be read */
export function readIfThere(path: string): string | null {
  const read = readOptionalText(path);
  if (read !== null && 'why' in read) throw new UsageError(`${path} ${read.why}. Nothing was written.`);
  return read?.text ?? null;
}

const MAX_BACKUPS = 1000;

/** Keeps the file as `<path>.bak`, or the first `<path>.bak.<n>` that is free; only its owner may read it. Returns where. */
export async function backUp(path: string): Promise<string> {
  for (let number = 0; number < MAX_BACKUPS; number++) {
    const backup = number === 0 ? `${path}.bak` : `${path}.bak.${number}`;
    try {
      await writeFile(backup, await readFile(path), { flag: 'wx', mode: 0o600 });
      return backup;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      await rm(backup, { force: true });
      throw error;
    }
  }
  throw new Error(`there are ${MAX_BACKUPS} backups of ${path} already; remove some`);
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
