import type { Queue } from 'bullmq';
import type { App } from '../src/app.ts';
import { ConfigError } from '../src/errors.ts';
import type { OpsConnection, OpsParts } from '../src/ops/parts.ts';
import { startOpsServer } from '../src/ops/server.ts';
import { readMigrations } from '../src/store/migrate.ts';
import type { Daemon } from './main.ts';
import { createNextRuns } from './schedules.ts';
import { createWebControl } from './web-control.ts';

/** The status page and what is beside it. @throws ConfigError when the port cannot be had */
export async function startWeb(app: App, daemon: Daemon, more: Pick<OpsParts, 'plugins' | 'accounts'> = {}) {
  const { host, port, token, readToken, trustedProxies } = app.config.ops;
  const { queues } = daemon;
  const { control, close } = createWebControl(app, queues);
  const parts: OpsParts = {
    prisma: app.database.prisma,
    logger: app.logger.child({ part: 'web' }),
    queue: {
      ping: () => queues.ping(),
      health: () => queues.health(),
      lanes: () => [queues.lanes.fast, queues.lanes.bulk] as unknown as Queue[],
    },
    control,
    privacy: app.privacy,
    token,
    readToken,
    trustedProxies,
    connections: () => connectionsOf(app),
    names: () => app.config.connections,
    nextRuns: createNextRuns(() => app.streams),
    migrations: (await readMigrations()).map(({ name }) => name),
    ...more,
  };
  try {
    const server = await startOpsServer(parts, { host, port });
    return {
      url: server.url,
      async close() {
        await server.close();
        await close();
      },
    };
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
