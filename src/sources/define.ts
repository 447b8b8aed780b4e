import { RecordError } from '../errors.ts';
import type {
  AccountFacts,
  ColumnType,
  Connection,
  CountedList,
  Deletions,
  FetchOptions,
  KnownFields,
  List,
  PersonalColumns,
  PlanContext,
  Row,
  Stream,
} from '../stream.ts';
import { asId, isObject, type JsonObject } from './coerce.ts';
import { redactSecrets } from './privacy.ts';

type Columns = Readonly<Record<string, ColumnType>>;

/** Columns that every table has, whether or not the objects have such dates: what is newer is decided by them. */
const DATES = { created_at: 'timestamptz', updated_at: 'timestamptz' } as const;

/** Columns that the store adds. */
const STORED =
  'connection_id id raw content_hash text_repaired first_seen_at synced_at deleted_at run_id erased_at'.split(' ');

/** Schemas with another meaning: those of the program, and Postgres' own. */
const TAKEN_SCHEMAS = ['sync', 'tiledesk', 'tilkee', 'reporting', 'bullmq', 'public', 'information_schema'];
const TAKEN_SOURCES = ['tiledesk', 'tilkee'];

const NAME = /^[a-z][a-z0-9_]{0,39}$/;

/** The typed columns of one record by name; those that are absent are stored as null. */
export type MappedColumns<C extends Columns> = { readonly [K in keyof C]?: unknown } & {
  /** The id of the record; a record without a usable one (null) is quarantined. */
  readonly id: unknown;
  /** ISO 8601; null where the object has none. Of two versions of a row the one that was changed later counts. */
  readonly updated_at?: string | null;
  readonly created_at?: string | null;
  /** The deletion time that the object itself contains. */
  readonly deleted_at?: string | null;
};

export interface StreamDefinition<C extends Columns> {
  /** `helpdesk.tickets`: the Postgres schema (one per source) and the table. Lower case letters, digits, `_`. */
  readonly name: string;
  /** Beside `created_at` and `updated_at`. New ones appear at the next start; `reprojectOnce` fills older rows. */
  readonly columns: C;
  /** One record (after `redact`) as columns. Pure. Lenient readers (`asText`, `asTime`, ...) make null of oddities. */
  readonly map: (record: JsonObject) => MappedColumns<C>;
  /** The lists that together hold every object of the stream. Asked at the beginning of each run; see `List`. */
  readonly lists: (context: PlanContext) => readonly List[] | Promise<readonly List[]>;
  /** Leaves out what must not be stored anywhere, quarantine included. Default: secrets of accounts. */
  readonly redact?: (record: JsonObject) => unknown;
  /** Fields that records are known to have; others are reported as drift. Default: drift is not reported. */
  readonly fields?: KnownFields;
  /** Columns of which history keeps each value, where SYNC_HISTORY_STREAMS names the stream. Default: no history. */
  readonly tracked?: readonly (keyof C & string)[];
  /** Where it has personal data. Default: of an erased person's row, named to be erased, only keys and dates stay. */
  readonly personal?: PersonalColumns;
  /** Set: a reconcile marks rows that are gone, each asked for by `exists`, or missed by a second full sync. */
  readonly deletions?: Deletions;
  /** Set: the upstream reports how many rows there are, so that a count check finds deletions without a full sync. */
  readonly counts?: (context: PlanContext) => readonly CountedList[] | Promise<readonly CountedList[]>;
}

