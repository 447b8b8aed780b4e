import type { Queue } from 'bullmq';
import type { App } from '../src/app.ts';
import { ConfigError } from '../src/errors.ts';
import type { Logger } from '../src/logger.ts';
import {
  type OpsConnection,
  type OpsParts,
  type OpsPlugin,
  type OpsServer,
  startOpsServer,
} from '../src/ops/server.ts';
import { readMigrations } from '../src/store/migrate.ts';
import { nextTick } from '../src/sync/schedule.ts';
import type { Daemon } from './main.ts';
import { type WantedSchedule, wantedSchedules } from './schedules.ts';
import { createWebControl } from './web-control.ts';

export interface WebOptions {
  readonly logger: Logger;
  /** More routes, such as `/metrics`. */
  readonly plugins?: readonly OpsPlugin[];
}

/** The web role: the status page and what is beside it, for this app and the queues of this daemon. @throws ConfigError when the port cannot be had */
export async function startWeb(app: App, daemon: Daemon, { logger, plugins = [] }: WebOptions): Promise<OpsServer> {
  const { host, port, token, readToken, trustedProxies } = app.config.ops;
  const { queues } = daemon;
  const parts: OpsParts = {
    prisma: app.database.prisma,
    logger: logger.child({ part: 'web' }),
    queue: {
      ping: () => daemon.pingQueue(),
      health: () => daemon.queueHealth(),
      lanes: () => [queues.lanes.fast, queues.lanes.bulk] as unknown as Queue[],
    },
    control: createWebControl(app, queues),
    token,
    readToken,
    trustedProxies,
    connections: () => connectionsOf(app),
    nextRuns: createNextRuns(app),
    migrations: (await readMigrations()).map(({ name }) => name),
    plugins,
  };
  try {
    return await startOpsServer(parts, { host, port });
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') throw cause;
    const message = `cannot listen on ${host}:${port} (${code}); choose another port, or leave the web role out with --role scheduler,worker`;
    throw new ConfigError([{ variable: 'OPS_PORT', message }], { cause });
  }
}

function connectionsOf({ connections, config }: App): readonly OpsConnection[] {
  const limits = new Map(config.connections.map(({ id, requestsPerMinute }) => [id, requestsPerMinute]));
  return connections.map(({ id, source, credential, requestsPerMinute }) => ({
    ...{ id, source, credential },
    requestsPerMinute: limits.get(id) ?? requestsPerMinute ?? 0,
  }));
}

/** By the schedules as the leading process makes them, spread included. A tick is worked out once and serves until it has come. */
function createNextRuns(app: App): NonNullable<OpsParts['nextRuns']> {
  const ticks = new Map<string, number>();
  const tickOf = (cron: string, timezone: string, nowMs: number): number => {
    const key = `${cron} ${timezone}`;
    const known = ticks.get(key);
    if (known !== undefined && known > nowMs) return known;
    const next = nextTick({ cron, timezone }, nowMs);
    ticks.set(key, next);
    return next;
  };
  let made: { readonly streams: App['streams']; readonly byStream: ReadonlyMap<string, WantedSchedule[]> } | null =
    null;
  const byStream = (): ReadonlyMap<string, WantedSchedule[]> => {
    // Another configuration makes another list.
    if (made?.streams !== app.streams) made = { streams: app.streams, byStream: schedulesByStream(app.streams) };
    return made.byStream;
  };
  return ({ connectionId, stream }, nowMs) =>
    (byStream().get(`${connectionId}/${stream}`) ?? []).map(({ job, cron, timezone }) => ({
      pass: job.pass,
      at: new Date(tickOf(cron, timezone, nowMs)),
    }));
}

function schedulesByStream(streams: App['streams']): ReadonlyMap<string, WantedSchedule[]> {
  const found = new Map<string, WantedSchedule[]>();
  for (const schedule of wantedSchedules(streams, Date.now())) {
    const key = `${schedule.job.connection}/${schedule.job.stream}`;
    const others = found.get(key);
    if (others === undefined) found.set(key, [schedule]);
    else others.push(schedule);
  }
  return found;
}
