import { readPackageFile } from '../version.ts';

export interface Recipe {
  readonly question: string;
  readonly sql: string;
}

/** Returns the questions of docs/sql.md with their SQL; none where the guide is not installed. */
export function readRecipes(): readonly Recipe[] {
  const text = readPackageFile('docs/sql.md') ?? '';
  return [...text.matchAll(/^### \d+\. (.+)\n\n```sql\n([\s\S]+?)\n```$/gm)].map(([, question = '', sql = '']) => ({
    question,
    sql,
  }));
}
