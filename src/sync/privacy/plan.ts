import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Counts } from '../../store/privacy/erasure-log.ts';
import { rowMark } from '../../store/privacy/marks.ts';
import { findMatches, findRows } from '../../store/privacy/person-rows.ts';
import { readRelations } from '../../store/relations.ts';
import { findAll, type Selectors } from './closure.ts';
import { countRows, type ErasurePlan, type ErasureTarget, emptyPlan, nameOf } from './erasure-plan.ts';

export interface PlannedErasure {
  readonly plan: ErasurePlan;
  readonly matched: Counts;
  /** Names of the person that others have too: they are not searched for. */
  readonly sharedNames: number;
  /** Rows outside of the plan that hold an address, number or name of the person. */
  readonly alike: Found;
}

export interface PlanParts {
  readonly prisma: PrismaClient;
  readonly targets: readonly ErasureTarget[];
}

/** What an erasure would take, and what is alike. Changes nothing. */
export async function planErasure(
  parts: PlanParts,
  connectionIds: readonly string[],
  select: Partial<Selectors>,
): Promise<PlannedErasure> {
  const found = await findAll(parts.prisma, parts.targets, { select, taken: emptyPlan(connectionIds) });
  const { shared } = await namesOfOthers(parts, found);
  const plan = { ...found, names: found.names.filter((name) => !shared.has(name)) };
  const except = plan.rows.map(({ id }) => id);
  const { counts, rows } = plan.rows.length === 0 ? NOTHING : await search(parts, plan, except);
  // The reports hold what the mirror holds.
  const own = Object.entries(counts).filter(([table]) => !table.startsWith('reporting.'));
  return {
    plan,
    matched: countRows(plan),
    sharedNames: shared.size,
    alike: { counts: Object.fromEntries(own), rows },
  };
}

/** Names that other persons have: those of the plan, and longer ones that contain one of the plan. */
async function namesOfOthers(
  { prisma, targets }: PlanParts,
  plan: ErasurePlan,
): Promise<{ readonly shared: ReadonlySet<string>; readonly longer: ReadonlySet<string> }> {
  const planned = new Set(plan.rows.map(({ stream, id }) => rowMark(stream, id)));
  const [shared, longer] = [new Set<string>(), new Set<string>()];
  const spaced = (name: string) => name.replace(/\s+/g, ' ');
  for (const { connectionId, stream } of targets) {
    const query = { connectionId, name: namesPattern(plan.names) };
    for (const { id, values } of await findRows(prisma, stream.table, query)) {
      if (planned.has(rowMark(stream.name, id))) continue;
      const theirs = (stream.table.personal?.names ?? []).flatMap((path) => nameOf(values[path]) ?? []).map(spaced);
      for (const name of plan.names) {
        if (theirs.includes(spaced(name))) shared.add(name);
        for (const one of theirs) if (one !== spaced(name) && one.includes(spaced(name))) longer.add(one);
      }
    }
  }
  return { shared, longer };
}

/** Rows by table, and the first ones of mirrored tables by stream and id. */
export interface Found {
  readonly counts: Counts;
  readonly rows: readonly string[];
}

const NOTHING: Found = { counts: {}, rows: [] };

/**
 * In which rows the person is found. A name counts where no letter or digit is next to it, and not as a part of another
 * person's name: "Mary Ann Lee" is not Ann Lee.
 */
export async function search(parts: PlanParts, plan: ErasurePlan, except: readonly string[]): Promise<Found> {
  const { prisma, targets } = parts;
  const { shared, longer } = await namesOfOthers(parts, plan);
  const contacts = contactsPattern(plan);
  const names = namesPattern(plan.names.filter((name) => !shared.has(name)));
  const matches = [
    ...(contacts === null ? [] : [{ pattern: contacts, without: null }]),
    ...(names === null ? [] : [{ pattern: names, without: namesPattern([...longer]) }]),
  ];
  if (matches.length === 0) return NOTHING;
  const isAll = targets.every(({ connectionId }) => plan.connectionIds.includes(connectionId));
  const connectionIds = isAll ? null : plan.connectionIds;
  const streams = new Set(targets.map(({ stream }) => stream.name));
  const schemas = new Set(['sync', 'reporting', ...targets.map(({ stream }) => stream.table.schema)]);
  const counts: Record<string, number> = {};
  const rows: string[] = [];
  for (const relation of await readRelations(prisma, [...schemas])) {
    if (relation.kind === 'view') continue;
    const name = `${relation.schema}.${relation.name}`;
    const { count, ids } = await findMatches(prisma, relation, { matches, connectionIds, except });
    if (count > 0) counts[name] = count;
    if (streams.has(name)) rows.push(...ids.map((id) => `${name}:${id}`));
  }
  return { counts, rows };
}

const literal = (text: string): string =>
  text.replace(/[^\p{L}\p{N}\s@]/gu, (sign) => (/["\\]/.test(sign) ? '.{1,4}' : `\\${sign}`));

const anyOf = (patterns: readonly string[]): string | null => (patterns.length === 0 ? null : patterns.join('|'));

/** What finds the names in a text in lower case, with no letter or digit next to it. Null: there are none. */
function namesPattern(names: readonly string[]): string | null {
  const partsOf = (name: string) => name.split(/\s+/).map(literal);
  return anyOf(names.map((name) => `(?<![[:alnum:]])${partsOf(name).join('\\s+')}(?![[:alnum:]])`));
}

const contactsPattern = ({ addresses, numbers }: ErasurePlan): string | null =>
  anyOf([
    ...addresses.map((address) => `(^|[^a-z0-9._%+'-])${literal(address)}($|[^a-z0-9.-]|[.-]($|[^a-z0-9]))`),
    ...numbers.map((number) => `(^|[^0-9])(00)?${[...number].join('[ ()./-]{0,2}')}($|[^0-9])`),
  ]);
