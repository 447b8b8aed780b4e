/**
 * The contract between a source (one upstream product) and the engine: a leaf that everything may import.
 *
 * A stream is data plus pure functions: its table, how a record maps to a row, and its lists. Each list pairs a *walk*
 * with a `fetchPage` that makes one request of its question. The engine runs the loop and knows nothing of any product.
 */
import type { AuthError } from './errors.ts';
import type { KnownFields, Row, TableSpec } from './table.ts';

export * from './table.ts';

/**
 * What a run does. Backfill, reconcile and verify are modes of the same full sync; verify only compares. Count compares
 * how many rows there are, and reads what differs.
 */
export type Pass = 'backfill' | 'incremental' | 'reconcile' | 'count' | 'verify';

/** Passes that the queue knows: a verify is run by a person. */
export type QueuedPass = Exclude<Pass, 'verify'>;

/** Queue and concurrency: full syncs are `bulk`, so that new data arrives during a long one. */
export type Lane = 'fast' | 'bulk';

export const laneOf = (pass: Pass): Lane => (pass === 'incremental' ? 'fast' : 'bulk');

export type Outcome = 'succeeded' | 'partial' | 'failed' | 'postponed' | 'cancelled';

export type SortKey = 'id' | 'created_at' | 'updated_at';

/** One question to a list. In sorted walks `offset` is a multiple of `limit`: some servers only know page × limit. */
export interface ListQuery {
  readonly sort: SortKey;
  readonly direction: 'desc' | 'asc';
  readonly offset: number;
  readonly limit: number;
  /** Only rows whose date lies in [fromMs, toMs], both whole seconds; an absent bound is open. */
  readonly window?: ListWindow;
  /** Whether the response should contain how many rows match. */
  readonly wantTotal: boolean;
  /** More rows than usual: the request is sent once, and when it fails, the walk goes on with smaller pages. */
  readonly isTrial?: boolean;
  /** Only of a walk that follows another stream: which of its rows are next. The other members are unused then. */
  readonly following?: Following;
}

/** A position in the order in which the mirror wrote the rows of a stream: when (ms), and the id. */
export type MirrorPosition = { readonly at: number; readonly id: string };

export interface Following {
  /** The rows behind this position; null: from the first one. */
  readonly behind: MirrorPosition | null;
  /** By the database's clock (ms); null: the walk begins, and the list gives it (`ListPage.serverTime`). */
  readonly untilMs: number | null;
}

export interface ListWindow {
  readonly field: 'created_at' | 'updated_at';
  readonly fromMs?: number;
  readonly toMs?: number;
}

/** What a walk sees of a row: its id and its sort keys in ms since 1970 (null: absent or unreadable). */
export interface Entry {
  readonly id: string | null;
  /** The id as the order of a list sorted by id sees it; null: it takes no part in that order. Default: `id`. */
  readonly sortId?: string | null;
  readonly createdAt: number | null;
  readonly updatedAt: number | null;
}

/** The most rows of a list without pages: no account has as many departments, and no conversation as many messages. */
export const MOST_ROWS = 50_000;

export interface ListPage {
  readonly records: readonly unknown[];
  /** `records`, as the walk sees them: same length, same order. */
  readonly entries: readonly Entry[];
  /** The page size that the server reports; null where it reports none. */
  readonly pageSize: number | null;
  /** How many rows match in all; null when not asked or not reported. */
  readonly total: number | null;
  /** Whether the server reports that rows follow; null or absent where it does not. */
  readonly hasMore?: boolean | null;
  /** Values of `TableSpec.attributed` columns that hold for all rows. They fill what the record leaves null. */
  readonly known?: Readonly<Record<string, unknown>>;
  /** The `Date` header (ms); of a list that follows a stream: until when its rows were written. Null: absent. */
  readonly serverTime: number | null;
  /** The request's milliseconds, without waits before it, and the characters of the answer. Absent: not measured. */
  readonly cost?: { readonly ms: number; readonly length: number };
  /** Only of a list that follows a stream: the row up to which this page goes; null: there are none left. */
  readonly position?: MirrorPosition | null;
  /** Ids of rows that are gone, because what they are part of is marked as deleted in the mirror. */
  readonly gone?: readonly string[];
}

/** Where a walk stands. Plain JSON, because it is stored in the checkpoint. */
export type WalkState = { readonly [key: string]: unknown };

export type WalkEnd =
  | { readonly kind: 'complete' }
  /** Too much moved under the reader: progress is kept, completeness is not claimed. */
  | { readonly kind: 'gave_up'; readonly reason: string };

