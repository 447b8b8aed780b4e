/**
 * What a user waits for: `leadmirror sync tiledesk.leads --json`, whole, from the start of its process to its end. In each round, one after the other:
 *
 *   drain     the same pages fetched by a bare client, parsed and forgotten
 *   floor     the same rows written by the bare statement: a page, its checkpoint and its commit, on one connection
 *   growing   the sync, with pages that grow
 *   fixed     the sync, at 100 a page, as all others here read
 *   nothing   the sync of an upstream without rows, on a database that is migrated
 *   embedded  the sync into a new folder, with the embedded Postgres, whose creation is in it
 *   peer      `@stripe/sync-engine sync customer` with as many customers of as many bytes, where it is installed
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeRows } from '../../../src/store/mirror/page-json.ts';
import type { Cli, Finished } from '../cli.ts';
import { withClient } from '../postgres.ts';
import { benchFile, drain, forkChild, messageOf, startUpstream, type UpstreamProcess } from './children.ts';
import { openHome } from './cold-start.ts';
import { type Figure, inRounds, median, type PartReport, range, ratio } from './figures.ts';
import { countRows } from './memory.ts';
import { createMapping, onDatabase, PAGE, write } from './pipeline.ts';
import { type Metered, meter } from './process-meter.ts';

export interface WholeOptions {
  readonly cli: Cli;
  readonly rows: number;
  readonly bytesEach: number;
  readonly rounds: number;
  /** A folder in which `npm install @stripe/sync-engine stripe` was run; undefined: no peer. */
  readonly peer: string | undefined;
  readonly onProgress?: (text: string) => void;
}

interface Sync extends Pick<Metered, 'ms' | 'cpuSeconds' | 'peakMb'> {
  readonly rows: number;
  readonly requests: number;
  /** From the start of the process until the run has ended: all rows are there. */
  readonly rowsDoneMs: number;
  /** From the start of the process until the first page was written. */
  readonly firstPageMs: number;
}

interface Peer extends Pick<Metered, 'ms' | 'cpuSeconds' | 'peakMb'> {
  readonly rows: number;
}

interface WholeRound {
  readonly drainMs: number;
  readonly floorMs: number;
  readonly growing: Sync;
  readonly fixed: Sync;
  readonly nothingMs: number;
  readonly embeddedMs: number;
  readonly peer: Peer | null;
}

export interface WholeMeasured {
  readonly options: Pick<WholeOptions, 'rows' | 'bytesEach' | 'peer'>;
  readonly rounds: readonly WholeRound[];
}

