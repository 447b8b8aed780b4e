import type { Progress, Watermarks } from '../store/engine/leases.ts';

/**
 * Where an incremental walk of a list may stop (ms): its watermark less the lookback, which catches late and
 * same-instant changes. Null: read to the end.
 *
 * When the list was read a whole lookback after its watermark, nothing late can be left at or before that: then only
 * newer rows matter, and an idle tick costs one request. A new list starts from the oldest known one: not too late.
 */
export function stopBefore(progress: Progress, listId: string, lookbackMs: number): number | null {
  const { watermark, walkedAt } = progress;
  const own = watermark?.[listId];
  if (own !== undefined) {
    const walked = walkedAt?.[listId];
    const isSettled = walked !== undefined && Date.parse(walked) >= Date.parse(own) + lookbackMs;
    return isSettled ? Date.parse(own) + 1 : Date.parse(own) - lookbackMs;
  }
  const known = Object.values(watermark ?? {}).map((iso) => Date.parse(iso));
  return known.length === 0 ? null : Math.min(...known) - lookbackMs;
}

/** The watermarks after a list was read to its stop. Never goes back. */
export function advanceWatermark(watermarks: Watermarks | null, listId: string, newestMs: number | null): Watermarks {
  const before = watermarks ?? {};
  if (newestMs === null) return before;
  const own = before[listId];
  if (own !== undefined && Date.parse(own) >= newestMs) return before;
  return { ...before, [listId]: new Date(newestMs).toISOString() };
}

/** The newest change in the list, but not after the server's clock; for an empty list just that clock. */
export function seedWatermark(newest: number | null, serverTime: number | null): number | null {
  if (newest === null) return serverTime;
  return serverTime === null ? newest : Math.min(newest, serverTime);
}
