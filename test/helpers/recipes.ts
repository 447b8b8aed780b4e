import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Recipe {
  readonly number: number;
  readonly question: string;
  readonly sql: string;
}

/** The questions of docs/sql.md with their SQL, as people read them. */
export function readRecipes(): Recipe[] {
  const text = readFileSync(join(findRoot(), 'docs/sql.md'), 'utf8');
  return [...text.matchAll(/^### (\d+)\. (.+)\n\n```sql\n([\s\S]+?);\n```$/gm)].map(([, number, question, sql]) => ({
    number: Number(number),
    question: question ?? '',
    sql: sql ?? '',
  }));
}

/** From the sources and from `dist/` alike. */
export function findRoot(): string {
  for (let dir = dirname(fileURLToPath(import.meta.url)); ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'docs/sql.md'))) return dir;
    if (dir === dirname(dir)) throw new Error('docs/sql.md not found');
  }
}
