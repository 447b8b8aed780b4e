/**
 * What do very many connections cost? A real scheduler and real worker processes over a simulated upstream that answers for any project. Every connection
 * is an account of its own, with a request budget of its own.
 *
 * First the scheduler alone, until every schedule is in the queue; then the first full reads; then, for each number of workers, whole ticks of the
 * schedule, in which nothing changes upstream. With `auto` it is watched for as long, while a share of the accounts get a new row a minute in their
 * leads and their requests: what ends is then the way of a row, and its lag is from its creation to its arrival.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { silentLogger } from '../../../src/logger.ts';
import { nextTick } from '../../../src/sync/schedule.ts';
import { createQueues, type Queues } from '../../../workers/queues.ts';
import { parseScheduleId } from '../../../workers/run-job.ts';
import { type Cli, type Running, until } from '../cli.ts';
import { ENDLESS_ACCOUNT, endlessProjectId, startEndlessTiledesk } from '../endless-tiledesk.ts';
import { writeConnections } from './connections.ts';
import { type DatabaseUse, PostgresMeter } from './postgres-meter.ts';
import { percentile } from './print.ts';
import { Daemons, logLines, openQueue, type QueueKind, useOf } from './processes.ts';

export interface ScaleOptions {
  readonly cli: Cli;
  readonly queue: QueueKind;
  /** Migrated or empty, and nobody else's. */
  readonly databaseUrl: string;
  readonly connections: number;
  readonly streams: readonly string[];
  readonly rowsEach: number;
  /** One account of so many gets new rows; absent: none does. */
  readonly busyOneOf?: number;
  /** One part of the measurement for each number of worker processes. */
  readonly workers: readonly number[];
  readonly concurrency: number;
  readonly cron: string;
  /** Whole ticks that are watched with each number of workers. In the first one each new process signs in everywhere. */
  readonly ticks: number;
  readonly onProgress?: (text: string) => void;
}

export interface StartFigures {
  /** From the start of the process until it says that it is running: configuration read, streams registered. */
  readonly runningMs: number;
  /** From taking the lead to the end of the first round: schedules put, unfinished full reads asked for. */
  readonly firstRoundMs: number;
  readonly schedules: number;
  /** Of the process, over both. */
  readonly cpuSeconds: number;
  readonly memoryMb: number;
}

export interface FirstReadFigures {
  readonly workers: number;
  /** Longest of the worker processes, from start to running. */
  readonly workerRunningMs: number;
  readonly tookMs: number;
  readonly perSecond: number;
  readonly requestsEach: number;
  readonly workerCpuMsEach: number;
}

export interface StorageFigures {
  /** Of Redis per connection, and right after the first round, with a full read of each connection still waiting; null: the queue is in Postgres. */
  readonly redisBytesEach: number | null;
  readonly redisBytesEachWhileWaiting: number | null;
  /** Tables, indexes and TOAST, per connection: all, and the largest. */
  readonly postgresBytesEach: number;
  readonly postgresTables: Readonly<Record<string, number>>;
}

export interface TickFigures {
  readonly workers: number;
  /** 1: the first after the workers started. */
  readonly nth: number;
  readonly due: number;
  /** Runs of this tick that were complete when the next one began; the lag of the others counts as the whole interval. */
  readonly ended: number;
  /** From the scheduled moment of each connection to the end of its run. */
  readonly lagMs: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };
  /** From the first scheduled moment to the last end. */
  readonly tookMs: number;
  /** The moments of all connections lie within this time. */
  readonly spreadMs: number;
  readonly perSecond: number;
  /** In the busiest ten seconds; of a tick that took less, in all of it. */
  readonly busiestPerSecond: number;
  readonly requestsPerRun: number;
  /** CPU of the scheduler process per minute, and of all workers per run. */
  readonly schedulerCpuPerMinute: number;
  readonly workerCpuMsPerRun: number;
  readonly schedulerMemoryMb: number;
  readonly workerMemoryMb: number;
  /** Of the Redis server; null: the queue is in Postgres. */
  readonly redisCpuMsPerRun: number | null;
  readonly postgres: DatabaseUse;
  /** New rows of sync.runs: idle runs are folded. */
  readonly newRunRows: number;
}

export interface ScaleReport {
  readonly queue: QueueKind;
  readonly connections: number;
  readonly streams: readonly string[];
  readonly cron: string;
  readonly start: StartFigures;
  readonly firstReads: FirstReadFigures;
  readonly storage: StorageFigures;
  readonly ticks: readonly TickFigures[];
}

