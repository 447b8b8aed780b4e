/**
 * What does a long outage cost the upstream, and what comes after it? A daemon is in the middle of its first full read of four streams, with incremental
 * passes beside it, when the upstream begins to answer 503 to everything.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { createTiledeskSandbox, type RequestLogEntry, type TiledeskSandbox } from '../../../sandbox/tiledesk.ts';
import { type Cli, until } from '../cli.ts';
import { compareMirror, type Difference } from '../compare.ts';
import { STREAMS, variables } from '../mirror.ts';
import { createTestDatabase } from '../postgres.ts';
import { Daemons, logLines, openQueue, type QueueKind } from './processes.ts';
import { trespasses } from './requests.ts';

export interface OutageOptions {
  readonly cli: Cli;
  readonly queue: QueueKind;
  readonly outageMs: number;
  /** Null: the 503 says nothing about when to come back. */
  readonly retryAfterMs: number | null;
  readonly leads: number;
  readonly requests: number;
  readonly pageSize: number;
  readonly requestsPerMinute: number;
  readonly incrementalCron: string;
  /** Pages of each long list that have to be there when the outage begins. */
  readonly pagesBefore: number;
  /** How long the rest of the first full read may take. */
  readonly restMs: number;
}

export interface OutageReport {
  readonly queue: QueueKind;
  readonly retryAfterMs: number | null;
  readonly outageMs: number;
  /** Everything that was asked during the outage. */
  readonly requests: number;
  /** The same, minute by minute. */
  readonly requestsByMinute: readonly number[];
  /** Requests before the Retry-After of an earlier answer was over. */
  readonly early: number;
  /** From the end of the outage to the first good answer; null: none came. */
  readonly resumedAfterMs: number | null;
  /**
   * Where the full sync of each long list went on: 0 is the page after the last one that was answered before the outage, 1 that one itself, and so on.
   * Null: it did not go on.
   */
  readonly stepsBack: Readonly<Record<string, number | null>>;
  /** Pages of the full syncs that were answered both before and after the outage. */
  readonly pagesTwice: number;
  readonly opened: number;
  readonly closed: number;
  /** What the log says of the connection while it is parked, by event. */
  readonly events: Readonly<Record<string, number>>;
  /** Lines at level warn or above from the beginning of the outage to the end of the full read. */
  readonly warnings: number;
  /** Every stream's first full read is complete. */
  readonly isComplete: boolean;
  readonly differences: readonly Difference[];
}

const LONG_LISTS = ['leads', 'requests'] as const;

/** Null where there is no Redis. */
export async function measureOutage(options: OutageOptions): Promise<OutageReport | null> {
  const { cli, outageMs, retryAfterMs, leads, requests } = options;
  const queue = await openQueue(options.queue);
  if (queue === null) return null;
  const sandbox = createTiledeskSandbox({ leads, requests, now: Date.now() - 3_600_000 });
  const { url } = await sandbox.listen();
  cli.guard(sandbox);
  const database = await createTestDatabase();
  const daemons = new Daemons(cli, {
    ...variables(sandbox, url, database.url),
    ...queue.env,
    TILEDESK_REQUESTS_PER_MINUTE: String(options.requestsPerMinute),
    TILEDESK_PAGE_SIZE: String(options.pageSize),
    SYNC_INCREMENTAL_CRON: options.incrementalCron,
    SYNC_RECONCILE_CRON: '0 0 1 1 *',
  });
  try {
    const daemon = await daemons.start('scheduler,worker');
    await until('the first full read is under way', () => isUnderWay(sandbox, options), 120_000);
    const before = sandbox.log.length;
    const linesBefore = logLines(daemon).length;
    const beganAt = Date.now();
    const hint = retryAfterMs === null ? {} : ({ retryAfter: 'seconds', retryAfterMs } as const);
    sandbox.faults.push({ kind: '503', times: Number.POSITIVE_INFINITY, ...hint });
    await delay(outageMs);
    const endedAt = Date.now();
    sandbox.faults.clear();
    const during = sandbox.log.slice(before);
    const after = before + during.length;
    const isComplete = await until('the first full read is complete', () => isRead(database.url), options.restMs).then(
      () => true,
      () => false,
    );
    await daemons.stop();
    const differences: Difference[] = [];
    for (const stream of STREAMS) differences.push(await compareMirror(database.url, sandbox, stream));
    const log = { before: sandbox.log.slice(0, before), after: sandbox.log.slice(after) };
    const events = countEvents(logLines(daemon).slice(linesBefore));
    const firstGood = log.after.find(({ status }) => status === 200);
    return {
      ...{ queue: options.queue, retryAfterMs, outageMs, isComplete, differences, events },
      requests: during.length,
      requestsByMinute: byMinute(during, beganAt, outageMs),
      early: trespasses(during, UNDER_WAY_MS).inside,
      resumedAfterMs: firstGood === undefined ? null : firstGood.at - endedAt,
      stepsBack: Object.fromEntries(LONG_LISTS.map((list) => [list, stepsBack(list, log)])),
      pagesTwice: countTwice(log),
      opened: events.circuit_open ?? 0,
      closed: events.circuit_closed ?? 0,
      warnings: logLines(daemon)
        .slice(linesBefore)
        .filter(({ level }) => Number(level) >= 40).length,
    };
  } finally {
    await daemons.stop();
    await sandbox.close();
    await database.drop();
    await queue.close();
  }
}

const UNDER_WAY_MS = 50;

function isUnderWay({ log }: TiledeskSandbox, { pagesBefore }: OutageOptions): boolean {
  return LONG_LISTS.every(
    (name) => log.filter((entry) => entry.list === name && isFullWalk(entry)).length >= pagesBefore,
  );
}

/** A good page of a full sync: not the question for the newest change, not a probe, not an incremental pass. */
function isFullWalk({ query, status }: Pick<RequestLogEntry, 'query' | 'status'>): boolean {
  return status === 200 && query.get('sort') !== 'updatedAt' && Number(query.get('limit')) > 5;
}

async function isRead(databaseUrl: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query(
      "select from sync.checkpoints where pass = 'backfill' and completed_at is not null",
    );
    return rowCount === STREAMS.length;
  } finally {
    await client.end();
  }
}

interface AroundOutage {
  readonly before: readonly RequestLogEntry[];
  readonly after: readonly RequestLogEntry[];
}

const questions = (log: readonly RequestLogEntry[]) =>
  log.filter((entry) => isFullWalk(entry)).map(({ list, query }) => `${list}?${query}`);

function stepsBack(list: string, { before, after }: AroundOutage): number | null {
  const asked = questions(before.filter((entry) => entry.list === list));
  const [first] = questions(after.filter((entry) => entry.list === list));
  if (first === undefined) return null;
  const place = asked.lastIndexOf(first);
  return place === -1 ? 0 : asked.length - place;
}

function countTwice({ before, after }: AroundOutage): number {
  const asked = new Set(questions(before));
  return questions(after).filter((question) => asked.has(question)).length;
}

function byMinute(log: readonly RequestLogEntry[], fromMs: number, forMs: number): number[] {
  const counts = Array.from({ length: Math.ceil(forMs / 60_000) }, () => 0);
  for (const { at } of log) {
    const minute = Math.min(counts.length - 1, Math.floor((at - fromMs) / 60_000));
    counts[minute] = (counts[minute] ?? 0) + 1;
  }
  return counts;
}

function countEvents(lines: readonly Record<string, unknown>[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { event } of lines) if (typeof event === 'string') counts[event] = (counts[event] ?? 0) + 1;
  return counts;
}
