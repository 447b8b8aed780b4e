import { RecordError } from '../errors.ts';
import type { ColumnType, JsonType, KnownFields, PersonalColumns, Row, Stream } from '../stream.ts';
import * as coerce from './coerce.ts';

/**
 * One declaration per table: each column with its type, the fields that it is read from, and their known JSON types.
 * The table, the mapping of a record and the known fields follow from it.
 */
export interface Column {
  readonly type: ColumnType;
  readonly read: (value: unknown, record: coerce.JsonObject) => unknown;
  /** Known types of the fields; none: `known` of the table names them. */
  readonly json: readonly JsonType[];
  /** `email`, or `owner.email`; the first one that is readable counts. None: the name of the column. */
  readonly paths: readonly string[];
}

export function column(type: ColumnType, read: Column['read'], ...json: readonly JsonType[]) {
  return (...paths: readonly string[]): Column => ({ type, read, json, paths });
}

export const text = column('text', coerce.asText, 'string');
export const id = column('text', coerce.asId, 'string');
/** An id, or the object that has it. */
export const reference = column('text', coerce.asId);
export const integer = column('integer', coerce.asInteger, 'number');
export const bigint = column('bigint', coerce.asBigint, 'number');
export const number = column('double precision', coerce.asNumber, 'number');
export const flag = column('boolean', coerce.asBoolean, 'boolean');
/** A flag, or how often. */
export const count = column('boolean', coerce.asFlag, 'boolean', 'number');
export const time = column('timestamptz', coerce.asTime, 'string');
export const texts = column('text[]', (value) => coerce.asTexts(value), 'array');
export const ids = column('text[]', (value) => coerce.asTexts(value, coerce.asId), 'array');
export const list = column('jsonb', coerce.asJson, 'array');
export const object = column('jsonb', coerce.asJson, 'object');
const ANYTHING = ['string', 'number', 'boolean', 'object', 'array'] as const;
export const anything = column('jsonb', coerce.asJson, ...ANYTHING);

export interface RecordTableOptions {
  /** Further known fields by their type, separated by spaces. A field may have several types. */
  readonly known?: Partial<Readonly<Record<JsonType | 'anything', string>>>;
  readonly attributed?: readonly string[];
  /** Columns of which history keeps each value, separated by spaces; none of them personal but ids. */
  readonly tracked?: string;
  readonly personal?: PersonalColumns;
  /** Texts that hold nothing of a person, separated by spaces. Numbers, flags and times never do. */
  readonly impersonal?: string;
  readonly deletedAt?: (record: coerce.JsonObject) => string | null;
}

const HOLDS_TEXT: ReadonlySet<ColumnType> = new Set(['text', 'text[]', 'jsonb']);

export type RecordTable = Pick<Stream, 'name' | 'table' | 'mapRecord'> & { readonly fields: KnownFields };

export function defineTable(
  [schema, table, idField]: readonly [schema: string, table: string, idField: string],
  columns: Readonly<Record<string, Column>>,
  { known = {}, attributed, tracked, personal, impersonal = '', deletedAt = () => null }: RecordTableOptions = {},
): RecordTable {
  const name = `${schema}.${table}`;
  const readers = Object.entries(columns).map(([column, one]) => [column, readerOf(column, one)] as const);
  const names = ['id', ...Object.keys(columns), 'updated_at', 'deleted_at', 'raw'];
  // Objects from the parser share one shape in memory; built key by key, a row takes twice the time.
  const empty: Row = JSON.parse(JSON.stringify(Object.fromEntries(names.map((column) => [column, null]))));
  return {
    name,
    table: {
      schema,
      name: table,
      columns: Object.fromEntries(Object.entries(columns).map(([column, { type }]) => [column, type])),
      impersonal: Object.keys(columns).filter(
        (column) => !HOLDS_TEXT.has(columns[column]?.type ?? 'text') || impersonal.split(' ').includes(column),
      ),
      ...(attributed && { attributed }),
      ...(tracked && { tracked: tracked.split(' ') }),
      ...(personal && { personal }),
    },
    fields: fieldsOf(columns, known),
    mapRecord(record): Row {
      const recordId = coerce.isObject(record) ? coerce.asId(record[idField]) : null;
      if (!coerce.isObject(record) || recordId === null) {
        throw new RecordError('no_id', `a record of ${name} without ${idField}`, { recordId: null });
      }
      const row: Record<string, unknown> & Row = { ...empty, id: recordId, deleted_at: deletedAt(record), raw: record };
      for (const [column, read] of readers) row[column] = read(record);
      return row;
    },
  };
}

function readerOf(name: string, { paths, read }: Column): (record: coerce.JsonObject) => unknown {
  const [first = name, ...others] = paths;
  if (others.length === 0 && !first.includes('.')) return (record) => read(record[first], record);
  const steps = paths.map((path) => path.split('.'));
  const valueAt = (record: coerce.JsonObject, path: readonly string[]) =>
    path.reduce<unknown>((value, step) => coerce.asObject(value)[step], record);
  return (record) => coerce.firstOf((value) => read(value, record), ...steps.map((path) => valueAt(record, path)));
}

/** Fields inside of others are not looked at. */
function fieldsOf(
  columns: Readonly<Record<string, Column>>,
  known: NonNullable<RecordTableOptions['known']>,
): KnownFields {
  const fields: Record<string, JsonType[]> = {};
  const add = (names: readonly string[], types: readonly JsonType[]) => {
    if (types.length === 0) return;
    for (const name of names) fields[name] = [...new Set([...(fields[name] ?? []), ...types])];
  };
  for (const [name, { paths, json }] of Object.entries(columns)) {
    add(paths.length === 0 ? [name] : paths.filter((path) => !path.includes('.')), json);
  }
  for (const [type, names] of Object.entries(known)) {
    add(names.split(' '), type === 'anything' ? ANYTHING : [type as JsonType]);
  }
  return fields;
}