export async function measureWhole(options: WholeOptions): Promise<WholeMeasured> {
  const { cli, rows, bytesEach, rounds: wanted, peer, onProgress } = options;
  if (peer !== undefined) await access(peerProgram(peer));
  const upstream = await startUpstream(cli, { leads: rows, bytesEach });
  const empty = await startUpstream(cli, {});
  try {
    const mapping = createMapping('leads');
    const pages: Buffer[] = [];
    const keep = (records: readonly unknown[]) =>
      void pages.push(encodeRows(records.map((each) => mapping.mapRecord(each))));
    await drain(upstream, { stream: 'leads', rows, pageSize: PAGE, keep });
    const rounds: WholeRound[] = [];
    for (let round = 1; round <= wanted; round++) {
      const measured: WholeRound = {
        drainMs: await drain(upstream, { stream: 'leads', rows, pageSize: PAGE }),
        floorMs: await onDatabase((url) => write(url, pages, mapping)),
        growing: await onDatabase((url) => sync(cli, upstream, url)),
        fixed: await onDatabase((url) => sync(cli, upstream, url, { TILEDESK_MAX_PAGE_SIZE: String(PAGE) })),
        nothingMs: await onDatabase(async (url) => (await runSync(cli, empty, { DATABASE_URL: url })).ms),
        embeddedMs: await syncEmbedded(cli, upstream),
        peer: peer === undefined ? null : await onDatabase((url) => runPeer(options, peer, url)),
      };
      rounds.push(measured);
      onProgress?.(`whole, round ${round} of ${wanted}: ${describeRound(measured)}`);
    }
    return { options: { rows, bytesEach, peer }, rounds };
  } finally {
    await upstream.close();
    await empty.close();
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function describeRound({ floorMs, growing, fixed, peer }: WholeRound): string {
  const others = `floor ${seconds(floorMs)}, peer ${peer === null ? 'none' : seconds(peer.ms)}`;
  return `growing ${seconds(growing.rowsDoneMs)}, fixed ${seconds(fixed.rowsDoneMs)}, ${others}`;
}

export function describeWhole({ options, rounds }: WholeMeasured): PartReport {
  const { rows, bytesEach } = options;
  const times = (msOf: (round: WholeRound) => number) => range(rounds.map(msOf), seconds);
  const kinds = [
    ['growing pages', ({ growing }: WholeRound) => growing],
    [`${PAGE} a page`, ({ fixed }: WholeRound) => fixed],
  ] as const;
  const figures = kinds.flatMap(([kind, of]): Figure[] => {
    const peers = rounds.flatMap((round) => (round.peer === null ? [] : [round.peer.ms / of(round).rowsDoneMs]));
    const floor = median(rounds.map((round) => round.floorMs / of(round).rowsDoneMs));
    const cpu = median(rounds.map((round) => (of(round).cpuSeconds / rows) * 1e6));
    const peak = Math.max(...rounds.map((round) => of(round).peakMb));
    const share = median(rounds.map((round) => (of(round).ms - of(round).rowsDoneMs) / of(round).rowsDoneMs));
    return [
      { name: `${kind}: rows done`, value: times((round) => of(round).rowsDoneMs) },
      { name: `${kind}: reports done, and the process has ended`, value: times((round) => of(round).ms) },
      ...(peers.length === 0 ? [] : [judged(`${kind}: peer / rows done`, median(peers), 6)]),
      judged(`${kind}: floor / rows done`, floor, 0.5),
      { name: `${kind}: time after the rows / rows done`, value: ratio(share), measured: share },
      {
        ...{ name: `${kind}: CPU of the process`, value: `${Math.round(cpu)} µs a row`, measured: cpu },
        ...{ goal: 'at most 60 µs', isReached: cpu <= 60 },
      },
      {
        ...{ name: `${kind}: peak memory`, value: `${peak} MB`, measured: peak },
        ...{ goal: 'at most 200 MB', isReached: peak <= 200 },
      },
      { name: `${kind}: requests`, value: String(median(rounds.map((round) => of(round).requests))) },
    ];
  });
  const bounded = (name: string, msOf: (round: WholeRound) => number, most: number): Figure => {
    const measured = median(rounds.map(msOf));
    return { name, value: times(msOf), measured, goal: `under ${seconds(most)}`, isReached: measured < most };
  };
  const peerFigures: Figure[] = rounds.some(({ peer }) => peer === null)
    ? []
    : [
        { name: 'peer: `@stripe/sync-engine sync customer`', value: times(({ peer }) => peer?.ms ?? 0) },
        { name: 'peer: peak memory', value: `${Math.max(...rounds.map(({ peer }) => peer?.peakMb ?? 0))} MB` },
      ];
  return {
    part: 'whole',
    subject: `${rows} leads of ${bytesEach} bytes, whole processes, ${inRounds(rounds.length)}`,
    figures: [
      ...figures,
      bounded('from the start to the first page', ({ growing }) => growing.firstPageMs, 1_000),
      bounded('a sync with nothing to do', ({ nothingMs }) => nothingMs, 600),
      { name: 'with a new embedded Postgres, to its end', value: times(({ embeddedMs }) => embeddedMs) },
      { name: 'floor: bare write of the same rows', value: times(({ floorMs }) => floorMs) },
      { name: 'drain: bare fetch of the same pages', value: times(({ drainMs }) => drainMs) },
      ...peerFigures,
    ],
    wrong: rounds.flatMap(({ growing, fixed, peer }, index) =>
      [growing, fixed, ...(peer === null ? [] : [peer])].flatMap((read) =>
        // The peer leaves out the newest object where nothing newer follows.
        read.rows >= rows - (read === peer ? 1 : 0) ? [] : [`round ${index + 1}: ${read.rows} of ${rows} rows`],
      ),
    ),
    notMeasured: [
      'a real server and the way to it: the upstream answers at once, from the same machine, and takes its part of the cores',
      ...(options.peer === undefined ? ['the peer: PEER is not set'] : []),
    ],
    rounds,
  };
}

function judged(name: string, measured: number, least: number): Figure {
  return { name, value: ratio(measured), measured, goal: `${least} or more`, isReached: measured >= least };
}

const runSync = (cli: Cli, { variables }: UpstreamProcess, env: Readonly<Record<string, string>>): Promise<Metered> =>
  meter('sync', () => cli.start(['sync', 'tiledesk.leads', '--json'], { env: { ...variables, ...env } }));

async function sync(cli: Cli, upstream: UpstreamProcess, url: string, env: Record<string, string> = {}): Promise<Sync> {
  const { startedAt, ms, cpuSeconds, peakMb } = await runSync(cli, upstream, { ...env, DATABASE_URL: url });
  const { rows } = await withClient(url, (client) =>
    client.query<{ requests: number; done: Date; first: Date }>(`
      select sum(requests)::int as requests, max(ended_at) as done, (select min(synced_at) from tiledesk.leads) as first from sync.runs`),
  );
  const [found] = rows;
  if (found === undefined) throw new Error('there is no run');
  const since = (moment: Date) => moment.getTime() - startedAt;
  return {
    ...{ ms, cpuSeconds, peakMb, requests: found.requests },
    ...{ rowsDoneMs: since(found.done), firstPageMs: since(found.first), rows: await countRows(url, 'leads') },
  };
}

async function syncEmbedded(cli: Cli, upstream: UpstreamProcess): Promise<number> {
  const home = await openHome();
  try {
    return (await runSync(cli, upstream, { LEADMIRROR_HOME: home.path })).ms;
  } finally {
    await home.remove();
  }
}

const peerProgram = (folder: string): string => join(folder, 'node_modules/@stripe/sync-engine/dist/cli/index.js');

async function runPeer({ cli, rows, bytesEach }: WholeOptions, peer: string, url: string): Promise<Peer> {
  const stripe = forkChild(cli, 'stripe-child', [String(rows), String(bytesEach)], {});
  try {
    const { url: at } = await messageOf<{ url: string }>(stripe, 'the simulated Stripe');
    const { PATH = '' } = process.env;
    const env = { PATH, STRIPE_AT: at, NODE_OPTIONS: `--import=${benchFile(cli, 'stripe-preload').href}` };
    const args = ['sync', 'customer', '--stripe-key', 'sk_test_made_up', '--database-url', url];
    const { ms, cpuSeconds, peakMb } = await meter('the peer', () => {
      const from = performance.now();
      const child = spawn(process.execPath, [peerProgram(peer), ...args], { cwd: peer, env, stdio: 'ignore' });
      const ended = once(child, 'exit').then(
        ([code, signal]): Finished => ({ code, signal, stdout: '', stderr: '', ms: performance.now() - from }),
      );
      return { pid: child.pid ?? 0, ended };
    });
    const counted = await withClient(url, (client) =>
      client.query<{ rows: number }>('select count(*)::int as rows from stripe.customers'),
    );
    return { ms, cpuSeconds, peakMb, rows: counted.rows[0]?.rows ?? 0 };
  } finally {
    const gone = once(stripe, 'exit');
    stripe.kill('SIGKILL');
    await gone;
  }
}
