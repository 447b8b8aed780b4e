/**
 * Every failure that the program acts on, one class per cause. Code decides by class and `code`, never by message text.
 *
 * Messages are written for the operator: what happened, then what to do next. They carry no secret, no personal data and
 * no text of an upstream's error body.
 */
export abstract class LeadmirrorError<Code extends string = string> extends Error {
  /** A machine-readable code, stable between releases, stored with a failed run. */
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** The base of a class whose errors all have one code. */
export const errorOf = <Code extends string>(code: Code) =>
  class extends LeadmirrorError<Code> {
    constructor(message: string, options?: ErrorOptions) {
      super(code, message, options);
    }
  };

export interface ConfigProblem {
  /** The variable or file key that is wrong: `TILEDESK_PAGE_SIZE`, `leadmirror.yaml: connections[1].projectId`. */
  readonly variable: string;
  /** What is wrong with it and what to do, without its value when it may hold a secret. */
  readonly message: string;
}

/** The configuration cannot be used. Holds all problems found, not only the first. Exit code 2. */
export class ConfigError extends LeadmirrorError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    super('config_invalid', problems.map(({ variable, message }) => `${variable}: ${message}`).join('\n'), options);
    this.problems = problems;
  }
}

/** The upstream asked for a pause that is longer than the caller may wait. The work is postponed, not failed. */
export class RateLimitedError extends LeadmirrorError {
  /** How long to stay away, in milliseconds from the moment this was thrown. */
  readonly waitMs: number;

  constructor(message: string, options: ErrorOptions & { waitMs: number; code?: string }) {
    super(options.code ?? 'rate_limited', message, options);
    this.waitMs = options.waitMs;
  }
}

type TransientCode = 'network' | 'timeout' | 'upstream_unavailable' | 'upstream_garbled';

/** A network failure, a timeout, a 5xx, an unreadable body. Trying again later may well work. */
export class TransientError extends LeadmirrorError<TransientCode> {
  /** The server's Retry-After in milliseconds; null when it sent none. */
  readonly retryAfterMs: number | null;
  readonly status: number | null;

  constructor(
    code: TransientCode,
    message: string,
    options: ErrorOptions & { retryAfterMs?: number | null; status?: number | null } = {},
  ) {
    super(code, message, options);
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.status = options.status ?? null;
  }
}

export type AuthCode = 'auth_failed' | 'auth_role' | 'auth_not_member' | 'auth_refused';

/** The upstream refuses this account. Waiting does not help; action is required. */
export class AuthError extends LeadmirrorError<AuthCode> {}

/** The upstream answered something that its own rules exclude, or its interface changed. */
export class UpstreamContractError extends LeadmirrorError {}

/** A definite refusal of one request (4xx that is neither credentials nor load). */
export class UpstreamRefusedError extends LeadmirrorError {
  readonly status: number;

  constructor(code: string, message: string, options: ErrorOptions & { status: number }) {
    super(code, message, options);
    this.status = options.status;
  }
}

/** The answer is larger than the size limit of one request: ask for fewer rows. */
export class ResponseTooLargeError extends errorOf('response_too_large') {}

/** One record that cannot be mapped. It is quarantined; the rest of its page is written. */
export class RecordError extends LeadmirrorError {
  /** The record's own id where it has a usable one. */
  readonly recordId: string | null;

  constructor(code: string, message: string, options: ErrorOptions & { recordId: string | null }) {
    super(code, message, options);
    this.recordId = options.recordId;
  }
}

/** Another run took this checkpoint over; nothing of this run may be committed any more. */
export class LeaseLostError extends errorOf('lease_lost') {}

/** A person was erased since the run read whom to leave out: it reads that again, and goes on from its checkpoint. */
export class ErasedMeanwhileError extends errorOf('erased_meanwhile') {}

export type PrivacyCode =
  | 'erasures_missing'
  | 'erasures_journal_missing'
  | 'journal_unusable'
  | 'privacy_key_missing'
  | 'erasure_unfinished'
  | 'clocks_differ';

/** What was erased could come back, or an erasure cannot be recorded: nothing is written until a person has acted. */
export class PrivacyError extends LeadmirrorError<PrivacyCode> {}

export type ConnectionCode =
  | 'connection_exists'
  | 'connection_unknown'
  | 'connection_changed'
  | 'connection_clash'
  | 'connection_locked'
  | 'connection_invalid'
  | 'connection_busy';

/** An account that the database keeps cannot be used, or not be changed in this way. */
export class ConnectionError extends LeadmirrorError<ConnectionCode> {}

/** Another run has locked the checkpoint. */
export class LeaseBusyError extends errorOf('lease_busy') {}

type CancelCode = 'paused' | 'cancelled_by_person' | 'resync' | 'not_configured';

/** A person, or a changed configuration, ended the run or keeps it from beginning. Its checkpoint is kept. */
export class RunCancelledError extends LeadmirrorError<CancelCode> {}

export type DatabaseCode =
  | 'database_unavailable'
  | 'database_refused'
  | 'database_newer'
  | 'database_foreign'
  | 'database_preview'
  | 'database_disk_full'
  | 'database_mismatch'
  | 'database_unsupported';

/**
 * The mirror's own Postgres cannot be used. `database_unavailable` and `database_disk_full` pass by waiting, the others need
 * action; `database_mismatch` is about one statement, and the others may succeed.
 */
export class DatabaseError extends LeadmirrorError<DatabaseCode> {}

/** The code stored with a failed run: an error's own, or `bug` for everything that is not foreseen. */
export function errorCode(error: unknown): string {
  return error instanceof LeadmirrorError ? error.code : 'bug';
}

/** The error that a stopped request leaves behind, which `isAbort` recognises whatever reason the signal carries; that is its cause. */
export function abortError(signal?: AbortSignal): Error {
  const error = new Error('stopped before the request had finished', { cause: signal?.reason });
  error.name = 'AbortError';
  return error;
}

/** True for the error that an aborted signal leaves behind: a stop, not a failure. */
export function isAbort(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { readonly name?: unknown; readonly code?: unknown };
  return name === 'AbortError' || code === 'ABORT_ERR';
}
