/** What is stored of a record: its table, the row that it becomes, and what of it is personal. A leaf. */

export type ColumnType =
  | 'text'
  | 'text[]'
  | 'integer'
  | 'bigint'
  | 'double precision'
  | 'boolean'
  | 'timestamptz'
  | 'jsonb';

/** One mirrored table: where it is and its typed columns. The common columns are added by the store. */
export interface TableSpec {
  readonly schema: string;
  readonly name: string;
  readonly columns: Readonly<Record<string, ColumnType>>;
  /** What the erasure of a person has to know. Absent: keys and dates stay, its rows are found by their text only. */
  readonly personal?: PersonalColumns;
  /** Columns that hold nothing of a person, beside `personal.kept`: roles without personal data may read them. */
  readonly impersonal?: readonly string[];
  /** Columns that the request may give instead (`ListPage.known`). The stored value stays when a response lacks one. */
  readonly attributed?: readonly string[];
  /** Columns of which history keeps each value, where it is switched on. Absent: the table has no history. */
  readonly tracked?: readonly string[];
}

/**
 * Where a table has personal data. A path is a column, or leads into a column of JSON or into `raw`: `email`,
 * `contact.email`, `raw.snapshot.lead.email`.
 */
export interface PersonalColumns {
  /** Columns that stay in a row whose person was erased, beside keys and dates. */
  readonly kept?: readonly string[];
  /** The rows of an erased person are deleted: nothing would be left of them. */
  readonly isDeleted?: boolean;
  /** A row is one person: what its paths hold is theirs, and finds other rows. Else the paths only find the row. */
  readonly isPerson?: boolean;
  readonly addresses?: readonly string[];
  readonly numbers?: readonly string[];
  readonly names?: readonly string[];
  /** Columns beside `id` under which other rows know the row. */
  readonly keys?: readonly string[];
  /** Path to the stream whose row it names, by id or key. */
  readonly refersTo?: Readonly<Record<string, string>>;
  /** Fields that connect it with a person; it is written without them when it is newer than an erasure. */
  readonly links?: readonly string[];
  /** Fields that colleagues write for themselves: an export names them for a look before it is handed over. */
  readonly notes?: readonly string[];
  /** A row is a colleague: the columns that make up their name. */
  readonly colleague?: readonly string[];
  /** A row is a contact that came from the person whom this path (of `refersTo`) names, at the time of this column. */
  readonly contact?: { readonly by: string; readonly at: string; readonly isVisit?: boolean };
}

/** For how long rows stay, counted from one of their times. */
export interface RetentionRule {
  /** As in settings: `tiledesk.leads`. */
  readonly stream: string;
  /** `last_contact`: the newest time at which the person wrote or, where visits count, opened a link. */
  readonly since: 'created' | 'closed' | 'last_contact' | 'deleted_upstream';
  /** An interval: `36 months`. */
  readonly after: string;
  /** `erase`: the rows and what belongs to them. `texts`: what was written in them. */
  readonly do: 'erase' | 'texts';
}

/** A mapped record: the typed columns of its table, and what every table has. Dates are ISO 8601 in UTC. */
export interface Row {
  readonly id: string;
  /** Upstream's change time; null where the object has none. Decides which of two versions is newer. */
  readonly updated_at: string | null;
  /** Set when the upstream itself reports the object as deleted. */
  readonly deleted_at: string | null;
  /** The upstream object as received, less what the privacy settings drop. */
  readonly raw: unknown;
  /** Set in a row that keeps nothing personal, because its person was erased. */
  readonly erased_at?: string;
  readonly [column: string]: unknown;
}

export type JsonType = 'string' | 'number' | 'boolean' | 'object' | 'array' | 'null';

/** The top-level fields of a record with the types that each is known to have; `null` is always allowed. */
export type KnownFields = Readonly<Record<string, readonly JsonType[]>>;

/** What the privacy settings allow to be stored. */
export interface Privacy {
  readonly storeVisitorPii: boolean;
  readonly storeLinks: boolean;
}

/** What becomes of one field before anything of a record is stored. */
export interface FieldRule {
  /** As in settings: `tiledesk.leads`. */
  readonly stream: string;
  /** Names inside the upstream record; lists on the way are entered by themselves. */
  readonly path: readonly string[];
  /** `keep` takes a preset back. */
  readonly action: 'drop' | 'pseudonym' | 'keep';
}

export const PRIVACY_PRESETS = ['contact', 'texts', 'agents'] as const;

/** Presets, and single fields, which win over them. */
export interface FieldPolicy {
  readonly presets: readonly (typeof PRIVACY_PRESETS)[number][];
  readonly fields: readonly FieldRule[];
}
