import { isWell, type SeedReport } from './simulate.ts';

/** What a row of seeds adds up to. */
export interface Totals {
  seeds: number;
  requests: number;
  found: number;
  falseDeletions: number;
  missedDeletions: number;
  lost: number;
  readonly sources: Record<string, number>;
  readonly changes: Record<string, number>;
  readonly faults: Record<string, number>;
  readonly passes: Record<string, number>;
  /** Seeds that were not well. */
  readonly failed: number[];
}

export const noTotals = (): Totals => ({
  ...{ seeds: 0, requests: 0, found: 0, falseDeletions: 0, missedDeletions: 0, lost: 0 },
  ...{ sources: {}, changes: {}, faults: {}, passes: {}, failed: [] },
});

export function addTo(totals: Totals, report: SeedReport): void {
  totals.seeds += 1;
  totals.requests += report.requests;
  totals.found += report.found;
  totals.falseDeletions += report.falseDeletions.length;
  totals.missedDeletions += report.missedDeletions.length;
  totals.lost += report.lost.length;
  addCounts(totals.sources, { [report.source]: 1 });
  addCounts(totals.changes, report.changes);
  addCounts(totals.faults, report.faults);
  addCounts(totals.passes, report.passes);
  if (!isWell(report)) totals.failed.push(report.seed);
}

function addCounts(sums: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
}

/** For people. */
export function describe(totals: Totals): string {
  const inner = (counts: Readonly<Record<string, number>>) =>
    Object.fromEntries(
      Object.entries(counts)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, count]) => [`  ${name}`, count]),
    );
  const sum = (counts: Readonly<Record<string, number>>) =>
    Object.values(counts).reduce((all, count) => all + count, 0);
  const lines = {
    seeds: totals.seeds,
    ...inner(totals.sources),
    'rows changed upstream': sum(totals.changes),
    ...inner(totals.changes),
    requests: totals.requests,
    'answers spoilt': sum(totals.faults),
    ...inner(totals.faults),
    passes: sum(totals.passes),
    ...inner(totals.passes),
    'true deletions found': totals.found,
    'false deletions': totals.falseDeletions,
    'missed deletions': totals.missedDeletions,
    'rows lost': totals.lost,
    'seeds failed': totals.failed.length,
  };
  return Object.entries(lines)
    .map(([name, value]) => `${name.padEnd(44)}${value}`)
    .join('\n');
}
