import { DAY_SLOTS, type RunGroup } from '../store/reports/run-history.ts';

/** How a half hour went, from nothing to bad. */
export type SlotMark = 'none' | 'good' | 'waiting' | 'partial' | 'failed';

const RANK: readonly SlotMark[] = ['none', 'good', 'waiting', 'partial', 'failed'];
const MARK_OF: Readonly<Record<string, SlotMark>> = {
  succeeded: 'good',
  postponed: 'waiting',
  partial: 'partial',
  failed: 'failed',
};

/** The last 24 hours of a stream: what its runs came to, and each half hour's worst. */
export interface Day {
  readonly runs: number;
  readonly failed: number;
  readonly partial: number;
  readonly postponed: number;
  /** Rows created, updated and deleted. */
  readonly changes: number;
  /** Oldest first. */
  readonly slots: readonly SlotMark[];
}

export const EMPTY_DAY: Day = {
  ...{ runs: 0, failed: 0, partial: 0, postponed: 0, changes: 0 },
  slots: Array.from({ length: DAY_SLOTS }, () => 'none' as const),
};

/** Pure: the groups of one stream to its day. */
export function summarizeDay(groups: readonly RunGroup[]): Day {
  const worst = new Array<number>(DAY_SLOTS).fill(0);
  const day = { runs: 0, failed: 0, partial: 0, postponed: 0, changes: 0 };
  for (const { outcome, from_slot, to_slot, runs, changes } of groups) {
    day.runs += runs;
    day.changes += changes;
    if (outcome === 'failed' || outcome === 'partial' || outcome === 'postponed') day[outcome] += runs;
    const rank = RANK.indexOf(MARK_OF[outcome] ?? 'none');
    const last = DAY_SLOTS - 1;
    for (let back = Math.max(0, to_slot); back <= Math.min(last, from_slot); back++) {
      worst[last - back] = Math.max(worst[last - back] ?? 0, rank);
    }
  }
  return { ...day, slots: worst.map((rank) => RANK[rank] ?? 'none') };
}
