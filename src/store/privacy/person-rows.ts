import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { PersonalColumns, TableSpec } from '../../stream.ts';
import { historyNames } from '../mirror/history-sql.ts';
import { type Reader, selectCount, textOf } from '../mirror/select-rows.ts';
import { quoteName, tableName } from '../mirror/table-sql.ts';
import { hasColumn, type Relation } from '../relations.ts';

/** The statements that find, empty and search the rows of a person. All of a table at once. */

export interface RowQuery {
  readonly connectionId: string;
  readonly ids: readonly string[];
  readonly addresses: readonly string[];
  readonly numbers: readonly string[];
  /** In lower case, without spaces around. */
  readonly names: readonly string[];
  /** Ids and keys by the stream that they are of. */
  readonly references: ReadonlyMap<string, readonly string[]>;
}

export interface FoundRow {
  readonly id: string;
  readonly created_at: Date | null;
  /** What the paths of the table hold. */
  readonly values: Readonly<Record<string, string | null>>;
}

/** The rows of an account that were not erased yet, and that one of the conditions finds. */
export async function findRows(prisma: Reader, table: TableSpec, query: RowQuery): Promise<FoundRow[]> {
  const { personal = {} } = table;
  const parameters: unknown[] = [query.connectionId];
  const conditions: string[] = [];
  const add = (expressions: readonly string[], values: readonly string[]) => {
    if (values.length === 0 || expressions.length === 0) return;
    parameters.push(values);
    conditions.push(...expressions.map((expression) => `${expression} = any($${parameters.length}::text[])`));
  };
  add(['t.id', ...(personal.keys ?? []).map(textOf)], query.ids);
  add(
    (personal.addresses ?? []).map((path) => `reporting.email_of(${textOf(path)})`),
    query.addresses,
  );
  add(
    (personal.numbers ?? []).map((path) => `reporting.phone_of(${textOf(path)})`),
    query.numbers,
  );
  add(
    (personal.names ?? []).map((path) => `lower(btrim(${textOf(path)}))`),
    query.names,
  );
  for (const [path, stream] of Object.entries(personal.refersTo ?? {})) {
    add([textOf(path)], query.references.get(stream) ?? []);
  }
  if (conditions.length === 0) return [];
  const paths = pathsOf(personal).map((path) => `'${path}', ${textOf(path)}`);
  return prisma.$queryRawUnsafe<FoundRow[]>(
    `select t.id, t.created_at, jsonb_build_object(${paths.join(', ')}) as values from ${tableName(table)} t
      where t.connection_id = $1 and t.erased_at is null and (${conditions.join(' or ')})`,
    ...parameters,
  );
}

const pathsOf = ({ addresses = [], numbers = [], names = [], keys = [], refersTo = {} }: PersonalColumns): string[] => [
  ...new Set([...addresses, ...numbers, ...names, ...keys, ...Object.keys(refersTo)]),
];

/** How rows are changed: emptied, deleted, or (after a lift) free to be written again. */
export type RowChange = 'empty' | 'delete' | 'free';

/**
 * Changes rows in the order of their ids, in which all writers lock them, and their versions with them: versions keep
 * what an emptied row keeps, so that counts of past days stay.
 */
export async function changeRows(
  prisma: PrismaClient,
  table: TableSpec,
  { connectionId, ids, change, kept }: ChangeOptions,
): Promise<ChangedRows> {
  const emptied = (columns: readonly string[]) =>
    columns.filter((column) => !kept.has(column)).map((column) => `${quoteName(column)} = null`);
  const line = await prisma.syncHistory.findUnique({ where: { stream: `${table.schema}.${table.name}` } });
  const changes: Readonly<Record<RowChange, { rows: Changes; versions: Changes }>> = {
    empty: { rows: [...emptied(Object.keys(table.columns)), HUSK], versions: emptied(line?.columns ?? []) },
    delete: { rows: 'all', versions: 'all' },
    free: { rows: ['erased_at = null'], versions: [] },
  };
  const { rows, versions } = changes[change];
  return prisma.$transaction(async (tx) => {
    const apply = (target: string, those: Changes, condition: string) =>
      those.length === 0 ? 0 : tx.$executeRawUnsafe(changeSql(target, those, condition), connectionId, ids);
    return {
      rows: await apply(tableName(table), rows, CONDITIONS[change]),
      versions: line === null ? 0 : await apply(historyNames(table).history, versions, ''),
    };
  });
}

/** Assignments, or the whole row. */
type Changes = readonly string[] | 'all';

const HUSK = `raw = '{"erased": true}', content_hash = 'erased', text_repaired = false, erased_at = now(), synced_at = now()`;

const CONDITIONS: Readonly<Record<RowChange, string>> = {
  empty: 'and t.erased_at is null',
  delete: '',
  free: 'and t.erased_at is not null',
};

const changeSql = (target: string, changes: Changes, condition: string) => `
  with cause as materialized (select set_config('leadmirror.cause', 'erasure', true)), locked as materialized (
    select t.id from ${target} t, cause where t.connection_id = $1 and t.id = any($2::text[]) ${condition} order by t.id for update of t
  ) ${changes === 'all' ? `delete from ${target} t` : `update ${target} t set ${changes.join(', ')}`}
  where t.connection_id = $1 and t.id in (select l.id from locked l)`;

/** How many. */
interface ChangedRows {
  readonly rows: number;
  readonly versions: number;
}

/** How many versions history keeps of these rows. */
export async function countVersions(
  prisma: Reader,
  table: TableSpec,
  { connectionId, ids }: { readonly connectionId: string; readonly ids: readonly string[] },
): Promise<number> {
  if ((await prisma.syncHistory.findUnique({ where: { stream: `${table.schema}.${table.name}` } })) === null) return 0;
  const history = { schema: table.schema, name: `${table.name}_history` };
  return selectCount(prisma, history, { connection_id: connectionId, id: { in: ids } });
}

interface ChangeOptions {
  readonly connectionId: string;
  readonly ids: readonly string[];
  readonly change: RowChange;
  /** Columns that stay in an emptied row. */
  readonly kept: ReadonlySet<string>;
}

/** In how many rows any column, as text in lower case, matches the pattern. `connectionIds` null: of all accounts. */
export async function countMatches(
  prisma: PrismaClient,
  relation: Relation,
  { pattern, connectionIds, except }: SearchOptions,
): Promise<number> {
  if (connectionIds !== null && !hasColumn(relation, 'connection_id')) return 0;
  const hasId = relation.columns.some(({ name, type }) => name === 'id' && type === 'text');
  return selectCount(prisma, relation, {
    '*': { matches: pattern },
    ...(connectionIds !== null && { connection_id: { in: connectionIds } }),
    ...(hasId && { id: { notIn: except } }),
  });
}

interface SearchOptions {
  readonly pattern: string;
  readonly connectionIds: readonly string[] | null;
  /** Ids of rows that are not looked at. */
  readonly except: readonly string[];
}

/** Lets the server overwrite what the emptied rows were. False: this user may not, or the server is busy with it. */
export async function vacuum(prisma: PrismaClient, tables: readonly string[]): Promise<boolean> {
  return prisma.$executeRawUnsafe(`vacuum ${tables.join(', ')}`).then(
    () => true,
    () => false,
  );
}
