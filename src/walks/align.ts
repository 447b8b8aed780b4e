/** The smallest limit worth asking for: below it, walks take many requests and gain nothing. */
const MIN_LIMIT = 10;

export interface Alignment {
  readonly offset: number;
  readonly limit: number;
}

/**
 * The page that starts at or before `start` and ends furthest, for servers that only know page × limit: about 14 % more
 * requests than free offsets would need.
 */
export function alignPage(start: number, maxLimit: number): Alignment {
  let best: Alignment = { offset: 0, limit: maxLimit };
  const minLimit = Math.max(1, Math.min(MIN_LIMIT, Math.floor(maxLimit / 2)));
  for (let limit = maxLimit; limit >= minLimit; limit--) {
    const offset = Math.floor(start / limit) * limit;
    if (offset + limit > best.offset + best.limit) best = { offset, limit };
  }
  // All small limits may divide the position behind `start` (420), and no page goes on there: the next larger does.
  for (let limit = maxLimit + 1; best.offset + best.limit <= start + 1; limit++) {
    best = { offset: Math.floor(start / limit) * limit, limit };
  }
  return best;
}

/** The smallest page above the usual size from `start` or before to at least `gain` rows beyond `reach`; null: none. */
export function alignWidePage(options: {
  start: number;
  reach: number;
  gain: number;
  usualLimit: number;
  wideLimit: number;
}): Alignment | null {
  const { start, reach, gain, usualLimit, wideLimit } = options;
  for (let limit = usualLimit + 1; limit <= wideLimit; limit++) {
    const offset = Math.floor(start / limit) * limit;
    if (offset + limit >= reach + gain) return { offset, limit };
  }
  return null;
}
