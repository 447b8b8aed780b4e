import type { Row } from '../../stream.ts';

/** What Postgres refuses in text and jsonb: NUL and lone surrogates. JSON.stringify writes both as escapes. */
const SUSPECT = /\\u(?:0000|[dD][89a-fA-F])/;
const REPLACEMENT = '\uFFFD';

/** Before the text of a jsonb value in binary form. */
const JSONB_VERSION = 1;
const OPENING = Buffer.from([JSONB_VERSION, '['.charCodeAt(0)]);
const COMMA = Buffer.from(',');
const CLOSING = Buffer.from(']');

/**
 * A page of rows as the jsonb array that the upsert takes, in Postgres' binary form. Characters that Postgres cannot
 * store become U+FFFD and the row is marked `text_repaired`, so that one odd message does not keep a whole page out.
 *
 * Bytes, and row by row: the text of a whole page stays on V8's heap until a full collection, which took 70 MB more for
 * 100,000 leads.
 */
export function encodeRows(rows: readonly Row[]): Buffer {
  return arrayOf(
    rows.map((row) => {
      const text = JSON.stringify(withoutNulls(row));
      return Buffer.from(SUSPECT.test(text) ? JSON.stringify(repairRow(row)) : text);
    }),
  );
}

export const decodeRows = (json: Buffer): Row[] => JSON.parse(json.toString('utf8', 1)) as Row[];

/** Several encoded pages, none of them empty, as one. */
export function joinRows(pages: readonly Buffer[]): Buffer {
  return arrayOf(pages.map((json) => json.subarray(OPENING.length, -CLOSING.length)));
}

function arrayOf(members: readonly Buffer[]): Buffer {
  return Buffer.concat([OPENING, ...members.flatMap((member, at) => (at === 0 ? member : [COMMA, member])), CLOSING]);
}

function repairRow(row: Row): Row {
  const repaired = repair(row) as Row;
  return { ...repaired, text_repaired: JSON.stringify(repaired) !== JSON.stringify(row) };
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
