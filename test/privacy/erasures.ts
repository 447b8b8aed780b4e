import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { Random } from '../../sandbox/random.ts';
import { erasureParts } from '../../src/app/erase-person.ts';
import { retain } from '../../src/app/retain.ts';
import { verifySelected } from '../../src/app/verify-streams.ts';
import type { App } from '../../src/app.ts';
import { isBackfillComplete } from '../../src/store/engine/leases.ts';
import { ensureFeed, readChanges } from '../../src/store/mirror/feed.ts';
import { ensureHistory, stopHistory } from '../../src/store/mirror/history.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import type { Pass } from '../../src/stream.ts';
import { replay } from '../../src/sync/privacy/replay.ts';
import { reproject } from '../../src/sync/reproject.ts';
import { retryQuarantine } from '../../src/sync/retry-quarantine.ts';
import type { TestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { type BothProducts, setupBoth } from './both-products.ts';
import { backUp, erasePerson, openApp, planFor, query, searchDump } from './support.ts';

/** Random accounts of both products whose people are erased between, and during, random passes. */

const STEPS = 16;
const RULES = 'tiledesk.leads last_contact 100 days erase, tiledesk.requests created 60 days texts';
const never = new AbortController().signal;

export interface Simulated {
  readonly erased: number;
  readonly steps: Readonly<Record<string, number>>;
  /** What was found of erased people, and behind which step. */
  readonly found: readonly string[];
}

export async function simulateErasures(seed: number): Promise<Simulated> {
  const random = new Random(seed);
  const setup = await setupBoth({ seed, env: { PRIVACY_RETENTION: RULES } });
  const { database } = setup;
  const world: World = { ...setup, random, url: database.url, erased: new Set(), backup: null };
  const steps: Record<string, number> = {};
  const found: string[] = [];
  const look = async (name: string) => {
    if (world.erased.size === 0) return;
    for (const text of await searchDump(database.url, [...world.erased])) found.push(`${name}: ${text}`);
    const journal = (await readFile(setup.env.PRIVACY_JOURNAL ?? '', 'utf8')).toLowerCase();
    if ([...world.erased].some((text) => journal.includes(text.toLowerCase()))) found.push(`${name}: the journal`);
  };
  try {
    if (random.chance(0.5)) {
      await setup.syncAll();
      await ensureFeed(accessOf(world), tablesOf(world), random.pick([FED, []]));
    }
    for (let step = 0; step < STEPS && found.length === 0; step += 1) {
      const [name, work] = random.pick(STEP_LIST);
      steps[name] = (steps[name] ?? 0) + 1;
      await work(world);
      await look(`${step} ${name}`);
    }
    if (world.backup !== null && world.erased.size > 0) found.push(...(await restore(world, world.backup)));
    const sent = [...setup.tiledesk.log, ...setup.tilkee.log].filter(
      ({ method, path }) => method !== 'GET' && !/signin|oauth/.test(path),
    );
    found.push(...sent.map(({ method, path }) => `sent upstream: ${method} ${path}`));
    return { erased: world.erased.size, steps, found };
  } finally {
    await world.backup?.drop();
    await setup.close();
  }
}

interface World extends BothProducts {
  readonly random: Random;
  readonly url: string;
  /** Addresses and numbers of people who are erased. */
  readonly erased: Set<string>;
  backup: TestDatabase | null;
}

/** Nothing runs on an older backup until the journal is replayed, and then it holds nothing of the erased people. */
async function restore({ env, erased }: World, backup: TestDatabase): Promise<string[]> {
  const app = await openApp({ ...env, DATABASE_URL: backup.url });
  try {
    const problem = await app.privacy.problem();
    const [connection] = app.connections;
    const [stream] = connection?.streams ?? [];
    if (connection === undefined || stream === undefined) throw new Error('no stream');
    const run = () =>
      app.runPass({ connection, stream, pass: 'reconcile', signal: never, maxWaitMs: 1_000, leaseWaitMs: 0 });
    const early = problem === null ? null : await run();
    await replay(await erasureParts(app, { signal: never }));
    const late = await run();
    return [
      ...(await searchDump(backup.url, [...erased])).map((text) => `restored: ${text}`),
      ...(early === null || (early.error?.code === problem?.code && early.read === 0) ? [] : ['restored: it ran']),
      ...(late.outcome === 'failed' ? [`restored: ${late.error?.code}`] : []),
    ];
  } finally {
    await app.close();
  }
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

/** Returns whether rows stay as they are counted. */
async function eraseSome(world: World): Promise<boolean> {
  const { app, random, url, erased } = world;
  const sql = `select id, lower(email) as email, phone from tiledesk.leads where email is not null and erased_at is null order by id`;
  const people = await query<{ id: string; email: string; phone: string | null }>(url, sql);
  if (people.length === 0) return true;
  const person = random.pick(people);
  const selectors = random.pick([{ leads: [person.id] }, { emails: [person.email] }]);
  const options = { alsoFuture: random.chance(0.3), deletesRows: random.chance(0.2) };
  if ((await planFor(app, selectors)).plan.rows.length === 0) return true;
  const { state, residue } = await erasePerson(app, selectors, options);
  // Another one of the same name stays, and is reported. Nothing else may.
  const left = await searchDump(url, [person.email]);
  if (state !== 'done' && left.length > 0) throw new Error(`residue: ${JSON.stringify(residue)}`);
  erased.add(person.email);
  if (person.phone !== null) erased.add(person.phone);
  return !options.deletesRows;
}

const TABLES = ['tiledesk.leads', 'tiledesk.requests', 'tilkee.tokens', 'tilkee.connexions'];

const FED = [...TABLES, 'tiledesk.messages'];

/** How many rows and versions there are of each day. */
async function countDays({ url }: World): Promise<unknown[]> {
  const kept = await query<{ stream: string }>(url, 'select stream from sync.history');
  const days = [
    ...TABLES.map((name) => [name, 'created_at']),
    ...kept.map(({ stream }) => [`${stream}_history`, 'seen_at']),
  ];
  const counts = days.map(
    ([name, day]) =>
      `select '${name}' as name, ${day}::date::text as day, count(*)::int as count from ${name} group by 2`,
  );
  return query(url, `${counts.join(' union all ')} order by 1, 2`);
}

/** Rows of the streams in the feed that are not erased. */
async function listFed({ url }: World): Promise<{ stream: string; connection_id: string; id: string }[]> {
  const fed = await query<{ stream: string }>(url, 'select stream from sync.feed');
  const rows = fed.map(
    ({ stream }) => `select '${stream}' as stream, connection_id, id from ${stream} where erased_at is null`,
  );
  return rows.length === 0 ? [] : query(url, rows.join(' union all '));
}

/** Of these rows, those that are erased now and that the feed has no such line for. */
async function findUntold(world: World, before: Awaited<ReturnType<typeof listFed>>): Promise<unknown[]> {
  const left = new Set((await listFed(world)).map((row) => JSON.stringify(row)));
  const erased = before.filter((row) => !left.has(JSON.stringify(row)));
  const sql = `select r.* from jsonb_to_recordset($1::jsonb) as r(stream text, connection_id text, id text) where not exists (
    select from sync.changes c where (c.stream, c.connection_id, c.id) = (r.stream, r.connection_id, r.id) and c.op = 'e')`;
  return erased.length === 0 ? [] : query(world.url, sql, [JSON.stringify(erased)]);
}

async function eraseAlone(world: World): Promise<void> {
  const before = await countDays(world);
  const fed = await listFed(world);
  const requests = () => world.tiledesk.log.length + world.tilkee.log.length;
  const sent = requests();
  const isSame = await eraseSome(world);
  if (requests() !== sent) throw new Error('an erasure sent a request');
  if (isSame && !isDeepStrictEqual(before, await countDays(world))) throw new Error('counts of past days changed');
  if ((await findUntold(world, fed)).length > 0) throw new Error('the feed has no line for a row');
}

const tablesOf = ({ app }: World) => app.connections.flatMap(({ streams }) => streams.map(({ table }) => table));
const accessOf = ({ app, url }: World) => ({ prisma: app.database.prisma, url });

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
  ['erase', eraseAlone],
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
      await verifySelected(app, selected, { signal: never, repair: true });
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
      await retryQuarantine(parts, { connection, stream, signal: never });
    },
  ],
  [
    'reproject',
    async ({ app, random }) => {
      const parts = { prisma: app.database.prisma, clock: app.clock, logger: unheardLogger() };
      await reproject(parts, { ...pickStream(app, random), signal: never });
    },
  ],
  ['reports', async ({ app }) => void (await refreshReporting(app.database))],
  [
    'history',
    async (world) => {
      const streams = world.random.pick([TABLES, TABLES.slice(0, 2), TABLES.slice(1)]);
      if (world.random.chance(0.3)) await stopHistory(accessOf(world), streams);
      else await ensureHistory(accessOf(world), tablesOf(world), streams);
    },
  ],
  [
    'feed',
    async (world) => {
      const streams = world.random.pick([FED, TABLES.slice(0, 2), []]);
      await ensureFeed(accessOf(world), tablesOf(world), streams);
      await readChanges(world.app.database.prisma, { consumer: 'test', limit: 100, ack: null });
    },
  ],
  [
    'retention',
    async ({ app }) => void (await retain(app, { logger: unheardLogger(), signal: never, isForced: true })),
  ],
  [
    'backup',
    async (world) => {
      world.backup ??= await backUp(world);
    },
  ],
  ['edits', async ({ tiledesk }) => tiledesk.data.randomEdits(10, { hardDeletes: false })],
];
