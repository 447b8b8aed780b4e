import { once } from 'node:events';
import { startDaemon } from '../../workers/main.ts';
import { createApp } from '../app.ts';
import { ConfigError } from '../errors.ts';
import { type OpsServer, startOpsServer } from '../ops/server.ts';
import { runCommand, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';

const ROLES = ['scheduler', 'worker', 'web'] as const;
export type Role = (typeof ROLES)[number];

export async function start(options: { readonly role: string }): Promise<void> {
  await runCommand({ isDaemon: true }, async ({ config, logger, signal }) => {
    const roles = parseRoles(options.role);
    const app = await createApp(config, { logger, signal, waitForDatabase: true });
    const closers: (() => Promise<void>)[] = [() => app.close()];
    try {
      const { place, embedded } = app.database;
      logger.info(`mirror in ${place}${embedded === null ? '' : `; open it with: ${embedded.psql}`}`);
      const daemon = await startDaemon(app, { roles: roles.filter((role) => role !== 'web'), logger, signal });
      closers.push(() => daemon.stop());
      if (roles.includes('web')) {
        const { prisma } = app.database;
        const { host, port } = config.ops;
        // A copy, because fastify writes into the object it is given, and the configuration is frozen.
        const ops = await listen({ prisma, pingQueue: () => daemon.pingQueue() }, { host, port });
        closers.push(() => ops.close());
        logger.info(`status on ${ops.url}/api/status`);
      }
      logger.info({ roles, connections: app.connections.length }, 'leadmirror is running');
      if (!signal.aborted) await once(signal, 'abort');
      logger.info('stopping: pages under way are finished or dropped, checkpoints are kept');
      return EXIT.done;
    } finally {
      for (const close of closers.reverse()) await close();
    }
  });
}

function parseRoles(text: string): Role[] {
  const words = text.split(',').map((word) => word.trim());
  const unknown = words.filter((word) => !ROLES.includes(word as Role));
  if (unknown.length > 0) throw new UsageError(`There is no role ${unknown.join(', ')}. Roles: ${ROLES.join(', ')}`);
  return ROLES.filter((role) => words.includes(role));
}

async function listen(
  parts: Parameters<typeof startOpsServer>[0],
  address: { host: string; port: number },
): Promise<OpsServer> {
  try {
    return await startOpsServer(parts, address);
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') throw cause;
    const message = `cannot listen on ${address.host}:${address.port} (${code}); choose another port, or leave the web role out with --role scheduler,worker`;
    throw new ConfigError([{ variable: 'OPS_PORT', message }], { cause });
  }
}
