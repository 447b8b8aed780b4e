import { describe, expect, it } from '@jest/globals';
import type { ListPage, ListQuery, Walk, WalkEnd, WalkState } from '../../src/stream.ts';
import { createKeysetWalk } from '../../src/walks/keyset.ts';
import { createStitchWalk } from '../../src/walks/stitch.ts';
import { type ListRow, objectId, type ServerRules, ShiftingList, seededRandom } from '../helpers/shifting-list.ts';

const NOW = Date.UTC(2026, 5, 1);
const MONTHS = 90 * 86_400_000;

interface Scenario {
  /** Chance of each kind of change between two pages. */
  readonly insert: number;
  readonly touch: number;
  readonly remove: number;
  readonly bulk: number;
  readonly crash: number;
}

const SCENARIOS: Scenario[] = [
  { insert: 0, touch: 0, remove: 0, bulk: 0, crash: 0 },
  { insert: 0.5, touch: 0.5, remove: 0.5, bulk: 0, crash: 0.05 },
  { insert: 0.2, touch: 0.8, remove: 0.2, bulk: 0.05, crash: 0.05 },
  { insert: 0.2, touch: 0.2, remove: 0.9, bulk: 0.25, crash: 0.1 },
  { insert: 0.9, touch: 0.9, remove: 0.1, bulk: 0.05, crash: 0.2 },
];

interface Kind {
  readonly name: string;
  readonly rules: ServerRules;
  readonly walk: (stopBefore: number) => Walk;
  readonly sortedBy: 'id' | 'createdAt' | 'updatedAt';
  /** Incremental walks promise the rows changed since `stopBefore`; a row touched under way belongs to the next pass. */
  readonly isIncremental: boolean;
  /** Chance that a page is not answered. */
  readonly fails?: number;
}

const PAGE = 20;
const KINDS: Kind[] = [
  {
    name: 'full sync by id',
    rules: { maxLimit: PAGE },
    walk: () => createStitchWalk({ sort: 'id', pageSize: PAGE }),
    sortedBy: 'id',
    isIncremental: false,
  },
  {
    name: 'full sync by id, pages that grow and shrink',
    rules: { tellsCost: true },
    walk: () => createStitchWalk({ sort: 'id', pageSize: PAGE, widest: PAGE * 9 }),
    sortedBy: 'id',
    isIncremental: false,
    fails: 0.1,
  },
  {
    name: 'full sync by id, pages that grow beyond what the server gives',
    rules: { tellsCost: true, maxLimit: PAGE * 3 },
    walk: () => createStitchWalk({ sort: 'id', pageSize: PAGE, widest: PAGE * 9 }),
    sortedBy: 'id',
    isIncremental: false,
  },
  {
    name: 'full sync by creation time, wide pages for ties',
    rules: { countsAlways: true },
    walk: () => createStitchWalk({ sort: 'created_at', pageSize: PAGE, ties: { kind: 'wide', limit: 2000 } }),
    sortedBy: 'createdAt',
    isIncremental: false,
  },
  {
    name: 'full sync by keyset windows',
    rules: { maxLimit: PAGE },
    walk: () => createKeysetWalk({ pageSize: PAGE }),
    sortedBy: 'createdAt',
    isIncremental: false,
  },
  {
    name: 'incremental, wide pages for ties',
    rules: { countsAlways: true },
    walk: (stopBefore) =>
      createStitchWalk({ sort: 'updated_at', pageSize: PAGE, stopBefore, ties: { kind: 'wide', limit: 2000 } }),
    sortedBy: 'updatedAt',
    isIncremental: true,
  },
  {
    name: 'incremental, crowded seconds by id',
    rules: { maxLimit: PAGE },
    walk: (stopBefore) =>
      createStitchWalk({ sort: 'updated_at', pageSize: PAGE, stopBefore, ties: { kind: 'second' } }),
    sortedBy: 'updatedAt',
    isIncremental: true,
  },
  {
    name: 'incremental, crowded days by id',
    rules: { maxLimit: PAGE },
    walk: (stopBefore) => createStitchWalk({ sort: 'updated_at', pageSize: PAGE, stopBefore, ties: { kind: 'day' } }),
    sortedBy: 'updatedAt',
    isIncremental: true,
  },
];

