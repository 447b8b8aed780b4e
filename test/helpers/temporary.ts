import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const IN_MEMORY = '/dev/shm';
const NEEDED_BYTES = 4 * 2 ** 30;

/**
 * Puts temporary files of the tests into memory where the system has room for it: a database consists of 400 files, and each costs half a millisecond
 * on a disk. Everywhere else they stay where the system puts them; so do they where programs cannot be started from memory.
 */
export function useTemporaryMemory(): void {
  if (process.env.TMPDIR !== undefined || !isFit()) return;
  process.env.TMPDIR = IN_MEMORY;
}

function isFit(): boolean {
  let directory: string | undefined;
  try {
    const { bavail, bsize } = statfsSync(IN_MEMORY);
    if (bavail * bsize < NEEDED_BYTES) return false;
    directory = mkdtempSync(join(IN_MEMORY, 'leadmirror-fit-'));
    const program = join(directory, 'program');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o700 });
    execFileSync(program);
    return true;
  } catch {
    return false;
  } finally {
    if (directory !== undefined) rmSync(directory, { recursive: true });
  }
}
