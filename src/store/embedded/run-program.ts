import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statfs } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { DatabaseError } from '../../errors.ts';
import type { ServerAccount } from './location.ts';

export interface RunOptions {
  readonly account: ServerAccount | null;
  /** A directory that the account may enter: Postgres' programs stop when they cannot determine where they are. */
  readonly cwd: string;
  readonly signal: AbortSignal;
}

/**
 * A fixed environment, not ours: ours holds the upstream's credentials, which a server that outlives this process has
 * no business with, and PG* variables, which would redirect it. The fixed locale keeps Postgres' messages in English.
 */
export const PROGRAM_ENVIRONMENT = { LC_ALL: 'C', TZ: 'UTC' };

/**
 * Runs one of Postgres' programs to its end and reports how it went (`status` null: a signal ended it). Rejects only
 * when it could not be started or was aborted.
 */
export async function runProgram(file: string, args: readonly string[], { account, cwd, signal }: RunOptions) {
  signal.throwIfAborted();
  const child = spawn(file, args, {
    cwd,
    env: PROGRAM_ENVIRONMENT,
    // Its own process group: Ctrl-C is ours to translate, and an abort reaches the programs that it started, too.
    detached: true,
    windowsHide: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(account && { uid: account.uid, gid: account.gid }),
  });
  const abort = (): void => killGroup(child);
  signal.addEventListener('abort', abort, { once: true });
  try {
    // Also after an abort its end is waited for, so that what it wrote can be removed behind it.
    const ended = Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
    const [, stdout, stderr] = await ended;
    signal.throwIfAborted();
    return { status: child.exitCode, stdout, stderr };
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    // initdb asked politely goes on to the end of its present step, which may be a second.
    if (process.platform === 'win32') child.kill();
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It ended just now.
  }
}

export function lastLines(text: string, count = 8): string {
  return text.trim().split('\n').slice(-count).join('\n');
}

/** With less than this Postgres can neither create a database nor write the next segment of its log. */
const NEEDED_BYTES = 48 * 1024 * 1024;

/** The error for a failure of Postgres in this directory: too little space where there is little left. */
export async function programFailure(directory: string, message: string): Promise<DatabaseError> {
  const room = await statfs(directory).catch(() => null);
  const isFull = room !== null && room.bavail * room.bsize < NEEDED_BYTES;
  return new DatabaseError(isFull ? 'database_disk_full' : 'database_refused', message);
}
