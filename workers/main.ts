import type { App } from '../src/app.ts';
import { succeeds, within } from '../src/clock.ts';
import type { Logger } from '../src/logger.ts';
import type { Lane } from '../src/stream.ts';
import { Cooldown } from './job-outcome.ts';
import { LaneWorker } from './lane-worker.ts';
import { Polling } from './polling.ts';
import type { RunWorker } from './queue-backend.ts';
import { createQueues, type QueueOverrides } from './queues.ts';
import { ReportRefresher } from './report-refresher.ts';
import { type RoundReport, Scheduler } from './scheduler.ts';
import { createProcessor, type JobReport } from './sync-stream.ts';

export interface DaemonOptions {
  readonly roles: readonly ('scheduler' | 'worker')[];
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly queueOptions?: QueueOverrides;
  readonly sliceMs?: number;
  readonly refreshGapMs?: number;
  readonly leastPollMs?: number;
  readonly schedulerOptions?: { readonly roundMs?: number; readonly standbyMs?: number };
  readonly observer?: { readonly onJob?: (report: JobReport) => void; readonly onRound?: (round: RoundReport) => void };
}

export type Daemon = Awaited<ReturnType<typeof startDaemon>>;

/** Works from now on, also through outages of Redis and Postgres, until stopped. */
export async function startDaemon(app: App, options: DaemonOptions) {
  const { roles, logger, signal, queueOptions, schedulerOptions, observer = {} } = options;
  const queues = await createQueues({
    config: app.config,
    databaseUrl: app.database.url,
    logger,
    signal,
    retriesConnecting: true,
    maxConnections: app.database.connections.shares.queue,
    telemetry: app.tracing?.queueTelemetry as QueueOverrides['telemetry'],
    ...queueOptions,
  });
  const stopping = new AbortController();
  const workers: LaneWorker[] = [];
  const refresher = new ReportRefresher({ database: app.database, logger, gapMs: options.refreshGapMs });
  const cooldown = new Cooldown();
  // The action that a paused connection required may be just this.
  const leave = app.onReload(({ added, changed }) => {
    for (const id of [...added, ...changed]) cooldown.end(id);
  });
  if (roles.includes('worker')) {
    const { concurrency, bulkConcurrency } = app.config.workers;
    const onJob = (report: JobReport) => {
      if (report.skipped !== null) app.metrics?.jobsSkipped.inc({ reason: report.skipped });
      // Also when nothing was new: that it is as of now is worth telling.
      else refresher.ask();
      observer.onJob?.(report);
    };
    const { sliceMs } = options;
    const polling = new Polling({ app, queues, logger, leastMs: options.leastPollMs });
    const common = { app, queues, logger, cooldown, polling };
    const processor = createProcessor({ ...common, sliceMs, signal: stopping.signal, onJob });
    const limits: Readonly<Record<Lane, number>> = { fast: concurrency, bulk: bulkConcurrency };
    for (const lane of ['fast', 'bulk'] as const) {
      const create = () => {
        const worker = watchWorker(queues.createWorker(lane, processor, limits[lane]), logger);
        return worker.on('completed', (job) => void polling.follow(job));
      };
      const { timeoutMs } = queueOptions ?? {};
      workers.push(new LaneWorker({ lane, create, ping: () => queues.ping(), logger, timeoutMs }));
    }
  }
  const scheduler = roles.includes('scheduler')
    ? new Scheduler({ app, queues, logger, onRound: observer.onRound, ...schedulerOptions })
    : null;

  /** In reverse order of opening. A job that is not given back in time is taken over when its lock ends. */
  const closeAll = async (): Promise<void> => {
    const inOrder = async () => {
      await Promise.all(workers.map((worker) => worker.pause()));
      await scheduler?.stop();
      await refresher.stop();
      await queues.ping().catch(() => queues.disconnect());
      await Promise.all(workers.map((worker) => worker.close()));
      await queues.close();
    };
    const closed = inOrder().catch((error: unknown) => logger.warn({ err: error }, 'the queue did not close cleanly'));
    const limitMs = app.config.workers.shutdownTimeoutMs;
    if (await succeeds(within(limitMs, closed))) return;
    logger.warn(
      { limitMs },
      'not everything ended within SHUTDOWN_TIMEOUT_SECONDS; another worker takes over from the checkpoint',
    );
    void queues.disconnect();
    const abandoned = Promise.allSettled([...workers.map((worker) => worker.abandon()), queues.close()]);
    await within(FORCE_MS, abandoned).catch(() => {});
  };

  let stopped: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    signal.removeEventListener('abort', onAbort);
    leave();
    stopping.abort();
    stopped ??= closeAll();
    return stopped;
  };
  const onAbort = () => void stop();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) await stop();
  return {
    queues,
    get isLeading(): boolean {
      return scheduler?.isLeading ?? false;
    },
    get activeJobs(): number {
      return workers.reduce((sum, worker) => sum + worker.activeJobs, 0);
    },
    /** Ends the runs at their page and closes everything but the app. Safe to call twice, never throws. */
    stop,
  };
}

function watchWorker(worker: RunWorker, logger: Logger): RunWorker {
  return worker
    .on('stalled', (job) => logger.warn({ job }, 'a worker vanished in the middle of a run; the run is taken over'))
    .on('failed', (job, error) => {
      const { connection, stream, pass } = job?.data ?? {};
      const facts = { job: job?.id, connection, stream, pass, attempt: job?.attemptsMade };
      if (job?.finishedOn) logger.error({ ...facts, reason: error.name }, 'job given up');
      else logger.debug(facts, 'job is tried again');
    });
}

const FORCE_MS = 2_000;