/** One kind of object of a source, as the engine reads it. @throws TypeError when a name or a column cannot be used */
export function defineStream<const C extends Columns>(definition: StreamDefinition<C>): Stream {
  const { name, map, lists, redact = redactSecrets, fields, tracked, deletions, counts, personal } = definition;
  const [schema = '', table = '', ...more] = name.split('.');
  if (more.length > 0 || !NAME.test(schema) || !NAME.test(table)) {
    throw new TypeError(`a stream is named schema.table in lower case, such as helpdesk.tickets, not ${name}`);
  }
  if (TAKEN_SCHEMAS.includes(schema) || schema.startsWith('pg_')) {
    throw new TypeError(`the schema ${schema} has another meaning; give the stream ${name} one of its own`);
  }
  const columns: Columns = { ...definition.columns, ...DATES };
  for (const column of Object.keys(columns)) {
    if (!NAME.test(column)) throw new TypeError(`${name}: ${column} is no name for a column; use a-z, 0-9 and _`);
    if (STORED.includes(column)) throw new TypeError(`${name}: every table has a column ${column}; leave it out`);
  }
  for (const [column, type] of Object.entries(DATES)) {
    const given = definition.columns[column] ?? type;
    if (given !== type) throw new TypeError(`${name}: ${column} has to be ${type}, not ${given}`);
  }
  return {
    name,
    table: { schema, name: table, columns, ...(tracked && { tracked }), ...(personal && { personal }) },
    ...(fields && { fields }),
    redactRecord: (record) => (isObject(record) ? redact(record) : record),
    mapRecord: (record) => toRow(record, { name, columns, map }),
    planLists: async (context) => lists(context),
    ...(deletions && { deletions }),
    ...(counts && { counts: async (context: PlanContext) => counts(context) }),
  };
}

function toRow(
  record: unknown,
  { name, columns, map }: { name: string; columns: Columns; map: (record: JsonObject) => MappedColumns<Columns> },
): Row {
  if (!isObject(record)) throw new RecordError('no_object', `a record of ${name} is no object`, { recordId: null });
  const { id: given, deleted_at = null, ...mapped } = map(record);
  const id = asId(given);
  if (id === null) throw new RecordError('no_id', `a record of ${name} without an id`, { recordId: null });
  const strange = Object.keys(mapped).find((column) => !(column in columns));
  if (strange !== undefined) throw new TypeError(`${name} has no column ${strange}`);
  const typed = Object.fromEntries(Object.keys(columns).map((column) => [column, mapped[column] ?? null]));
  return { ...typed, updated_at: mapped.updated_at ?? null, id, deleted_at, raw: record };
}

export interface ConnectionDefinition {
  /** Names the account everywhere: `helpdesk:acme`. No spaces, no secret; a new id is read from the beginning. */
  readonly id: string;
  readonly source: string;
  /** The name that its upstream was made with. */
  readonly credential: string;
  readonly requestsPerMinute?: number;
  readonly streams: readonly Stream[];
  /** Asked once before each run: are credentials and role right? Default: the first page shows it. */
  readonly open?: (options: FetchOptions) => Promise<AccountFacts>;
}

/** One account of a source. @throws TypeError when its names cannot be used */
export function defineConnection(definition: ConnectionDefinition): Connection {
  const { id, source, credential, streams, requestsPerMinute, open } = definition;
  if (!NAME.test(source) || TAKEN_SOURCES.includes(source)) {
    throw new TypeError(`a source has a name of its own in lower case, such as helpdesk, not ${source}`);
  }
  // A job is named after it, with points and spaces between the parts.
  if (!/^[A-Za-z0-9][A-Za-z0-9:_-]{0,99}$/.test(id)) {
    throw new TypeError(`the connection ${id} needs a name of letters, digits, ":", "_" and "-", as ${source}:main`);
  }
  const strange = streams.find(({ name }) => !name.startsWith(`${source}.`));
  if (strange !== undefined) throw new TypeError(`the stream ${strange.name} is not of the source ${source}`);
  if (new Set(streams.map(({ name }) => name)).size < streams.length) {
    throw new TypeError(`the connection ${id} has the same stream twice`);
  }
  const limit = requestsPerMinute === undefined ? {} : { requestsPerMinute };
  return { id, source, credential, streams, ...limit, open: open ?? (async () => ({ summary: source })) };
}
