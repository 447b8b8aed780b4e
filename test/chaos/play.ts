import { setTimeout as delay } from 'node:timers/promises';
import type { Cli } from '../helpers/cli.ts';
import { compareMirror } from '../helpers/compare.ts';
import { STREAMS } from '../helpers/mirror.ts';
import type { TestRedis } from '../helpers/redis.ts';
import { createPlan, INCIDENTS, type Incident, type IncidentKind, type Target, type Variant } from './plan.ts';
import { Stage } from './stage.ts';

export interface PlayOptions {
  readonly cli: Cli;
  readonly variant: Variant;
  readonly seed: number;
  readonly rows: number;
  /** So many incidents, or as many as fit into the time. */
  readonly rounds?: number;
  readonly forMs?: number;
  readonly everyMs?: number;
  readonly redis: TestRedis | null;
  /** How long the daemon may take to heal by itself afterwards; absent: that is not waited for. */
  readonly recoversWithinMs?: number;
  readonly onIncident?: (incident: Incident) => void;
}

export interface PlayReport {
  readonly variant: Variant;
  readonly seed: number;
  readonly incidents: Readonly<Partial<Record<IncidentKind, number>>>;
  readonly kills: number;
  /** Answers that the upstream spoilt. */
  readonly faults: number;
  readonly requests: number;
  readonly changes: number;
  readonly rows: number;
  readonly deleted: number;
  /** Rows that the upstream lists and the mirror does not hold as they are. */
  readonly lost: readonly string[];
  /** Whatever else was not as it must be. Empty: all is well. */
  readonly problems: readonly string[];
  readonly seconds: number;
}

/** Plays a plan against the program, calms down, reads once more as a person would (`sync`, then a reconcile), and compares. */
export async function play(options: PlayOptions): Promise<PlayReport> {
  const { cli, variant, seed, rows, redis } = options;
  const from = performance.now();
  const plan = createPlan({ ...options, hasOwnRedis: redis?.isOwn ?? false });
  const stage = await Stage.open({ cli, variant, seed, rows, redis });
  try {
    await stage.start(CHANGES_PER_SECOND);
    await perform(stage, plan, options.onIncident);
    await stage.calmDown();
    if (options.recoversWithinMs !== undefined) await stage.untilHealed(options.recoversWithinMs);
    await stage.stopDaemon();
    await expectDone(stage, ['sync', '--json']);
    // Where the first full read was not finished, that was a backfill.
    await expectDone(stage, ['sync', '--pass', 'incremental', '--json']);
    // The first one finishes a walk that was left half done, which cannot know what vanished behind its back; the second one begins anew.
    for (let i = 0; i < 2; i++) await expectDone(stage, ['sync', '--pass', 'reconcile', '--json']);
    const lost = await compare(stage);
    await inspectBooks(stage);
    const [counts] = await stage.query<{ rows: number; deleted: number }>(COUNT);
    return {
      ...{ variant, seed, lost, incidents: countKinds(plan) },
      ...{ kills: stage.kills, changes: stage.changes, problems: stage.problems },
      faults: stage.sandbox.log.filter(({ fault }) => fault !== undefined).length,
      requests: stage.sandbox.log.length,
      rows: counts?.rows ?? 0,
      deleted: counts?.deleted ?? 0,
      seconds: Math.round((performance.now() - from) / 1000),
    };
  } finally {
    await stage.close();
  }
}

const CHANGES_PER_SECOND = 20;

async function perform(stage: Stage, plan: readonly Incident[], onIncident: PlayOptions['onIncident']): Promise<void> {
  const from = performance.now();
  const busy = new Map<Target, Promise<void>>();
  for (const incident of plan) {
    await delay(Math.max(0, from + incident.atMs - performance.now()));
    onIncident?.(incident);
    const { target } = INCIDENTS[incident.kind];
    const acted = (busy.get(target) ?? Promise.resolve()).then(() => stage.act(incident));
    // Awaited below; until then a failure must not count as unhandled.
    acted.catch(() => {});
    busy.set(target, acted);
  }
  await Promise.all(busy.values());
}

