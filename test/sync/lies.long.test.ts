import { afterEach, describe, expect, it } from '@jest/globals';
import type { CallInfo, FaultKind } from '../../sandbox/tiledesk.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import type { Pass } from '../../src/stream.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { type MirrorSetup, STREAMS, setupMirror } from '../helpers/mirror.ts';
import { seededRandom } from '../helpers/shifting-list.ts';

/** Answers with status 200 that are not true. Design, promise 2: nothing is claimed that is not so, and a lie never deletes rows. */
let setup: MirrorSetup;
afterEach(() => setup.close());

const HOUR = 3_600_000;

async function mirrored(leads: number, requests: number): Promise<MirrorSetup> {
  setup = await setupMirror({ leads, requests, now: Date.now() - HOUR }, { TILEDESK_PAGE_SIZE: '10' });
  expect(outcomesOf(await setup.syncAll())).toEqual(ALL_DONE);
  // The first incremental pass may still read what the backfill read; what follows is an ordinary night.
  expect(outcomesOf(await setup.syncAll())).toEqual(ALL_DONE);
  await expectEqual();
  return setup;
}

const ALL_DONE = STREAMS.map(() => 'succeeded');

type Results = Awaited<ReturnType<MirrorSetup['syncAll']>>;

const outcomesOf = (results: Results) => results.map(({ outcome }) => outcome);

const isList = ({ list }: Pick<CallInfo, 'list'>) => STREAMS.some((name) => name === list);

function lie(kind: FaultKind, match: (call: CallInfo) => boolean = isList): void {
  setup.sandbox.faults.push({ kind, match, times: Number.POSITIVE_INFINITY });
}

async function expectEqual(): Promise<void> {
  for (const stream of STREAMS) {
    expect({ stream, ...(await compareMirror(setup.database.url, setup.sandbox, stream)) }).toEqual({
      stream,
      ...EQUAL,
    });
  }
}

/** Who is in the mirror, and who of them is marked as deleted. */
async function everybody(): Promise<readonly unknown[]> {
  const { prisma } = setup.app.database;
  const union = STREAMS.map((name) => `select '${name}' as stream, id, deleted_at from tiledesk.${name}`);
  return prisma.$queryRawUnsafe(`${union.join(' union all ')} order by stream, id`);
}

async function statesOf(): Promise<Record<string, string>> {
  const lines = await readStatus(setup.app.database.prisma);
  return Object.fromEntries(lines.map(({ stream, state }) => [stream, state]));
}

const EVERY_STREAM = (state: string) => Object.fromEntries(STREAMS.map((name) => [`tiledesk.${name}`, state]));

async function expectGoodNight(): Promise<void> {
  setup.sandbox.faults.clear();
  expect(outcomesOf(await setup.syncAll('incremental'))).toEqual(ALL_DONE);
  expect(outcomesOf(await setup.syncAll('reconcile'))).toEqual(ALL_DONE);
  expect(await statesOf()).toEqual(EVERY_STREAM('fresh'));
  await expectEqual();
}

describe('every list empty, with status 200', () => {
  it.each<readonly Pass[]>([['incremental'], ['reconcile'], ['backfill']])(
    'in a pass of kind %s deletes nothing and is flagged',
    async (pass) => {
      await mirrored(50, 80);
      const before = await everybody();
      lie('empty-list');

      const results = await setup.syncAll(pass);

      expect(await everybody()).toEqual(before);
      expect(results.map(({ stream, outcome, deleted, error }) => [stream, outcome, deleted, error?.code])).toEqual(
        STREAMS.map((name) => [`tiledesk.${name}`, 'failed', 0, 'suddenly_empty']),
      );
      expect(Object.values(await statesOf())).not.toContain('fresh');
      await expectGoodNight();
    },
  );

  it('for a whole night, and again the next night, deletes nothing; the next good night clears the flags', async () => {
    await mirrored(50, 80);
    const before = await everybody();
    lie('empty-list');
    for (const pass of ['incremental', 'reconcile', 'incremental', 'reconcile', 'incremental'] as const) {
      const results = await setup.syncAll(pass);
      expect(outcomesOf(results)).not.toContain('succeeded');
      expect(await everybody()).toEqual(before);
      expect(Object.values(await statesOf())).not.toContain('fresh');
    }
    await expectGoodNight();
  });

  it('deletes nothing either where the list is short', async () => {
    await mirrored(2, 3);
    const before = await everybody();
    lie('empty-list');

    const results = await setup.syncAll('reconcile');

    expect(await everybody()).toEqual(before);
    expect(outcomesOf(results)).not.toContain('succeeded');
    await expectGoodNight();
  });

  it('is no lie where there never was a row', async () => {
    setup = await setupMirror({ leads: 0, requests: 0, now: Date.now() - HOUR });
    expect(outcomesOf(await setup.syncAll('backfill'))).toEqual(ALL_DONE);
    await expectGoodNight();
  });
});

describe('an empty answer somewhere in a list that is not empty', () => {
  it.each(['reconcile', 'backfill'] as const)('in a %s costs no row and deletes none', async (pass) => {
    await mirrored(60, 100);
    const before = await everybody();
    const random = seededRandom(5);
    for (const stream of ['leads', 'requests']) {
      const at = new Set([3 + Math.floor(random() * 3), 7 + Math.floor(random() * 3)]);
      let nth = 0;
      setup.sandbox.faults.push({
        kind: 'empty-list',
        match: ({ list }) => list === stream && at.has(++nth),
        times: Number.POSITIVE_INFINITY,
      });
    }

    const results = await setup.syncAll(pass);

    expect(await everybody()).toEqual(before);
    expect(results.map(({ deleted }) => deleted)).toEqual([0, 0, 0, 0]);
    await expectGoodNight();
  });
});

