import type { Config } from '../config.ts';
import { ConfigError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { createPseudonyms, rulesOf, withDroppedTexts, withFieldPolicy } from '../sources/field-policy.ts';
import { ensurePrivacySecret } from '../store/privacy/key.ts';
import { pseudonymKey } from '../store/privacy/marks.ts';
import type { Connection } from '../stream.ts';

/**
 * Returns how the configured policy changes a connection; the same connection gives the same object.
 * @throws ConfigError when pseudonyms are wanted without LEADMIRROR_SECRET_KEY, or their key cannot be opened
 */
export async function createFieldPolicy(
  { privacy, secretKey }: Pick<Config, 'privacy' | 'secretKey'>,
  prisma: PrismaClient,
  signal: AbortSignal,
): Promise<(connection: Connection) => Connection> {
  const rules = rulesOf(privacy.policy);
  let pseudonymOf = (value: string): string => value;
  if (rules.some(({ action }) => action === 'pseudonym')) {
    if (secretKey === null) throw new ConfigError([{ variable: 'LEADMIRROR_SECRET_KEY', message: KEY_MISSING }]);
    const secret = await ensurePrivacySecret(prisma, secretKey, { given: null, signal });
    pseudonymOf = createPseudonyms(pseudonymKey(secret));
  }
  const known = new WeakMap<Connection, Connection>();
  return (connection) => {
    const restricted = known.get(connection) ?? withDroppedTexts(withFieldPolicy(connection, rules, pseudonymOf));
    known.set(connection, restricted);
    return restricted;
  };
}

const KEY_MISSING =
  'is not set, and pseudonyms (PRIVACY_PRESET, PRIVACY_FIELDS) are made with a key that it encrypts; set it, or choose "drop" for these fields';