/** A minute's budget that no run of so few requests ever waits for. */
const UNHINDERED = '6000';
const START_LIMIT_MS = 10 * 60_000;
const DAY_MS = 24 * 3_600_000;
const MINUTE_MS = 60_000;

/** Null where there is no Redis. */
export async function measureScale(options: ScaleOptions): Promise<ScaleReport | null> {
  const queue = await openQueue(options.queue);
  if (queue === null) return null;
  const upstream = await startEndlessTiledesk({
    project: (id) => {
      const isGrowing = Number.parseInt(id.slice(-8), 16) % (options.busyOneOf ?? Number.POSITIVE_INFINITY) === 0;
      // Where nothing is new the newest row is a day old, so that its stream is read as seldom as it is in the long run.
      const isOld = options.busyOneOf !== undefined && !isGrowing;
      const list = { rows: options.rowsEach, spacingMs: isOld ? DAY_MS : MINUTE_MS, isGrowing };
      return { leads: list, requests: list };
    },
  });
  const folder = await writeConnections(
    Array.from({ length: options.connections }, (_, n) => entryOf(n, upstream.url, options.streams)),
  );
  const daemons = new Daemons(
    options.cli,
    {
      ...queue.env,
      DATABASE_URL: options.databaseUrl,
      SYNC_INCREMENTAL_CRON: options.cron,
      // Only its schedules are there: it does not run while we look.
      SYNC_RECONCILE_CRON: '0 0 1 1 *',
      WORKER_CONCURRENCY: String(options.concurrency),
      BULK_CONCURRENCY: String(options.concurrency),
    },
    folder.path,
  );
  const installation = await openInstallation({ options, daemons, upstream, redisUrl: queue.env.REDIS_URL ?? null });
  try {
    return await new Scale(installation).measure();
  } finally {
    await daemons.stop();
    await installation.close();
    await upstream.close();
    await folder.remove();
    await queue.close();
  }
}

function entryOf(n: number, url: string, streams: readonly string[]): Record<string, string> {
  return {
    ...{ source: 'tiledesk', baseUrl: url, projectId: endlessProjectId(n), streams: streams.join() },
    ...{ email: `owner${n}@example.com`, password: ENDLESS_ACCOUNT.password, requestsPerMinute: UNHINDERED },
  };
}

interface InstallationParts {
  readonly options: ScaleOptions;
  readonly daemons: Daemons;
  readonly upstream: { readonly log: readonly unknown[]; clearLog(): void };
  readonly redisUrl: string | null;
}

interface Installation extends InstallationParts {
  readonly client: pg.Client;
  readonly queues: Queues;
  readonly redis: Redis | null;
  readonly meter: PostgresMeter;
  close(): Promise<void>;
}

/** Our own view of it: the queue and the database are asked directly. */
async function openInstallation(parts: InstallationParts): Promise<Installation> {
  const { databaseUrl } = parts.options;
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const redis = parts.redisUrl === null ? null : new Redis(parts.redisUrl);
  const config = { redis: parts.redisUrl === null ? null : { urls: [parts.redisUrl] } };
  const queues = await createQueues({ config, databaseUrl, logger: silentLogger(), maxConnections: 2 });
  return {
    ...{ ...parts, client, queues, redis, meter: new PostgresMeter(client) },
    async close() {
      await queues.close();
      redis?.disconnect();
      await client.end();
    },
  };
}

interface Watched {
  readonly nth: number;
  readonly scheduler: Running;
  readonly workers: readonly Running[];
}

interface Metered extends Omit<Watched, 'scheduler'> {
  readonly from: Awaited<ReturnType<Scale['meterAll']>>;
  readonly to: Awaited<ReturnType<Scale['meterAll']>>;
  readonly lags: readonly number[];
  readonly runs: number;
  readonly requests: number;
}

/** With `auto`: watched for so long, and then the last rows may still arrive. */
const WATCH_MS = 5 * MINUTE_MS;
const REST_MS = MINUTE_MS;

class Scale {
  readonly #at: Installation;
  readonly #options: ScaleOptions;

  constructor(at: Installation) {
    this.#at = at;
    this.#options = at.options;
  }

