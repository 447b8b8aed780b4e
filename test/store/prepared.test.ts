import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createDatabase } from '../../src/store/database.ts';
import { createDatabaseBudget } from '../../src/store/engine/budgets.ts';
import { startPooler } from '../helpers/pooler.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());

/** What is prepared on the only connection after some requests, and how many requests were let through. */
async function prepareOn(url: string) {
  const { prisma, close } = createDatabase({ url, logger: unheardLogger(), maxConnections: 1 });
  try {
    const budget = createDatabaseBudget(prisma, 'account', 60_000);
    const taken = [await budget.take(1000), await budget.take(1000, 'bulk'), await budget.take(1000)];
    const statements = await prisma.$queryRaw<{ name: string }[]>`select name from pg_prepared_statements`;
    return { granted: taken.filter(({ granted }) => granted).length, names: statements.map(({ name }) => name).sort() };
  } finally {
    await close();
  }
}

it('prepares what is asked with every request, on a connection of its own', async () => {
  expect(await prepareOn(test.url)).toEqual({
    granted: 3,
    names: ['leadmirror_budget_read', 'leadmirror_budget_write'],
  });
});

it('prepares nothing behind a pooler, whose next transaction may meet another connection', async () => {
  const pooler = await startPooler(test.url);
  try {
    expect(await prepareOn(pooler.url)).toEqual({ granted: 3, names: [] });
  } finally {
    await pooler.close();
  }
});
