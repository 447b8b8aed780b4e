import { createHmac } from 'node:crypto';
import { expect, it } from '@jest/globals';
import type { PrismaClient } from '../../src/generated/prisma/client.ts';
import { createMarkHash, hashMark } from '../../src/store/privacy/marks.ts';
import { StoredSuppressions } from '../../src/store/privacy/suppressions.ts';
import fc from '../helpers/property.ts';

const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.nat(200).map((n) => 'x'.repeat(n)),
);
const keys = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));

it('marks are hashed one after the other as each alone: HMAC-SHA256, 128 bits of it', () => {
  const property = fc.property(keys, fc.array(texts, { maxLength: 20 }), (key, all) => {
    const expected = all.map((text) => createHmac('sha256', key).update(text).digest().subarray(0, 16));
    expect(all.map(createMarkHash(key))).toEqual(expected);
    expect(all.map((text) => hashMark(key, text))).toEqual(expected);
  });
  fc.assert(property, { numRuns: 300 });
});

it('the list has exactly the marks that are suppressed', () => {
  const property = fc.property(keys, fc.uniqueArray(texts, { maxLength: 300 }), fc.nat(300), (key, all, count) => {
    const own = all.slice(0, count);
    const hashes = Buffer.concat(own.map((mark) => hashMark(key, mark)).sort(Buffer.compare));
    const list = new StoredSuppressions({} as PrismaClient, { connectionId: 'any', key, hashes });
    expect(list.isEmpty).toBe(own.length === 0);
    expect(all.filter((mark) => list.has(mark))).toEqual(own);
  });
  fc.assert(property, { numRuns: 100 });
});
