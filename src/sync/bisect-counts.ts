import type { ListWindow } from '../stream.ts';

/**
 * Finds the windows of creation time in which two counts differ, by counting as few windows as possible. Pure: the rows
 * of the mirror are known at every border, the upstream's are asked for. Of each window one half is counted; what the
 * other half differs by is the rest.
 *
 * Both ends of a window belong to it, so a row at the border of two halves would be counted in both. No border has one.
 */
export interface Border {
  /** A whole second (ms since 1970). */
  readonly at: number;
  /** Rows of the mirror up to then; none at this very instant. */
  readonly rows: number;
}

/** From one border to another, by their numbers; -1: open. `difference`: rows upstream less rows of the mirror. */
type Part = { readonly from: number; readonly to: number; readonly difference: number };

export interface Bisection {
  readonly borders: readonly Border[];
  /** Differ, and are still to be divided. */
  readonly open: readonly Part[];
  /** Differ, and lie between neighbouring borders. */
  readonly found: readonly Part[];
}

/** Everything up to the last border differs by so many rows. */
export function startBisection(borders: readonly Border[], difference: number): Bisection {
  return withParts({ borders, open: [], found: [] }, [{ from: -1, to: borders.length - 1, difference }]);
}

const halfOf = ({ from, to }: Part): Part => ({ from, to: (from + to) >> 1, difference: 0 });

/** The window to count next, and the rows of the mirror in it; null: all that differ are found. */
export function nextCount({ borders, open }: Bisection): { readonly window: ListWindow; readonly rows: number } | null {
  const [part] = open;
  if (part === undefined) return null;
  const { from, to } = halfOf(part);
  return { window: windowOf(borders, from, to), rows: rowsBetween(borders, from, to) };
}

/** What comes after the next window was counted. */
export function acceptCount(bisection: Bisection, upstream: number): Bisection {
  const [part, ...rest] = bisection.open;
  if (part === undefined) throw new Error('no window was to be counted');
  const half = halfOf(part);
  const difference = upstream - rowsBetween(bisection.borders, half.from, half.to);
  return withParts({ ...bisection, open: rest }, [
    { ...half, difference },
    { from: half.to, to: part.to, difference: part.difference - difference },
  ]);
}

/** Counts and pages that are needed at least from here on. */
export function leastRequests({ open, found }: Bisection): number {
  const deepest = open.map(({ from, to }) => Math.ceil(Math.log2(to - from)) + PAGES_EACH);
  return deepest.reduce((sum, requests) => sum + requests, found.length * PAGES_EACH);
}

/** A window fits two pages. */
const PAGES_EACH = 2;

/** What is not found yet: rows upstream less rows of the mirror. */
export const openDifference = ({ open }: Bisection): number => open.reduce((sum, part) => sum + part.difference, 0);

/** The windows that differ, oldest first; neighbours as one. */
export function foundWindows({ borders, found }: Bisection): ListWindow[] {
  const joined: Part[] = [];
  for (const part of [...found].sort((a, b) => a.from - b.from)) {
    const last = joined.at(-1);
    if (last?.to === part.from) joined[joined.length - 1] = { ...last, to: part.to };
    else joined.push(part);
  }
  return joined.map(({ from, to }) => windowOf(borders, from, to));
}

function withParts({ borders, open, found }: Bisection, parts: readonly Part[]): Bisection {
  const differing = parts.filter(({ difference }) => difference !== 0);
  return {
    borders,
    open: [...differing.filter(({ from, to }) => to - from > 1), ...open],
    found: [...found, ...differing.filter(({ from, to }) => to - from <= 1)],
  };
}

function windowOf(borders: readonly Border[], from: number, to: number): ListWindow {
  const [first, last] = [borders[from], borders[to]];
  if (last === undefined) throw new Error(`no border ${to}`);
  return { field: 'created_at', ...(first && { fromMs: first.at }), toMs: last.at };
}

function rowsBetween(borders: readonly Border[], from: number, to: number): number {
  return (borders[to]?.rows ?? 0) - (borders[from]?.rows ?? 0);
}

/** Rows that the upstream counts and the mirror cannot hold are expected, too. `at`: when they were created. */
export function withExtras(borders: readonly Border[], extras: readonly { at: number; rows: number }[]): Border[] {
  const upTo = (at: number) => extras.reduce((sum, extra) => (extra.at <= at ? sum + extra.rows : sum), 0);
  return borders.map(({ at, rows }) => ({ at, rows: rows + upTo(at) }));
}
