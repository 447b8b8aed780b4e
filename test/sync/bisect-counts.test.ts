import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ListWindow } from '../../src/stream.ts';
import {
  acceptCount,
  type Bisection,
  type Border,
  foundWindows,
  leastRequests,
  nextCount,
  openDifference,
  startBisection,
  withExtras,
} from '../../src/sync/bisect-counts.ts';
import { seededRandom } from '../helpers/shifting-list.ts';

const isIn = (at: number, { fromMs = -Infinity, toMs = Infinity }: ListWindow) => fromMs <= at && at <= toMs;

/** As the mirror does it: whole seconds, about `step` rows apart. */
function bordersOf(times: readonly number[], step: number): Border[] {
  const sorted = [...times].sort((a, b) => a - b);
  const borders: Border[] = [];
  for (const [index, time] of sorted.entries()) {
    const at = Math.floor(time / 1000) * 1000 + 1000;
    const next = sorted[index + 1];
    if (next !== undefined && (next <= at || index + 1 - (borders.at(-1)?.rows ?? 0) < step)) continue;
    borders.push({ at, rows: index + 1 });
  }
  return borders;
}

function bisect(borders: readonly Border[], upstream: (window: ListWindow) => number, difference: number) {
  let bisection: Bisection = startBisection(borders, difference);
  let counts = 0;
  for (let next = nextCount(bisection); next !== null; next = nextCount(bisection)) {
    counts += 1;
    bisection = acceptCount(bisection, upstream(next.window));
  }
  return { counts, windows: foundWindows(bisection), bisection };
}

it('finds every row that is gone, also where rows are created at whole seconds', () => {
  const row = fc.tuple(fc.integer({ min: 0, max: 400 }), fc.constantFrom(0, 0, 1, 500, 999));
  const times = fc.array(row, { minLength: 1, maxLength: 120 });
  fc.assert(
    fc.property(
      times,
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 0, max: 6 }),
      fc.nat(),
      (rows, step, gone, from) => {
        const mirror = rows.map(([second, ms]) => second * 1000 + ms);
        const lost = new Set(
          Array.from({ length: Math.min(gone, mirror.length) }, (_, i) => (from + i * 7) % mirror.length),
        );
        const upstream = mirror.filter((_, index) => !lost.has(index));
        const count = (window: ListWindow) => upstream.filter((at) => isIn(at, window)).length;
        const borders = bordersOf(mirror, step);
        const { windows } = bisect(borders, count, upstream.length - mirror.length);
        const missed = [...lost].filter((index) => !windows.some((window) => isIn(mirror[index] ?? -1, window)));
        expect(missed).toEqual([]);
        if (lost.size === 0) expect(windows).toEqual([]);
      },
    ),
  );
});

it('finds forty of a million with less than four hundred counts', () => {
  for (const seed of [1, 2, 3]) {
    const random = seededRandom(seed);
    const rows = 1_000_000;
    const lost = Array.from({ length: 40 }, () => Math.floor(random() * rows) * 60_000);
    const borders = Array.from({ length: Math.ceil(rows / 180) }, (_, index): Border => {
      const last = Math.min(rows, (index + 1) * 180);
      return { at: (last - 1) * 60_000 + 1000, rows: last };
    });
    const count = ({ fromMs = 0, toMs = 0 }: ListWindow) =>
      Math.floor(toMs / 60_000) -
      Math.ceil(fromMs / 60_000) +
      1 -
      lost.filter((at) => fromMs <= at && at <= toMs).length;
    const { counts, windows } = bisect(borders, count, -lost.length);
    expect(counts).toBeLessThan(400);
    expect(lost.every((at) => windows.some((window) => isIn(at, window)))).toBe(true);
  }
});

it('expects what the mirror cannot hold where it was created', () => {
  const borders = [
    { at: 1000, rows: 5 },
    { at: 2000, rows: 9 },
  ];
  const extras = [
    { at: 1000, rows: 2 },
    { at: 1500, rows: 1 },
    { at: 2500, rows: 8 },
  ];
  expect(withExtras(borders, extras)).toEqual([
    { at: 1000, rows: 7 },
    { at: 2000, rows: 12 },
  ]);
});

it('names what is left, and what that costs at least', () => {
  const borders = Array.from({ length: 64 }, (_, index) => ({ at: index * 1000, rows: index * 100 }));
  const start = startBisection(borders, -3);
  expect([openDifference(start), leastRequests(start)]).toEqual([-3, 8]);
  const next = acceptCount(start, (nextCount(start)?.rows ?? 0) - 3);
  expect([openDifference(next), next.open.length, leastRequests(next)]).toEqual([-3, 1, 7]);
  expect(startBisection(borders, 0)).toMatchObject({ open: [], found: [] });
});