function createList(seed: number, kind: Kind, withAbsentDates: boolean): ShiftingList {
  const random = seededRandom(seed);
  const list = new ShiftingList(random, NOW, kind.rules);
  const size = Math.floor(random() * 240);
  const tie = NOW - Math.floor((random() * MONTHS) / 1000) * 1000;
  const ties = random() < 0.5 ? Math.floor(random() * 70) : 0;
  const isText = textIds(random);
  const add = (placedAt: number, createdAt: number, updatedAt: number) => {
    const place = objectId(placedAt, random);
    list.add({ ...(isText(placedAt) ? { id: `text ${place}`, place } : { id: place }), createdAt, updatedAt });
  };
  for (let i = 0; i < size; i++) {
    const createdAt = NOW - Math.floor(random() * MONTHS);
    const updatedAt = Math.min(NOW, createdAt + Math.floor(random() * random() * MONTHS));
    add(createdAt, createdAt, updatedAt);
  }
  for (let i = 0; i < ties; i++) {
    const at = random() < 0.9 ? tie : tie + Math.floor(random() * 1000);
    add(tie - Math.floor(random() * 1e9), at, at);
  }
  if (withAbsentDates && random() < 0.3) {
    for (let i = 0; i < 5; i++) list.add({ id: objectId(NOW - MONTHS, random), createdAt: null, updatedAt: null });
  }
  return list;
}

/** Which rows have an id that is no ObjectId, by their place: none, single ones, all, or all within a time, which may fill pages. */
function textIds(random: () => number): (placedAt: number) => boolean {
  const kind = random();
  const from = NOW - random() * MONTHS;
  if (kind < 0.5) return () => false;
  if (kind < 0.7) return () => random() < 0.2;
  if (kind < 0.75) return () => true;
  return (placedAt) => placedAt > from - MONTHS / 3 && placedAt < from;
}

interface Outcome {
  readonly end: WalkEnd;
  readonly seen: ReadonlySet<string>;
  readonly requests: number;
  readonly watermark: number | null;
}

/** Runs a walk while the list changes; a crash throws the state back to a stored one, through JSON. */
function runWalk(list: ShiftingList, walk: Walk, kind: Kind, scenario: Scenario, random: () => number): Outcome {
  const seen = new Set<string>();
  let state: WalkState = walk.start();
  for (let guard = 0; guard < 3000; guard++) {
    // The request fails, and a smaller page is asked for.
    if (kind.fails !== undefined && random() < kind.fails) state = walk.shrink(state) ?? state;
    const query = walk.next(state);
    const page = list.answer(query);
    const step = walk.accept(state, query, page);
    if (random() < scenario.crash) {
      // Killed before the page was committed: neither its rows nor its state are there.
      state = walk.resume(JSON.parse(JSON.stringify(state)));
    } else {
      for (const record of page.records as ListRow[]) seen.add(record.id);
      state = JSON.parse(JSON.stringify(step.state));
      if (step.end?.kind === 'complete') {
        return { end: step.end, seen, requests: list.requests, watermark: walk.beginning(state).newest };
      }
      // Giving up ends a run, not the pass: the next run goes on from the checkpoint.
      if (step.end?.kind === 'gave_up') state = walk.resume(state);
    }
    changeList(list, kind, scenario, random);
  }
  throw new Error('the walk did not end');
}

function changeList(list: ShiftingList, kind: Kind, scenario: Scenario, random: () => number): void {
  if (random() < scenario.insert) list.insert();
  if (random() < scenario.touch) list.touch(list.pick(1 + Math.floor(random() * 4)));
  if (random() < scenario.remove) list.remove(list.pick(1 + Math.floor(random() * 3)));
  if (random() < scenario.bulk && list.rows.size > 100) {
    list.remove(list.pickRun(5 + Math.floor(random() * 60), kind.sortedBy));
  }
  if (random() < scenario.bulk) list.touch(list.pickRun(5 + Math.floor(random() * 40), kind.sortedBy));
}

