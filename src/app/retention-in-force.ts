import type { Config } from '../config.ts';
import { counted } from '../counted.ts';
import { FEED_DAYS } from '../store/mirror/feed.ts';

export interface KeptFor {
  readonly what: string;
  readonly rule: string;
  /** Null: for ever, or as the rule names it. */
  readonly days: number | null;
}

export function retentionInForce({ retention, history, runRetentionDays }: Config): readonly KeptFor[] {
  const { upstreamDeletedDays, quarantine, rules } = retention;
  const daysAfter = (days: number, event: string) => ({ days, rule: `removed ${counted(days, 'day')} after ${event}` });
  return [
    ...rules.map((rule) => ({
      what: rule.do === 'texts' ? `texts in ${rule.stream}` : `rows of ${rule.stream}`,
      days: null,
      rule: `removed ${rule.after} after: ${rule.since.replaceAll('_', ' ')}`,
    })),
    {
      what: rules.length === 0 ? 'rows of the mirror' : 'all other rows of the mirror',
      days: null,
      rule: 'kept as long as the upstream has them',
    },
    {
      what: 'rows that are gone upstream',
      ...(upstreamDeletedDays === null
        ? { days: null, rule: 'kept for ever' }
        : daysAfter(upstreamDeletedDays, 'they were found to be gone')),
    },
    {
      what: 'quarantined texts of records that were written after all',
      ...daysAfter(quarantine.resolvedDays, 'the record was written'),
    },
    { what: 'other quarantined texts', ...daysAfter(quarantine.openDays, 'the record was last seen') },
    {
      what: 'versions of rows (history)',
      days: history.months * 30,
      rule: `removed after ${counted(history.months, 'month')}, by the month`,
    },
    { what: 'feed of changes (ids and names of columns)', ...daysAfter(FEED_DAYS, 'the change') },
    { what: 'log of runs (counts)', ...daysAfter(runRetentionDays, 'their end') },
  ];
}
