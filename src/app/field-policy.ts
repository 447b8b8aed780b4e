import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { createPseudonyms, rulesOf, withFieldPolicy } from '../sources/field-policy.ts';
import type { Connection } from '../stream.ts';
import type { VaultOf } from './connector.ts';

/** In base64. Made once, for all processes: pseudonyms of one value have to be equal. */
interface PrivacyKey {
  readonly key: string;
}

const BUSY_MS = 30_000;

/**
 * Returns how the configured policy changes a connection; the same connection gives the same object.
 * @throws ConfigError when pseudonyms are wanted without LEADMIRROR_SECRET_KEY, or their key cannot be opened
 */
export async function createFieldPolicy(
  { privacy, secretKey }: Pick<Config, 'privacy' | 'secretKey'>,
  vaultOf: VaultOf,
  signal: AbortSignal,
): Promise<(connection: Connection) => Connection> {
  const rules = rulesOf(privacy.policy);
  if (rules.length === 0) return (connection) => connection;
  let pseudonymOf = (value: string): string => value;
  if (rules.some(({ action }) => action === 'pseudonym')) {
    if (secretKey === null) throw new ConfigError([{ variable: 'LEADMIRROR_SECRET_KEY', message: KEY_MISSING }]);
    const key = await vaultOf<PrivacyKey>('privacy').exclusive(
      async (stored) => {
        const store = stored ?? { key: randomBytes(32).toString('base64') };
        return { value: Buffer.from(store.key, 'base64'), ...(stored === null && { store }) };
      },
      { signal, maxWaitMs: BUSY_MS },
    );
    pseudonymOf = createPseudonyms(key);
  }
  const known = new WeakMap<Connection, Connection>();
  return (connection) => {
    const restricted = known.get(connection) ?? withFieldPolicy(connection, rules, pseudonymOf);
    known.set(connection, restricted);
    return restricted;
  };
}

const KEY_MISSING =
  'is not set, and pseudonyms (PRIVACY_PRESET, PRIVACY_FIELDS) are made with a key that it encrypts; set it, or choose "drop" for these fields';
