import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Reader } from '../../store/mirror/select-rows.ts';
import { rowMark } from '../../store/privacy/marks.ts';
import { countMatches, findRows } from '../../store/privacy/person-rows.ts';
import { readRelations } from '../../store/relations.ts';
import {
  Closure,
  type Counts,
  countRows,
  type ErasurePlan,
  type ErasureTarget,
  emptyPlan,
  nameOf,
  patternOf,
  type Selectors,
} from './closure.ts';

export interface PlannedErasure {
  readonly plan: ErasurePlan;
  readonly matched: Counts;
  /** Names of the person that others have too: they are not searched for. */
  readonly sharedNames: number;
  /** Rows outside of the plan that hold an address, number or name of the person, by table. */
  readonly alike: Counts;
}

export interface PlanParts {
  readonly prisma: PrismaClient;
  readonly targets: readonly ErasureTarget[];
}

/** Finds what belongs to a person: what an erasure takes, and what an export shows. */
export const findPerson = (
  { prisma, targets }: { readonly prisma: Reader; readonly targets: readonly ErasureTarget[] },
  connectionIds: readonly string[],
  selectors: Selectors,
): Promise<ErasurePlan> => new Closure(prisma, targets, { taken: emptyPlan(connectionIds) }).select(selectors).find();

/** What an erasure would take, and what is alike. Changes nothing. */
export async function planErasure(
  parts: PlanParts,
  connectionIds: readonly string[],
  selectors: Selectors,
): Promise<PlannedErasure> {
  const found = await findPerson(parts, connectionIds, selectors);
  const shared = await namesOfOthers(parts, found);
  const plan = { ...found, names: found.names.filter((name) => !shared.has(name)) };
  const except = plan.rows.map(({ id }) => id);
  const alike = plan.rows.length === 0 ? {} : await search(parts, plan, except);
  return { plan, matched: countRows(plan), sharedNames: shared.size, alike: withoutReports(alike) };
}

/** The reports hold what the mirror holds. */
const withoutReports = (counts: Counts): Counts =>
  Object.fromEntries(Object.entries(counts).filter(([table]) => !table.startsWith('reporting.')));

/** Of the names in the plan, those that another person has too. */
export async function namesOfOthers({ prisma, targets }: PlanParts, plan: ErasurePlan): Promise<ReadonlySet<string>> {
  const planned = new Set(plan.rows.map(({ stream, id }) => rowMark(stream, id)));
  const shared = new Set<string>();
  const nothing = { ids: [], addresses: [], numbers: [], references: new Map() };
  for (const { connectionId, stream } of targets) {
    const query = { ...nothing, connectionId, names: plan.names };
    for (const { id, values } of await findRows(prisma, stream.table, query)) {
      if (planned.has(rowMark(stream.name, id))) continue;
      for (const path of stream.table.personal?.names ?? []) {
        const name = nameOf(values[path]);
        if (name !== null) shared.add(name);
      }
    }
  }
  return shared;
}

/** How many rows of each table hold the person. */
export async function search(
  { prisma, targets }: PlanParts,
  plan: ErasurePlan,
  except: readonly string[],
): Promise<Counts> {
  const pattern = patternOf(plan);
  if (pattern === null) return {};
  const isAll = targets.every(({ connectionId }) => plan.connectionIds.includes(connectionId));
  const schemas = new Set(['sync', 'reporting', ...targets.map(({ stream }) => stream.table.schema)]);
  const counts: Record<string, number> = {};
  for (const table of await readRelations(prisma, [...schemas])) {
    if (table.kind === 'view') continue;
    const options = { pattern, connectionIds: isAll ? null : plan.connectionIds, except };
    const count = await countMatches(prisma, table, options);
    if (count > 0) counts[`${table.schema}.${table.name}`] = count;
  }
  return counts;
}
