import { chmod, copyFile, link, mkdir, readdir, readlink, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Copies a directory so that everybody may read it and run what is runnable in it, whatever the modes of the original.
 * Hard links where that gives the same result: they cost no space.
 */
export async function copyTree(from: string, to: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await mkdir(to);
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) await copyTree(source, target, signal);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else await copyFileOpenly(source, target, from.endsWith('bin') ? 0o755 : 0o644);
  }
}

async function copyFileOpenly(source: string, target: string, mode: number): Promise<void> {
  // A hard link shares its mode with the original, so it only does where nothing has to change.
  if (((await stat(source)).mode & mode) === mode && (await tryLink(source, target))) return;
  await copyFile(source, target);
  await chmod(target, mode);
}

async function tryLink(source: string, target: string): Promise<boolean> {
  // Another file system, one without links, or a kernel that only lets owners link: all end in a plain copy.
  return link(source, target).then(
    () => true,
    () => false,
  );
}