  async measure(): Promise<ScaleReport> {
    const { queue, connections, streams, cron, workers, ticks } = this.#options;
    const { daemons, meter } = this.#at;
    const redisBefore = await this.#redisBytes();
    const sizesBefore = await meter.sizes();
    const { scheduler, start } = await this.#startScheduler();
    const redisWhileWaiting = await this.#redisBytes();
    const most = Math.max(...workers);
    const readers = await this.#startWorkers(most);
    const firstReads = await this.#readAll(readers);
    await daemons.stop(...readers.running);
    const storage = await this.#storage({ redisBefore, redisWhileWaiting, sizesBefore });
    const figures: TickFigures[] = [];
    for (const count of workers) {
      const { running } = await this.#startWorkers(count);
      await this.#untilIdle();
      for (let nth = 1; nth <= ticks; nth++) {
        const watched = { nth, scheduler, workers: running };
        figures.push(await (cron === 'auto' ? this.#watchArrivals(watched) : this.#watchTick(watched)));
      }
      await daemons.stop(...running);
    }
    return { queue, connections, streams, cron, start, firstReads, storage, ticks: figures };
  }

  async #startScheduler(): Promise<{ scheduler: Running; start: StartFigures }> {
    const from = performance.now();
    const scheduler = await this.#at.daemons.start('scheduler', {}, START_LIMIT_MS);
    const runningMs = performance.now() - from;
    const find = (text: string) => logLines(scheduler).find(({ msg }) => msg === text);
    await until('the first round', () => find('schedules put right') !== undefined, START_LIMIT_MS);
    const [led, done] = ['this process leads the schedule', 'schedules put right'].map(find);
    const use = await useOf(scheduler.pid);
    const start = {
      ...{ runningMs, ...use },
      firstRoundMs: Date.parse(String(done?.time)) - Date.parse(String(led?.time)),
      schedules: Number(done?.added ?? 0),
    };
    this.#say(`${start.schedules} schedules after ${Math.round(performance.now() - from)} ms`);
    return { scheduler, start };
  }

  async #startWorkers(count: number): Promise<{ running: Running[]; runningMs: number }> {
    const from = performance.now();
    const running = await Promise.all(
      Array.from({ length: count }, () => this.#at.daemons.start('worker', {}, START_LIMIT_MS)),
    );
    return { running, runningMs: performance.now() - from };
  }

  async #readAll({
    running,
    runningMs,
  }: {
    running: readonly Running[];
    runningMs: number;
  }): Promise<FirstReadFigures> {
    const { connections, streams } = this.#options;
    const { client, upstream } = this.#at;
    const from = performance.now();
    const cpuBefore = await cpuOf(running);
    upstream.clearLog();
    let requests = 0;
    const isRead = async () => {
      requests += upstream.log.length;
      upstream.clearLog();
      const { rows } = await client.query<{ n: number }>(
        "select count(*)::int as n from sync.checkpoints where pass = 'backfill' and completed_at is not null",
      );
      if (rows[0]?.n === connections * streams.length) return true;
      this.#say(`${rows[0]?.n} of ${connections * streams.length} read`);
      await delay(Math.min(10_000, connections * 10));
      return false;
    };
    await until('all first full reads', isRead, DAY_MS);
    const tookMs = performance.now() - from;
    return {
      ...{ workers: running.length, workerRunningMs: runningMs, tookMs },
      perSecond: (connections / tookMs) * 1000,
      requestsEach: requests / connections,
      workerCpuMsEach: (((await cpuOf(running)) - cpuBefore) / connections) * 1000,
    };
  }

  async #storage(before: {
    redisBefore: number | null;
    redisWhileWaiting: number | null;
    sizesBefore: Readonly<Record<string, number>>;
  }): Promise<StorageFigures> {
    const { connections } = this.#options;
    const each = (bytes: number | null) =>
      bytes === null || before.redisBefore === null ? null : Math.round((bytes - before.redisBefore) / connections);
    await this.#at.client.query('vacuum analyze');
    const sizes = Object.entries(await this.#at.meter.sizes()).map(
      ([table, bytes]) => [table, Math.round((bytes - (before.sizesBefore[table] ?? 0)) / connections)] as const,
    );
    const grown = sizes.filter(([, bytes]) => bytes > 0).sort(([, a], [, b]) => b - a);
    return {
      redisBytesEach: each(await this.#redisBytes()),
      redisBytesEachWhileWaiting: each(before.redisWhileWaiting),
      postgresBytesEach: grown.reduce((sum, [, bytes]) => sum + bytes, 0),
      postgresTables: Object.fromEntries(grown.slice(0, 10)),
    };
  }

  async #watchTick({ nth, scheduler, workers }: Watched): Promise<TickFigures> {
    const { cron } = this.#options;
    const { client, upstream } = this.#at;
    const schedule = { cron, timezone: 'UTC' };
    const beginsAt = nextTick(schedule, Date.now() + 1_000);
    const intervalMs = nextTick(schedule, beginsAt) - beginsAt;
    const moments = await this.#momentsAfter(beginsAt);
    await delay(beginsAt - Date.now());
    upstream.clearLog();
    const from = await this.meterAll(scheduler, workers);
    let requests = 0;
    const isOver = async () => {
      requests += upstream.log.length;
      upstream.clearLog();
      if (Date.now() >= beginsAt + intervalMs - 1_000) return true;
      const { rows } = await client.query<{ n: number }>(
        `select count(*)::int as n from sync.checkpoints where pass = 'incremental' and completed_at >= $1`,
        [new Date(beginsAt)],
      );
      if (rows[0]?.n === moments.size) return true;
      await delay(Math.min(2_000, intervalMs / 20));
      return false;
    };
    await until('the runs of a tick', isOver, intervalMs + 60_000);
    const to = await this.meterAll(scheduler, workers);
    const ends = await readEnds(client, beginsAt);
    const lags = [...moments].map(([connection, at]) => {
      const end = ends.get(connection);
      return end === undefined ? intervalMs : end - at;
    });
    const times = [...ends.values()];
    const tookMs = Math.max(...times) - beginsAt;
    const perSecond = (ends.size / tookMs) * 1000;
    return this.#figures(
      { nth, workers, from, to, lags, runs: ends.size, requests },
      {
        due: moments.size,
        ended: ends.size,
        tookMs,
        spreadMs: Math.max(...moments.values()) - beginsAt,
        busiestPerSecond: Math.max(busiest(times, 10_000) / 10, perSecond),
      },
    );
  }

  /** How rows arrive that are created meanwhile. Whole minutes: each list that grows has as many new rows. */
  async #watchArrivals({ nth, scheduler, workers }: Watched): Promise<TickFigures> {
    const { connections, streams, busyOneOf = Number.POSITIVE_INFINITY } = this.#options;
    const { client, upstream } = this.#at;
    const growing = streams.filter((stream) => stream === 'leads' || stream === 'requests');
    const readRuns = async () => {
      const sql = `select coalesce(sum(1 + idle_runs), 0)::int as n from sync.runs where pass = 'incremental'`;
      return (await client.query<{ n: number }>(sql)).rows[0]?.n ?? 0;
    };
    const runsBefore = await readRuns();
    const from = await this.meterAll(scheduler, workers);
    upstream.clearLog();
    await delay(WATCH_MS);
    const requests = upstream.log.length;
    const to = await this.meterAll(scheduler, workers);
    const runs = (await readRuns()) - runsBefore;
    await delay(REST_MS);
    const due = Math.ceil(connections / busyOneOf) * growing.length * (WATCH_MS / MINUTE_MS);
    const lags: number[] = [];
    for (const stream of growing) {
      const { rows } = await client.query<{ lag: number }>(
        // A row is there when the next one is created.
        `select (extract(epoch from first_seen_at - created_at) * 1000)::float8 - $3 as lag from tiledesk.${stream}
          where created_at >= $1 and created_at < $2`,
        [new Date(from.at - MINUTE_MS), new Date(from.at + WATCH_MS - MINUTE_MS), MINUTE_MS],
      );
      lags.push(...rows.map(({ lag }) => lag));
    }
    const ended = lags.length;
    const missing = Array.from({ length: Math.max(0, due - ended) }, () => WATCH_MS);
    const tookMs = to.at - from.at;
    const given = { nth, workers, from, to, lags: [...lags, ...missing], runs, requests };
    return this.#figures(given, { due, ended, tookMs, spreadMs: tookMs, busiestPerSecond: (runs / tookMs) * 1000 });
  }

  #figures(
    { nth, workers, from, to, lags, runs, requests }: Metered,
    counted: Pick<TickFigures, 'due' | 'ended' | 'tookMs' | 'spreadMs' | 'busiestPerSecond'>,
  ): TickFigures {
    const minutes = (to.at - from.at) / MINUTE_MS;
    const perRun = (value: number) => value / Math.max(1, runs);
    const redisMs = from.redisCpuMs === null || to.redisCpuMs === null ? null : to.redisCpuMs - from.redisCpuMs;
    const { due, ended, tookMs } = counted;
    this.#say(`${workers.length} workers, tick ${nth}: ${ended} of ${due}, ${runs} runs, in ${Math.round(tookMs)} ms`);
    return {
      ...counted,
      workers: workers.length,
      nth,
      lagMs: {
        p50: percentile(lags, 0.5),
        p95: percentile(lags, 0.95),
        p99: percentile(lags, 0.99),
        max: percentile(lags, 1),
      },
      perSecond: (runs / tookMs) * 1000,
      requestsPerRun: perRun(requests),
      schedulerCpuPerMinute: (to.scheduler.cpuSeconds - from.scheduler.cpuSeconds) / minutes,
      workerCpuMsPerRun: perRun((to.workerCpuSeconds - from.workerCpuSeconds) * 1000),
      schedulerMemoryMb: to.scheduler.memoryMb,
      workerMemoryMb: to.workerMemoryMb,
      redisCpuMsPerRun: redisMs === null ? null : perRun(redisMs),
      postgres: this.#at.meter.between(from.postgres, to.postgres, runs),
      newRunRows: to.postgres.runs - from.postgres.runs,
    };
  }

  /** When each connection is due, read from the queue itself: its schedules are spread. */
  async #momentsAfter(beginsAt: number): Promise<Map<string, number>> {
    const schedules = await this.#at.queues.lanes.fast.getJobSchedulers(0, -1, true);
    return new Map(
      schedules.flatMap(({ key, pattern, tz }): [string, number][] => {
        const of = parseScheduleId(key);
        if (of?.pass !== 'incremental') return [];
        return [
          [`${of.connection} ${of.stream}`, nextTick({ cron: pattern ?? '', timezone: tz ?? 'UTC' }, beginsAt - 1)],
        ];
      }),
    );
  }

  async meterAll(scheduler: Running, workers: readonly Running[]) {
    const uses = await Promise.all(workers.map(({ pid }) => useOf(pid)));
    return {
      at: Date.now(),
      scheduler: await useOf(scheduler.pid),
      workerCpuSeconds: uses.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
      workerMemoryMb: Math.max(...uses.map(({ memoryMb }) => memoryMb)),
      redisCpuMs: await this.#redisCpuMs(),
      postgres: await this.#at.meter.read(),
    };
  }

  /** What was left over from before: no job waits or runs. */
  async #untilIdle(): Promise<void> {
    const isIdle = async () => {
      const { lanes } = await this.#at.queues.health();
      const busy = lanes === null ? 1 : lanes.fast.waiting + lanes.fast.active + lanes.bulk.waiting + lanes.bulk.active;
      if (busy > 0) await delay(500);
      return busy === 0;
    };
    await until('the queue is empty', isIdle, 30 * 60_000);
  }

  async #redisBytes(): Promise<number | null> {
    const info = await this.#at.redis?.info('memory');
    return info === undefined ? null : Number(/used_memory:(\d+)/.exec(info)?.[1]);
  }

  async #redisCpuMs(): Promise<number | null> {
    const info = await this.#at.redis?.info('cpu');
    if (info === undefined) return null;
    const [user, system] = ['user', 'sys'].map((kind) =>
      Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)?.[1]),
    );
    return ((user ?? 0) + (system ?? 0)) * 1000;
  }

  #say(text: string): void {
    this.#options.onProgress?.(text);
  }
}

async function cpuOf(running: readonly Running[]): Promise<number> {
  const uses = await Promise.all(running.map(({ pid }) => useOf(pid)));
  return uses.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}

async function readEnds(client: pg.Client, sinceMs: number): Promise<Map<string, number>> {
  const { rows } = await client.query<{ name: string; completed_at: Date }>(
    `select connection_id || ' ' || stream as name, completed_at from sync.checkpoints
      where pass = 'incremental' and completed_at >= $1`,
    [new Date(sinceMs)],
  );
  return new Map(rows.map(({ name, completed_at }) => [name, completed_at.getTime()]));
}

/** The most of these moments in any such time. */
function busiest(times: readonly number[], windowMs: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  for (let first = 0, last = 0; last < sorted.length; last++) {
    while ((sorted[last] as number) - (sorted[first] as number) >= windowMs) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}