export interface WalkStep<S extends WalkState = WalkState> {
  readonly state: S;
  /** Null while the walk goes on. */
  readonly end: WalkEnd | null;
  /** With `memory: 'walk'`: ids to be kept, stored together with the page. */
  readonly seen?: readonly string[];
}

/**
 * A way through a list. Pure: the same state and page give the same step.
 *
 * @throws UpstreamContractError from `accept` when a page contradicts the upstream's own rules.
 */
export interface Walk<S extends WalkState = WalkState> {
  /** Which walk in which order: a state is only understood by a walk of the same kind. */
  readonly kind: string;
  /** Which ids of a page it gets: those shown before (`walk`), or those the mirror has unchanged (`mirror`). */
  readonly memory?: 'walk' | 'mirror';
  /** With `memory: 'walk'`: how many ids the engine must hold for this state; a mismatch begins the walk anew. */
  memorized?(state: S): number;
  /** The state before the first request. */
  start(): S;
  /** The state to go on from after a stop: the same position, and no troubles counted. */
  resume(state: S): S;
  next(state: S): ListQuery;
  /** `known`: the ids of the page that `memory` knows; absent for a walk without one. */
  accept(state: S, query: ListQuery, page: ListPage, known?: ReadonlySet<string>): WalkStep<S>;
  /** Returns the newest change on the first page and the server's clock then (ms), for the next walk; null: unknown. */
  beginning(state: S): { readonly newest: number | null; readonly serverTime: number | null };
  /** Half as many rows a page from now on, after too large or too slow an answer; null when it cannot get smaller. */
  shrink(state: S): S | null;
}

export interface FetchOptions {
  readonly signal: AbortSignal;
  /** The longest single wait; beyond it RateLimitedError contains how long to stay away. */
  readonly maxWaitMs: number;
  /** How often one request is sent at most; default: the upstream's own number. Probes take one. */
  readonly attempts?: number;
  /** Whose part of the request budget is used; default `fast`. */
  readonly lane?: Lane;
  readonly onRequest: () => void;
}

/** One list of a stream: a walk and the request that answers it. */
export interface List {
  /** Stable name inside the stream; watermarks are kept by it (`all`, or a lead status: `100`). */
  readonly id: string;
  readonly walk: Walk;
  /** Never empty while the stream has objects: an empty answer then contradicts the rows of the mirror. */
  readonly holdsAll?: boolean;
  fetchPage(query: ListQuery, options: FetchOptions): Promise<ListPage>;
  /** Finds the newest change (ms) to seed the watermark before a full sync; null: nothing there. */
  fetchNewestChange?(options: FetchOptions): Promise<{ newest: number | null; serverTime: number | null }>;
}

/** A number of rows that the upstream reports, and which rows of the mirror have to be as many. */
export interface CountedList {
  /** As in `List`, where the stream has such a list; its watermark shows whether the mirror is current. */
  readonly id: string;
  /** Only the mirror's alive rows with this value in this column; absent: all alive rows. */
  readonly rows?: { readonly column: string; readonly value: string | number };
  /** How the rows of a window of `created_at` are read, both ends whole seconds and included. Absent: no windows. */
  readonly walkWindow?: (window: ListWindow) => Walk;
  /** The most rows of a page. */
  readonly pageSize: number;
  /** As in `List`; `total` is the count. It has to filter as the list of a full sync does. */
  readonly fetchPage: List['fetchPage'];
  /** A quarantined record as the walk sees it; null: it is not counted here. */
  readonly entryOf: (record: unknown) => Entry | null;
}

/** Facts found out about a server once and remembered (`sync.streams.capabilities`). */
export type Capabilities = { readonly [name: string]: boolean | number };

/** What a stream needs to know to lay out its lists. */
export interface PlanContext {
  readonly pass: Pass;
  /** Remembered facts; a stream probes for those that are missing and passes the answer to `learn`. */
  readonly capabilities: Capabilities;
  learn(facts: Capabilities): Promise<void>;
  /** Where an incremental pass of this list stops (ms): watermark − lookback; null: read to the end. */
  stopBefore(listId: string): number | null;
  /** The watermark of a list (ms), for streams that know their own overlap; null: none yet. */
  watermark(listId: string): number | null;
  /** Ids of another stream's alive rows, newest first. Null until that stream was read whole once. */
  mirroredIds(stream: string, limit?: number): Promise<readonly string[] | null>;
  /** Another stream, to be followed row by row. Null until it was read whole, or while it is too stale. */
  follow(stream: string): Promise<FollowedStream | null>;
  /** Ids of the stream's own rows, deleted ones left out, whose column holds one of these values. */
  ownIds(column: string, values: readonly string[]): Promise<readonly string[]>;
  /** Sets the human-readable notice about how this stream is read; null: none. */
  notice(text: string | null): void;
  readonly fetch: FetchOptions;
}