/** The upstream may still want to be left alone for a moment: as cron would, ask again. */
async function expectDone(stage: Stage, args: readonly string[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { code, stdout, stderr } = await stage.run(args);
    if (code === 0 && !stdout.includes('"outcome":"partial"')) return;
    if (attempt < MAX_ATTEMPTS) continue;
    stage.problems.push(`${args.join(' ')} ended with ${code}: ${errorsOf(stdout)} ${stderr.slice(-500)}`);
    return;
  }
}

const MAX_ATTEMPTS = 3;

function errorsOf(stdout: string): string {
  try {
    const { runs } = JSON.parse(stdout) as { runs: { stream: string; outcome: string; error: object | null }[] };
    return runs.map(({ stream, outcome, error }) => `${stream} ${outcome} ${JSON.stringify(error)}`).join('; ');
  } catch {
    return stdout.slice(-500);
  }
}

/** Rows with a tombstone count as gone. */
async function compare(stage: Stage): Promise<string[]> {
  const url = await stage.databaseUrl();
  const found: string[] = [];
  for (const stream of STREAMS) {
    const { missing, extra, different } = await compareMirror(url, stage.sandbox, stream);
    const dead = await stage.query<{ id: string }>(`select id from tiledesk.${stream} where deleted_at is not null`);
    const gone = new Set(dead.map(({ id }) => id));
    found.push(...missing.map((id) => `${stream} ${id} is missing`));
    found.push(...different.map((what) => `${stream} ${what} differs`));
    const alive = extra.filter((id) => !gone.has(id));
    stage.problems.push(...alive.map((id) => `${stream} ${id} is gone upstream and alive in the mirror`));
  }
  return found;
}

/** No run is left open, nothing is held, nothing is called less than fresh. */
async function inspectBooks(stage: Stage): Promise<void> {
  const open = await stage.query<{ line: string }>(
    `select format('run %s of %s %s was never closed', id, stream, pass) as line from sync.runs where outcome is null order by id`,
  );
  const held = await stage.query<{ line: string }>(
    `select format('%s %s is still held by a lease', stream, pass) as line from sync.checkpoints where lease_until > clock_timestamp()`,
  );
  const stale = await stage.query<{ line: string }>(
    `select format('%s is %s: %s', stream, state, reason) as line from sync.status where state <> 'fresh'`,
  );
  stage.problems.push(...[...open, ...held, ...stale].map(({ line }) => line));
}

const COUNT = `select sum(rows)::int as rows, sum(deleted)::int as deleted from (${STREAMS.map(
  (name) => `select count(*) as rows, count(deleted_at) as deleted from tiledesk.${name}`,
).join(' union all ')}) counts`;

function countKinds(plan: readonly Incident[]): Partial<Record<IncidentKind, number>> {
  const counts: Partial<Record<IncidentKind, number>> = {};
  for (const { kind } of plan) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

export const isWell = ({ lost, problems }: PlayReport): boolean => lost.length === 0 && problems.length === 0;

/** For people: what was thrown at the program, and what is left. */
export function describe(report: PlayReport): string {
  const { incidents, lost, problems } = report;
  const lines = {
    'queue and database': PLACES[report.variant],
    seed: report.seed,
    incidents: Object.values(incidents).reduce((sum, count) => sum + count, 0),
    ...Object.fromEntries(Object.entries(incidents).map(([kind, count]) => [`  ${kind}`, count])),
    'program killed': report.kills,
    'answers spoilt': report.faults,
    requests: report.requests,
    'changes upstream': report.changes,
    'rows (of them deleted)': `${report.rows} (${report.deleted})`,
    lost: lost.length,
    problems: problems.length,
    took: `${report.seconds} s`,
  };
  const table = Object.entries(lines).map(([name, value]) => `${name.padEnd(34)}${value}`);
  const details = [...lost, ...problems].slice(0, 40).map((line) => `  ! ${line}`);
  const replay = isWell(report) ? [] : [`The same plan again: SEED=${report.seed} npm run test:chaos`];
  return [...table, ...details, ...replay].join('\n');
}

const PLACES: Readonly<Record<Variant, string>> = {
  redis: 'Redis and a Postgres server',
  postgres: 'a Postgres server',
  embedded: 'the built-in Postgres',
};
