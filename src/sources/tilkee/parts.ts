import type { UpstreamResponse } from '../../http/upstream.ts';
import type { FetchOptions, Privacy } from '../../stream.ts';
import { redactTilkee } from '../privacy.ts';
import type { RecordTable } from '../record-table.ts';
import type { Vault } from '../vault.ts';

/** How an account signs in. One V3 sign-in opens both APIs; a key of the old API opens V2 only (documented). */
export type TilkeeAuth =
  | {
      readonly kind: 'oauth';
      readonly username: string | null;
      readonly password: string | null;
      readonly clientId: string | null;
      readonly clientSecret: string | null;
      /** The one the operator configured; a newer one from the vault goes first. */
      readonly refreshToken: string | null;
    }
  | { readonly kind: 'key'; readonly accessToken: string };

export type TilkeeStreamName = 'projects' | 'items' | 'tokens' | 'connexions' | 'users';

/** Lists beside the plain ones, which may not contain their rows. Rows seen twice are one row. */
type TilkeeExtra = 'templates' | 'archived_projects' | 'colleagues_projects' | 'archived_tokens';

export interface TilkeeSettings {
  /** `tilkee:default`, or as leadmirror.yaml names it. */
  readonly id: string;
  readonly auth: TilkeeAuth;
  readonly v3Url: string;
  readonly v2Url: string;
  readonly authUrl: string;
  /** Where the browser signs in: the web app's host. */
  readonly appUrl: string;
  /** How the sign-in's body is written. Inferred: form. */
  readonly authBody: 'form' | 'json';
  /** Sent with the sign-in when not null; the code flow always asks for `all`. */
  readonly scope: string | null;
  readonly streams: readonly TilkeeStreamName[];
  readonly projectsApi: 'v3' | 'v2';
  readonly requestsPerMinute: number;
  /** Rows a page, 2 to 100. A server that refuses it is asked for what it allows. */
  readonly pageSize: number;
  readonly ref: string;
  readonly extras: readonly TilkeeExtra[];
  /** How several values of one parameter are written: `a=1&a=2` or `a=1,2`. */
  readonly arrayParams: 'repeat' | 'csv';
  readonly timeUnit: 's' | 'ms';
  /** Where visits are read. `auto`: all in one list where that names link or project, else project by project. */
  readonly visitsBy: 'auto' | 'list' | 'project' | 'token';
  /** Ask the V2 projects list for `-projects.updated_at`; used only when the answer obeys. */
  readonly orderByUpdate: boolean;
  /** Ids of colleagues as whom the V2 lists are read too (header `USER_ID`). */
  readonly actAs: readonly string[];
}

export type TilkeeApiName = 'v3' | 'v2';

export interface TilkeeGetOptions extends FetchOptions {
  readonly actAs?: string;
}

/** GET requests to both APIs of one account, signed in, with refusals read. */
export interface TilkeeApi {
  /** True when this account has that API at all: a static key opens V2 only. */
  has(api: TilkeeApiName): boolean;
  /**
   * The answer is 200 with JSON. `path` begins with a slash: `/projects/` on V3, `/projects` on V2.
   * @throws AuthError, UpstreamRefusedError (`not_permitted`, `not_found`, `gone`, `bad_parameter`), and what the http
   * layer throws
   */
  get(api: TilkeeApiName, path: string, query: URLSearchParams, options: TilkeeGetOptions): Promise<UpstreamResponse>;
}

export interface TilkeeStreamParts {
  readonly api: TilkeeApi;
  readonly settings: TilkeeSettings;
  readonly privacy: Privacy;
}

export const redacted = (table: RecordTable, { privacy }: TilkeeStreamParts) => ({
  ...table,
  redactRecord: (record: unknown) => redactTilkee(record, privacy),
});

/** What the vault keeps of a sign-in. Times in ms since 1970 by the clock of who signed in. */
export interface KeptSignIn {
  readonly accessToken: string;
  readonly expiresAt: number;
  readonly refreshToken: string | null;
  /** With `expiresAt` every process knows how long such a token lives. */
  readonly obtainedAt?: number;
}

export type TokenVault = Vault<KeptSignIn>;
