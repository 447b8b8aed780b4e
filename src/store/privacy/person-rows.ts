import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import type { PersonalColumns, TableSpec } from '../../stream.ts';
import { historyNames } from '../mirror/history-sql.ts';
import { quoteName, tableName } from '../mirror/table-sql.ts';

/** The statements that find, empty and search the rows of a person. All of a table at once. */

/** The database, or a transaction of it. */
export type Reader = Pick<Prisma.TransactionClient, '$queryRawUnsafe' | 'syncHistory' | 'syncQuarantine'>;

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

/** A path as an expression of type text. */
export function expressionOf(path: string): string {
  const [column = '', ...rest] = path.split('.');
  if (rest.length === 0) return `t.${quoteName(column)}::text`;
  return `(t.${quoteName(column)} #>> '{${rest.map((step) => step.replaceAll("'", "''")).join(',')}}')`;
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
  add(['t.id', ...(personal.keys ?? []).map(expressionOf)], query.ids);
  add(
    (personal.addresses ?? []).map((path) => `reporting.email_of(${expressionOf(path)})`),
    query.addresses,
  );
  add(
    (personal.numbers ?? []).map((path) => `reporting.phone_of(${expressionOf(path)})`),
    query.numbers,
  );
  add(
    (personal.names ?? []).map((path) => `lower(btrim(${expressionOf(path)}))`),
    query.names,
  );
  for (const [path, stream] of Object.entries(personal.refersTo ?? {})) {
    add([expressionOf(path)], query.references.get(stream) ?? []);
  }
  if (conditions.length === 0) return [];
  const paths = pathsOf(personal).map((path) => `'${path}', ${expressionOf(path)}`);
  return prisma.$queryRawUnsafe<FoundRow[]>(
    `select t.id, t.created_at, jsonb_build_object(${paths.join(', ')}) as values from ${tableName(table)} t
      where t.connection_id = $1 and t.erased_at is null and (${conditions.join(' or ')})`,
    ...parameters,
  );
}

const pathsOf = ({ addresses = [], numbers = [], names = [], keys = [], refersTo = {} }: PersonalColumns): string[] => [
  ...new Set([...addresses, ...numbers, ...names, ...keys, ...Object.keys(refersTo)]),
];

/** Ids and keys of an account's rows by id, behind `after`: of those that were erased, or of the others. */
export function readRowKeys(
  prisma: PrismaClient,
  table: TableSpec,
  query: { readonly connectionId: string; readonly after: string; readonly limit: number; readonly isErased: boolean },
): Promise<{ id: string; keys: string[] }[]> {
  const keys = (table.personal?.keys ?? []).map(expressionOf);
  return prisma.$queryRawUnsafe(
    `select t.id, array_remove(array[${keys.join(', ')}]::text[], null) as keys from ${tableName(table)} t
      where t.connection_id = $1 and t.id > $2 and t.erased_at is ${query.isErased ? 'not null' : 'null'}
      order by t.id limit $3::int`,
    query.connectionId,
    query.after,
    query.limit,
  );
}

/** How rows are changed: emptied, deleted, or (after a lift) free to be written again. */
export type RowChange = 'empty' | 'delete' | 'free';

/** Changes rows in the order of their ids, in which all writers lock them, and their versions with them. */
export async function changeRows(
  prisma: PrismaClient,
  table: TableSpec,
  { connectionId, ids, change, kept }: ChangeOptions,
): Promise<ChangedRows> {
  const target = tableName(table);
  const emptied = Object.keys(table.columns).filter((column) => !kept.has(column));
  const assignments = [
    ...emptied.map((column) => `${quoteName(column)} = null`),
    `raw = '{"erased": true}', content_hash = 'erased', text_repaired = false, erased_at = now(), synced_at = now()`,
  ];
  const statements: Readonly<Record<RowChange, string>> = {
    empty: `update ${target} t set ${assignments.join(', ')}`,
    delete: `delete from ${target} t`,
    free: `update ${target} t set erased_at = null`,
  };
  const condition = { empty: 'and erased_at is null', delete: '', free: 'and erased_at is not null' }[change];
  const rows = `with cause as materialized (select set_config('leadmirror.cause', 'erasure', true)), locked as materialized (
      select id from ${target}, cause where connection_id = $1 and id = any($2::text[]) ${condition} order by id for update of ${quoteName(table.name)}
    ) ${statements[change]} ${change === 'delete' ? 'using' : 'from'} locked l where t.connection_id = $1 and t.id = l.id`;
  const line = await prisma.syncHistory.findUnique({ where: { stream: `${table.schema}.${table.name}` } });
  const versions =
    line === null
      ? null
      : versionsSql(
          table,
          change,
          line.columns.filter((name) => !kept.has(name)),
        );
  return prisma.$transaction(async (tx) => {
    const changed = await tx.$executeRawUnsafe(rows, connectionId, ids);
    return { rows: changed, versions: versions === null ? 0 : await tx.$executeRawUnsafe(versions, connectionId, ids) };
  });
}

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
  const { history } = historyNames(table);
  const sql = `select count(*)::int as count from ${history} where connection_id = $1 and id = any($2::text[])`;
  const [row] = await prisma.$queryRawUnsafe<{ count: number }[]>(sql, connectionId, ids);
  return row?.count ?? 0;
}

/** Versions keep what an emptied row keeps, so that counts of past days stay. Null: nothing is to do. */
function versionsSql(table: TableSpec, change: RowChange, emptied: readonly string[]): string | null {
  const { history } = historyNames(table);
  const own = 'where connection_id = $1 and id = any($2::text[])';
  if (change === 'delete') return `delete from ${history} ${own}`;
  if (change === 'free' || emptied.length === 0) return null;
  return `update ${history} set ${emptied.map((name) => `${quoteName(name)} = null`).join(', ')} ${own}`;
}

interface ChangeOptions {
  readonly connectionId: string;
  readonly ids: readonly string[];
  readonly change: RowChange;
  /** Columns that stay in an emptied row. */
  readonly kept: ReadonlySet<string>;
}

interface SearchedTable {
  readonly name: string;
  readonly has_connection: boolean;
  readonly has_id: boolean;
}

/** All tables of these schemas. */
export function listTables(prisma: PrismaClient, schemas: readonly string[]): Promise<SearchedTable[]> {
  return prisma.$queryRaw<SearchedTable[]>`
    select format('%I.%I', n.nspname, c.relname) as name,
      exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'connection_id' and not a.attisdropped) as has_connection,
      exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'id' and a.atttypid = 'text'::regtype and not a.attisdropped) as has_id
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm') and n.nspname = any(${schemas}) order by 1`;
}

/** In how many rows any column, as text in lower case, matches the pattern. `connectionIds` null: of all accounts. */
export async function countMatches(
  prisma: PrismaClient,
  { name, has_connection, has_id }: SearchedTable,
  { pattern, connectionIds, except }: SearchOptions,
): Promise<number> {
  if (connectionIds !== null && !has_connection) return 0;
  const conditions = [
    'lower(t::text) ~ $1',
    has_connection ? '($2::text[] is null or t.connection_id = any($2::text[]))' : '$2::text[] is null',
    has_id ? 'not (t.id = any($3::text[]))' : '$3::text[] is not null',
  ];
  const [row] = await prisma.$queryRawUnsafe<{ count: number }[]>(
    `select count(*)::int as count from ${name} t where ${conditions.join(' and ')}`,
    pattern,
    connectionIds,
    except,
  );
  return row?.count ?? 0;
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
