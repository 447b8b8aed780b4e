import { once } from 'node:events';
import { startHeartbeat } from '../../workers/heartbeat.ts';
import { startDaemon } from '../../workers/main.ts';
import { readLanes } from '../../workers/queue-depths.ts';
import { createChannels, startAlerts } from '../alerts/alerts.ts';
import { createApp } from '../app.ts';
import { registerMetrics } from '../ops/metrics.ts';
import type { OpsPlugin } from '../ops/server.ts';
import { runCommand, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { StampedFiles } from './file-stamps.ts';
import { followConfig, ReloadRequests } from './reload.ts';
import { readVersion } from './version.ts';
import { startWeb } from './web.ts';

const ROLES = ['scheduler', 'worker', 'web'] as const;
export type Role = (typeof ROLES)[number];

export async function start(options: { readonly role: string }): Promise<void> {
  const files = new StampedFiles();
  await runCommand({ isDaemon: true, onFile: files.note }, async ({ config, logger, signal }) => {
    const roles = parseRoles(options.role);
    const requests = new ReloadRequests();
    const app = await createApp(config, { logger, signal, waitForDatabase: true });
    const closers: (() => Promise<void>)[] = [async () => requests.close(), () => app.close()];
    try {
      const { place, embedded } = app.database;
      logger.info(`mirror in ${place}${embedded === null ? '' : `; open it with: ${embedded.psql}`}`);
      const daemon = await startDaemon(app, { roles: roles.filter((role) => role !== 'web'), logger, signal });
      const heartbeat = startHeartbeat({
        prisma: app.database.prisma,
        logger,
        roles,
        version: readVersion(),
        isLeading: () => daemon.isLeading,
        pingQueue: () => daemon.pingQueue(),
        runningRuns: () => daemon.activeJobs,
      });
      // The last sign of life comes when everything else has ended.
      closers.push(
        () => heartbeat.stop(),
        () => daemon.stop(),
      );
      const { prisma } = app.database;
      const { metrics: processMetrics } = app;
      const { allowInsecureHttp, proxy } = config.http;
      const alerts = startAlerts({
        prisma,
        logger,
        clock: app.clock,
        settings: config.alerts,
        channels: createChannels(config.alerts, { allowInsecureHttp, proxy }),
        onAttempt: (attempt) => processMetrics?.alertMessages.inc({ ...attempt }),
      });
      if (alerts !== null) closers.push(() => alerts.stop());
      if (roles.includes('web')) {
        const { maxStreams } = config.metrics;
        const readQueue = () => readLanes(daemon.queues);
        const plugins: OpsPlugin[] = [];
        if (processMetrics !== undefined) {
          const metrics = { prisma, logger, processMetrics, maxStreams, readQueue };
          plugins.push((server) => registerMetrics(server, metrics));
        }
        const ops = await startWeb(app, daemon, { logger, plugins });
        closers.push(() => ops.close());
        logger.info(`status page on ${ops.url}; status on ${ops.url}/api/status`);
      }
      logger.info({ roles, connections: app.connections.length }, 'leadmirror is running');
      void followConfig({ app, logger, signal, files: files.stamps, requests });
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
