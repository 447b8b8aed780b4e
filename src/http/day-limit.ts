import type { Lane } from '../stream.ts';

export interface DayUse {
  readonly requests: number;
  readonly endsAt: number;
}

/** The limit of a day, for an account whose plan counts its requests. */
export interface DayLimit {
  readonly requests: number;
  readonly endOf: (nowMs: number) => number;
}

/** The rest of the day is for changes. */
const BULK_SHARE = 0.8;

export const useNow = (use: DayUse | null, { endOf }: DayLimit, now: number): DayUse =>
  use !== null && use.endsAt > now ? use : { requests: 0, endsAt: endOf(now) };

export const isUsedUp = (use: DayUse, limit: DayLimit, lane: Lane): boolean =>
  use.requests >= (lane === 'bulk' ? Math.ceil(limit.requests * BULK_SHARE) : limit.requests);
