/**
 * Is the time of a slow upstream used? Where each answer takes so long, no walk whose pages follow each other can be faster than one page per answer: what share
 * of that is reached, and what share of what a bare client reaches that writes nothing. Then an upstream that lets 200 requests through in any minute:
 * what share of them is used.
 */
import type { Cli } from '../cli.ts';
import { createTestDatabase } from '../postgres.ts';
import { type BudgetReport, measureBudget } from './budget.ts';
import { drain, type MirrorFigures, runMirror, startUpstream } from './children.ts';
import { type Figure, inRounds, median, type PartReport, range, ratio } from './figures.ts';
import { percent } from './print.ts';

export interface LatencyOptions {
  readonly cli: Cli;
  readonly rows: number;
  readonly bytesEach: number;
  readonly latencyMs: number;
  readonly rounds: number;
  /** How long the use of the allowance is watched; 0 leaves it out. */
  readonly allowanceMs: number;
  readonly onProgress?: (text: string) => void;
}

export interface LatencyRound {
  /** The same pages by a bare client. */
  readonly drainMs: number;
  readonly mirror: MirrorFigures;
}

export interface LatencyMeasured {
  readonly options: Omit<LatencyOptions, 'cli' | 'onProgress'>;
  readonly rounds: readonly LatencyRound[];
  /** Null: left out. */
  readonly allowance: BudgetReport | null;
}

const PAGE = 100;
const REQUESTS_PER_MINUTE = 200;
/** A minute's window has to be full before its use says anything. */
const WARM_UP_MS = 70_000;

export async function measureLatency(options: LatencyOptions): Promise<LatencyMeasured> {
  const { cli, rows, bytesEach, latencyMs, rounds: wanted, allowanceMs, onProgress } = options;
  const upstream = await startUpstream(cli, { leads: rows, bytesEach, latencyMs });
  const rounds: LatencyRound[] = [];
  try {
    for (let round = 1; round <= wanted; round++) {
      const drainMs = await drain(upstream, { stream: 'leads', rows, pageSize: PAGE });
      const database = await createTestDatabase();
      const job = { databaseUrl: database.url, stream: 'leads', pass: 'backfill' } as const;
      // Of pages that do not grow: what is measured is how little time is lost between two requests.
      const variables = { ...upstream.variables, TILEDESK_MAX_PAGE_SIZE: String(PAGE) };
      const mirror = await runMirror(cli, { ...upstream, variables }, job).finally(() => database.drop());
      rounds.push({ drainMs, mirror });
      const { pages, ms } = mirror;
      onProgress?.(
        `latency, round ${round} of ${wanted}: ${pages} pages in ${Math.round(ms)} ms, bare ${Math.round(drainMs)} ms`,
      );
    }
  } finally {
    await upstream.close();
  }
  const allowance = allowanceMs === 0 ? null : await measureAllowance(cli, allowanceMs);
  return { options: { rows, bytesEach, latencyMs, rounds: wanted, allowanceMs }, rounds, allowance };
}

/** One scheduler and one worker process, their queue in Postgres, on one account with four projects that never end. */
function measureAllowance(cli: Cli, steadyMs: number): Promise<BudgetReport | null> {
  return measureBudget({
    ...{ cli, queue: 'postgres', requestsPerMinute: REQUESTS_PER_MINUTE, workers: 1, concurrency: 4, connections: 4 },
    ...{ warmUpMs: WARM_UP_MS, steadyMs, incrementalCron: '* * * * *' },
  });
}

export function describeLatency({ options, rounds, allowance }: LatencyMeasured): PartReport {
  const { rows, latencyMs, allowanceMs } = options;
  const share = median(rounds.map(({ mirror }) => (mirror.pages * latencyMs) / mirror.ms));
  const ofBare = median(
    rounds.map(({ mirror, drainMs }) => (drainMs * mirror.pages) / Math.ceil(rows / PAGE) / mirror.ms),
  );
  const busy = median(rounds.map(({ mirror }) => (mirror.requests * latencyMs) / mirror.ms));
  const figures: Figure[] = [
    {
      ...{ name: `pages / what ${latencyMs} ms per answer allow`, value: ratio(share), measured: share },
      ...{ goal: '0.95 or more', isReached: share >= 0.95 },
    },
    { name: 'the same with every request counted, probes included', value: ratio(busy) },
    { name: 'pages / what a bare client reaches there', value: ratio(ofBare) },
    {
      name: 'first read',
      value: range(
        rounds.map(({ mirror }) => mirror.ms / 1000),
        (s) => `${s.toFixed(1)} s`,
      ),
    },
  ];
  if (allowance !== null) {
    const { used, refused, requests, busiestWindow, allowedInWindow } = allowance;
    figures.push(
      {
        ...{
          name: `share of ${REQUESTS_PER_MINUTE} requests a minute that was used`,
          value: percent(used),
          measured: used,
        },
        ...{ goal: '97 % or more', isReached: used >= 0.97 },
      },
      {
        ...{ name: 'refused (429)', value: `${refused} of ${requests}`, measured: refused },
        ...{ goal: 'less than 0.1 %', isReached: refused < requests / 1000 },
      },
      { name: 'most requests in a rolling minute', value: `${busiestWindow} of ${allowedInWindow}` },
    );
  }
  return {
    part: 'latency',
    subject: `${rows} leads, ${latencyMs} ms per answer, ${inRounds(rounds.length)}`,
    figures,
    wrong: rounds.flatMap(({ mirror }, index) =>
      mirror.created === rows ? [] : [`round ${index + 1}: the first read created ${mirror.created} of ${rows} rows`],
    ),
    notMeasured: [
      'answers whose time varies, and lines that are slow instead of far',
      allowance === null
        ? 'how much of a limit of requests is used'
        : `the limit with more than one worker process, or for longer than ${Math.round(allowanceMs / 1000)} s (see \`npm run bench:budget\`)`,
    ],
    rounds: { rounds, allowance },
  };
}
