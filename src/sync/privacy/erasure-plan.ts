import { groupBy } from '../../group-by.ts';
import { addCounts, type Counts } from '../../store/privacy/erasure-log.ts';
import type { Stream } from '../../stream.ts';

/** A stream of an account, as far as an erasure has to know it. */
export interface ErasureTarget {
  readonly connectionId: string;
  readonly stream: Pick<Stream, 'name' | 'table' | 'mapRecord' | 'redactRecord' | 'dropTexts'>;
}

export interface PlannedRow {
  readonly connectionId: string;
  readonly stream: string;
  readonly id: string;
  readonly createdAt: string | null;
  /** Under which other rows know it, beside its id. */
  readonly keys: readonly string[];
  /** Only a text in quarantine has it so far. */
  readonly isMissing?: boolean;
}

/** What an erasure takes. Plain JSON: it is kept, encrypted, until the erasure has ended. */
export interface ErasurePlan {
  readonly connectionIds: readonly string[];
  readonly rows: readonly PlannedRow[];
  /** `sync.quarantine.id` */
  readonly quarantine: readonly string[];
  readonly addresses: readonly string[];
  readonly numbers: readonly string[];
  readonly names: readonly string[];
  /** How many versions history keeps of the rows, by the table that they are in. */
  readonly versions: Counts;
}

export const emptyPlan = (connectionIds: readonly string[], rows: readonly PlannedRow[] = []): ErasurePlan => {
  const nothing = { quarantine: [], addresses: [], numbers: [], names: [], versions: {} };
  return { connectionIds, rows, ...nothing };
};

export const keyOf = ({ connectionId, stream, id }: PlannedRow): string => `${connectionId}\n${stream}\n${id}`;

/** In lower case, without spaces around; null: too short to mean one person. */
export function nameOf(given: string | null | undefined): string | null {
  const name = given?.trim().toLowerCase() ?? '';
  return name.length < 4 ? null : name;
}

/** The rows of a plan that one table of an account has. */
export interface RowsOfTarget extends ErasureTarget {
  readonly rows: readonly PlannedRow[];
}

/** In the order of the targets. */
export function rowsByTarget(targets: readonly ErasureTarget[], rows: readonly PlannedRow[]): RowsOfTarget[] {
  const groups = groupBy(rows, ({ connectionId, stream }) => `${connectionId} ${stream}`);
  return targets.flatMap((target) => {
    const own = groups.get(`${target.connectionId} ${target.stream.name}`);
    return own === undefined ? [] : [{ ...target, rows: own }];
  });
}

/** One plan with what a later round found. A row that either has seen wins over one that only quarantine knows. */
export function joinPlans(one: ErasurePlan, other: ErasurePlan): ErasurePlan {
  const rows = new Map<string, PlannedRow>();
  for (const row of [...one.rows, ...other.rows]) {
    if (row.isMissing !== true || !rows.has(keyOf(row))) rows.set(keyOf(row), row);
  }
  const both = (name: 'quarantine' | 'addresses' | 'numbers' | 'names') => [...new Set([...one[name], ...other[name]])];
  return {
    connectionIds: one.connectionIds,
    rows: [...rows.values()],
    quarantine: both('quarantine'),
    addresses: both('addresses'),
    numbers: both('numbers'),
    names: both('names'),
    versions: addCounts(one.versions, other.versions),
  };
}

/** How many rows of each table. */
export function countRows({ rows, quarantine, versions }: ErasurePlan): Counts {
  const stored = groupBy(
    rows.filter(({ isMissing }) => isMissing !== true),
    ({ stream }) => stream,
  );
  const counts = Object.fromEntries([...stored].map(([stream, some]) => [stream, some.length]));
  return addCounts(counts, { 'sync.quarantine': quarantine.length }, versions);
}
