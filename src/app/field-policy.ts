import { type Config, policyOf } from '../config.ts';
import { ConfigError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { createPseudonyms, rulesOf, withDroppedTexts, withFieldPolicy } from '../sources/field-policy.ts';
import { ensurePrivacySecret } from '../store/privacy/key.ts';
import { pseudonymKey } from '../store/privacy/marks.ts';
import type { Connection } from '../stream.ts';

type PolicySettings = Pick<Config, 'privacy' | 'secretKey' | 'connections'>;

/**
 * Returns what reads a configuration, and returns how its policies change a connection; the same connection gives the
 * same object. @throws ConfigError when pseudonyms are wanted without LEADMIRROR_SECRET_KEY, or their key cannot be opened
 */
export function createFieldPolicies(prisma: PrismaClient, signal: AbortSignal) {
  const known = new WeakMap<Connection, Connection>();
  let pseudonymOf: ((value: string) => string) | null = null;
  return async (settings: PolicySettings): Promise<(connection: Connection) => Connection> => {
    const { privacy, secretKey, connections } = settings;
    const policies = [privacy.policy, ...connections.map(({ id }) => policyOf(settings, id))];
    const wantsPseudonyms = policies.some((policy) => rulesOf(policy).some(({ action }) => action === 'pseudonym'));
    if (wantsPseudonyms && pseudonymOf === null) {
      if (secretKey === null) throw new ConfigError([{ variable: 'LEADMIRROR_SECRET_KEY', message: KEY_MISSING }]);
      const secret = await ensurePrivacySecret(prisma, secretKey, { given: null, signal });
      pseudonymOf = createPseudonyms(pseudonymKey(secret));
    }
    return (connection) => {
      const rules = rulesOf(policyOf(settings, connection.id));
      const restricted =
        known.get(connection) ?? withDroppedTexts(withFieldPolicy(connection, rules, pseudonymOf ?? String));
      known.set(connection, restricted);
      return restricted;
    };
  };
}

const KEY_MISSING =
  'is not set, and pseudonyms (PRIVACY_PRESET, PRIVACY_FIELDS) are made with a key that it encrypts; set it, or choose "drop" for these fields';
