import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import type { ScheduledStream } from '../../src/app/live-streams.ts';
import type { App } from '../../src/app.ts';
import { systemClock } from '../../src/clock.ts';
import { type Config, compareConfigs } from '../../src/config.ts';
import type { Logger } from '../../src/logger.ts';
import { createDatabase } from '../../src/store/database.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { createPrivacyGuard } from '../../src/store/privacy/guard.ts';
import type { Connection, FetchOptions, List, Pass, Row, Stream, Walk } from '../../src/stream.ts';
import { runPass } from '../../src/sync/run-pass.ts';
import { verifyStream } from '../../src/sync/verify.ts';
import type { RoundReport } from '../../workers/scheduler.ts';
import type { JobReport } from '../../workers/sync-stream.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

export const STREAM = 'tiledesk.departments';
/** Six fields: every second, without spread. */
export const EVERY_SECOND = '* * * * * *';
export const NEVER = '0 0 1 1 *';

/** An account held in memory, with trouble on demand. */
export class StubUpstream {
  readonly rows: { id: string; name: string; updatedAt: string }[] = [];
  /** Every page asked for, in order. */
  readonly asked: { readonly pass: Pass; readonly page: number }[] = [];
  /** Runs that read at this moment, and the most there ever were, by pass. */
  readonly most = new Map<Pass, number>();
  /** Called before each page; may wait (the signal ends the wait) or throw. */
  trouble: (page: number, pass: Pass) => Promise<void> | void = () => {};
  readonly #events = new EventEmitter();
  readonly #reading = new Map<Pass, number>();

  constructor(
    readonly id: string,
    count: number,
    readonly pageSize = 2,
  ) {
    for (let i = 0; i < count; i++) this.add();
  }

  add(): void {
    const n = this.rows.length;
    const updatedAt = new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString();
    this.rows.push({ id: `row-${String(n).padStart(5, '0')}`, name: `Row ${n}`, updatedAt });
  }

  /** Resolves when page `page` of `pass` is asked for; at once when it was. */
  async whenAsked(pass: Pass, page = 0): Promise<void> {
    while (!this.asked.some((entry) => entry.pass === pass && entry.page === page)) await once(this.#events, 'asked');
  }

  connection(): Connection {
    return {
      id: this.id,
      source: 'tiledesk',
      credential: `stub ${this.id}`,
      streams: [this.#stream()],
      open: async () => ({ summary: 'stub' }),
    };
  }

  #stream(): Stream {
    return {
      name: STREAM,
      table: {
        schema: 'tiledesk',
        name: 'departments',
        columns: { name: 'text', created_at: 'timestamptz', updated_at: 'timestamptz' },
      },
      redactRecord: (record) => record,
      mapRecord: (record) => {
        const { id, name, updatedAt } = record as StubUpstream['rows'][number];
        return { id, name, created_at: updatedAt, updated_at: updatedAt, deleted_at: null, raw: record } satisfies Row;
      },
      planLists: async ({ pass }) => [this.#list(pass)],
    };
  }

  #list(pass: Pass): List {
    return {
      id: 'all',
      walk: this.#walk(),
      fetchPage: async ({ offset, limit }, options) => {
        await this.#ask(pass, offset / limit, options);
        const records = this.rows.slice(offset, offset + limit);
        return {
          records,
          entries: records.map(({ id, updatedAt }) => ({
            id,
            createdAt: Date.parse(updatedAt),
            updatedAt: Date.parse(updatedAt),
          })),
          pageSize: limit,
          total: this.rows.length,
          serverTime: null,
        };
      },
      fetchNewestChange: async () => ({ newest: Date.UTC(2026, 0, 1), serverTime: null }),
    };
  }

  async #ask(pass: Pass, page: number, { signal, onRequest }: FetchOptions): Promise<void> {
    this.asked.push({ pass, page });
    const reading = (this.#reading.get(pass) ?? 0) + 1;
    this.#reading.set(pass, reading);
    this.most.set(pass, Math.max(reading, this.most.get(pass) ?? 0));
    this.#events.emit('asked');
    onRequest();
    try {
      await untilAborted(Promise.resolve(this.trouble(page, pass)), signal);
    } finally {
      this.#reading.set(pass, (this.#reading.get(pass) ?? 1) - 1);
    }
  }

  #walk(): Walk {
    return {
      kind: 'in-memory',
      start: () => ({ page: 0 }),
      resume: (state) => state,
      next: ({ page }) => ({
        sort: 'id',
        direction: 'desc',
        offset: Number(page) * this.pageSize,
        limit: this.pageSize,
        wantTotal: true,
      }),
      accept: ({ page }, _query, { total }) => ({
        state: { page: Number(page) + 1 },
        end: (Number(page) + 1) * this.pageSize >= (total ?? 0) ? { kind: 'complete' } : null,
        covered: null,
      }),
      beginning: () => ({ newest: Date.UTC(2026, 0, 1), serverTime: null }),
      shrink: () => null,
    };
  }
}

async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  work.catch(() => {});
  const stop = new AbortController();
  try {
    const aborted = once(stop.signal, 'abort');
    const onAbort = () => stop.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) stop.abort();
    await Promise.race([work, aborted]);
    signal.removeEventListener('abort', onAbort);
  } finally {
    stop.abort();
  }
  signal.throwIfAborted();
}

