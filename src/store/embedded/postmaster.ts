import { randomBytes } from 'node:crypto';
import { readFile, readlink, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseError } from '../../errors.ts';
import type { ServerAccount } from './location.ts';
import { readPrivate } from './private-files.ts';
import { runProgram } from './run-program.ts';

/**
 * Reads Postgres' own lock file, `postmaster.pid`, which decides who runs on a data directory and on which port.
 *
 * - `absent`: no file, or its process is gone (Postgres itself replaces such a file at the next start)
 * - `running`: its process serves this data directory, or may soon; `port` is null while it takes no
 *   connections: starting, recovering, stopping
 * - `stale`: its process exists and is something else. Process ids repeat, in containers from one start to the next,
 *   and Postgres would refuse to start for as long as that other program lives
 */
type Postmaster =
  | { readonly state: 'absent' }
  | { readonly state: 'running'; readonly pid: number; readonly port: number | null }
  | { readonly state: 'stale'; readonly pid: number; readonly text: string };

interface LockFile {
  readonly pid: number;
  readonly dataDirectory: string;
  readonly port: number | null;
  readonly isReady: boolean;
}

/** Parses `postmaster.pid`; null when it does not begin with a process id, as in the instant of its creation. */
export function parseLockFile(text: string): LockFile | null {
  const [pid = '', dataDirectory = '', , port = '', , , , status = ''] = text.split('\n');
  if (!/^-?[1-9]\d*$/.test(pid.trim())) return null;
  return {
    // A negative number is a server in single-user mode.
    pid: Math.abs(Number(pid)),
    dataDirectory: dataDirectory.trim(),
    port: /^\d+$/.test(port.trim()) ? Number(port) : null,
    isReady: status.trim() === 'ready',
  };
}

export async function findPostmaster(dataDirectory: string): Promise<Postmaster> {
  const text = await readPrivate(lockFilePath(dataDirectory));
  const lock = text === null ? null : parseLockFile(text);
  if (text === null || lock === null || !doesExist(lock.pid)) return { state: 'absent' };
  if (process.platform !== 'linux') await refuseCopiedLockFile(lock, dataDirectory);
  else if (!(await servesOnLinux(lock.pid, dataDirectory))) return { state: 'stale', pid: lock.pid, text };
  return { state: 'running', pid: lock.pid, port: lock.isReady ? lock.port : null };
}

/** `$1` the lock file, `$2` a free name beside it, `$3` its text. */
const RENAME_AND_CHECK = 'mv "$1" "$2" && { [ "$(cat "$2")" = "$3" ] || ln "$2" "$1"; rm -f "$2"; }';

/**
 * Removes a stale lock file, which only Linux detects, as the owner of the data. Between the finding and now another
 * process may have done so and started a server, whose lock file must stay; so the file is first renamed and looked at
 * again.
 */
export async function removeStaleLockFile(
  dataDirectory: string,
  staleText: string,
  options: { account: ServerAccount | null; signal: AbortSignal },
): Promise<void> {
  const path = lockFilePath(dataDirectory);
  const renamed = `${path}.${randomBytes(4).toString('hex')}`;
  const args = ['-c', RENAME_AND_CHECK, 'sh', path, renamed, staleText.replace(/\n+$/, '')];
  await runProgram('/bin/sh', args, { ...options, cwd: '/' });
}

function lockFilePath(dataDirectory: string): string {
  return join(dataDirectory, 'postmaster.pid');
}

function doesExist(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A server sits in its data directory, which distinguishes it from every other program and server. */
async function servesOnLinux(pid: number, dataDirectory: string): Promise<boolean> {
  const proc = `/proc/${pid}`;
  const status = await readFile(`${proc}/stat`, 'utf8').catch(() => null);
  // Hidden from us, so another user's; Postgres only runs as the owner of the data, whom we are or may look at.
  if (status === null) return false;
  // A zombie: dead, and kept by a first process of a container that never asks for its children's end.
  if (/^[ZX]/.test(status.slice(status.lastIndexOf(')') + 2))) return false;
  // Null as well for a process that ended between the two looks.
  const cwd = await readlink(`${proc}/cwd`)
    .then(() => stat(`${proc}/cwd`))
    .catch(() => null);
  if (cwd !== null) {
    const data = await stat(dataDirectory);
    return cwd.dev === data.dev && cwd.ino === data.ino;
  }
  // Root in a container may lack the right to look there. The command line is open to all.
  const commandLine = await readFile(`${proc}/cmdline`, 'utf8').catch(() => '');
  return commandLine.split('\0').includes(dataDirectory);
}

/** Where a process cannot be looked into, a lock file that names another directory must have come with a copy of it. */
async function refuseCopiedLockFile(lock: LockFile, dataDirectory: string): Promise<void> {
  const [named, own] = await Promise.all(
    [lock.dataDirectory, dataDirectory].map((path) => realpath(path).catch(() => path)),
  );
  if (named === own) return;
  throw new DatabaseError(
    'database_refused',
    `${lockFilePath(dataDirectory)} belongs to a server on ${named}. If the directory is a copy, remove that file; if it ` +
      'was moved while leadmirror ran, stop every leadmirror that uses it first.',
  );
}
