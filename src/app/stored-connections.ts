import { isDeepStrictEqual } from 'node:util';
import { addressKeysOf } from '../config/account-sources.ts';
import type { Mapping } from '../config/entry.ts';
import type { Config, StoredEntry } from '../config.ts';
import { counted } from '../counted.ts';
import type { Logger } from '../logger.ts';
import { type KeptConnection, readKeptConnections, supersede } from '../store/engine/connections.ts';
import { databaseError } from '../store/faults.ts';
import type { MirrorDatabase } from './mirror-database.ts';

/** Loads the whole configuration with the accounts that the database keeps. @throws ConfigError */
export type LoadStored = (stored: readonly StoredEntry[]) => Config;

export interface SealedAccount {
  readonly secrets: Readonly<Record<string, string>>;
  /** Where the secrets may be sent to, as the settings named it: whoever may write the table cannot redirect them. */
  readonly addresses: Mapping;
}

export function addressesOf(entry: Mapping): Mapping {
  const keys = ['source', ...addressKeysOf(entry.source)];
  return Object.fromEntries(Object.entries(entry).filter(([key]) => keys.includes(key)));
}

/** Loads environment, file and database; what cannot be used is in `unusable`. @throws ConfigError, DatabaseError */
export async function loadWithStored(
  load: LoadStored,
  { prisma, address }: Pick<MirrorDatabase, 'prisma' | 'address'>,
  secretKey: string | null,
): Promise<Config> {
  const kept = await readKeptConnections(prisma, secretKey).catch((error: unknown) => {
    throw databaseError(error, address);
  });
  return load(kept.filter(({ erasing_at }) => erasing_at === null).map((row) => toStoredEntry(row, secretKey)));
}

export function toStoredEntry(row: KeptConnection, secretKey: string | null): StoredEntry {
  const { id, version, opened, superseded_at } = row;
  const entry = row.entry as Mapping;
  const refuse = (code: NonNullable<StoredEntry['refusal']>['code'], message: string): StoredEntry => ({
    ...{ id, version, entry, secrets: null },
    refusal: { code, message },
  });
  if (superseded_at !== null) {
    const since = superseded_at.toISOString();
    return refuse('connection_clash', `rests since ${since}, when the configuration of a process had this id, too`);
  }
  if (secretKey === null) return refuse('connection_locked', `${NO_KEY}; it is left to processes that have the key`);
  if (opened === undefined) return refuse('connection_locked', NOT_OPENED);
  const { secrets, addresses } = opened as SealedAccount;
  if (isDeepStrictEqual(addresses, addressesOf(entry))) return { id, version, entry, secrets };
  return refuse('connection_invalid', OTHER_ADDRESS);
}

const NO_KEY = 'is encrypted, and LEADMIRROR_SECRET_KEY is not set here';
const NOT_OPENED =
  'cannot be decrypted with the LEADMIRROR_SECRET_KEY of this process: it is left to others; put the right key back, or enter its secrets again';
const OTHER_ADDRESS = 'has another address than its secrets were entered for; enter its secrets again';

const SHOWN = 20;

export function warnOfUnusable({ unusable }: Pick<Config, 'unusable'>, logger: Logger): void {
  for (const { id, code, message } of unusable.slice(0, SHOWN)) {
    logger.warn({ connection: id, code }, `${id} ${message}; it is not mirrored by this process`);
  }
  if (unusable.length > SHOWN)
    logger.warn(`${counted(unusable.length - SHOWN, 'more connection is', 'more connections are')} not mirrored`);
}

/** Notes the accounts whose ids this configuration has as well: dropping them from it later revives nothing. */
export async function noteClashes({ unusable }: Pick<Config, 'unusable'>, { prisma }: MirrorDatabase): Promise<void> {
  const clashes = unusable.filter(({ code }) => code === 'connection_clash').map(({ id }) => id);
  if (clashes.length > 0) await supersede(prisma, clashes);
}
