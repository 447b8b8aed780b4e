import type { Queue } from 'bullmq';
import type { FastifyInstance } from 'fastify';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import type { PrivacyWatch } from '../store/privacy/guard.ts';
import type { Lane, QueuedPass } from '../stream.ts';

/** The parts of the web role. All but the database may be missing: then the page shows that. */
export interface OpsParts {
  readonly prisma: PrismaClient;
  readonly logger?: Logger;
  /** Absent where this process has no queue. */
  readonly queue?: OpsQueue;
  readonly control?: Control;
  readonly privacy?: PrivacyWatch;
  /** Null or absent: read-only, and only for who reaches it under a loopback name. */
  readonly token?: string | null;
  /** Allows reading everything, and no changes. */
  readonly readToken?: string | null;
  /** Addresses and networks of proxies whose X-Forwarded-For counts. */
  readonly trustedProxies?: readonly string[];
  /** The name that the page is served under, besides loopback names. */
  readonly host?: string;
  /** The configured accounts, as they are now: a reload changes them. */
  readonly connections?: () => readonly OpsConnection[];
  readonly names?: () => readonly NamedAccount[];
  /** When the schedule next asks for a run of this stream; a daemon has to be running for it to happen. */
  readonly nextRuns?: (key: StreamKey, nowMs: number) => readonly NextRun[];
  /** The accounts that the database keeps, and the check of any account; without a token none of it is there. */
  readonly accounts?: KeptAccounts;
  /** Names of the migrations that this program needs. */
  readonly migrations?: readonly string[];
  /** More routes, such as `/metrics`. They stand behind the same gate as all others. */
  readonly plugins?: readonly OpsPlugin[];
  /** Between two queries of the database while a page listens. */
  readonly pollMs?: number;
}

export type OpsPlugin = (server: FastifyInstance) => void | Promise<void>;

export interface NamedAccount {
  readonly id: string;
  readonly label?: string;
  readonly configuredIn?: string;
}

export interface OpsConnection {
  readonly id: string;
  readonly source: string;
  /** Whose budget it takes its requests from. */
  readonly credential: string;
  readonly requestsPerMinute: number;
}

export interface NextRun {
  readonly pass: QueuedPass;
  readonly at: Date;
}

export interface OpsQueue {
  /** Rejects when the queue does not answer. */
  ping(): Promise<void>;
  health(): Promise<QueueHealth>;
  /** For Bull Board, as they are now: one that was refused while it was being set up is replaced. */
  readonly lanes?: () => readonly Queue[];
}

export interface QueueHealth {
  readonly backend: 'redis' | 'postgres';
  readonly ok: boolean;
  readonly error: string | null;
  readonly lanes: Readonly<Record<Lane, Readonly<Record<'waiting' | 'active' | 'delayed' | 'failed', number>>>> | null;
}

/** The actions on a stream, by their names in addresses. Each returns a sentence. @throws LeadmirrorError */
export type Control = Readonly<Record<string, (key: StreamKey, options: ActionOptions) => Promise<string>>>;

interface ActionOptions {
  readonly pass: QueuedPass;
  /** A verify reads again what differs. */
  readonly repair: boolean;
}

type Mapping = Readonly<Record<string, unknown>>;

/** An account that the database keeps, without what is encrypted. */
export interface KeptAccount {
  readonly id: string;
  readonly source: unknown;
  readonly state: string;
  /** Why it is not mirrored. */
  readonly reason: string | null;
  readonly settings: Mapping;
  /** The names of what is encrypted; null where this process cannot decrypt it. */
  readonly secrets: readonly string[] | null;
}

/** The settings of one source's accounts, as a form asks for them. */
export interface AccountForm {
  readonly source: string;
  readonly title: string;
  /** All, those to begin with first. */
  readonly fields: readonly string[];
  /** So many of them an account cannot do without, or is known by. */
  readonly firstFields: number;
  /** Encrypted, and never shown. */
  readonly privateFields: readonly string[];
  /** Of these, what is hidden while it is typed. */
  readonly secretFields: readonly string[];
}

export interface CheckResult {
  /** `database`, `queue`, `tiledesk:<project>`, `tiledesk:<project> tiledesk.leads`. */
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** @throws ConfigError, ConnectionError */
export interface KeptAccounts {
  /** Whether there is a key to encrypt secrets with. */
  readonly canKeep: boolean;
  readonly forms: readonly AccountForm[];
  isKept(id: string): boolean;
  list(): Promise<readonly KeptAccount[]>;
  /** Returns its id. */
  add(given: Mapping): Promise<string>;
  edit(id: string, changes: Mapping): Promise<void>;
  /** Returns the streams whose rows stay. */
  remove(id: string): Promise<readonly string[]>;
  /** Tries an account, wherever it is configured; changes nothing upstream. Null: there is none. */
  check(id: string): Promise<readonly CheckResult[] | null>;
}
