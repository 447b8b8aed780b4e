import { Random } from '../../sandbox/random.ts';
import type { TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { verifySelected } from '../../src/app/verify-streams.ts';
import type { App } from '../../src/app.ts';
import { isBackfillComplete } from '../../src/store/engine/watermarks.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import type { Pass } from '../../src/stream.ts';
import { reproject } from '../../src/sync/reproject.ts';
import { retryQuarantine } from '../../src/sync/retry-quarantine.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { setupBoth } from './both-products.ts';
import { erasePerson, planFor, query, searchDump } from './support.ts';

/** Random accounts of both products whose people are erased between, and during, random passes. */

const STEPS = 14;

export interface Simulated {
  readonly erased: number;
  readonly steps: Readonly<Record<string, number>>;
  /** What was found of erased people, and behind which step. */
  readonly found: readonly string[];
}

export async function simulateErasures(seed: number): Promise<Simulated> {
  const random = new Random(seed);
  const { app, tiledesk, database, close } = await setupBoth({ seed });
  const world = { app, random, tiledesk, url: database.url, erased: new Set<string>() };
  const steps: Record<string, number> = {};
  const found: string[] = [];
  try {
    for (let step = 0; step < STEPS && found.length === 0; step += 1) {
      const [name, work] = random.pick(STEP_LIST);
      steps[name] = (steps[name] ?? 0) + 1;
      await work(world);
      if (world.erased.size === 0) continue;
      for (const text of await searchDump(database.url, [...world.erased])) found.push(`${step} ${name}: ${text}`);
    }
    return { erased: world.erased.size, steps, found };
  } finally {
    await close();
  }
}

interface World {
  readonly app: App;
  readonly random: Random;
  readonly tiledesk: TiledeskSandbox;
  readonly url: string;
  /** Addresses of people who are erased. */
  readonly erased: Set<string>;
}

/** One pass of a random stream; killed behind a random page now and then. */
async function runSome({ app, random }: World, wanted?: Pass): Promise<void> {
  const { connection, stream } = pickStream(app, random);
  const isRead = await isBackfillComplete(app.database.prisma, { connectionId: connection.id, stream: stream.name });
  const pass = wanted ?? (isRead ? random.pick<Pass>(['incremental', 'reconcile']) : 'backfill');
  const kill = new AbortController();
  let left = random.chance(0.3) ? random.int(1, 3) : Number.POSITIVE_INFINITY;
  const onProgress = () => {
    left -= 1;
    if (left <= 0) kill.abort();
  };
  const waits = { maxWaitMs: 1_000, leaseWaitMs: 0 };
  await app.runPass({ connection, stream, pass, signal: kill.signal, onProgress, ...waits }).catch((error: unknown) => {
    if ((error as { code?: string }).code !== 'lease_busy' && !kill.signal.aborted) throw error;
  });
}

function pickStream(app: App, random: Random) {
  const connection = random.pick([...app.connections]);
  return { connection, stream: random.pick([...connection.streams]) };
}

async function eraseSome(world: World): Promise<void> {
  const { app, random, url, erased } = world;
  const sql = `select id, lower(email) as email from tiledesk.leads where email is not null and erased_at is null order by id`;
  const people = await query<{ id: string; email: string }>(url, sql);
  if (people.length === 0) return;
  const person = random.pick(people);
  const selectors = random.pick([{ leads: [person.id] }, { emails: [person.email] }]);
  const options = { alsoFuture: random.chance(0.3), deletesRows: random.chance(0.2) };
  if ((await planFor(app, selectors)).plan.rows.length === 0) return;
  const { state, residue } = await erasePerson(app, selectors, options);
  // Another one of the same name stays, and is reported. Nothing else may.
  const left = await searchDump(url, [person.email]);
  if (state !== 'done' && left.length > 0) throw new Error(`residue: ${JSON.stringify(residue)}`);
  erased.add(person.email);
}

const STEP_LIST: readonly (readonly [string, (world: World) => Promise<void>])[] = [
  ['run', (world) => runSome(world)],
  ['run', (world) => runSome(world)],
  ['run', (world) => runSome(world)],
  [
    'two lanes',
    async (world) => {
      await Promise.all([runSome(world), runSome(world), runSome(world)]);
    },
  ],
  ['erase', eraseSome],
  [
    'erase during runs',
    async (world) => {
      await Promise.all([runSome(world), eraseSome(world), runSome(world)]);
    },
  ],
  [
    'resync',
    async (world) => {
      for (let runs = 0; runs < 4; runs += 1) await runSome(world, 'backfill');
    },
  ],
  [
    'verify',
    async ({ app, random }) => {
      const selected = pickStream(app, random);
      await verifySelected(app, selected, { signal: new AbortController().signal, repair: true });
    },
  ],
  [
    'quarantine',
    async ({ app, random, tiledesk, erased }) => {
      const lead = random.pick([...tiledesk.data.leads.values()]);
      // Only a run puts a text there, and it leaves out those of erased people.
      if (erased.has(lead.email?.toLowerCase() ?? '')) return;
      const [connection] = app.connections.filter(({ source }) => source === 'tiledesk');
      const stream = connection?.streams.find(({ name }) => name === 'tiledesk.leads');
      if (connection === undefined || stream === undefined) return;
      const text = JSON.stringify(lead);
      await app.database.prisma.syncQuarantine.createMany({
        data: [
          {
            connection_id: connection.id,
            stream: stream.name,
            record_id: lead._id,
            reason: 'unmappable',
            raw_text: text,
            run_id: 1n,
          },
        ],
        skipDuplicates: true,
      });

      const parts = { prisma: app.database.prisma, clock: app.clock, privacy: app.privacy, logger: unheardLogger() };
      await retryQuarantine(parts, { connection, stream, signal: new AbortController().signal });
    },
  ],
  [
    'reproject',
    async ({ app, random }) => {
      const parts = { prisma: app.database.prisma, clock: app.clock, logger: unheardLogger() };
      await reproject(parts, { ...pickStream(app, random), signal: new AbortController().signal });
    },
  ],
  ['reports', async ({ app }) => void (await refreshReporting(app.database))],
  ['edits', async ({ tiledesk }) => tiledesk.data.randomEdits(10, { hardDeletes: false })],
];
