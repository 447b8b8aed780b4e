import type { ColumnType, TableSpec } from '../../stream.ts';

/** SQL fragments of a mirrored table, from its columns; names are quoted, never bound. */

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function tableName({ schema, name }: Pick<TableSpec, 'schema' | 'name'>): string {
  return `${quoteName(schema)}.${quoteName(name)}`;
}

/** Times have milliseconds, as Prisma's tables do. */
export const sqlType = (type: ColumnType): string => (type === 'timestamptz' ? 'timestamptz(3)' : type);

/** The columns of rows that come as JSON, for `jsonb_to_recordset`; `more` are further ones. */
export function recordsetOf({ columns }: TableSpec, ...more: readonly string[]): string {
  const typed = Object.entries(columns).map(([name, type]: [string, ColumnType]) => `${quoteName(name)} ${type}`);
  return ['id text', ...typed, 'deleted_at timestamptz', 'erased_at timestamptz', ...more].join(', ');
}

/** Whether stored row `t` differs; a missing value of an attributed column is no difference. */
export function differs({ attributed = [] }: TableSpec, name: string, given: string): string {
  const column = quoteName(name);
  const isOther = `t.${column} is distinct from ${given}.${column}`;
  return attributed.includes(name) ? `(${given}.${column} is not null and ${isOther})` : isOther;
}
