import { readFileSync } from 'node:fs';

export interface Recipe {
  readonly question: string;
  readonly sql: string;
}

/** Returns the questions of docs/sql.md with their SQL; none where the guide is not installed. */
export function readRecipes(): readonly Recipe[] {
  const text = readGuide();
  return [...text.matchAll(/^### \d+\. (.+)\n\n```sql\n([\s\S]+?)\n```$/gm)].map(([, question = '', sql = '']) => ({
    question,
    sql,
  }));
}

/** From the sources and from `dist/` alike. */
function readGuide(): string {
  for (const path of ['../../docs/sql.md', '../../../docs/sql.md']) {
    try {
      return readFileSync(new URL(path, import.meta.url), 'utf8');
    } catch {
      // Not at this depth.
    }
  }
  return '';
}