describe('truncated pages', () => {
  it.each([1, 2])('at random places of a first full read cost no row (seed %i)', async (seed) => {
    setup = await setupMirror({ leads: 60, requests: 100, now: Date.now() - HOUR }, { TILEDESK_PAGE_SIZE: '10' });
    const random = seededRandom(seed);
    lie('truncated-page', ({ list }) => (list === 'leads' || list === 'requests') && random() < 0.3);

    const results = await setup.syncAll('backfill');

    // What is called complete is complete.
    for (const { stream, outcome } of results) {
      if (outcome !== 'succeeded') continue;
      const kind = stream.replace('tiledesk.', '') as (typeof STREAMS)[number];
      expect({ kind, ...(await compareMirror(setup.database.url, setup.sandbox, kind)) }).toEqual({ kind, ...EQUAL });
    }
    setup.sandbox.faults.clear();
    expect(outcomesOf(await setup.syncAll('backfill'))).toEqual(ALL_DONE);
    await expectEqual();
  });

  it.each([1, 2])('at random places of nightly walks delete nothing (seed %i)', async (seed) => {
    await mirrored(60, 100);
    const before = await everybody();
    const random = seededRandom(seed);
    lie('truncated-page', ({ list }) => (list === 'leads' || list === 'requests') && random() < 0.3);

    const results = [...(await setup.syncAll('reconcile')), ...(await setup.syncAll('incremental'))];

    expect(results.map(({ deleted }) => deleted)).toEqual(results.map(() => 0));
    expect(await everybody()).toEqual(before);
    await expectGoodNight();
  });

  it('at every question delete nothing', async () => {
    await mirrored(60, 100);
    const before = await everybody();
    lie('truncated-page', ({ list }) => list === 'leads' || list === 'requests');

    await setup.syncAll('reconcile');
    await setup.syncAll('reconcile');

    expect(await everybody()).toEqual(before);
    await expectGoodNight();
  });

  it('of lists that tell no count are not believed at once', async () => {
    await mirrored(10, 10);
    const before = await everybody();
    for (const list of ['departments', 'project_users']) {
      setup.sandbox.faults.push({ kind: 'truncated-page', match: { list }, times: 1 });
    }

    const results = await setup.syncAll('reconcile');

    expect(await everybody()).toEqual(before);
    expect(results.map(({ deleted }) => deleted)).toEqual([0, 0, 0, 0]);
    await expectGoodNight();
  });

  it('hide no change from the incremental passes', async () => {
    await mirrored(60, 100);
    setup.sandbox.data.randomEdits(50);
    const random = seededRandom(9);
    lie('truncated-page', ({ list }) => (list === 'leads' || list === 'requests') && random() < 0.5);
    for (let i = 0; i < 3; i++) await setup.syncAll('incremental');
    setup.sandbox.faults.clear();

    expect(outcomesOf(await setup.syncAll('incremental'))).toEqual(ALL_DONE);

    await expectEqual();
  });
});

describe('a list that suddenly shrinks to its first page', () => {
  it('because everything behind it comes back empty deletes nothing', async () => {
    await mirrored(60, 100);
    const before = await everybody();
    lie('empty-list', (call) => isList(call) && isBehindFirstPage(call));

    const results = await setup.syncAll('reconcile');

    expect(await everybody()).toEqual(before);
    expect(results.map(({ deleted }) => deleted)).toEqual([0, 0, 0, 0]);
    // Departments and members have no second page.
    expect(outcomesOf(results).slice(0, 2)).not.toContain('succeeded');
    await expectGoodNight();
  });

  it('with a count that agrees is held by the brake: nothing is marked, a person decides', async () => {
    await mirrored(60, 100);
    const { data } = setup.sandbox;
    const before = await everybody();
    const hiddenLeads = newestLast(data.leads).slice(0, -10);
    const hiddenRequests = newestLast(data.requests).slice(0, -10);
    for (const { _id } of hiddenLeads) data.hardDeleteLead(_id);
    for (const { _id } of hiddenRequests) data.hardDeleteRequest(_id);

    const results = await setup.syncAll('reconcile');

    expect(await everybody()).toEqual(before);
    expect(results.slice(0, 2)).toMatchObject([
      { outcome: 'partial', deleted: 0, error: { code: 'deletion_brake' } },
      { outcome: 'partial', deleted: 0, error: { code: 'deletion_brake' } },
    ]);
    const states = await statesOf();
    expect([states['tiledesk.leads'], states['tiledesk.requests']]).toEqual(['partial', 'partial']);
    for (const lead of hiddenLeads) data.collections.leads.put(lead);
    for (const request of hiddenRequests) data.collections.requests.put(request);
    await expectGoodNight();
  });
});

/** By page or, in a keyset walk, by the end of its window. */
const isBehindFirstPage = ({ query }: CallInfo): boolean =>
  Number(query.get('page') ?? 0) > 0 || query.has('end_date_time');

const newestLast = <T extends { readonly _id: string }>(documents: ReadonlyMap<string, T>): T[] =>
  [...documents.values()].sort((a, b) => (a._id < b._id ? -1 : 1));
