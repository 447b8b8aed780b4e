import { describe, expect, it } from '@jest/globals';
import type { ListPage, MirrorPosition } from '../../src/stream.ts';
import { createFollowWalk, type FollowState } from '../../src/walks/follow.ts';
import fc from '../helpers/property.ts';

const NOW = Date.UTC(2026, 10, 23);

const page = (position: MirrorPosition | null, serverTime = NOW): ListPage => ({
  ...{ records: [], entries: [], pageSize: null, total: null },
  ...{ position, serverTime },
});

/** The rows of the stream that is followed, as the database gives them: one a page. */
function nextOf(
  rows: readonly MirrorPosition[],
  behind: MirrorPosition | null,
  untilMs: number,
): MirrorPosition | null {
  const isBehind = (a: MirrorPosition, b: MirrorPosition) => a.at > b.at || (a.at === b.at && a.id > b.id);
  const left = rows.filter((row) => row.at <= untilMs && (behind === null || isBehind(row, behind)));
  return left.sort((a, b) => (isBehind(a, b) ? 1 : -1))[0] ?? null;
}

function walk(rows: () => readonly MirrorPosition[], from: FollowState, onPage = (_state: FollowState) => {}) {
  const { next, accept, beginning } = createFollowWalk({ fromMs: null });
  const positions: MirrorPosition[] = [];
  for (let state = from; ; ) {
    const query = next(state);
    const position = nextOf(rows(), query.following?.behind ?? null, query.following?.untilMs ?? NOW);
    const step = accept(state, query, page(position));
    if (position !== null) positions.push(position);
    state = step.state;
    onPage(state);
    if (step.end !== null) return { positions, ...beginning(state) };
  }
}

const row = fc.record({
  at: fc.integer({ min: NOW - 20, max: NOW + 5 }),
  id: fc.nat(99).map((number) => String(number).padStart(2, '0')),
});
const rowsOf = fc.uniqueArray(row, { selector: ({ at, id }) => `${at} ${id}` });

describe('a walk that follows another stream', () => {
  it('meets every row that was written until it began once, in order, and ends at the last one', () => {
    fc.assert(
      fc.property(rowsOf, (rows) => {
        const { positions, newest, serverTime } = walk(() => rows, createFollowWalk({ fromMs: null }).start());
        const due = rows.filter(({ at }) => at <= NOW);
        expect(new Set(positions)).toEqual(new Set(due));
        expect(positions).toHaveLength(due.length);
        expect([newest, serverTime]).toEqual([positions.at(-1)?.at ?? null, NOW]);
      }),
    );
  });

  it('stopped after any page and resumed from the stored state, meets the rest', () => {
    fc.assert(
      fc.property(rowsOf, fc.nat(20), (rows, stopAt) => {
        const { start, resume } = createFollowWalk({ fromMs: null });
        let stored: FollowState = start();
        let pages = 0;
        const whole = walk(
          () => rows,
          start(),
          (state) => {
            if (pages++ < stopAt) stored = state;
          },
        );
        const before = Math.min(stopAt, whole.positions.length);
        const rest = walk(() => rows, resume(JSON.parse(JSON.stringify(stored))));
        expect([...whole.positions.slice(0, before), ...rest.positions]).toEqual(whole.positions);
      }),
    );
  });

  it('leaves rows that are written meanwhile to the next walk, which begins right behind the watermark', () => {
    const { start } = createFollowWalk({ fromMs: null });
    const rows = [
      { at: NOW - 2, id: 'a' },
      { at: NOW - 1, id: 'b' },
    ];
    const { positions, newest } = walk(
      () => rows,
      start(),
      () => rows.push({ at: NOW + rows.length, id: 'late' }),
    );
    expect(positions.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(createFollowWalk({ fromMs: newest }).start().behind).toEqual({ at: NOW, id: '' });
  });

  it('has no watermark where it met nothing', () => {
    expect(walk(() => [], createFollowWalk({ fromMs: NOW }).start())).toEqual({
      ...{ positions: [], newest: null, serverTime: NOW },
    });
  });
});
