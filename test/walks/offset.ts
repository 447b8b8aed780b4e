import { describe, expect, it } from '@jest/globals';
import { UpstreamContractError } from '../../src/errors.ts';
import type { Walk, WalkEnd } from '../../src/stream.ts';
import { createOffsetWalk, type OffsetOptions, type OffsetState } from '../../src/walks/offset.ts';
import { type Habits, type HiddenOrder, UnsortedList } from '../helpers/unsorted-list.ts';

const PAGE = 20;

interface Walked {
  readonly end: WalkEnd;
  readonly seen: ReadonlySet<string>;
  readonly requests: number;
  readonly state: OffsetState;
}

interface WalkPlan {
  readonly options?: Partial<OffsetOptions>;
  /** What the mirror holds, for walks that ask. */
  readonly mirror?: Set<string>;
  readonly between?: (requests: number) => void;
  /** Chance of a crash after a page: the state goes through JSON and the walk is resumed. */
  readonly crash?: number;
}

/** As the engine does it: ids are kept when the walk says so, and rows are written with every page. */
function walkThrough(list: UnsortedList, { options, mirror, between, crash = 0 }: WalkPlan = {}): Walked {
  const walk = createOffsetWalk({ pageSize: PAGE, goal: 'all', ...options });
  const kept = new Set<string>();
  const seen = new Set<string>();
  let state = walk.start();
  for (let requests = 1; requests < 3000; requests++) {
    const query = walk.next(state);
    const page = list.answer(query);
    const ids = page.entries.map(({ id }) => id ?? '');
    const known = walk.memory === 'mirror' ? (mirror ?? new Set()) : kept;
    const step = acceptPatiently(walk, state, query, page, new Set(ids.filter((id) => known.has(id))));
    for (const id of ids) {
      seen.add(id);
      mirror?.add(id);
    }
    for (const id of 'seen' in step ? (step.seen ?? []) : []) kept.add(id);
    state = step.state;
    if (step.end !== null) return { end: step.end, seen, requests, state };
    if (walk.memory === 'walk' && walk.memorized?.(state) !== kept.size) {
      throw new Error(`the walk counts ${walk.memorized?.(state)} ids, and ${kept.size} are kept`);
    }
    between?.(requests);
    if (list.random() < crash) state = walk.resume(JSON.parse(JSON.stringify(state)));
  }
  throw new Error('the walk does not end');
}

/** Rows may all go in a simulation: the walk then refuses to conclude anything, which is no claim. */
function acceptPatiently(...[walk, state, ...asked]: [Walk<OffsetState>, ...Parameters<Walk<OffsetState>['accept']>]) {
  try {
    return walk.accept(state, ...asked);
  } catch (error) {
    if (!(error instanceof UpstreamContractError) || error.code !== 'suddenly_empty') throw error;
    return { state, end: { kind: 'gave_up', reason: error.code } } as const;
  }
}

function filled(seed: number, habits: Habits, size?: number): UnsortedList {
  const list = new UnsortedList(seed, habits);
  const rows = size ?? Math.floor(list.random() * 200);
  for (let i = 0; i < rows; i++) list.insert(false);
  return list;
}

/** Rows come, go and change; now and then many go at once. */
function churn(list: UnsortedList): void {
  const chance = (share: number) => list.random() < share;
  if (chance(0.4)) list.insert();
  if (chance(0.4)) list.touch(list.pick() ?? '');
  if (chance(0.3)) list.rows.delete(list.pick() ?? '');
  if (chance(0.04)) for (let i = 0; i < 25; i++) list.rows.delete(list.pick() ?? '');
  if (chance(0.04)) for (let i = 0; i < 30; i++) list.insert();
}

const ORDERS: readonly HiddenOrder[] = ['newest', 'oldest', 'arbitrary', 'update'];
const MANNERS: readonly Habits[] = ORDERS.flatMap((order) => [
  { order, manner: 'v3' as const },
  { order, manner: 'v2' as const },
  { order, manner: 'mute' as const },
  { order, manner: 'v3' as const, maxLimit: 7 },
  { order, manner: 'mute' as const, maxLimit: 7 },
  { order, manner: 'v2' as const, total: () => 3 },
  { order, manner: 'v2' as const, total: (count: number) => count * 2 + 5 },
]);

