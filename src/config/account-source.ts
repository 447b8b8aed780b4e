import type { z } from 'zod';
import type { ConnectionConfig } from './types.ts';
import type { VariableName } from './variables.ts';

/** What the check of an account's settings has to know beyond their values. */
export interface AccountRules<Key extends string = string> {
  readonly allowInsecureHttp: boolean;
  /** Whether what a sign-in leaves behind can be kept for the next start. */
  readonly hasSecretKey: boolean;
  /** How the operator knows a setting: `TILEDESK_EMAIL`, or `email` in the file. */
  name(key: Key): string;
  /** Whether it was given, right or wrong; a default is not given. */
  isGiven(key: Key): boolean;
}

/** The keys of an entry with the variables of the same meaning: `TILEDESK_PAGE_SIZE` for `pageSize`. */
export const settingsOf = (prefix: string, keys: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(keys.map((key) => [key, `${prefix}_${key.replace(/[A-Z]/g, '_$&')}`.toUpperCase()]));

/**
 * How accounts of a source are described, by variables or an entry of leadmirror.yaml: by the same schemas. These take
 * the settings as text under their keys, and a second time as the group `auth`, for what depends on one another.
 */
export interface AccountSource {
  readonly source: ConnectionConfig['source'];
  /** What one account is called: `Tiledesk project`. */
  readonly title: string;
  readonly streams: readonly string[];
  /** The keys of an entry, and the variables of the same meaning. */
  readonly settings: Readonly<Record<string, string>>;
  /** Any of them among the variables makes an account; without, the other settings do nothing. */
  readonly anchors: readonly string[];
  /** Those that an entry may also have in a file: `password` as `passwordFile`. */
  readonly secrets: readonly string[];
  /** Those that decide to which host a secret is sent. */
  readonly addresses: readonly string[];
  /** The key that distinguishes accounts without an id. */
  readonly identity: string;
  /** The variable that switches the whole source off. */
  readonly enabledBy?: VariableName;
  /** The schema of the settings that have a meaning without an account. */
  idle(rules: AccountRules): z.ZodType;
  environment(rules: AccountRules): z.ZodType<readonly ConnectionConfig[]>;
  entry(rules: AccountRules): z.ZodType<ConnectionConfig>;
  /** Notes for the operator about a valid account. */
  advice?(rules: AccountRules): readonly { readonly key: string; readonly message: string }[];
}
