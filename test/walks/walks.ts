import { describe, expect, it } from '@jest/globals';
import type { Walk, WalkEnd, WalkState } from '../../src/stream.ts';
import { createKeysetWalk } from '../../src/walks/keyset.ts';
import { createStitchWalk } from '../../src/walks/stitch.ts';
import { type ListRow, objectId, type ServerRules, ShiftingList, seededRandom } from '../helpers/shifting-list.ts';

export const NOW = Date.UTC(2026, 5, 1);
const MONTHS = 90 * 86_400_000;

export interface Scenario {
  /** Chance of each kind of change between two pages. */
  readonly insert: number;
  readonly touch: number;
  readonly remove: number;
  readonly bulk: number;
  readonly crash: number;
}

export const SCENARIOS: Scenario[] = [
  { insert: 0, touch: 0, remove: 0, bulk: 0, crash: 0 },
  { insert: 0.5, touch: 0.5, remove: 0.5, bulk: 0, crash: 0.05 },
  { insert: 0.2, touch: 0.8, remove: 0.2, bulk: 0.05, crash: 0.05 },
  { insert: 0.2, touch: 0.2, remove: 0.9, bulk: 0.25, crash: 0.1 },
  { insert: 0.9, touch: 0.9, remove: 0.1, bulk: 0.05, crash: 0.2 },
];

export interface Kind {
  readonly name: string;
  readonly rules: ServerRules;
  readonly walk: (stopBefore: number) => Walk;
  readonly sortedBy: 'id' | 'createdAt' | 'updatedAt';
  /** Incremental walks promise the rows changed since `stopBefore`; a row touched under way belongs to the next pass. */
  readonly isIncremental: boolean;
  /** Chance that a page is not answered. */
  readonly fails?: number;
}

export const PAGE = 20;
export const KINDS: Kind[] = [
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

export function createList(seed: number, kind: Kind, withAbsentDates: boolean): ShiftingList {
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

export interface Outcome {
  readonly end: WalkEnd;
  readonly seen: ReadonlySet<string>;
  readonly requests: number;
  readonly watermark: number | null;
}

/** Runs a walk while the list changes; a crash throws the state back to a stored one, through JSON. */
export function runWalk(list: ShiftingList, walk: Walk, kind: Kind, scenario: Scenario, random: () => number): Outcome {
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

export function changeList(list: ShiftingList, kind: Kind, scenario: Scenario, random: () => number): void {
  if (random() < scenario.insert) list.insert();
  if (random() < scenario.touch) list.touch(list.pick(1 + Math.floor(random() * 4)));
  if (random() < scenario.remove) list.remove(list.pick(1 + Math.floor(random() * 3)));
  if (random() < scenario.bulk && list.rows.size > 100) {
    list.remove(list.pickRun(5 + Math.floor(random() * 60), kind.sortedBy));
  }
  if (random() < scenario.bulk) list.touch(list.pickRun(5 + Math.floor(random() * 40), kind.sortedBy));
}

/** Walks of the seeds from `first` to `last`, for each kind of walk. */
export function describeWalks(first: number, last: number): void {
  describe.each(KINDS)('$name', (kind) => {
    it(`loses no live row in walks ${first} to ${last} over a list that changes between the pages`, () => {
      for (let seed = first; seed <= last; seed++) {
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
}
