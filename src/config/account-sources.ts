import type { AccountSource } from './account-source.ts';
import { tiledeskAccounts } from './tiledesk.ts';
import { tilkeeAccounts } from './tilkee.ts';
import { VARIABLES } from './variables.ts';

export const SOURCES: readonly AccountSource[] = [tiledeskAccounts, tilkeeAccounts];

const sourcesNamed = (source: unknown): readonly AccountSource[] => {
  const named = SOURCES.filter((each) => each.source === source);
  return named.length > 0 ? named : SOURCES;
};

/** The keys of an entry that the database keeps: of one source, or of any when the source is not known. */
export function storedKeysOf(source?: unknown): readonly string[] {
  const keys = sourcesNamed(source).flatMap(({ settings }) => Object.keys(settings));
  return [...new Set(['id', 'label', 'source', 'enabled', 'schedule', 'streamSchedules', ...keys])];
}

/** The keys of an entry of leadmirror.yaml, where a secret may be in a file of its own. */
export function entryKeysOf(source?: unknown): readonly string[] {
  const files = sourcesNamed(source).flatMap(({ secrets }) => secrets.map((key) => `${key}File`));
  return [...new Set([...storedKeysOf(source), ...files])];
}

/** Passwords and the like: never an argument of a command. */
export const secretKeysOf = (source?: unknown): readonly string[] => [
  ...new Set(sourcesNamed(source).flatMap(({ secrets }) => secrets)),
];

const SECRET_VARIABLES = new Set(VARIABLES.filter(({ secret }) => secret).map(({ name }) => name));

/** What is stored encrypted and never shown: secrets, and the names of persons that go with them. */
export const privateKeysOf = (source?: unknown): readonly string[] => [
  ...new Set(
    sourcesNamed(source).flatMap(({ settings }) =>
      Object.keys(settings).filter((key) => SECRET_VARIABLES.has(settings[key] ?? '')),
    ),
  ),
];

/** What decides to which host a secret is sent. */
export const addressKeysOf = (source?: unknown): readonly string[] => [
  ...new Set(sourcesNamed(source).flatMap(({ addresses }) => addresses)),
];
