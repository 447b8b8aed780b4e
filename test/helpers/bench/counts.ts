import { type App, createApp } from '../../../src/app.ts';
import { loadConfig } from '../../../src/config.ts';
import { silentLogger } from '../../../src/logger.ts';
import { openSession } from '../../../src/store/session.ts';
import type { Pass } from '../../../src/stream.ts';
import { ENDLESS_ACCOUNT, type EndlessList, endlessProjectId, startEndlessTiledesk } from '../endless-tiledesk.ts';
import { seededRandom } from '../shifting-list.ts';

const STREAMS = ['leads', 'requests'] as const;
type StreamName = (typeof STREAMS)[number];

export interface CountFigures {
  readonly requests: number;
  readonly outcome: string;
  readonly deleted: number;
  readonly seconds: number;
}

type PerStream = Readonly<Record<StreamName, CountFigures>>;

export interface Nights {
  readonly first: PerStream;
  readonly still: PerStream;
  readonly changed: PerStream;
}

export interface CountsReport {
  /** As it is by default, and without wide pages and counts. */
  readonly after: Nights;
  readonly before: Nights;
  /** A count check behind that, by itself. */
  readonly check: CountFigures;
  /** Exactly the rows that were removed are marked. */
  readonly isExact: boolean;
}

export interface CountsOptions {
  readonly databaseUrl: string;
  readonly rows: Readonly<Record<StreamName, number>>;
  /** Rows of each stream that are removed before a night. */
  readonly gone: number;
  readonly seed?: number;
  readonly onProgress?: (text: string) => void;
}

/** A million are nine years. */
const SPACING_MS = 300_000;
const WITHOUT = { TILEDESK_MAX_PAGE_SIZE: '100', SYNC_FULL_SYNC_DAYS: '0' };

/** Requests for a first full read, for a night in which nothing was deleted, and for one after `gone` rows of each stream were. */
export async function measureCounts(options: CountsOptions): Promise<CountsReport> {
  const { databaseUrl, rows, gone, seed = 1, onProgress = () => {} } = options;
  const removed = { leads: new Set<number>(), requests: new Set<number>() };
  const listOf = (name: StreamName): EndlessList => ({ rows: rows[name], spacingMs: SPACING_MS, gone: removed[name] });
  // The same account twice: a first full read is one only once.
  const projects = [1, 2].map(endlessProjectId);
  const upstream = await startEndlessTiledesk({
    project: (id) => (projects.includes(id) ? { leads: listOf('leads'), requests: listOf('requests') } : undefined),
  });
  const { signal } = new AbortController();
  const opened: App[] = [];
  const open = async (project: string, more: Readonly<Record<string, string>>) => {
    const env = {
      DATABASE_URL: databaseUrl,
      TILEDESK_BASE_URL: upstream.url,
      TILEDESK_PROJECT_ID: project,
      TILEDESK_EMAIL: ENDLESS_ACCOUNT.email,
      TILEDESK_PASSWORD: ENDLESS_ACCOUNT.password,
      TILEDESK_STREAMS: STREAMS.join(),
      TILEDESK_REQUESTS_PER_MINUTE: '100000',
      ...more,
    };
    const app = await createApp(loadConfig({ env, cwd: '/', isTerminal: false }), { logger: silentLogger(), signal });
    opened.push(app);
    return app;
  };
  /** All requests that the account got, sign-in, incremental passes and requests by id included. */
  async function run(app: App, name: StreamName, pass: Pass): Promise<CountFigures> {
    const found = app.findStream(app.connections[0]?.id ?? '', `tiledesk.${name}`);
    if (found === undefined) throw new Error(`${name} are not configured`);
    upstream.clearLog();
    const from = performance.now();
    const waits = { signal, maxWaitMs: 120_000, leaseWaitMs: 0, isScheduled: pass === 'reconcile' };
    const result = await app.runPass({ ...found, pass, ...waits });
    const seconds = (performance.now() - from) / 1000;
    const outcome = `${result.pass} ${result.outcome} ${result.error?.code ?? ''}`.trim();
    onProgress(`${name}: ${outcome}, ${upstream.log.length} requests, ${seconds.toFixed(1)} s`);
    return { requests: upstream.log.length, outcome, deleted: result.deleted, seconds };
  }
  const both = async (app: App, pass: Pass): Promise<PerStream> => ({
    leads: await run(app, 'leads', pass),
    requests: await run(app, 'requests', pass),
  });
  const random = seededRandom(seed);
  const remove = (count: number) => {
    for (const name of STREAMS) while (removed[name].size < count) removed[name].add(Math.floor(random() * rows[name]));
  };
  try {
    const [project = '', other = ''] = projects;
    const app = await open(project, {});
    const first = await both(app, 'backfill');
    const still = await both(app, 'reconcile');
    remove(gone);
    const after = { first, still, changed: await both(app, 'reconcile') };
    const check = await run(app, 'requests', 'count');
    const without = await open(project, WITHOUT);
    // Pages of requests have a size of their own: what a first read of them takes did not change.
    const leads = await run(await open(other, WITHOUT), 'leads', 'backfill');
    const stillBefore = await both(without, 'reconcile');
    remove(2 * gone);
    const before = { first: { ...first, leads }, still: stillBefore, changed: await both(without, 'reconcile') };
    return { after, before, check, isExact: await isMarked(databaseUrl, project, removed) };
  } finally {
    for (const app of opened) await app.close();
    await upstream.close();
  }
}

async function isMarked(databaseUrl: string, project: string, removed: Readonly<Record<StreamName, Set<number>>>) {
  const sql = await openSession(databaseUrl);
  try {
    for (const name of STREAMS) {
      const { rows } = await sql.query<{ id: string }>(
        `select id from tiledesk.${name} where deleted_at is not null and connection_id like '%' || $1`,
        [project],
      );
      const found = new Set(rows.map(({ id }) => Number.parseInt(id.slice(-6), 16)));
      if (found.size !== removed[name].size || [...found].some((n) => !removed[name].has(n))) return false;
    }
    return true;
  } finally {
    await sql.end();
  }
}

const number = (value: number): string => value.toLocaleString('en-US');

export function describeCounts({ before, after, check }: CountsReport, { rows, gone }: CountsOptions): string {
  const nights = [
    ['first full read', 'first'],
    ['a night, nothing deleted', 'still'],
    [`a night, ${gone} of them deleted`, 'changed'],
  ] as const;
  const lines = nights.flatMap(([what, night]) =>
    STREAMS.map((name) => {
      const figures = [before, after].map((one) => number(one[night][name].requests));
      return `| ${number(rows[name])} ${name}: ${what} | ${figures.join(' | ')} |`;
    }),
  );
  return [
    '| requests for | before | now |',
    '| --- | --- | --- |',
    ...lines,
    `| ${number(rows.requests)} requests: an hourly count check | | ${check.requests} |`,
    '',
  ].join('\n');
}
