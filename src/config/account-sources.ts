import type { AccountSource } from './account-source.ts';
import { tiledeskAccounts } from './tiledesk.ts';
import { tilkeeAccounts } from './tilkee.ts';
import { VARIABLES } from './variables.ts';

export const SOURCES: readonly AccountSource[] = [tiledeskAccounts, tilkeeAccounts];

const SECRET_VARIABLES = new Set(VARIABLES.filter(({ secret }) => secret).map(({ name }) => name));

/** Keys of an entry: of one source, or of any when the source is not known. */
const keysBy =
  (keysOf: (source: AccountSource) => readonly string[]) =>
  (name?: unknown): readonly string[] => {
    const named = SOURCES.filter(({ source }) => source === name);
    return [...new Set((named.length > 0 ? named : SOURCES).flatMap(keysOf))];
  };

/** All that an entry of the database may have. */
export const storedKeysOf = keysBy(({ settings }) => [
  ...['id', 'label', 'source', 'enabled', 'schedule', 'streamSchedules'],
  ...Object.keys(settings),
  ...['privacyPreset', 'privacyFields'],
]);

/** Passwords and the like: never an argument of a command. */
export const secretKeysOf = keysBy(({ secrets }) => secrets);

/** All that an entry of leadmirror.yaml may have, where a secret may be in a file of its own. */
export const entryKeysOf = (source?: unknown): readonly string[] => [
  ...storedKeysOf(source),
  ...secretKeysOf(source).map((key) => `${key}File`),
];

/** What is stored encrypted and never shown: secrets, and the names of persons that go with them. */
export const privateKeysOf = keysBy(({ settings }) =>
  Object.keys(settings).filter((key) => SECRET_VARIABLES.has(settings[key] ?? '')),
);

/** What decides to which host a secret is sent. */
export const addressKeysOf = keysBy(({ addresses }) => addresses);
