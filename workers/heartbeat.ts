import { createHash, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { App } from '../src/app.ts';
import { succeeds } from '../src/clock.ts';
import type { Logger } from '../src/logger.ts';
import { BEAT_MS, removeProcess, writeBeat } from '../src/store/engine/processes.ts';
import type { StreamKey } from '../src/store/engine/streams.ts';
import { readVersion } from '../src/version.ts';
import type { Daemon } from './main.ts';
import { describeError } from './queue-watch.ts';
import type { Queues } from './queues.ts';

interface HeartbeatParts {
  readonly app: { readonly database: Pick<App['database'], 'prisma'>; readonly streams: readonly StreamKey[] };
  readonly daemon: Pick<Daemon, 'isLeading' | 'activeJobs'> & { readonly queues: Pick<Queues, 'ping'> };
  readonly logger: Logger;
  readonly roles: readonly string[];
  readonly intervalMs?: number;
}

/** How long a process waits for its first heartbeat, and for its removal, when the database does not answer. */
const WAIT_MS = 2_000;

/** Stores a heartbeat every few seconds. An unreachable database is no reason to stop: the next beat tries again. */
export function startHeartbeat(parts: HeartbeatParts) {
  const { app, daemon, logger, roles, intervalMs = BEAT_MS } = parts;
  const { prisma } = app.database;
  const id = randomUUID();
  const stopping = new AbortController();

  async function beat(): Promise<void> {
    const isQueueOk = await succeeds(daemon.queues.ping());
    if (stopping.signal.aborted) return;
    const names = app.streams.map(({ connectionId, stream }) => `${connectionId}/${stream}`);
    await writeBeat(prisma, {
      id,
      roles: [...roles],
      queue_ok: isQueueOk,
      host: hostname(),
      pid: process.pid,
      version: readVersion(),
      config_hash: createHash('sha256').update(names.sort().join('\n')).digest('hex').slice(0, 16),
      connections: [...new Set(app.streams.map(({ connectionId }) => connectionId))],
      is_leading: daemon.isLeading,
      running_runs: daemon.activeJobs,
    });
  }

  const tryBeat = () =>
    beat().catch((error: unknown) => logger.debug({ reason: describeError(error) }, 'no sign of life written'));

  async function run(): Promise<void> {
    await first;
    while (!stopping.signal.aborted) {
      await delay(intervalMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
      if (!stopping.signal.aborted) await tryBeat();
    }
  }

  const first = tryBeat();
  const running = run();
  const soon = () => delay(WAIT_MS, undefined, { ref: false });
  return {
    id,
    /** The first heartbeat is stored, or has failed, or the database is slow. Never rejects. */
    begun: Promise.race([first, soon()]),
    /** Takes the process off the list, if the database answers soon. Never throws. */
    async stop() {
      stopping.abort();
      const farewell = running.then(() => removeProcess(prisma, id)).catch(() => {});
      await Promise.race([farewell, soon()]);
    },
  };
}
