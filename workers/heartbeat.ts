import { createHash, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { PrismaClient } from '../src/generated/prisma/client.ts';
import type { Logger } from '../src/logger.ts';
import { BEAT_MS, removeProcess, writeBeat } from '../src/store/engine/processes.ts';
import { describeError } from './queue-watch.ts';

export interface HeartbeatParts {
  readonly prisma: PrismaClient;
  readonly logger: Logger;
  readonly roles: readonly string[];
  /** Of the program. */
  readonly version: string;
  readonly isLeading: () => boolean;
  /** Rejects while the queue is away. */
  readonly pingQueue: () => Promise<void>;
  readonly runningRuns: () => number;
  /** Of the configuration as it is now. */
  readonly streams: () => readonly { readonly connectionId: string; readonly stream: string }[];
  readonly intervalMs?: number;
}

export interface Heartbeat {
  /** Of this process in `sync.processes`. */
  readonly id: string;
  /** Takes the process off the list, if the database answers soon. Never throws. */
  stop(): Promise<void>;
}

const FAREWELL_MS = 2_000;

/** Says every few seconds that this process lives, and how it is. A database that is away is no reason to stop: the next beat tries again. */
export function startHeartbeat(parts: HeartbeatParts): Heartbeat {
  const { prisma, logger, roles, version, isLeading, pingQueue, runningRuns, streams, intervalMs = BEAT_MS } = parts;
  const id = randomUUID();
  const stopping = new AbortController();

  async function beat(): Promise<void> {
    const isQueueOk = await pingQueue().then(
      () => true,
      () => false,
    );
    if (stopping.signal.aborted) return;
    const names = streams().map(({ connectionId, stream }) => `${connectionId}/${stream}`);
    await writeBeat(prisma, {
      configHash: createHash('sha256').update(names.sort().join('\n')).digest('hex').slice(0, 16),
      connections: [...new Set(streams().map(({ connectionId }) => connectionId))],
      id,
      host: hostname(),
      pid: process.pid,
      roles,
      version,
      isLeading: isLeading(),
      isQueueOk,
      runningRuns: runningRuns(),
    });
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      await beat().catch((error: unknown) => logger.debug({ reason: describeError(error) }, 'no sign of life written'));
      await delay(intervalMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
    }
  }

  const running = run();
  return {
    id,
    async stop() {
      stopping.abort();
      const farewell = running.then(() => removeProcess(prisma, id)).catch(() => {});
      await Promise.race([farewell, delay(FAREWELL_MS, undefined, { ref: false })]);
    },
  };
}
