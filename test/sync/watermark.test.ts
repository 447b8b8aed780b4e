import { describe, expect, it } from '@jest/globals';
import type { Watermarks } from '../../src/store/engine/leases.ts';
import type { ListPage } from '../../src/stream.ts';
import { advanceWatermark, seedWatermark, stopBefore } from '../../src/sync/watermark.ts';
import { createStitchWalk } from '../../src/walks/stitch.ts';
import fc from '../helpers/property.ts';

const T0 = Date.UTC(2026, 0, 1);
const LOOKBACK = 300_000;
const iso = (ms: number): string => new Date(ms).toISOString();
const at = (watermarks: Watermarks | null, list: string): number => Date.parse(watermarks?.[list] ?? '');

/** One answer of a list, newest change first, that is its end as well. */
function page(updates: readonly number[], serverTime: number | null): ListPage {
  const sorted = [...updates].sort((one, other) => other - one);
  const entries = sorted.map((updatedAt, index) => ({ id: String(index), createdAt: updatedAt, updatedAt }));
  return { records: entries, entries, pageSize: 100, total: entries.length, serverTime };
}

/** What one finished pass over that answer makes of the watermark, as the engine does it. */
function walk(before: Watermarks | null, list: string, answer: ListPage): Watermarks {
  const stitch = createStitchWalk({ sort: 'updated_at', pageSize: 100, stopBefore: null, ties: { kind: 'none' } });
  const state = stitch.start();
  const step = stitch.accept(state, stitch.next(state), answer);
  expect(step.end).toEqual({ kind: 'complete' });
  return advanceWatermark(before, list, stitch.beginning(step.state).newest);
}

describe('the watermark', () => {
  const offset = fc.integer({ min: -100_000, max: 100_000 });
  const pass = fc.record({
    list: fc.constantFrom('all', '100', '50'),
    passed: fc.integer({ min: 0, max: 50_000 }),
    // Stamps before and after the server's own clock: an upstream's clocks differ among themselves.
    updates: fc.array(offset, { maxLength: 6 }),
  });

  it('never goes back, and never beyond the server’s clock, whatever stamps the rows carry', () => {
    fc.assert(
      fc.property(fc.array(pass, { maxLength: 12 }), (passes) => {
        let watermarks: Watermarks | null = null;
        let serverTime = T0;
        for (const { list, passed, updates } of passes) {
          serverTime += passed;
          const before: Watermarks | null = watermarks;
          watermarks = walk(
            before,
            list,
            page(
              updates.map((ms) => serverTime + ms),
              serverTime,
            ),
          );
          for (const known of Object.keys(before ?? {})) {
            expect(at(watermarks, known)).toBeGreaterThanOrEqual(at(before, known));
            if (known !== list) expect(at(watermarks, known)).toBe(at(before, known));
          }
          for (const value of Object.values(watermarks)) expect(Date.parse(value)).toBeLessThanOrEqual(serverTime);
        }
      }),
    );
  });

  it('is the newest change of the first page, to the millisecond', () => {
    expect(walk(null, 'all', page([T0 - 5, T0 - 1, T0 - 9], T0))).toEqual({ all: iso(T0 - 1) });
  });

  it('stays when nothing is there, and when nothing is newer', () => {
    const before = { all: iso(T0) };
    expect(walk(before, 'all', page([], T0 + 1000))).toBe(before);
    expect(advanceWatermark(before, 'all', T0)).toBe(before);
    expect(advanceWatermark(before, 'all', T0 - 1)).toBe(before);
    expect(advanceWatermark(null, 'all', null)).toEqual({});
  });

  it('leaves the value it was given as it is', () => {
    const before = Object.freeze({ all: iso(T0) });
    expect(advanceWatermark(before, '50', T0 + 1)).toEqual({ all: iso(T0), '50': iso(T0 + 1) });
    expect(before).toEqual({ all: iso(T0) });
  });

  it('is seeded with the newest change, never later than the server’s clock; for an empty list with that clock', () => {
    fc.assert(
      fc.property(fc.option(offset), fc.option(offset), (newest, server) => {
        const seeded = seedWatermark(newest, server);
        if (server !== null && seeded !== null) expect(seeded).toBeLessThanOrEqual(server);
        if (newest !== null && seeded !== null) expect(seeded).toBeLessThanOrEqual(newest);
        expect(seeded === null).toBe(newest === null && server === null);
        expect([newest, server]).toContain(seeded);
      }),
    );
  });
});

describe('an incremental pass reads back', () => {
  const stop = (watermark: Watermarks | null, walkedAt: Watermarks | null, list = 'all') =>
    stopBefore({ watermark, walkedAt }, list, LOOKBACK);

  it('to the end where nothing is known', () => {
    expect(stop(null, null)).toBeNull();
    expect(stop({}, {})).toBeNull();
  });

  it.each([
    ['it was not read since', null],
    ['it was read only just after', { all: iso(T0 + LOOKBACK - 1) }],
    ['another list was read since', { '100': iso(T0 + 10 * LOOKBACK) }],
  ])('a whole lookback before the watermark while %s', (_, walkedAt) => {
    expect(stop({ all: iso(T0) }, walkedAt)).toBe(T0 - LOOKBACK);
  });

  it.each([[LOOKBACK], [LOOKBACK + 1], [100 * LOOKBACK]])(
    'only what is newer, once the list was read %s ms after its watermark',
    (later) => {
      expect(stop({ all: iso(T0) }, { all: iso(T0 + later) })).toBe(T0 + 1);
    },
  );

  it('from the oldest watermark of all for a list that is new, settled or not', () => {
    const watermark = { '100': iso(T0 + 5000), '50': iso(T0), '1000': iso(T0 + 9000) };
    const walkedAt = { '100': iso(T0 + 1e9), '50': iso(T0 + 1e9), '1000': iso(T0 + 1e9), all: iso(T0 + 1e9) };
    expect(stop(watermark, walkedAt)).toBe(T0 - LOOKBACK);
  });

  it('for a list that was joined with others, from where they all were', () => {
    expect(stop({ all: iso(T0) }, null, '1000')).toBe(T0 - LOOKBACK);
  });

  it('never beyond the watermark of its list: no row newer than that is left out', () => {
    const time = fc.integer({ min: T0, max: T0 + 1e9 }).map(iso);
    const lists = fc.dictionary(fc.constantFrom('all', '100', '50', '1000'), time);
    fc.assert(
      fc.property(lists, lists, fc.constantFrom('all', '100'), fc.nat(1e6), (watermark, walkedAt, list, lookbackMs) => {
        const before = stopBefore({ watermark, walkedAt }, list, lookbackMs);
        const own = watermark[list];
        const oldest = Math.min(...Object.values(watermark).map((value) => Date.parse(value)));
        if (before === null) expect(watermark).toEqual({});
        else if (own !== undefined) expect(before).toBeLessThanOrEqual(Date.parse(own) + 1);
        else expect(before).toBe(oldest - lookbackMs);
      }),
    );
  });
});
