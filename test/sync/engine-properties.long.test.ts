import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../src/clock.ts';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { createPrivacyGuard } from '../../src/store/privacy/guard.ts';
import type { List, ListPage, ListQuery, Pass, Row, SortKey, Stream, Walk } from '../../src/stream.ts';
import { type RunResult, runPass } from '../../src/sync/run-pass.ts';
import { createStitchWalk } from '../../src/walks/stitch.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import fc from '../helpers/property.ts';
import { type ListRow, objectId, ShiftingList, seededRandom } from '../helpers/shifting-list.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

/** What the engine promises of any list, with a real database under it; fast-check prints the seed of what it finds. */
const STREAM = 'tiledesk.departments';
const START = Date.UTC(2026, 5, 1);
/** Short, so that the incremental walks of such small lists do stop somewhere. */
const LOOKBACK_MS = 2_000;

let mirror: TestDatabase;
let database: Database;
beforeAll(async () => {
  mirror = await createTestDatabase();
  database = createDatabase({ url: mirror.url, logger: unheardLogger(), maxConnections: 6 });
});
afterAll(async () => {
  await database.close();
  await mirror.drop();
});

let accounts = 0;

/** One account, and everything that is known of it: each example has its own, so nothing needs to be cleared. */
class Account {
  readonly id = `tiledesk:account-${++accounts}`;
  readonly #listsOf: (pass: Pass) => List[];
  /** Called before an answer; a test ends the run from here. */
  onAsk: (page: number) => void = () => {};
  onAnswered: () => void = () => {};
  asked = 0;

  constructor(listsOf: (pass: Pass, account: Account) => List[]) {
    this.#listsOf = (pass) => listsOf(pass, this);
  }

  async run(pass: Pass, { stopAt }: { stopAt?: number } = {}): Promise<RunResult> {
    await registerStreams(database.prisma, [{ connectionId: this.id, stream: STREAM, freshWithinSeconds: 900 }], {
      retires: 'always',
    });
    const stopping = new AbortController();
    const before = this.asked;
    this.onAsk = (asked) => {
      if (stopAt !== undefined && asked - before > stopAt) stopping.abort();
      stopping.signal.throwIfAborted();
    };
    const stream: Stream = {
      name: STREAM,
      table: {
        schema: 'tiledesk',
        name: 'departments',
        columns: { name: 'text', created_at: 'timestamptz', updated_at: 'timestamptz' },
      },
      redactRecord: (record) => record,
      mapRecord: (record) => mapRow(record as ListRow),
      planLists: async (context) => {
        this.stopBefore = context.stopBefore('all');
        return this.#listsOf(pass);
      },
    };
    const connection = {
      id: this.id,
      source: 'tiledesk',
      credential: this.id,
      streams: [stream],
      open: async () => ({ summary: 'stub' }),
    };
    const parts = {
      prisma: database.prisma,
      privacy: createPrivacyGuard(database.prisma, { secretKey: null, journal: null }),
      databaseAddress: database.address,
      clock: systemClock,
      logger: unheardLogger(),
      lookbackMs: LOOKBACK_MS,
      deletionLimit: 0.1,
    };
    return runPass(parts, { connection, stream, pass, signal: stopping.signal, maxWaitMs: 1_000, leaseWaitMs: 0 });
  }

  stopBefore: number | null = null;

  answer(page: () => ListPage): ListPage {
    this.asked += 1;
    this.onAsk(this.asked);
    const answer = page();
    this.onAnswered();
    return answer;
  }

  /** Content of the mirror, without what every write stamps. */
  async rows(): Promise<Record<string, string>> {
    const rows = await database.prisma.$queryRaw<{ id: string; name: string }[]>`
      select id, concat_ws(' ', name, raw->>'touchedAt', (extract(epoch from updated_at) * 1000)::bigint, deleted_at) as name
      from tiledesk.departments where connection_id = ${this.id} order by id`;
    return Object.fromEntries(rows.map(({ id, name }) => [id, name]));
  }

  async watermark(): Promise<number | null> {
    const [row] = await database.prisma.$queryRaw<{ watermark: Record<string, string> | null }[]>`
      select watermark from sync.checkpoints
      where connection_id = ${this.id} and stream = ${STREAM} and pass = 'incremental'`;
    const iso = row?.watermark?.all;
    return iso === undefined ? null : Date.parse(iso);
  }
}

const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());

function mapRow(record: ListRow): Row {
  const { id, touchedAt, createdAt, updatedAt } = record;
  return {
    ...{ id, name: `version ${touchedAt}`, created_at: iso(createdAt), updated_at: iso(updatedAt) },
    ...{ deleted_at: null, raw: record },
  };
}

async function complete(account: Account, pass: Pass): Promise<void> {
  const { outcome, error } = await account.run(pass);
  expect({ outcome, error }).toEqual({ outcome: 'succeeded', error: null });
}