export interface FollowedStream {
  /** A time by the database's clock (ms): no row that was written until then will turn up later. */
  settledAt(): Promise<number>;
  /** The next rows in the order in which the mirror wrote them; a row that is written again moves to the end. */
  read(query: FollowQuery): Promise<readonly FollowedRow[]>;
}

export interface FollowQuery extends Following {
  readonly untilMs: number;
  readonly columns: readonly string[];
  readonly limit: number;
  /** Only rows that are marked as deleted; else those, too. */
  readonly onlyDeleted: boolean;
}

export interface FollowedRow {
  readonly position: MirrorPosition;
  readonly isDeleted: boolean;
  readonly values: Readonly<Record<string, unknown>>;
}

/** A row of the mirror that a full sync did not see: its typed columns, dates as ISO 8601. */
export type MirroredRow = { readonly id: string; readonly [column: string]: unknown };

/** One kind of object of one connection, ready to be read. */
export interface Stream {
  /** `tiledesk.leads`: source and kind, also the table's name. */
  readonly name: string;
  readonly table: TableSpec;
  /** Fields that records are known to have: others are counted as drift. Absent: drift is not counted. */
  readonly fields?: KnownFields;
  /** What the privacy settings leave of a record. Nothing else of it is ever stored, quarantine included. */
  redactRecord(record: unknown): unknown;
  /** Takes what people wrote out of a record, once it was kept for long enough. Absent: it holds no such texts. */
  dropTexts?(record: unknown): unknown;
  /** Redacted record to row. @throws RecordError when the record has no usable id. */
  mapRecord(record: unknown): Row;
  /** The lists that together hold every object of the stream, in the order in which they are to be read. */
  planLists(context: PlanContext): Promise<readonly List[]>;
  /**
   * The counts of the upstream that together cover every alive row. Empty: this server's cannot be used. Absent: the
   * upstream reports none that can be trusted. Used only together with `deletions`.
   */
  readonly counts?: (context: PlanContext) => Promise<readonly CountedList[]>;
  /** What a full sync does with rows that it did not see. Absent: it does not find deletions. */
  readonly deletions?: Deletions;
  /** Why verify does not compare this stream, human-readable; absent: it does. */
  readonly notCompared?: string;
}

export interface Deletions {
  /** Null: this server cannot be asked. Absent: a second walk decides. */
  readonly exists?: (row: MirroredRow, options: FetchOptions) => Promise<boolean | null>;
}

/** What is known of the account after `open`: project and role. Never an address or a name of a person. */
export interface AccountFacts {
  readonly summary: string;
  /** What the account itself is called, on one line; null or absent: `open` does not see it. */
  readonly name?: string | null;
}

/** One configured account of a source. */
export interface Connection {
  /** `tiledesk:<project>`. */
  readonly id: string;
  readonly source: string;
  readonly streams: readonly Stream[];
  /** Verifies credentials and role. @throws AuthError, UpstreamRefusedError, TransientError, RateLimitedError */
  open(options: FetchOptions): Promise<AccountFacts>;
  /** What the account itself is called, by a request of its own, for `check`; null: not known. Absent: it has no name, or `open` sees it. */
  fetchName?(options: FetchOptions): Promise<string | null>;
  /** A person asked: a refused credential is tried once more, which happens once for one configured credential. */
  retryRefused?(): void;
  /** Names the budget row that all connections with this credential share. No secret. */
  readonly credential: string;
  /** What the budget allows, for the status page; absent: the configuration has it. */
  readonly requestsPerMinute?: number;
  /** What `check` shows beside the streams: a line for each API of the account. @throws what `open` throws */
  readonly healthChecks?: readonly { readonly name: string; check(options: FetchOptions): Promise<string> }[];
}

/** After so long it is tried again: a lock may have ended, or the upstream was wrong. */
export const REFUSED_FOR_MS = 15 * 60_000;

/** Where a refused credential is remembered for all processes. */
export interface RefusalStore {
  /** The refusal of this very credential that is still in force; null where there is none. */
  find(): Promise<AuthError | null>;
  /** Takes the one try that a person has while this credential is refused. False: it was taken, or none is refused. */
  takeRetry(): Promise<boolean>;
  keep(error: AuthError): Promise<void>;
  clear(): Promise<void>;
}
