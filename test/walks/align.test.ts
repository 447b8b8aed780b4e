import { describe, expect, it } from '@jest/globals';
import { alignPage } from '../../src/walks/align.ts';
import fc from '../helpers/property.ts';

describe('an aligned page', () => {
  const place = { start: fc.integer({ min: 0, max: 10_000_000 }), maxLimit: fc.integer({ min: 1, max: 120 }) };

  it('begins at a multiple of its limit, holds the row it has to begin with, and goes on behind it', () => {
    fc.assert(
      fc.property(fc.record(place), ({ start, maxLimit }) => {
        const { offset, limit } = alignPage(start, maxLimit);
        return offset % limit === 0 && offset <= start && offset + limit > start + 1;
      }),
      { numRuns: 2_000 },
    );
  });

  it('keeps to the largest limit wherever one of the allowed goes on', () => {
    const starts = Array.from({ length: 20_000 }, (_, start) => start);
    const larger = [15, 40, 100, 115].flatMap((maxLimit) =>
      starts.filter((start) => alignPage(start, maxLimit).limit > maxLimit).map((start) => ({ start, maxLimit })),
    );
    expect(larger).toEqual([]);
  });

  it.each([
    [419, 7, 8],
    [2519, 10, 11],
  ])(
    'is a little larger where each allowed limit divides the place behind: %i, at most %i',
    (start, maxLimit, limit) => {
      expect(alignPage(start, maxLimit)).toEqual({ offset: Math.floor(start / limit) * limit, limit });
    },
  );
});
