import type { Row } from '../../stream.ts';

/** What Postgres refuses in text and jsonb: NUL and lone surrogates. JSON.stringify writes both as escapes. */
const SUSPECT = /\\u(?:0000|[dD][89a-fA-F])/;
const REPLACEMENT = '\uFFFD';

/**
 * A page of rows as the JSON text that the upsert takes. Characters that Postgres cannot store become U+FFFD and the
 * row is marked `text_repaired`, so that one odd message does not keep a whole page out.
 */
export function encodeRows(rows: readonly Row[]): string {
  const text = JSON.stringify(rows.map(withoutNulls));
  if (!SUSPECT.test(text)) return text;
  return JSON.stringify(
    rows.map((row) => {
      const repaired = repair(row) as Row;
      return { ...repaired, text_repaired: JSON.stringify(repaired) !== JSON.stringify(row) };
    }),
  );
}

/** An absent column is null to Postgres; half of a row's columns often are, and a tenth of the text. */
function withoutNulls(row: Row): Partial<Row> {
  const lean: Record<string, unknown> = {};
  for (const name in row) if (row[name] !== null) lean[name] = row[name];
  return lean;
}

/** With every unstorable character replaced, in keys too. Loops: callbacks would double the depth of the stack. */
function repair(value: unknown): unknown {
  if (typeof value === 'string') return repairText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const copy: unknown[] = [];
    for (const entry of value) copy.push(repair(entry));
    return copy;
  }
  const entries: [string, unknown][] = [];
  for (const [key, inner] of Object.entries(value)) entries.push([repairText(key), repair(inner)]);
  return Object.fromEntries(entries);
}

export function repairText(text: string): string {
  // Seven times as fast as `replaceAll` where there are millions.
  return text.toWellFormed().split('\0').join(REPLACEMENT);
}
