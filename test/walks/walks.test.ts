import { describe, expect, it } from '@jest/globals';
import type { ListPage, ListQuery, Walk } from '../../src/stream.ts';
import { createKeysetWalk } from '../../src/walks/keyset.ts';
import { createStitchWalk } from '../../src/walks/stitch.ts';
import { objectId, type ServerRules, ShiftingList, seededRandom } from '../helpers/shifting-list.ts';
import {
  changeList,
  createList,
  describeWalks,
  KINDS,
  type Kind,
  NOW,
  PAGE,
  runWalk,
  SCENARIOS,
  type Scenario,
} from './walks.ts';

describeWalks(1, 300);

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

it('rows of one change time on dozens of pages are read, and what is older behind them', () => {
  const random = seededRandom(3);
  const list = new ShiftingList(random, NOW);
  for (let i = 0; i < 1_600; i++) {
    const updatedAt = i < 20 ? NOW - i * 2 : i < 1_520 ? NOW - 60_000 : NOW - i * 2_000;
    list.add({ id: objectId(NOW - i * 1_000, random), createdAt: NOW - i * 1_000, updatedAt });
  }
  const walk = createStitchWalk({ sort: 'updated_at', pageSize: PAGE, stopBefore: -1e15, ties: { kind: 'second' } });

  const { seen } = runWalk(list, walk, KINDS[0] as Kind, SCENARIOS[0] as Scenario, () => 1);

  expect(seen.size).toBe(1_600);
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
