import { DAY_SLOTS, type RunGroup } from '../store/reports/run-history.ts';

/** How a half hour went, from nothing to bad, and the outcome of a run that makes it so. */
const MARKS = { none: null, good: 'succeeded', waiting: 'postponed', partial: 'partial', failed: 'failed' } as const;

export type SlotMark = keyof typeof MARKS;
const RANKED = Object.keys(MARKS) as SlotMark[];

/** The last 24 hours of a stream: what its runs came to, and each half hour's worst. */
export interface DayFacts {
  readonly runs: number;
  readonly failed: number;
  readonly partial: number;
  readonly postponed: number;
  /** Rows created, updated and deleted. */
  readonly changes: number;
  /** 48 half hours, oldest first, each with the worst outcome of its runs. */
  readonly slots: readonly SlotMark[];
}

/** Pure: the groups of one stream to its day. */
export function summarizeDay(groups: readonly RunGroup[]): DayFacts {
  const worst = new Array<number>(DAY_SLOTS).fill(0);
  const day = { runs: 0, failed: 0, partial: 0, postponed: 0, changes: 0 };
  for (const { outcome, from_slot, to_slot, runs, changes } of groups) {
    day.runs += runs;
    day.changes += changes;
    if (outcome === 'failed' || outcome === 'partial' || outcome === 'postponed') day[outcome] += runs;
    const rank = RANKED.findIndex((mark) => MARKS[mark] === outcome);
    const last = DAY_SLOTS - 1;
    for (let back = Math.max(0, to_slot); back <= Math.min(last, from_slot); back++) {
      worst[last - back] = Math.max(worst[last - back] ?? 0, rank);
    }
  }
  return { ...day, slots: worst.map((rank) => RANKED[rank] ?? 'none') };
}
