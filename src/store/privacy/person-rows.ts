import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { historyNames } from '../mirror/history-sql.ts';
import { type Reader, selectCount, selectRows, type TextPattern, textOf } from '../mirror/select-rows.ts';
import { quoteName, tableName } from '../mirror/table-sql.ts';
import { hasColumn, type Relation } from '../relations.ts';
import { type Counts, changeCounted } from './erasure-log.ts';

/** The statements that find, empty and search the rows of a person. All of a table at once. */

export interface RowQuery {
  readonly connectionId: string;
  readonly ids?: readonly string[];
  readonly addresses?: readonly string[];
  readonly numbers?: readonly string[];
  /** A pattern for names in lower case. */
  readonly name?: string | null;
  /** Ids and keys by the stream that they are of. */
  readonly references?: ReadonlyMap<string, readonly string[]>;
}

export interface FoundRow {
  readonly id: string;
  readonly created_at: Date | null;
  /** What the paths of the table hold. */
  readonly values: Readonly<Record<string, string | null>>;
}

/** The rows of an account that were not erased yet, and that one of the conditions finds. */
export async function findRows(prisma: Reader, table: TableSpec, query: RowQuery): Promise<FoundRow[]> {
  const { addresses = [], numbers = [], names = [], keys = [], refersTo = {} } = table.personal ?? {};
  const parameters: unknown[] = [query.connectionId];
  const conditions: string[] = [];
  const add = (expressions: readonly string[], values: readonly string[] | undefined) => {
    if (values === undefined || values.length === 0 || expressions.length === 0) return;
    const list = `$${parameters.push(values)}::text[]`;
    conditions.push(...expressions.map((expression) => `${expression} = any(${list})`));
  };
  const read = (paths: readonly string[], by: string) => paths.map((path) => `reporting.${by}(${textOf(path)})`);
  add(['t.id', ...keys.map(textOf)], query.ids);
  add(read(addresses, 'email_of'), query.addresses);
  add(read(numbers, 'phone_of'), query.numbers);
  for (const [path, stream] of Object.entries(refersTo)) add([textOf(path)], query.references?.get(stream));
  if (query.name != null) {
    for (const path of names) conditions.push(`lower(${textOf(path)}) ~ $${parameters.push(query.name)}`);
  }
  if (conditions.length === 0) return [];
  const paths = new Set([...addresses, ...numbers, ...names, ...keys, ...Object.keys(refersTo)]);
  const values = [...paths].map((path) => `'${path}', ${textOf(path)}`);
  return prisma.$queryRawUnsafe<FoundRow[]>(
    `select t.id, t.created_at, jsonb_build_object(${values.join(', ')}) as values from ${tableName(table)} t
      where t.connection_id = $1 and t.erased_at is null and (${conditions.join(' or ')})`,
    ...parameters,
  );
}

/** The columns that stay in a row whose person was erased. */
export function keptColumns({ columns, personal }: TableSpec): ReadonlySet<string> {
  return new Set([...(personal?.kept ?? []), 'created_at', 'updated_at'].filter((column) => column in columns));
}

/** The table of the versions of a stream. */
export const versionsOf = (stream: string): string => `${stream}_history`;

/** How rows are changed: emptied, deleted, or (after a lift) free to be written again. */
export type RowChange = 'empty' | 'delete' | 'free';

/**
 * Changes rows in the order of their ids, in which all writers lock them, and their versions with them: versions keep
 * what an emptied row keeps, so that counts of past days stay.
 */
export async function changeRows(
  prisma: PrismaClient,
  table: TableSpec,
  { connectionId, ids, change, erasure = null }: ChangeOptions,
): Promise<Counts> {
  const kept = keptColumns(table);
  const emptied = (columns: readonly string[]) =>
    columns.filter((column) => !kept.has(column)).map((column) => `${quoteName(column)} = null`);
  const stream = `${table.schema}.${table.name}`;
  const line = await prisma.syncHistory.findUnique({ where: { stream } });
  const changes: Readonly<Record<RowChange, { rows: Changes; versions: Changes }>> = {
    empty: { rows: [...emptied(Object.keys(table.columns)), HUSK], versions: emptied(line?.columns ?? []) },
    delete: { rows: 'all', versions: 'all' },
    free: { rows: ['erased_at = null'], versions: [] },
  };
  const { rows, versions } = changes[change];
  return changeCounted(prisma, erasure, async (tx) => {
    const apply = async (target: string, those: Changes, condition: string) =>
      those.length === 0 ? 0 : tx.$executeRawUnsafe(changeSql(target, those, condition), connectionId, ids);
    return {
      [stream]: await apply(tableName(table), rows, CONDITIONS[change]),
      [versionsOf(stream)]: line === null ? 0 : await apply(historyNames(table).history, versions, ''),
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

/** How many versions history keeps of these rows. */
export async function countVersions(
  prisma: Reader,
  { schema, name }: TableSpec,
  { connectionId, ids }: { readonly connectionId: string; readonly ids: readonly string[] },
): Promise<number> {
  if ((await prisma.syncHistory.findUnique({ where: { stream: `${schema}.${name}` } })) === null) return 0;
  return selectCount(prisma, { schema, name: versionsOf(name) }, { connection_id: connectionId, id: { in: ids } });
}

interface ChangeOptions {
  readonly connectionId: string;
  readonly ids: readonly string[];
  readonly change: RowChange;
  /** The line of `sync.erasures` that counts it. */
  readonly erasure?: string | null;
}

/** How many rows hold the text in any column, and the ids of the first ones. */
export interface Matches {
  readonly count: number;
  readonly ids: readonly string[];
}

/** Most ids of a table that are named. */
const NAMED = 5;

/** Rows of which any column matches. `connectionIds` null: of all accounts. */
export async function findMatches(
  prisma: PrismaClient,
  relation: Relation,
  { matches, connectionIds, except }: SearchOptions,
): Promise<Matches> {
  if (connectionIds !== null && !hasColumn(relation, 'connection_id')) return { count: 0, ids: [] };
  const hasId = relation.columns.some(({ name, type }) => name === 'id' && type === 'text');
  const where = {
    '*': { matches },
    ...(connectionIds !== null && { connection_id: { in: connectionIds } }),
    ...(hasId && { id: { notIn: except } }),
  };
  const count = await selectCount(prisma, relation, where);
  if (count === 0 || !hasId) return { count, ids: [] };
  const rows = await selectRows<{ id: string }>(prisma, relation, { select: { id: 'id' }, where, limit: NAMED });
  return { count, ids: rows.map(({ id }) => id) };
}

interface SearchOptions {
  readonly matches: readonly TextPattern[];
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
