import { EventEmitter } from 'node:events';
import { Readable, Writable } from 'node:stream';
import type { CommandProcess } from '../../src/cli/command.ts';
import { main } from '../../src/cli/main.ts';
import { declareSecrets, record } from './said/record.ts';

export interface InProcess {
  readonly code: number;
  readonly stdout: string;
  /** Log lines among it. */
  readonly stderr: string;
}

export interface InProcessOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** A command that was started within this process. */
export interface RunningInProcess {
  /** Sends what a process would be sent by `kill`. */
  kill(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void;
  readonly ended: Promise<InProcess>;
}

/**
 * Starts a command of `leadmirror` within this process, 30 times faster than in a process of its own. It gets its environment, its folder, its streams and its
 * signals from a stand-in, so any number of commands run side by side. Nothing here is like a process where Node itself reads the environment (NODE_OPTIONS,
 * TZ, FORCE_COLOR), where a command ends with work still open, or where an error is thrown that nobody catches.
 */
export function startInProcess(args: readonly string[], { env, cwd }: InProcessOptions): RunningInProcess {
  declareSecrets(env);
  const what = `leadmirror ${args.join(' ')}`;
  record({ kind: 'command', what, text: what });
  const stdout = new Collector();
  const stderr = new Collector();
  const proc = Object.assign(new EventEmitter(), {
    ...{ env, stdin: Readable.from([]), stdout, stderr, cwd: () => cwd },
    exitCode: undefined as number | undefined,
    exit(code: number) {
      proc.emit('exited', code);
    },
  });
  const exited = new Promise<number>((resolve) => void proc.once('exited', resolve));
  const run = main(['node', 'leadmirror', ...args], proc as unknown as CommandProcess);
  const ended = Promise.race([run.then(() => proc.exitCode ?? 0), exited]).then((code): InProcess => {
    const { text } = stdout;
    record({ kind: 'output', what, text: `${text}\n${stderr.text}` });
    return { code, stdout: text, stderr: stderr.text };
  });
  return { kill: (signal) => void proc.emit(signal), ended };
}

/** Runs a command of `leadmirror` within this process to its end. */
export async function runInProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  {
    cwd,
    stopAfterMs = 60_000,
  }: { readonly cwd: string /** A command that goes on is stopped then. */; readonly stopAfterMs?: number },
): Promise<InProcess> {
  const running = startInProcess(args, { env, cwd });
  const timer = setTimeout(() => running.kill('SIGINT'), stopAfterMs);
  return running.ended.finally(() => clearTimeout(timer));
}

/** An output that is no terminal and keeps what is written to it. */
class Collector extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