/** Keeps the messages of warnings and of what says that something is back. */
export function createRecorder(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { lines, logger: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line).msg) }) };
}

/** A wait that a test ends. */
export function createGate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

export interface StubAppOptions {
  readonly databaseUrl: string;
  readonly upstreams: readonly StubUpstream[];
  readonly redisUrl: string | null;
  readonly incrementalCron?: string;
  readonly reconcileCron?: string;
  readonly isAdaptive?: boolean;
  readonly logger?: Logger;
  readonly shutdownTimeoutMs?: number;
  readonly concurrency?: number;
  readonly bulkConcurrency?: number;
}

const SHARES = { mirror: 8, queue: 8 };
const CONNECTIONS = { room: null, wanted: SHARES, shares: SHARES };

/** The real engine and the real database under stub connections. */
export async function createStubApp(options: StubAppOptions): Promise<App> {
  const { databaseUrl, upstreams, isAdaptive = false, logger = unheardLogger() } = options;
  const { prisma, address, close } = createDatabase({ url: databaseUrl, logger, maxConnections: 8 });
  const config = stubConfig(options);
  const connections = upstreams.map((upstream) => upstream.connection());
  const { incrementalCron, reconcileCron, timezone } = config.sync;
  const schedule = { incremental: incrementalCron, reconcile: reconcileCron, count: null, timezone, isAdaptive };
  const streams = connections.map(
    ({ id }): ScheduledStream => ({ connectionId: id, stream: STREAM, schedule, freshWithinSeconds: 900 }),
  );
  const findStream: App['findStream'] = (connectionId, name) => {
    const connection = connections.find(({ id }) => id === connectionId);
    const stream = connection?.streams.find((candidate) => candidate.name === name);
    return connection && stream ? { connection, stream } : undefined;
  };
  await registerStreams(prisma, streams, { retires: 'unless_led' });
  const parts = {
    prisma,
    privacy: createPrivacyGuard(prisma, { secretKey: null, journal: null }),
    databaseAddress: address,
    clock: systemClock,
    logger,
    lookbackMs: 300_000,
    deletionLimit: 0.1,
  };
  return {
    config,
    logger,
    clock: systemClock,
    privacy: parts.privacy,
    database: { prisma, url: databaseUrl, address, embedded: null, close, connections: CONNECTIONS },
    connections,
    streams,
    findStream,
    scheduleOf: (connectionId, name) => (findStream(connectionId, name) === undefined ? undefined : schedule),
    runPass: (job) => runPass(parts, job),
    verifyStream: (job) => verifyStream(parts, job),
    assertStreams: () => registerStreams(prisma, streams, { retires: 'always' }),
    // Its accounts are in memory: another configuration is tried with a real app.
    reload: async (next) => compareConfigs(config, next),
    onReload: () => () => {},
    close,
  };
}

function stubConfig({
  redisUrl,
  incrementalCron = NEVER,
  reconcileCron = NEVER,
  shutdownTimeoutMs = 10_000,
  concurrency = 4,
  bulkConcurrency = 2,
  upstreams,
}: StubAppOptions) {
  return {
    redis: redisUrl === null ? null : { urls: redisUrl.split(',') },
    sync: {
      ...{ incrementalCron, reconcileCron, countCheckCron: NEVER, fullSyncDays: 7 },
      timezone: 'UTC',
      lookbackSeconds: 300,
      deletionLimit: 0.1,
    },
    workers: { concurrency, bulkConcurrency, shutdownTimeoutMs },
    runRetentionDays: 90,
    retention: {
      upstreamDeletedDays: null,
      rules: [],
      visitsCount: false,
      quarantine: { resolvedDays: 7, openDays: 90 },
    },
    history: { streams: [], months: 24 },
    // Many: their polls wait for nothing but what changes.
    connections: upstreams.map(({ id }) => ({ id, requestsPerMinute: 6_000 })),
    // The daemon reads nothing else.
  } as unknown as Config;
}

/** Everything a daemon reported, and a wait for what it will report. */
export class Observer {
  readonly jobs: JobReport[] = [];
  readonly rounds: RoundReport[] = [];
  readonly #events = new EventEmitter();

  readonly onJob = (report: JobReport): void => {
    this.jobs.push(report);
    this.#events.emit('changed');
  };

  readonly onRound = (round: RoundReport): void => {
    this.rounds.push(round);
    this.#events.emit('changed');
  };

  /** Resolves with the first report, past or future, that matches. */
  async job(
    matches: Partial<Pick<JobReport, 'pass' | 'trigger' | 'skipped' | 'connection'>> & { outcome?: string },
    after = 0,
  ) {
    for (;;) {
      const found = this.jobs.slice(after).find((report) => {
        const { outcome, ...rest } = matches;
        if (outcome !== undefined && report.result?.outcome !== outcome) return false;
        return Object.entries(rest).every(([key, value]) => report[key as keyof JobReport] === value);
      });
      if (found !== undefined) return found;
      await once(this.#events, 'changed');
    }
  }

  async round(count: number): Promise<void> {
    while (this.rounds.length < count) await once(this.#events, 'changed');
  }
}

const FACT_MS = 50_000;

/** For facts that nobody announces, such as a row in a queue. */
export async function until(fact: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + FACT_MS;
  while (!(await fact())) {
    if (performance.now() > deadline) throw new Error(`not so within ${FACT_MS} ms: ${fact}`);
    await delay(20);
  }
}
