import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { LargeTexts, lendText } from '../../src/store/large-texts.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

describe('a large parameter by reference', () => {
  let test: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    test = await createTestDatabase();
    database = createDatabase({ url: test.url, logger: unheardLogger() });
  });
  afterAll(async () => {
    await database.close();
    await test.drop();
  });

  const text = JSON.stringify({ text: '"quotes", ünïcode, 😀 '.repeat(10_000) });

  it('reaches the database whole, inside a transaction and outside', async () => {
    const { prisma } = database;

    const inside = await lendText(prisma, text, (reference) =>
      prisma.$transaction((tx) => tx.$queryRawUnsafe<{ value: string }[]>('select $1::text as value', reference)),
    );
    const outside = await lendText(prisma, text, (reference) =>
      prisma.$queryRawUnsafe<{ value: string }[]>('select $1::text as value', reference),
    );

    expect(inside[0]?.value === text).toBe(true);
    expect(outside[0]?.value === text).toBe(true);
  });

  it('does not mix up two at a time', async () => {
    const { prisma } = database;
    const answers = await Promise.all(
      ['one', 'two', 'three'].map((word) =>
        lendText(prisma, word, (reference) =>
          prisma.$queryRawUnsafe<{ value: string }[]>('select $1::text as value', reference),
        ),
      ),
    );

    expect(answers.map(([row]) => row?.value)).toEqual(['one', 'two', 'three']);
  });

  it('is forgotten afterwards, also when the work failed', async () => {
    const texts = new LargeTexts();
    let reference = '';
    const failing = texts.lend('text', async (lent) => {
      reference = lent;
      expect(texts.resolve({ sql: '', args: [lent, 1], argTypes: [] }).args).toEqual(['text', 1]);
      throw new Error('broken');
    });

    await expect(failing).rejects.toThrow('broken');
    expect(texts.resolve({ sql: '', args: [reference], argTypes: [] }).args).toEqual([reference]);
  });
});
