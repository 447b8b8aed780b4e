import { DAY_SLOTS, type RunGroup, SLOT_MINUTES } from '../store/reports/run-history.ts';
import { count, counted, duration } from './view/format.ts';
import { type Html, html } from './view/html.ts';

/** How a half hour went, from nothing to bad. A bar is taller for a worse outcome: the strip is read without colours. */
const MARKS = {
  none: { outcome: null, height: 2 },
  good: { outcome: 'succeeded', height: 7 },
  waiting: { outcome: 'postponed', height: 11 },
  partial: { outcome: 'partial', height: 15 },
  failed: { outcome: 'failed', height: 20 },
} as const;

export type SlotMark = keyof typeof MARKS;
const RANKED = Object.keys(MARKS) as SlotMark[];

export type DayFacts = ReturnType<typeof summarizeDay>;

/** The last 24 hours of a stream: what its runs came to, and of each half hour, oldest first, the worst outcome. */
export function summarizeDay(groups: readonly RunGroup[]) {
  const worst = new Array<number>(DAY_SLOTS).fill(0);
  const day = { runs: 0, failed: 0, partial: 0, postponed: 0, changes: 0 };
  for (const { outcome, slots, runs, changes } of groups) {
    day.runs += runs;
    day.changes += changes;
    if (outcome === 'failed' || outcome === 'partial' || outcome === 'postponed') day[outcome] += runs;
    const rank = RANKED.findIndex((mark) => MARKS[mark].outcome === outcome);
    for (const [index, bit] of [...slots.toString(2).padStart(DAY_SLOTS, '0')].entries()) {
      if (bit === '1') worst[index] = Math.max(worst[index] ?? 0, rank);
    }
  }
  return { ...day, slots: worst.map((rank): SlotMark => RANKED[rank] ?? 'none') };
}

const WIDTH = 4;
const HEIGHT = 20;

/** The last 24 hours of a stream, a bar for each half hour, the newest at the right. */
export function dayStrip(day: DayFacts): Html {
  const paths = RANKED.map((mark) => {
    const { height } = MARKS[mark];
    const bars = day.slots
      .map((slot, index) =>
        slot === mark ? `M${index * WIDTH} ${HEIGHT - height}h${WIDTH - 1}v${height}h-${WIDTH - 1}z` : '',
      )
      .join('');
    return bars === '' ? null : html`<path class="slot is-${mark}" d="${bars}"/>`;
  });
  const box = `0 0 ${day.slots.length * WIDTH} ${HEIGHT}`;
  return html`<svg class="strip" viewBox="${box}" preserveAspectRatio="none" role="img" aria-label="${describeDay(day)}"><title>${describeDay(day)}</title>${paths}</svg>`;
}

export function describeDay(day: DayFacts): string {
  if (day.runs === 0) return 'Last 24 hours: no run';
  const parts = [counted(day.runs, 'run')];
  if (day.failed > 0) parts.push(`${count(day.failed)} failed${lastOf(day, 'failed')}`);
  if (day.partial > 0) parts.push(`${count(day.partial)} partial${lastOf(day, 'partial')}`);
  if (day.postponed > 0) parts.push(`${count(day.postponed)} postponed`);
  if (day.failed + day.partial + day.postponed === 0) parts.push('all succeeded');
  return `Last 24 hours: ${parts.join(', ')}; ${counted(day.changes, 'row')} changed`;
}

/** A slot shows its worst run only: a failed one may hide a partial one. Empty where the slots show nothing. */
function lastOf(day: DayFacts, mark: 'failed' | 'partial'): string {
  const at = day.slots.findLastIndex((slot) => slot === mark || (mark === 'partial' && slot === 'failed'));
  const back = day.slots.length - 1 - at;
  if (at < 0) return '';
  return back === 0 ? ' (last within half an hour)' : ` (last about ${duration(back * SLOT_MINUTES * 60)} ago)`;
}
