import { SLOT_MINUTES } from '../../store/reports/run-history.ts';
import type { DayFacts } from '../day-strip.ts';
import { type Html, html } from './html.ts';
import { count, counted } from './words.ts';

/** Worse is taller: the strip can be read without its colours. */
const HEIGHTS: Readonly<Record<string, number>> = { none: 2, good: 7, waiting: 11, partial: 15, failed: 20 };
const WIDTH = 4;
const HEIGHT = 20;

/** The last 24 hours of a stream, a bar for each half hour, the newest at the right. */
export function dayStrip(day: DayFacts): Html {
  const paths = Object.keys(HEIGHTS).map((mark) => {
    const height = HEIGHTS[mark] ?? 0;
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
  if (day.postponed > 0) parts.push(`${count(day.postponed)} put off`);
  if (day.failed + day.partial + day.postponed === 0) parts.push('all succeeded');
  return `Last 24 hours: ${parts.join(', ')}; ${counted(day.changes, 'row')} changed`;
}

/** A slot shows its worst run only: one that failed may hide one that was partial. Empty where the slots do not tell. */
function lastOf(day: DayFacts, mark: 'failed' | 'partial'): string {
  const at = day.slots.findLastIndex((slot) => slot === mark || (mark === 'partial' && slot === 'failed'));
  if (at < 0) return '';
  return ` (last ${agoOf(day.slots.length - 1 - at)})`;
}

function agoOf(back: number): string {
  const minutes = back * SLOT_MINUTES;
  if (minutes < SLOT_MINUTES) return 'within half an hour';
  return minutes < 90 ? `about ${minutes} min ago` : `about ${Math.round(minutes / 60)} h ago`;
}