describe.each(KINDS)('$name', (kind) => {
  it('loses no live row in 1,000 walks over a list that changes between the pages', () => {
    for (let seed = 1; seed <= 1000; seed++) {
      const random = seededRandom(seed * 7919);
      const list = createList(seed, kind, kind.name === 'full sync by keyset windows');
      const original = [...list.rows.values()].map((row) => ({ ...row }));
      const stopBefore = seed % 3 === 0 ? NOW - MONTHS / 2 : Number.NEGATIVE_INFINITY;
      const scenario = SCENARIOS[seed % SCENARIOS.length] as Scenario;
      const walk = kind.walk(kind.isIncremental && Number.isFinite(stopBefore) ? stopBefore : -1e15);

      const { seen, watermark } = runWalk(list, walk, kind, scenario, random);

      const promised = original.filter((row) => {
        const now = list.rows.get(row.id);
        if (now === undefined) return false;
        if (!kind.isIncremental) return true;
        return now.touchedAt === 0 && row.updatedAt !== null && row.updatedAt >= stopBefore;
      });
      const lost = promised.filter((row) => !seen.has(row.id)).map((row) => row.id);
      expect({ seed, lost }).toEqual({ seed, lost: [] });
      if (kind.isIncremental && watermark !== null) {
        // What changed under way is younger than the new watermark, so that the next pass meets it.
        const missedByNext = [...list.rows.values()].filter(
          (row) => row.touchedAt > 0 && !seen.has(row.id) && (row.updatedAt ?? 0) < watermark,
        );
        expect({ seed, missedByNext }).toEqual({ seed, missedByNext: [] });
      }
    }
  });
});

describe('the simulation itself', () => {
  it('catches a reader that loses rows: plain paging loses some in most walks with removals', () => {
    const removing = SCENARIOS[3] as Scenario;
    const kind = KINDS[0] as Kind;
    let losing = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const list = createList(seed + 500, kind, false);
      const original = [...list.rows.keys()];
      const seen = new Set<string>();
      for (let page = 0; ; page++) {
        const { entries } = list.answer({
          sort: 'id',
          direction: 'desc',
          offset: page * PAGE,
          limit: PAGE,
          wantTotal: false,
        });
        for (const entry of entries) seen.add(entry.id as string);
        if (entries.length < PAGE) break;
        changeList(list, kind, removing, random);
      }
      if (original.some((id) => list.rows.has(id) && !seen.has(id))) losing += 1;
    }
    expect(losing).toBeGreaterThan(40);
  });
});

describe('a quiet list', () => {
  const size = 4000;
  const full = 100;
  const ofSize = (rules: ServerRules) => {
    const random = seededRandom(5);
    const list = new ShiftingList(random, NOW, rules);
    for (let i = 0; i < size; i++) {
      const at = NOW - i * 60_000;
      list.add({ id: objectId(at, random), createdAt: at, updatedAt: at });
    }
    return list;
  };
  const read = (list: ShiftingList, walk: Walk) =>
    runWalk(list, walk, KINDS[0] as Kind, SCENARIOS[0] as Scenario, () => 1);

  it.each([
    ['by id, one row shared between pages', createStitchWalk({ sort: 'id', pageSize: full }), 1.15],
    ['by change time', createStitchWalk({ sort: 'updated_at', pageSize: full, stopBefore: -1e15 }), 1.16],
    ['by keyset windows', createKeysetWalk({ pageSize: full }), 1.05],
  ])('is read whole %s, in few requests', (_, walk, factor) => {
    const { seen, requests } = read(ofSize({ maxLimit: full }), walk);

    expect(seen.size).toBe(size);
    expect(requests).toBeLessThanOrEqual((size / full) * factor + 3);
  });

  it('is read whole from a server that gives fewer rows a page than asked', () => {
    const { seen } = read(ofSize({ maxLimit: 50, fallback: 40 }), createStitchWalk({ sort: 'id', pageSize: full }));

    expect(seen.size).toBe(size);
  });

  it('costs one request when nothing changed since the watermark', () => {
    const walk = createStitchWalk({ sort: 'updated_at', pageSize: full, stopBefore: NOW - 300_000 });

    expect(read(ofSize({ maxLimit: full }), walk).requests).toBe(1);
  });
});

