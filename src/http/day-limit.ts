import type { Lane } from '../stream.ts';

/** How many requests of one day were granted, and when that day ends (ms). */
export interface DayUse {
  readonly requests: number;
  readonly endsAt: number;
}

/** The limit of a day, for an account whose plan counts its requests. */
export interface DayLimit {
  readonly requests: number;
  /** The end of the day that holds this moment (ms). */
  readonly endOf: (nowMs: number) => number;
}

/** The rest of the day is for changes. */
const BULK_SHARE = 0.8;

/** The use of the day that is now; a new day begins with none. */
export const useNow = (use: DayUse | null, { endOf }: DayLimit, now: number): DayUse =>
  use !== null && use.endsAt > now ? use : { requests: 0, endsAt: endOf(now) };

/** Whether the lane may not send another request in this day. */
export const isUsedUp = (use: DayUse, limit: DayLimit, lane: Lane): boolean =>
  use.requests >= (lane === 'bulk' ? Math.ceil(limit.requests * BULK_SHARE) : limit.requests);
