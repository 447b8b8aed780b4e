import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import type { FetchOptions, List, ListQuery } from '../../src/stream.ts';
import { walkPages } from '../../src/sync/walk-pages.ts';
import { createStitchWalk } from '../../src/walks/stitch.ts';
import { objectId, ShiftingList, seededRandom } from '../helpers/shifting-list.ts';

const ROWS = 500;
const random = seededRandom(1);

/** The list read to its end: the limits that were asked for, and what was read. */
async function read(write: () => Promise<void> = async () => {}) {
  const server = new ShiftingList(random, Date.UTC(2026, 0, 1));
  for (let row = 0; row < ROWS; row++) {
    server.now += 1000;
    server.add({ id: objectId(server.now, random) });
  }
  const limits: number[] = [];
  const told: string[] = [];
  const list: List = {
    id: 'all',
    walk: createStitchWalk({ sort: 'id', pageSize: 100 }),
    async fetchPage(query: ListQuery, options: FetchOptions) {
      limits.push(query.limit);
      options.onRequest();
      told.push('asked');
      return server.answer(query);
    },
  };
  const { signal } = new AbortController();
  const options = { signal, maxWaitMs: 0, lane: 'bulk' as const, onRequest: () => {} };
  const seen = new Set<string>();
  for await (const { ids } of walkPages(list, list.walk.start(), {
    ...options,
    lookUp: async () => new Set<string>(),
    prepare(page) {
      told.push('prepared');
      return page;
    },
  })) {
    for (const id of ids) seen.add(id);
    await write();
    told.push('written');
  }
  return { limits, told, seen: seen.size };
}

it('reads a list to its end', async () => {
  const { limits, seen } = await read();
  expect(seen).toBe(ROWS);
  expect(Math.min(...limits.slice(0, -1))).toBeGreaterThan(50);
});

it('asks for the next page before it prepares one that was waited for', async () => {
  const { told } = await read();
  expect(told.slice(0, 3)).toEqual(['asked', 'asked', 'prepared']);
});

it('prepares a page that arrives while the one before is written, and never has more than that one ahead', async () => {
  const { told } = await read(() => delay(20));
  expect(told.slice(0, 8)).toEqual([
    'asked',
    'asked',
    'prepared',
    'prepared',
    'written',
    'asked',
    'prepared',
    'written',
  ]);
});
