import { readFile } from 'node:fs/promises';
import { type Cli, type Running, until } from '../cli.ts';
import { startTestRedis } from '../redis.ts';

export type QueueKind = 'redis' | 'postgres';

/**
 * The environment that puts the queue there; Postgres is the place without a setting. Null where there is no Redis of our own: daemons give their keys
 * in Redis no other names, and would meet those of others.
 */
export async function openQueue(
  kind: QueueKind,
): Promise<{ env: Record<string, string>; close(): Promise<void> } | null> {
  if (kind === 'postgres') return { env: {}, close: async () => {} };
  const redis = await startTestRedis();
  if (redis === null || redis.isOwn) {
    return redis && { env: { REDIS_URL: redis.url }, close: () => redis.close() };
  }
  await redis.close();
  return null;
}

/** Daemons of one installation, started in turn and stopped together. */
export class Daemons {
  readonly all: Running[] = [];
  readonly #cli: Cli;
  readonly #cwd: string | undefined;
  readonly #env: Readonly<Record<string, string>>;

  constructor(cli: Cli, env: Readonly<Record<string, string>>, cwd?: string) {
    this.#cli = cli;
    this.#cwd = cwd;
    this.#env = { LOG_FORMAT: 'json', ...env };
  }

  /** Resolves when it is running. @throws when it ends instead, or takes longer */
  async start(role: string, env: Readonly<Record<string, string>> = {}, timeoutMs = 60_000): Promise<Running> {
    const options = { env: { ...this.#env, ...env }, ...(this.#cwd !== undefined && { cwd: this.#cwd }) };
    const running = this.#cli.start(['start', '--role', role], options);
    this.all.push(running);
    let isOver = false;
    void running.ended.then(() => {
      isOver = true;
    });
    const isRunning = () => running.stderr.includes('leadmirror is running');
    await until(`start --role ${role}`, () => isRunning() || isOver, timeoutMs);
    if (!isRunning()) throw new Error(`start --role ${role} ended:\n${running.stderr}`);
    return running;
  }

  async stop(...some: readonly Running[]): Promise<void> {
    const leaving = some.length > 0 ? some : [...this.all];
    for (const each of leaving) each.kill('SIGTERM');
    await Promise.all(leaving.map(({ ended }) => ended));
    for (const each of leaving) this.all.splice(this.all.indexOf(each), 1);
  }
}

/** JSON lines of a daemon's log; what is no JSON is left out. */
export function logLines({ stderr }: Pick<Running, 'stderr'>): Record<string, unknown>[] {
  return stderr.split('\n').flatMap((line) => {
    try {
      const value: unknown = JSON.parse(line);
      return typeof value === 'object' && value !== null ? [value as Record<string, unknown>] : [];
    } catch {
      return [];
    }
  });
}

/** Linux counts in hundredths of a second, whatever the machine. */
const TICKS_PER_SECOND = 100;

export interface ProcessUse {
  /** User and system, since it started. */
  readonly cpuSeconds: number;
  readonly memoryMb: number;
}

/** Read from /proc: Linux only. */
export async function useOf(pid: number): Promise<ProcessUse> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile(`/proc/${pid}/status`, 'utf8'),
  ]);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  return { cpuSeconds: ticks / TICKS_PER_SECOND, memoryMb: Math.round(kilobytes / 1024) };
}
