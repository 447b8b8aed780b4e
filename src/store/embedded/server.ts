import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { succeeds } from '../../clock.ts';
import type { DataLocation, ServerAccount } from './location.ts';
import { openPrivate, readPrivate } from './private-files.ts';
import type { Programs } from './programs.ts';
import { lastLines, PROGRAM_ENVIRONMENT, runProgram } from './run-program.ts';

export interface ServerParts {
  readonly location: DataLocation;
  readonly programs: Programs;
  readonly account: ServerAccount | null;
  readonly settings: Readonly<Record<string, string>>;
}

export type Launch = Awaited<ReturnType<typeof launchServer>>;

const MAXIMUM_LOG_BYTES = 10 * 1024 * 1024;

/**
 * Starts the server as a process of its own that outlives this one: in its own session, so that Ctrl-C in our terminal
 * does not reach it, and with files instead of pipes, so that nothing ties it to us.
 *
 * Postgres' lock file lets only one server run on the data: of several launches at once all but one end by themselves.
 */
export async function launchServer(parts: ServerParts, port: number) {
  const { location, account } = parts;
  await rotateLog(location);
  const log = await openPrivate(location.logFile, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT);
  try {
    const { size: logStart } = await log.stat();
    const [file, args] = command(parts, port);
    const child = spawn(file, args, {
      cwd: location.directory,
      detached: true,
      windowsHide: true,
      env: PROGRAM_ENVIRONMENT,
      stdio: ['ignore', log.fd, log.fd],
      ...(account && { uid: account.uid, gid: account.gid }),
    });
    child.unref();
    let hasEnded = false;
    const end = (): void => {
      hasEnded = true;
    };
    child.on('exit', end).on('error', end);
    return {
      hasEnded: (): boolean => hasEnded,
      /** Whether ours has this id. On Windows the child is pg_ctl, which ends well when the server is its own. */
      isServer: (pid: number): boolean => (process.platform === 'win32' ? child.exitCode === 0 : child.pid === pid),
      readLog: async (): Promise<string> => (await readPrivate(location.logFile, logStart)) ?? '',
      /** Asks the server to stop. Only for one that no client can have reached yet. */
      interrupt: () => void child.kill('SIGINT'),
    };
  } finally {
    await log.close();
  }
}

function command({ location, programs, settings }: ServerParts, port: number): [file: string, args: string[]] {
  // The last one wins: what leadmirror relies on cannot be overridden.
  const all = { ...settings, listen_addresses: HOST, port: String(port), unix_socket_directories: '' };
  const options = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  if (process.platform !== 'win32') return [programs.postgres, ['-D', location.dataDirectory, ...options]];
  // Postgres refuses an administrator's rights; on Windows pg_ctl drops them.
  return [
    programs.pgCtl,
    ['start', '-W', '-D', location.dataDirectory, '-l', location.logFile, '-o', options.join(' ')],
  ];
}

/** Sends the stop and returns; the server is down when its lock file is gone. Sessions are ended, data made safe. */
export async function requestStop({ location, programs, account }: ServerParts, signal: AbortSignal): Promise<void> {
  // Without pg_ctl's waiting: when another process starts the server anew right away, it would wait for that one.
  const args = ['stop', '-W', '-m', 'fast', '-D', location.dataDirectory];
  const { status, stderr } = await runProgram(programs.pgCtl, args, { account, cwd: location.directory, signal });
  if (status !== 0) throw new Error(`pg_ctl stop ended with status ${status}: ${lastLines(stderr, 3)}`);
}

/** Only at a start, when no server holds the file. One older log is kept. */
async function rotateLog({ logFile }: DataLocation): Promise<void> {
  const { size } = await stat(logFile).catch(() => ({ size: 0 }));
  // Two processes that start at once may both try; for the second there is nothing left to do.
  if (size > MAXIMUM_LOG_BYTES) await rename(logFile, `${logFile}.1`).catch(() => {});
}

/** Loopback only: other computers must not connect. */
export const HOST = '127.0.0.1';

/** Below the ports that systems hand out to outgoing connections, which would take ours while the server is down. */
const FIRST_PORT = 15_432;
const PORT_COUNT = 10_000;
const ATTEMPTS = 50;

/** Always the same for one home, so that the psql line stays the same, and most likely another for the next home. */
export function preferredPort(base: string): number {
  return FIRST_PORT + (createHash('sha256').update(base).digest().readUInt32BE(0) % PORT_COUNT);
}

/** A free port: the one of the last start if possible, which Postgres itself keeps, else the next free one. */
export async function choosePort({ base, dataDirectory }: DataLocation): Promise<number> {
  const options = await readPrivate(join(dataDirectory, 'postmaster.opts')).catch(() => null);
  const remembered = Number(/"port=(\d+)"/.exec(options ?? '')?.[1]);
  if (remembered > 0 && remembered < 65_536 && (await succeeds(listenOnce(remembered)))) return remembered;
  const preferred = preferredPort(base);
  for (let port = preferred; port < preferred + ATTEMPTS; port++) {
    if (await succeeds(listenOnce(port))) return port;
  }
  return listenOnce(0);
}

async function listenOnce(port: number): Promise<number> {
  const server = createServer().listen({ host: HOST, port, exclusive: true });
  await once(server, 'listening');
  const { port: used } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return used;
}
