import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { quoteName, tableName } from '../mirror/table-sql.ts';
import { OPEN_REPORTS, openColumns } from '../privacy/open-columns.ts';
import { hasColumn, readRelations } from '../relations.ts';
import { accessOf, type Granted, readRole } from './readonly-role.ts';

interface Granting {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly string[];
}

export interface GrantedImpersonal extends Omit<Granted, 'outcome'> {
  /** `reads_more`: by a grant of another kind the role reads personal data, so that nothing was changed. */
  readonly outcome: Granted['outcome'] | 'reads_more';
  /** Tables with a column that the role should not read, and does. */
  readonly open: readonly string[];
}

const NOTHING = { hidden: [], unreadable: [], closed: null, open: [] };

/**
 * Lets a role read what holds no personal data, and takes back what `grantReadonly` gave it. Columns are granted one by
 * one: what a later version or another program adds stays closed. What the role can really do is asked afterwards.
 */
export async function grantImpersonal(
  prisma: PrismaClient,
  role: string,
  tables: readonly TableSpec[],
): Promise<GrantedImpersonal> {
  const wanted = relationsOf(tables);
  try {
    return await prisma.$transaction(async (tx) => {
      const found = await readRole(tx, role);
      if (found === null) return { outcome: 'no_such_role', ...NOTHING };
      if (found.may_write) return { outcome: 'may_write', ...NOTHING };
      await grantColumns(tx, role, wanted);
      const meant = new Set(pairs(wanted));
      const isMeant = (table: string, column: string) => meant.has(`${table}.${column}`);
      const granted = (await readRole(tx, role)) ?? found;
      const open = granted.privileges.filter(({ name, readable }) => readable.some((column) => !isMeant(name, column)));
      if (open.length > 0) throw new ReadsMore(open.map(({ name }) => name));
      return { outcome: 'granted', ...NOTHING, ...accessOf(granted, isMeant), closed: found.closed };
    });
  } catch (error) {
    if (error instanceof ReadsMore) return { outcome: 'reads_more', ...NOTHING, open: error.open };
    throw error;
  }
}

const relationsOf = (tables: readonly TableSpec[]): Granting[] => [
  ...tables.map((table) => ({ schema: table.schema, name: table.name, columns: openColumns(table) })),
  ...Object.entries(OPEN_REPORTS).map(([relation, columns]) => {
    const [schema = '', name = ''] = relation.split('.');
    return { schema, name, columns: columns.split(' ') };
  }),
];

/** As `schema.table.column`. */
export const impersonalColumns = (tables: readonly TableSpec[]): string[] => pairs(relationsOf(tables));

/** Rolls the grants back. */
class ReadsMore extends Error {
  readonly open: readonly string[];
  constructor(open: readonly string[]) {
    super('the role reads personal data by another grant');
    this.open = open;
  }
}

async function grantColumns(tx: Prisma.TransactionClient, role: string, wanted: readonly Granting[]): Promise<void> {
  const name = quoteName(role);
  const schemas = [...new Set(wanted.map(({ schema }) => schema))];
  const present = await readRelations(tx, schemas);
  const grants = wanted.flatMap((relation) => {
    const there = present.find(({ schema, name }) => schema === relation.schema && name === relation.name);
    const columns = relation.columns.filter((column) => there && hasColumn(there, column)).map(quoteName);
    return columns.length === 0 ? [] : [`grant select (${columns.join(', ')}) on ${tableName(relation)} to ${name}`];
  });
  const all = schemas.map(quoteName).join(', ');
  await tx.$executeRawUnsafe(
    [
      `alter default privileges in schema ${all} revoke select on tables from ${name}`,
      `revoke select on all tables in schema ${all} from ${name}`,
      `grant usage on schema ${all} to ${name}`,
      ...grants,
    ].join(';\n'),
  );
}

const pairs = (wanted: readonly Granting[]): string[] =>
  wanted.flatMap(({ schema, name, columns }) => columns.map((column) => `${schema}.${name}.${column}`));
