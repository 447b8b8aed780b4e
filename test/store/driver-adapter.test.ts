import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { bindBytes } from '../../src/store/driver-adapter.ts';
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

    const inside = await bindBytes(Buffer.from(text), (reference) =>
      prisma.$transaction((tx) => tx.$queryRawUnsafe<{ value: string }[]>('select $1::text as value', reference)),
    );
    const outside = await bindBytes(Buffer.from(text), (reference) =>
      prisma.$queryRawUnsafe<{ value: string }[]>('select $1::text as value', reference),
    );

    expect(inside[0]?.value === text).toBe(true);
    expect(outside[0]?.value === text).toBe(true);
  });

  it('does not mix up two at a time', async () => {
    const { prisma } = database;
    const answers = await Promise.all(
      ['one', 'two', 'three'].map((word) =>
        bindBytes(Buffer.from(word), (reference) =>
          prisma.$queryRawUnsafe<{ value: string }[]>('select $1::text as value', reference),
        ),
      ),
    );

    expect(answers.map(([row]) => row?.value)).toEqual(['one', 'two', 'three']);
  });

  it('stands for nothing afterwards, also when the work failed', async () => {
    const { prisma } = database;
    let kept = '';
    const failing = bindBytes(Buffer.from('text'), async (reference) => {
      kept = reference;
      throw new Error('broken');
    });

    await expect(failing).rejects.toThrow('broken');
    expect(await prisma.$queryRaw`select ${kept}::text as value`).toEqual([{ value: kept }]);
  });

  it('is released afterwards, though Prisma keeps the parameters of its last statements', async () => {
    const { prisma } = database;
    const megabytes = 8;
    v8.setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    collect();
    const before = process.memoryUsage().arrayBuffers;
    for (let page = 0; page < 20; page++) {
      const large = Buffer.alloc(megabytes * 2 ** 20, `${page}`);
      await bindBytes(large, (reference) => prisma.$queryRawUnsafe('select length($1::text)', reference));
    }
    collect();
    expect(process.memoryUsage().arrayBuffers / 2 ** 20).toBeLessThan(before / 2 ** 20 + 4 * megabytes);
  });
});
