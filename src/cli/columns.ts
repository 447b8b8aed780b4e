import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';

export interface TextColumn<T> {
  readonly head: string;
  readonly cell: (row: T) => string;
  readonly align?: 'right';
  /** On a narrow screen columns are left out, the highest number first; without one the column stays. */
  readonly yields?: number;
  /** What stays and is still too wide is cut to so many characters. */
  readonly atLeast?: number;
}

const GAP = 2;
/** No frame: columns set off by spaces, readable in a pipe. */
const FRAME_PARTS = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
const BARE = Object.fromEntries(
  [...FRAME_PARTS, 'left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'].map((part) => [part, '']),
);

/** Lines of a table no wider than `width`: what matters least is left out, then long names are cut. */
export function layOut<T>(columns: readonly TextColumn<T>[], rows: readonly T[], width: number): string[] {
  const all = columns.map((column) => {
    const cells = rows.map(column.cell);
    const needs = Math.max(...[column.head, ...cells].map((text) => stripVTControlCharacters(text).length));
    return { column, cells, width: needs };
  });
  let shown = all;
  const excess = () => shown.reduce((sum, each) => sum + each.width + GAP, -GAP) - width;
  while (excess() > 0) {
    const least = Math.max(...shown.map(({ column }) => column.yields ?? 0));
    if (least === 0) break;
    shown = shown.filter(({ column }) => column.yields !== least);
  }
  let isCut = false;
  for (const each of shown) {
    const { atLeast } = each.column;
    if (excess() <= 0 || atLeast === undefined) continue;
    each.width = Math.max(atLeast, each.width - excess());
    isCut = true;
  }
  const table = new Table({
    head: shown.map(({ column }) => column.head),
    // Only where a cell is cut: otherwise the library knows the width of every script.
    ...(isCut && { colWidths: shown.map((each) => each.width) }),
    colAligns: shown.map(({ column }) => column.align ?? 'left'),
    chars: { ...BARE, middle: ' '.repeat(GAP) },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const index of rows.keys()) table.push(shown.map(({ cells }) => cells[index] ?? ''));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

export function formatTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const columns = head.map((name, index) => ({
    head: name,
    cell: (row: readonly (string | number)[]) => String(row[index] ?? ''),
  }));
  return layOut(columns, rows, Number.POSITIVE_INFINITY).join('\n');
}
