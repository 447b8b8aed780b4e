import type { Prisma } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { quoteName, tableName } from './table-sql.ts';

/**
 * The one statement that reads rows of a table by its columns, for tables that the Prisma schema does not know or whose
 * name comes with a stream. It is described as a query of Prisma is; what needs more has a statement of its own.
 */

export type Reader = Prisma.TransactionClient;

type Table = Pick<TableSpec, 'schema' | 'name'>;
type Value = string | number | Date;

/** Of a column, or of a path into one (`attributes.email`), which is compared as text. */
type Filter = string | true | null | Comparison;
interface Comparison {
  readonly not?: string | null;
  readonly in?: readonly string[];
  readonly notIn?: readonly string[];
  readonly matches?: readonly TextPattern[];
  readonly gt?: Value;
  readonly gte?: Value;
  readonly lt?: Value;
}

/** For the text in lower case: one of several has to match. */
export interface TextPattern {
  readonly pattern: string;
  /** What is taken out of the text before; null: nothing. */
  readonly without: string | null;
}

/** A column as it is, a path as text, all texts of several paths, or the row as the JSON that Postgres makes of it. */
type Field = string | { readonly text: string } | { readonly texts: readonly string[] } | { readonly row: 'json' };

export type Where = Readonly<Record<string, Filter>>;

export interface Selection {
  readonly select: Readonly<Record<string, Field>>;
  readonly where: Where;
  /** Columns in ascending order; `newest first` by the time of creation. */
  readonly orderBy?: readonly string[] | 'newest first';
  readonly limit?: number;
}

export function selectRows<T>(db: Reader, table: Table, selection: Selection): Promise<T[]> {
  const fields = Object.entries(selection.select).map(([name, field]) => `${fieldSql(field)} as ${quoteName(name)}`);
  return ask(db, table, fields.join(', '), selection);
}

/** The rows by id, `limit` at a time, each batch as it is when it is read. */
export async function* selectBatches<T extends { readonly id: string }>(
  db: Reader,
  table: Table,
  { select, where, limit }: Selection,
): AsyncGenerator<T[], void, undefined> {
  for (let after = ''; ; ) {
    const batch = { select, where: { ...where, id: { gt: after } }, orderBy: ['id'], limit };
    const rows = await selectRows<T>(db, table, batch);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.id;
    yield rows;
  }
}

export async function selectCount(db: Reader, table: Table, where: Where): Promise<number> {
  const [row] = await ask<{ count: number }>(db, table, 'count(*)::int as count', { where });
  return row?.count ?? 0;
}

function ask<T>(db: Reader, table: Table, fields: string, { where, orderBy = [], limit }: Omit<Selection, 'select'>) {
  const values: unknown[] = [];
  const conditions = Object.entries(where).flatMap(([path, filter]) => conditionsOf(path, filter, values));
  const order =
    orderBy === 'newest first' ? ['t.created_at desc nulls last', 't.id desc'] : orderBy.map((name) => columnOf(name));
  const sql = [
    `select ${fields} from ${tableName(table)} t where ${conditions.join(' and ')}`,
    ...(order.length > 0 ? [`order by ${order.join(', ')}`] : []),
    ...(limit !== undefined ? [`limit ${bind(limit, values)}::bigint`] : []),
  ];
  return db.$queryRawUnsafe<T[]>(sql.join(' '), ...values);
}

const SIGNS: Readonly<Record<string, string>> = { not: 'is distinct from', gt: '>', gte: '>=', lt: '<' };

function conditionsOf(path: string, filter: Filter, values: unknown[]): string[] {
  const column = columnOf(path);
  if (filter === null || filter === true) return [`${column} is ${filter}`];
  if (typeof filter === 'string') return [`${column} = ${bind(filter, values)}`];
  return Object.entries(filter).map(([name, value]) => {
    if (value === null) return `${column} is not null`;
    if (name === 'in') return `${textOf(path)} = any(${bind(value, values)}::text[])`;
    if (name === 'notIn') return `not (${textOf(path)} = any(${bind(value, values)}::text[]))`;
    if (name === 'matches') return matchesOf(`lower(${textOf(path)})`, value as readonly TextPattern[], values);
    return `${column} ${SIGNS[name]} ${bind(value, values)}${value instanceof Date ? '::timestamptz' : ''}`;
  });
}

function matchesOf(text: string, patterns: readonly TextPattern[], values: unknown[]): string {
  const conditions = patterns.map(({ pattern, without }) => {
    const searched = without === null ? text : `regexp_replace(${text}, ${bind(without, values)}, ' ', 'g')`;
    return `${searched} ~ ${bind(pattern, values)}`;
  });
  return `(${conditions.join(' or ')})`;
}

/** Returns what stands for the value in the statement. */
const bind = (value: unknown, values: unknown[]): string => `$${values.push(value)}`;

function fieldSql(field: Field): string {
  if (typeof field === 'string') return columnOf(field);
  if ('text' in field) return textOf(field.text);
  if ('texts' in field) return `array_remove(array[${field.texts.map(textOf).join(', ')}]::text[], null)`;
  return 'to_jsonb(t)::text';
}

const columnOf = (path: string): string => (path.includes('.') ? textOf(path) : `t.${quoteName(path)}`);

/** A path as an expression of type text; `*` is the whole row. */
export function textOf(path: string): string {
  if (path === '*') return 't::text';
  const [column = '', ...rest] = path.split('.');
  if (rest.length === 0) return `t.${quoteName(column)}::text`;
  return `(t.${quoteName(column)} #>> '{${rest.map((step) => step.replaceAll("'", "''")).join(',')}}')`;
}