/** What the mirror has to hold of such a list, in the words of `Account.rows`. */
const contentOf = (rows: Iterable<ListRow>): Record<string, string> =>
  Object.fromEntries(
    [...rows]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ id, touchedAt, updatedAt }) => [id, `version ${touchedAt} ${touchedAt} ${updatedAt}`]),
  );

/** A list sorted by the server, read by the walk that reads Tiledesk's. */
function sortedAccount(list: ShiftingList, { pageSize, sort }: { pageSize: number; sort: SortKey }): Account {
  return new Account((pass, account) => [
    {
      id: 'all',
      walk:
        pass === 'incremental'
          ? createStitchWalk({
              ...{ sort: 'updated_at', pageSize, stopBefore: account.stopBefore },
              ties: { kind: 'second' },
            })
          : createStitchWalk({ sort, pageSize, ties: { kind: 'second' } }),
      fetchPage: async (query: ListQuery, { onRequest, signal }) => {
        onRequest();
        signal.throwIfAborted();
        return account.answer(() => list.answer(query));
      },
      async fetchNewestChange() {
        const times = [...list.rows.values()].map(({ updatedAt }) => updatedAt ?? 0);
        return { newest: times.length === 0 ? null : Math.max(...times), serverTime: list.now };
      },
    },
  ]);
}

/** `crowd`: how many rows in a row share one time. */
function createList({ count, crowd, seed }: { count: number; crowd: number; seed: number }): ShiftingList {
  const random = seededRandom(seed);
  const list = new ShiftingList(random, START);
  for (let i = 0; i < count; i++) {
    if (i % crowd === 0) list.now += 1 + Math.floor(random() * 1_500);
    list.add({ id: objectId(list.now, random) });
  }
  list.now += 1;
  return list;
}

const someList = fc.record({
  count: fc.integer({ min: 0, max: 70 }),
  crowd: fc.integer({ min: 1, max: 12 }),
  seed: fc.nat(1_000_000),
});
/** What Tiledesk knows: with smaller pages, few limits have a product that begins where a walk wants to go on. */
const somePageSize = fc.integer({ min: 10, max: 25 });
const someSort = fc.constantFrom<SortKey>('id', 'updated_at', 'created_at');

/** Small examples in moderate numbers: each costs a few dozen transactions. */
const CHECKS = { numRuns: 40, interruptAfterTimeLimit: 20_000 };

describe('a full sync', () => {
  it('that is stopped after any pages and taken up again equals one that was never stopped', async () => {
    await fc.assert(
      fc.asyncProperty(
        someList,
        somePageSize,
        someSort,
        fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 5 }),
        async (shape, pageSize, sort, stops) => {
          const list = createList(shape);
          const undisturbed = sortedAccount(list, { pageSize, sort });
          await complete(undisturbed, 'backfill');

          const stopped = sortedAccount(list, { pageSize, sort });
          let isOver = false;
          for (const stopAt of stops) {
            if (isOver) break;
            const { outcome, error } = await stopped.run('backfill', { stopAt });
            isOver = outcome === 'succeeded';
            if (!isOver) expect({ outcome, code: error?.code }).toEqual({ outcome: 'cancelled', code: 'stopped' });
          }
          if (!isOver) await complete(stopped, 'backfill');

          expect(await stopped.rows()).toEqual(await undisturbed.rows());
          expect(await stopped.rows()).toEqual(contentOf(list.rows.values()));
          expect(stopped.asked).toBeLessThanOrEqual(undisturbed.asked + 2 * stops.length);
        },
      ),
      CHECKS,
    );
  });

  it('brings the same rows with any page size', async () => {
    await fc.assert(
      fc.asyncProperty(
        someList,
        fc.tuple(somePageSize, somePageSize, someSort, someSort),
        async (shape, [first, second, ...sorts]) => {
          const list = createList(shape);
          const accountsOfIt = [first, second].map((pageSize, i) =>
            sortedAccount(list, { pageSize, sort: sorts[i] as SortKey }),
          );
          for (const account of accountsOfIt) {
            await complete(account, 'backfill');
            expect(await account.rows()).toEqual(contentOf(list.rows.values()));
          }
        },
      ),
      CHECKS,
    );
  });
});

/** Pages in a given order, whatever they hold. */
function scriptedAccount(pagesOf: (pass: Pass) => readonly (readonly ListRow[])[]): Account {
  const walkOf = (count: number): Walk => ({
    kind: 'scripted',
    start: () => ({ step: 0 }),
    resume: (state) => state,
    next: ({ step }) => ({
      sort: 'id',
      direction: 'desc',
      offset: Number(step) * 100,
      limit: 100,
      wantTotal: false,
    }),
    accept: ({ step }) => ({
      state: { step: Number(step) + 1 },
      end: Number(step) + 1 >= count ? { kind: 'complete' } : null,
    }),
    beginning: () => ({ newest: null, serverTime: null }),
    shrink: () => null,
  });
  return new Account((pass, account) => {
    const pages = pagesOf(pass);
    return [
      {
        id: 'all',
        walk: walkOf(pages.length),
        fetchPage: async ({ offset }, { onRequest }) => {
          onRequest();
          const records = pages[offset / 100] ?? [];
          return account.answer(() => ({ records, entries: records, pageSize: 100, total: null, serverTime: null }));
        },
        fetchNewestChange: async () => ({ newest: START, serverTime: START }),
      },
    ];
  });
}

