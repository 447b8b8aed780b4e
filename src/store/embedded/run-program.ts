import { type ChildProcess, spawn } from 'node:child_process';
import type { Account } from './account.ts';

export interface ProgramResult {
  /** Exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A fixed environment, not ours: ours holds the upstream's credentials, which a server that outlives this process has no
 * business with, and PG* variables, which would redirect it. The fixed locale keeps Postgres' messages in English.
 */
export const PROGRAM_ENVIRONMENT = { LC_ALL: 'C', TZ: 'UTC' };

/** Enough to see the cause; a program that floods its output must not fill our memory. */
const KEPT_CHARACTERS = 4_000;

/**
 * Runs one of Postgres' programs to its end and reports how it went; rejects only when it could not be started or was
 * aborted. `cwd` is somewhere the account may be: Postgres' programs stop when they cannot tell where they are.
 */
export function runProgram(
  file: string,
  args: readonly string[],
  { account, cwd, signal }: { account: Account | null; cwd: string; signal: AbortSignal },
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
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
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-KEPT_CHARACTERS);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-KEPT_CHARACTERS);
    });
    child.on('error', (error) => {
      signal.removeEventListener('abort', abort);
      reject(error);
    });
    // Also after an abort its end is waited for, so that what it wrote can be removed behind it.
    child.on('close', (status) => {
      signal.removeEventListener('abort', abort);
      if (signal.aborted) reject(signal.reason);
      else resolve({ status, stdout, stderr });
    });
  });
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

/** The last lines of a program's output or of the log, for an error message. */
export function lastLines(text: string, count = 8): string {
  return text.trim().split('\n').slice(-count).join('\n');
}
