import { describe, expect, it } from '@jest/globals';
import { decodeCursor, encodeCursor } from '../../src/sync/cursor.ts';
import fc from '../helpers/property.ts';

const walk = fc.dictionary(fc.string(), fc.jsonValue()).map((state) => JSON.parse(JSON.stringify(state)));

describe('a cursor', () => {
  it('comes back from the checkpoint as it was', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), walk, (listId, kind, state) => {
        const stored: unknown = JSON.parse(JSON.stringify(encodeCursor({ listId, kind, walk: state })));
        expect(decodeCursor(stored)).toEqual({ listId, kind, walk: state });
      }),
    );
  });

  it('of garbage is none: the walk begins again instead of being misread', () => {
    fc.assert(
      fc.property(fc.anything(), (garbage) => {
        expect(decodeCursor(garbage)).toBeNull();
      }),
    );
  });

  it.each([
    ['an older version', { version: 1 }],
    ['a newer version', { version: 99 }],
    ['no version', { version: undefined }],
    ['no list', { list: undefined }],
    ['a list that is no name', { list: 100 }],
    ['no kind', { kind: undefined }],
    ['no walk', { walk: null }],
    ['a walk that is a word', { walk: 'all' }],
    ['a walk that is a list', { walk: [] }],
  ])('with %s is none', (_, change) => {
    const whole = encodeCursor({ listId: 'all', kind: 'snapshot', walk: { start: 0 } }) as object;
    expect(decodeCursor(whole)).not.toBeNull();
    expect(decodeCursor({ ...whole, ...change })).toBeNull();
  });
});