describe('pages', () => {
  it('that are repeated, come in any order or hold older versions change nothing', async () => {
    const version = (id: number, at: number): ListRow => ({
      id: `row-${id}`,
      createdAt: START,
      updatedAt: START + at,
      touchedAt: at,
      isNew: false,
    });
    /** A row's id and its version. */
    const someRow = fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 5 }));
    const somePages = fc.array(fc.array(someRow, { maxLength: 8 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(
        somePages.chain((pages) =>
          fc.tuple(fc.constant(pages), fc.array(fc.nat(pages.length - 1), { maxLength: 6 }), fc.nat(1_000_000)),
        ),
        async ([pages, repeated, seed]) => {
          const random = seededRandom(seed);
          const again = [...pages, ...repeated.map((i) => pages[i] ?? [])]
            .map((page) => ({ page, place: random() }))
            .sort((a, b) => a.place - b.place)
            .map(({ page }) => page);
          const newest = new Map<number, number>();
          for (const [id, at] of pages.flat()) newest.set(id, Math.max(at, newest.get(id) ?? 0));
          const expected = contentOf([...newest].map(([id, at]) => version(id, at)));

          for (const order of [pages, again]) {
            const records = order.map((page) => page.map(([id, at]) => version(id, at)));
            const account = scriptedAccount((pass) => (pass === 'backfill' ? [[]] : records));
            await complete(account, 'backfill');
            await complete(account, 'incremental');
            expect(await account.rows()).toEqual(expected);
          }
        },
      ),
      CHECKS,
    );
  });
});

type Step =
  | { readonly kind: 'insert' | 'touch' | 'touch together' | 'touch into the future'; readonly count: number }
  | { readonly kind: 'time passes'; readonly count: number }
  | { readonly kind: 'run'; readonly stopAt: number | null; readonly isBusy: boolean };

const someStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('insert', 'touch', 'touch together', 'touch into the future', 'time passes'),
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('run'),
      stopAt: fc.option(fc.integer({ min: 0, max: 3 })),
      isBusy: fc.boolean(),
    }),
  },
);

describe('the watermark', () => {
  it('never goes back, never passes the start of its run, and no change is missed behind it', async () => {
    await fc.assert(
      fc.asyncProperty(
        someList,
        somePageSize,
        fc.array(someStep, { minLength: 3, maxLength: 14 }),
        async (shape, pageSize, steps) => {
          const list = createList(shape);
          const account = sortedAccount(list, { pageSize, sort: 'id' });
          const fromFuture = new Set<string>();
          await complete(account, 'backfill');
          let before = await account.watermark();
          for (const step of steps) {
            if (step.kind !== 'run') {
              change(list, step, fromFuture);
              continue;
            }
            const startedAt = list.now;
            account.onAnswered = () => {
              if (step.isBusy) list.touch(list.pick(1));
            };
            await account.run('incremental', step.stopAt === null ? {} : { stopAt: step.stopAt });
            const after = await account.watermark();
            expect(after ?? 0).toBeGreaterThanOrEqual(before ?? 0);
            if (after !== before) expect(after ?? 0).toBeLessThanOrEqual(startedAt);
            before = after;
          }
          account.onAnswered = () => {};
          // The one that was stopped is finished; the next one sees what changed meanwhile.
          for (let i = 0; i < 2; i++) await complete(account, 'incremental');

          const steady = ({ id }: { id: string }) => !fromFuture.has(id);
          const stored = Object.entries(await account.rows()).filter(([id]) => !fromFuture.has(id));
          expect(Object.fromEntries(stored)).toEqual(contentOf([...list.rows.values()].filter(steady)));
        },
      ),
      CHECKS,
    );
  });
});

function change(list: ShiftingList, { kind, count }: Exclude<Step, { kind: 'run' }>, fromFuture: Set<string>): void {
  if (kind === 'time passes') list.now += count * 700;
  if (kind === 'insert') for (let i = 0; i < count; i++) list.insert();
  if (kind === 'touch') for (const id of list.pick(count)) list.touch([id]);
  if (kind === 'touch together') list.touch(list.pick(count));
  if (kind !== 'touch into the future') return;
  for (const id of list.pick(1)) {
    const row = list.rows.get(id);
    if (row === undefined) continue;
    fromFuture.add(id);
    Object.assign(row, { updatedAt: list.now + 86_400_000, touchedAt: list.now });
  }
}
