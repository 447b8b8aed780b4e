import { describe, expect, it } from '@jest/globals';
import type { Row, Stream } from '../../src/stream.ts';
import { findDrift, ODD_NAME } from '../../src/sync/drift.ts';

const FIELDS = { id: ['string'], tags: ['array'], count: ['number', 'string'] } as const;

function drift(texts: readonly string[], fields: Stream['fields'] | null = FIELDS) {
  const rows = texts.map((text, index): Row => {
    return { id: String(index), updated_at: null, deleted_at: null, raw: JSON.parse(text) };
  });
  return findDrift((fields === null ? {} : { fields }) as unknown as Stream, rows);
}

describe('the drift of a page', () => {
  it('is nothing where all fields are as they are known, or null, or absent', () => {
    expect(
      drift(['{"id":"a","tags":[],"count":1}', '{"count":"2","tags":null}', '{}', 'null', '7', '[{"x":1}]']),
    ).toEqual([]);
    expect(drift(['{"anything":1}'], null)).toEqual([]);
  });

  it('names each field once, with its types and the records that had it', () => {
    expect(drift(['{"id":7,"tags":{}}', '{"tags":"a","more":null}', '{"more":false}'])).toEqual([
      { path: 'id', kind: 'other_type', types: ['number'], seenCount: 1, recordIds: ['0'] },
      { path: 'tags', kind: 'other_type', types: ['object', 'string'], seenCount: 2, recordIds: ['0', '1'] },
      { path: 'more', kind: 'new_field', types: ['boolean', 'null'], seenCount: 2, recordIds: ['1', '2'] },
    ]);
  });

  it('keeps ten records as examples', () => {
    const [found] = drift(Array.from({ length: 15 }, () => '{"more":1}'));
    expect(found).toMatchObject({ seenCount: 15, recordIds: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'] });
  });

  it.each([
    ['an address', 'someone@example.net'],
    ['a number', '0612345678'],
    ['an id', 'abf6b302cc2a3f9031930512'],
    ['a sentence', 'two words'],
    ['nothing', ''],
    ['a character that is stored nowhere', 'a\\u0000b'],
    ['a long text', 'x'.repeat(65)],
  ])('does not repeat a name that may be data: %s', (_, name) => {
    expect(drift([`{"${name}":1,"${name}2 !":1}`])).toEqual([
      { path: ODD_NAME, kind: 'new_field', types: ['number'], seenCount: 1, recordIds: ['0'] },
    ]);
  });

  it('ends somewhere for an object that is used as a map', () => {
    const names = Array.from({ length: 5000 }, (_, index) => `"name${index}":1`);
    expect(drift([`{${names.join(',')}}`]).length).toBeLessThan(60);
  });

  it('is not misled by names that objects have by themselves', () => {
    const found = drift(['{"__proto__":{"id":1},"constructor":1,"toString":null}']);
    expect(found.map(({ path, types }) => [path, types])).toEqual([
      ['__proto__', ['object']],
      ['constructor', ['number']],
      ['toString', ['null']],
    ]);
  });
});
