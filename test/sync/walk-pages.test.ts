import { expect, it } from '@jest/globals';
import type { List, ListPage, ListQuery } from '../../src/stream.ts';
import { walkPages } from '../../src/sync/walk-pages.ts';
import { createStitchWalk } from '../../src/walks/stitch.ts';
import { objectId, ShiftingList } from '../helpers/shifting-list.ts';

const ROWS = 500;

/** The list read to its end: the limits that were asked for, and what was read. */
async function read(isHeavy: (page: ListPage) => boolean) {
  const server = new ShiftingList(Math.random, Date.UTC(2026, 0, 1));
  for (let row = 0; row < ROWS; row++) {
    server.now += 1000;
    server.add({ id: objectId(server.now, Math.random) });
  }
  const limits: number[] = [];
  const list: List = {
    id: 'all',
    walk: createStitchWalk({ sort: 'id', pageSize: 100 }),
    async fetchPage(query: ListQuery) {
      limits.push(query.limit);
      return server.answer(query);
    },
  };
  const { signal } = new AbortController();
  const options = { signal, maxWaitMs: 0, lane: 'bulk' as const, onRequest: () => {} };
  const seen = new Set<string>();
  for await (const { ids } of walkPages(list, list.walk.start(), {
    ...options,
    recall: async () => new Set<string>(),
    prepare: (page) => page,
    isHeavy,
  })) {
    for (const id of ids) seen.add(id);
  }
  return { limits, seen: seen.size };
}

it('asks for as many rows as it may while pages are light', async () => {
  const { limits, seen } = await read(() => false);
  expect(seen).toBe(ROWS);
  expect(Math.min(...limits.slice(0, -1))).toBeGreaterThan(50);
});

it('asks for half after a page that is too heavy to hold two of', async () => {
  const { limits, seen } = await read(({ entries }) => entries.length > 40);
  expect(seen).toBe(ROWS);
  expect(limits[0]).toBe(100);
  expect(limits[1]).toBeLessThanOrEqual(50);
  expect(Math.max(...limits.slice(2))).toBeLessThanOrEqual(25);
});

it('does not get smaller than a few rows, however heavy they are', async () => {
  const { limits, seen } = await read(() => true);
  expect(seen).toBe(ROWS);
  expect(Math.min(...limits)).toBeGreaterThan(5);
  expect(limits.length).toBeLessThan(100);
});