/** `seeds`: how many lists of each kind are walked through. */
export function describeOffsetWalks(seeds: number): void {
  describe('a full sync of a list without a promised order', () => {
    it.each(MANNERS)('meets every row that stays: $order, $manner, at most $maxLimit', (habits) => {
      const faults: unknown[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        const list = filled(seed, habits);
        let changes = 0;

        const { end, seen } = walkThrough(list, {
          crash: 0.05,
          between: () => {
            changes += 1;
            if (changes < 40) churn(list);
          },
        });

        const stayed = [...list.rows.values()].filter(({ isNew }) => !isNew);
        const lost = stayed.filter(({ id }) => !seen.has(id)).map(({ id }) => id);
        if (end.kind === 'complete' && lost.length > 0) faults.push({ seed, lost });
      }
      expect(faults).toEqual([]);
    });

    it('completes nearly always, also while the list changes', () => {
      let complete = 0;
      for (let seed = 1; seed <= 5 * seeds; seed++) {
        const list = filled(seed, { order: ORDERS[seed % 4] ?? 'newest', manner: 'v2' });
        const { end } = walkThrough(list, { between: (requests) => requests < 40 && churn(list) });
        if (end.kind === 'complete') complete += 1;
      }
      expect(complete).toBeGreaterThan(0.96 * 5 * seeds);
    });

    it('costs one request more than the pages it has, and the overlaps', () => {
      const list = filled(1, { order: 'newest', manner: 'v3' }, 191);
      const { end, requests } = walkThrough(list);
      // 20 rows, then 19 new ones a page: 10 pages, and the top once more.
      expect({ end: end.kind, requests }).toEqual({ end: 'complete', requests: 11 });
    });

    it('is done after one request when one page holds everything', () => {
      expect(walkThrough(filled(1, { order: 'newest', manner: 'v3' }, 12)).requests).toBe(1);
      expect(walkThrough(filled(1, { order: 'newest', manner: 'v2' }, 12)).requests).toBe(1);
    });

    it('asks twice before it believes in an empty list', () => {
      expect(walkThrough(filled(1, { order: 'newest', manner: 'v2' }, 0)).requests).toBe(2);
    });

    it('says that it could not read an order that changes with every question', () => {
      const { end } = walkThrough(filled(3, { order: 'chaos', manner: 'v3' }, 400));
      expect(end.kind).toBe('gave_up');
    });

    it('never takes a list for whole when rows were shown twice in place of others', () => {
      const list = filled(5, { order: 'newest', manner: 'v3' }, 100);
      const answer = list.answer.bind(list);
      // The second page repeats the first one, as a stale cache would.
      list.answer = (query) => {
        const page = answer(query);
        return query.offset === 19 ? { ...answer({ ...query, offset: 0 }), hasMore: true } : page;
      };
      expect(walkThrough(list).end.kind).toBe('gave_up');
    });
  });

  describe('odd rows', () => {
    /** The entries of some rows lose their id. */
    const nameless = (list: UnsortedList, isNameless: (id: string) => boolean) => {
      const answer = list.answer.bind(list);
      list.answer = (query) => {
        const page = answer(query);
        return {
          ...page,
          entries: page.entries.map((entry) => (isNameless(entry.id ?? '') ? { ...entry, id: null } : entry)),
        };
      };
    };

    it('rows without an id anywhere, on the overlap too, cost no other row', () => {
      const faults: unknown[] = [];
      for (let seed = 1; seed <= 40; seed++) {
        const list = filled(seed, { order: 'newest', manner: seed % 2 ? 'v3' : 'v2' }, 150);
        nameless(list, (id) => (Number(id) * seed) % 7 === 0);
        const { end, seen } = walkThrough(list);
        const named = [...list.rows.keys()].filter((id) => (Number(id) * seed) % 7 !== 0);
        const lost = named.filter((id) => !seen.has(id));
        if (end.kind !== 'complete' || lost.length > 0) faults.push({ seed, end: end.kind, lost });
      }
      expect(faults).toEqual([]);
    });

    it('do not make up for rows that were not shown', () => {
      const faults: unknown[] = [];
      for (let seed = 1; seed <= 20; seed++) {
        const list = filled(seed, { order: 'newest', manner: 'v3' }, 150);
        nameless(list, (id) => Number(id) % 10 === seed % 10);
        const answer = list.answer.bind(list);
        let isStale = true;
        // Once, some rows of a page are those of the page before.
        list.answer = (query) => {
          const page = answer(query);
          if (query.offset < 50 || !isStale) return page;
          isStale = false;
          return {
            ...page,
            entries: page.entries.map((entry, index) => (index < 7 ? entry : (page.entries[0] ?? entry))),
          };
        };
        const { end, seen } = walkThrough(list);
        const named = [...list.rows.keys()].filter((id) => Number(id) % 10 !== seed % 10);
        const lost = named.filter((id) => !seen.has(id));
        if (end.kind !== 'complete' || lost.length > 0) faults.push({ seed, end: end.kind, lost });
      }
      expect(faults).toEqual([]);
    });

    it('a list that repeats a row in a fixed order is whole after two rounds', () => {
      const list = filled(1, { order: 'newest', manner: 'v3' }, 120);
      const answer = list.answer.bind(list);
      // The 90th row is the 10th once more.
      list.answer = (query) => {
        const page = answer(query);
        const entries = page.entries.map((entry, index) =>
          query.offset + index === 89 ? { ...entry, id: String(111) } : entry,
        );
        return { ...page, entries };
      };
      const { end, requests } = walkThrough(list);
      expect(end.kind).toBe('complete');
      expect(requests).toBeLessThan(20);
    });
  });

  describe('lies', () => {
    it.each(['v3', 'v2', 'mute'] as const)('a server that ignores the offset is no endless loop: %s', (manner) => {
      for (const goal of ['all', 'window'] as const) {
        const more = manner === 'v3' ? { saysMore: () => true } : {};
        const list = filled(1, { order: 'newest', manner, ...more }, 60);
        const answer = list.answer.bind(list);
        list.answer = (query) => answer({ ...query, offset: 0 });
        expect(() => walkThrough(list, { options: { goal } })).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/no_progress|more_without_rows/) }),
        );
      }
    });

    it('a short list that knows no pages is whole when it comes again and again', () => {
      const list = filled(1, { order: 'newest', manner: 'mute' }, 12);
      const answer = list.answer.bind(list);
      list.answer = (query) => answer({ ...query, offset: 0 });
      expect(walkThrough(list)).toMatchObject({ end: { kind: 'complete' }, requests: 3 });
    });

    it('a list that becomes empty while it is read proves nothing', () => {
      const list = filled(1, { order: 'newest', manner: 'v2' }, 300);
      const between = (requests: number) => {
        if (requests === 1) list.rows.clear();
      };
      expect(walkThrough(list, { between }).end).toEqual({ kind: 'gave_up', reason: 'suddenly_empty' });
    });

    it('a list of changes that is empty when its walk is taken up again is read anew, and shown as empty', () => {
      const list = filled(1, { order: 'newest', manner: 'v2' }, 300);
      const walk = createOffsetWalk({ pageSize: PAGE, goal: 'front' });
      const first = walk.next(walk.start());
      const { state } = walk.accept(walk.start(), first, list.answer(first), new Set());
      list.rows.clear();
      const resumed = walk.resume(state);
      const anew = walk.accept(
        { ...resumed, offset: 0 },
        { ...walk.next(resumed), offset: 0 },
        list.answer(first),
        new Set(),
      );
      expect(anew).toEqual({ state: walk.start(), end: null });
      const { end, state: last } = walk.accept(anew.state, first, list.answer(first), new Set());
      expect(end).toEqual({ kind: 'complete' });
      // Nothing is known to be newer than what was known before.
      expect(walk.beginning(last).newest).toBeNull();
    });

    it('more rows promised and none sent is an error, not an endless loop', () => {
      const always = { order: 'newest' as const, manner: 'v3' as const, saysMore: () => true };
      for (const size of [0, 1, 12, 20, 60]) {
        expect(() => walkThrough(filled(1, always, size))).toThrow(
          expect.objectContaining({ code: 'more_without_rows' }),
        );
      }
    });

    it('a page larger than asked is an error', () => {
      const list = filled(1, { order: 'newest', manner: 'v3' }, 60);
      const answer = list.answer.bind(list);
      list.answer = (query) => answer({ ...query, limit: query.limit * 2 });
      expect(() => walkThrough(list)).toThrow(expect.objectContaining({ code: 'page_too_large' }));
    });

    it('a window that is ignored is an error', () => {
      const list = filled(1, { order: 'newest', manner: 'v3' }, 60);
      const answer = list.answer.bind(list);
      list.answer = ({ window: _, ...query }) => answer(query);
      const options = {
        goal: 'window' as const,
        window: { field: 'created_at' as const, fromMs: list.now + 2 * 86_400_000 },
      };
      expect(() => walkThrough(list, { options })).toThrow(expect.objectContaining({ code: 'window_ignored' }));
    });

    it('more rows promised by every page that has some is no lie: the empty one behind them says no', () => {
      for (const size of [0, 1, 12, 20, 60]) {
        const list = filled(1, { order: 'newest', manner: 'v3', saysMore: (_, rows) => rows > 0 }, size);
        const { end, seen } = walkThrough(list);
        expect({ end: end.kind, seen: seen.size }).toEqual({ end: 'complete', seen: size });
      }
    });

    it('the end is found when the word about more rows is missing on the last page, or everywhere', () => {
      for (const saysMore of [(isMore: boolean) => (isMore ? true : null), () => null]) {
        const list = filled(1, { order: 'newest', manner: 'v3', saysMore }, 100);
        const { end, seen } = walkThrough(list);
        expect({ end: end.kind, seen: seen.size }).toEqual({ end: 'complete', seen: 100 });
      }
    });
  });

  describe('a window', () => {
    it('is read to its end, whatever arrives or goes meanwhile', () => {
      const faults: unknown[] = [];
      for (let seed = 1; seed <= 5 * seeds; seed++) {
        const list = filled(seed, { order: ORDERS[seed % 3] ?? 'newest', manner: seed % 2 ? 'v3' : 'v2' });
        const fromMs = list.now - 60_000;
        const options = { goal: 'window' as const, window: { field: 'created_at' as const, fromMs } };

        const { end, seen, state } = walkThrough(list, {
          options,
          crash: 0.05,
          between: (requests) => requests < 30 && churn(list),
        });

        const stayed = [...list.rows.values()].filter(({ isNew, createdAt }) => !isNew && createdAt >= fromMs);
        const lost = end.kind === 'complete' ? stayed.filter(({ id }) => !seen.has(id)) : [];
        const isAhead = (state.newest ?? 0) > list.now;
        if (lost.length > 0 || isAhead) faults.push({ seed, lost, isAhead });
      }
      expect(faults).toEqual([]);
    });

    it('costs one request while it fits on a page', () => {
      const list = filled(1, { order: 'newest', manner: 'v3' }, 500);
      const options = { goal: 'window' as const, window: { field: 'created_at' as const, fromMs: list.now - 5000 } };
      expect(walkThrough(list, { options }).requests).toBe(1);
    });
  });

  describe('the front of a list, newest first', () => {
    const front = { goal: 'front' as const };

    it('ends at the first page that the mirror holds as it is', () => {
      const list = filled(1, { order: 'newest', manner: 'v2' }, 400);
      const mirror = new Set(list.rows.keys());
      expect(walkThrough(list, { options: front, mirror }).requests).toBe(1);
      for (let i = 0; i < 50; i++) list.insert();
      expect(walkThrough(list, { options: front, mirror }).requests).toBe(4);
      expect([...list.rows.keys()].every((id) => mirror.has(id))).toBe(true);
    });

    it('misses no new row when it is stopped half way and rows arrive meanwhile', () => {
      const faults: unknown[] = [];
      for (let seed = 1; seed <= 5 * seeds; seed++) {
        const list = filled(seed, { order: 'newest', manner: 'v2' }, 120);
        const mirror = new Set(list.rows.keys());
        for (let i = 0; i < 90; i++) list.insert();
        const { end } = walkThrough(list, {
          options: front,
          mirror,
          crash: 0.4,
          between: (requests) => {
            if (requests < 12 && list.random() < 0.5) list.insert();
          },
        });
        const missed = [...list.rows.keys()].filter((id) => !mirror.has(id));
        // Only what arrived after the last look at the front may be open; the next pass finds it there.
        walkThrough(list, { options: front, mirror });
        const lost = [...list.rows.keys()].filter((id) => !mirror.has(id));
        if (end.kind !== 'complete' || missed.length >= 12 || lost.length > 0) {
          faults.push({ seed, end: end.kind, missed: missed.length, lost });
        }
      }
      expect(faults).toEqual([]);
    });

    it.each(['oldest', 'arbitrary', 'update'] as const)(
      'is not trusted when the list is in another order: %s',
      (order) => {
        const list = filled(2, { order, manner: 'v2' }, 200);
        if (order === 'update') for (let i = 0; i < 300; i++) list.touch(list.pick() ?? '');
        const { end } = walkThrough(list, { options: front, mirror: new Set(list.rows.keys()) });
        expect(end).toMatchObject({ kind: 'gave_up', reason: expect.stringContaining('not sorted by creation') });
      },
    );
  });
}
