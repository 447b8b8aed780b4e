import { once } from 'node:events';
import { createChannels, startAlerts } from '../src/alerts/alerts.ts';
import { createHeartbeat } from '../src/alerts/heartbeat-url.ts';
import { watchOutages } from '../src/alerts/outages.ts';
import type { App } from '../src/app.ts';
import { registerMetrics } from '../src/ops/metrics.ts';
import type { KeptAccounts, OpsPlugin } from '../src/ops/parts.ts';
import { assertWritable, describeProcesses, disagreeing, readProcesses } from '../src/store/engine/processes.ts';
import { databaseError } from '../src/store/faults.ts';
import { startHeartbeat } from './heartbeat.ts';
import { startDaemon } from './main.ts';
import type { JobReport } from './sync-stream.ts';
import { startWeb } from './web.ts';

export const ROLES = ['scheduler', 'worker', 'web'] as const;
export type Role = (typeof ROLES)[number];

export interface RunDaemonOptions {
  readonly roles?: readonly Role[];
  readonly signal: AbortSignal;
  /** Called when everything runs, with the address of the status page; null without role web. */
  readonly onRunning?: (pageUrl: string | null) => void;
  readonly onJob?: (report: JobReport) => void;
  /** The accounts that the database keeps, for the page and `/api/connections`; without it there are no such routes. */
  readonly accounts?: KeptAccounts;
}

/**
 * Schedules, works and shows the status page, as `leadmirror start` does, until the signal fires; then ends what runs
 * at its page. The app stays open.
 * @throws ConfigError when the port cannot be had
 */
export async function runDaemon(app: App, options: RunDaemonOptions): Promise<void> {
  const { roles = ROLES, signal, onRunning, onJob, accounts } = options;
  const { config, logger } = app;
  const closers: (() => Promise<void>)[] = [];
  try {
    const { address, embedded } = app.database;
    logger.info(`mirror in ${address}${embedded === null ? '' : `; open it with: ${embedded.psql}`}`);
    const { allowInsecureHttp, proxy } = config.http;
    const { heartbeatUrl } = config;
    const called = heartbeatUrl === null ? null : createHeartbeat(heartbeatUrl, { logger, allowInsecureHttp, proxy });
    if (called !== null) closers.push(() => called.close());
    const daemon = await startDaemon(app, {
      roles: roles.filter((role) => role !== 'web'),
      logger,
      signal,
      observer: { ...(onJob && { onJob }), onRound: () => void called?.call() },
    });
    const heartbeat = startHeartbeat({ app, daemon, logger, roles });
    // The last sign of life comes when everything else has ended.
    closers.push(
      () => heartbeat.stop(),
      () => daemon.stop(),
    );
    const { prisma } = app.database;
    const { metrics: processMetrics } = app;
    const channels = createChannels(config.alerts, { allowInsecureHttp, proxy });
    const outages = watchOutages({
      logger,
      clock: app.clock,
      channels,
      checks: {
        database: () =>
          assertWritable(prisma).catch((cause) => {
            throw databaseError(cause, address);
          }),
        queue: () => daemon.queues.ping(),
        configuration: async () => describeProcesses(disagreeing(await readProcesses(prisma))),
      },
      afterMs: config.alerts.afterMs,
    });
    closers.push(() => outages.stop());
    const alerts = startAlerts({
      prisma,
      logger,
      clock: app.clock,
      settings: config.alerts,
      channels,
      cause: outages.cause,
      names: () => app.config.connections,
      onAttempt: (attempt) => processMetrics?.alertMessages.inc({ ...attempt }),
    });
    if (alerts !== null) closers.push(() => alerts.stop());
    let pageUrl: string | null = null;
    if (roles.includes('web')) {
      const { maxStreams } = config.metrics;
      const readQueue = () => daemon.queues.counts().catch(() => null);
      const plugins: OpsPlugin[] = [];
      if (processMetrics !== undefined) {
        const metrics = { prisma, logger, processMetrics, maxStreams, readQueue };
        plugins.push((server) => registerMetrics(server, metrics));
      }
      // The first answer of the page shows the worker of this process already.
      await heartbeat.begun;
      const ops = await startWeb(app, daemon, { plugins, ...(accounts && { accounts }) });
      closers.push(() => ops.close());
      pageUrl = ops.url;
      logger.info(`status page on ${ops.url}; status on ${ops.url}/api/status`);
    }
    logger.info({ roles, connections: app.connections.length }, 'leadmirror is running');
    onRunning?.(pageUrl);
    if (!signal.aborted) await once(signal, 'abort');
    logger.info('stopping: pages under way are finished or dropped, checkpoints are kept');
  } finally {
    for (const close of closers.reverse()) await close();
  }
}