describe('a server that lies', () => {
  const rows = (count: number) => {
    const random = seededRandom(count);
    const list = new ShiftingList(random, NOW, { countsAlways: true });
    for (let i = 0; i < count; i++) {
      list.add({ id: objectId(NOW - i * 60_000, random), createdAt: NOW - i * 60_000, updatedAt: NOW - i * 60_000 });
    }
    return list;
  };

  /** Drives a walk against answers bent by `bend`, at most 200 requests. */
  const drive = (walk: Walk, list: ShiftingList, bend: (query: ListQuery, page: ListPage) => ListPage) => {
    let state = walk.start();
    for (let i = 0; i < 200; i++) {
      const query = walk.next(state);
      const step = walk.accept(state, query, bend(query, list.answer(query)));
      if (step.end !== null) return step.end;
      state = step.state;
    }
    throw new Error('the walk did not end');
  };

  const stitched = () => createStitchWalk({ sort: 'updated_at', pageSize: PAGE, stopBefore: -1e15 });

  it.each<[string, Walk, (list: ShiftingList) => (query: ListQuery, page: ListPage) => ListPage]>([
    ['no_progress', stitched(), (list) => (query) => list.answer({ ...query, offset: 0 })],
    ['not_sorted', stitched(), (list) => (query) => list.answer({ ...query, direction: 'asc' })],
    [
      'not_sorted',
      createKeysetWalk({ pageSize: PAGE }),
      (list) => (query) => list.answer({ ...query, direction: 'asc' }),
    ],
    ['page_too_large', stitched(), (list) => (query) => list.answer({ ...query, limit: query.limit * 2 })],
    [
      'window_ignored',
      createKeysetWalk({ pageSize: PAGE }),
      (list) =>
        ({ window: _, ...query }) =>
          list.answer(query),
    ],
    [
      'truncated_page',
      stitched(),
      () => (query, page) =>
        query.offset < 40 ? page : { ...page, records: page.records.slice(0, 3), entries: page.entries.slice(0, 3) },
    ],
    [
      'truncated_page',
      createKeysetWalk({ pageSize: PAGE }),
      () => (query, page) => (query.window ? { ...page, records: [], entries: [] } : page),
    ],
  ])('is found out: %s', (code, walk, bend) => {
    const list = rows(200);

    expect(() => drive(walk, list, bend(list))).toThrow(expect.objectContaining({ code }));
  });

  it('is given up on when rows keep vanishing, and never called complete', () => {
    const list = rows(200);
    const empty = { records: [], entries: [], pageSize: PAGE, total: 200, serverTime: NOW };

    const end = drive(createStitchWalk({ sort: 'id', pageSize: PAGE }), list, (query, page) =>
      query.offset > 0 ? empty : page,
    );

    expect(end).toMatchObject({ kind: 'gave_up', reason: expect.stringContaining('vanish') });
  });

  it('is given up on when more rows share a time than fit on a page and nothing else can be asked', () => {
    const list = rows(10);
    list.touch([...list.rows.keys()]);
    const random = seededRandom(3);
    for (let i = 0; i < 60; i++) list.add({ id: objectId(NOW, random), createdAt: NOW, updatedAt: list.now });

    const end = drive(stitched(), list, (_, page) => page);

    expect(end).toMatchObject({ kind: 'gave_up' });
  });
});
