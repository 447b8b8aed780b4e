import { counted } from '../counted.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { readRecipes } from '../ops/recipes.ts';
import { formatTable } from './columns.ts';
import type { Printer } from './format.ts';

/** The numbers of questions in docs/sql.md that name no date. */
const SHOWN = [1, 3, 14, 21, 23];
const MOST_ROWS = 8;

export async function showQueries(prisma: PrismaClient, print: Printer['print']): Promise<void> {
  const recipes = readRecipes();
  for (const { question, sql } of SHOWN.flatMap((number) => recipes[number - 1] ?? [])) {
    print(`\n${question}\n${sql}\n\n${await query(prisma, sql)}`);
  }
}

export async function query(prisma: PrismaClient, sql: string): Promise<string> {
  const rows = await prisma.$queryRawUnsafe<Record<string, unknown>[]>(sql);
  const [first] = rows;
  if (first === undefined) return '(no rows)';
  const cell = (value: unknown) =>
    value instanceof Date ? value.toISOString().replace('T00:00:00.000Z', '') : String(value ?? '');
  const shown = rows.slice(0, MOST_ROWS).map((row) => Object.values(row).map(cell));
  const more = rows.length - shown.length;
  return `${formatTable(Object.keys(first), shown)}${more > 0 ? `\nand ${counted(more, 'more row')}` : ''}`;
}
