import type { ListWindow } from '../stream.ts';

/** What a stitched walk does with more rows of one key than fit on a page. */
export type TiePolicy =
  /** The server knows larger pages. */
  | { readonly kind: 'wide'; readonly limit: number }
  /** Read that second by id, inside a window from one whole second to the next. */
  | { readonly kind: 'second' }
  /** The same for servers that only know "since this day". */
  | { readonly kind: 'day' }
  | { readonly kind: 'none' };

const DAY_MS = 86_400_000;
const HALF_MS = 0.5;

interface TieWindow {
  readonly window: ListWindow;
  /** The key down to which everything is read once the window is. */
  readonly readDownTo: number;
}

export function tieWindow(field: ListWindow['field'], kind: 'second' | 'day', key: number): TieWindow {
  if (kind === 'second') {
    const second = Math.floor(key / 1000) * 1000;
    return { window: { field, fromMs: second, toMs: second + 1000 }, readDownTo: second - HALF_MS };
  }
  // One day more than claimed: such servers read the day in a time zone of their own.
  const day = Math.floor(key / DAY_MS) * DAY_MS;
  return { window: { field, fromMs: day - DAY_MS }, readDownTo: day - HALF_MS };
}
