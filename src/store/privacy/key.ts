import { randomBytes } from 'node:crypto';
import { ConfigError, PrivacyError } from '../../errors.ts';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import { createCipher, toBuffer } from '../engine/cipher.ts';
import { assertSecretKey } from '../engine/secret-key.ts';
import { createDatabaseVault } from '../engine/vault.ts';

/** The name in `sync.secrets`. A key that is lost takes the list of suppressions with it. */
const NAME = 'privacy';

/** In base64. Pseudonyms are made with it, too. */
interface Stored {
  readonly key: string;
}

const cipherOf = (secretKey: string) => createCipher({ name: NAME, secretKey });

/** Encrypts what an erasure keeps: its plan, and the key in the journal. */
export const seal = (secretKey: string, value: unknown): Promise<Buffer<ArrayBuffer>> =>
  cipherOf(secretKey).seal(value, null);

/** @throws ConfigError when it was encrypted with another key */
export const unseal = <T>(secretKey: string, payload: Uint8Array): Promise<T | null> =>
  cipherOf(secretKey).open<T>(toBuffer(payload));

/** The database's own secret; null: it has none yet. @throws PrivacyError when it cannot be opened */
export async function readPrivacySecret(prisma: PrismaClient, secretKey: string | null): Promise<Buffer | null> {
  const row = await prisma.syncSecret.findUnique({ where: { name: NAME } });
  if ((row?.payload ?? null) === null) return null;
  if (secretKey === null) throw keyMissing('is not set');
  try {
    const opened = await unseal<Stored>(secretKey, row?.payload ?? Buffer.alloc(0));
    return Buffer.from(opened?.key ?? '', 'base64');
  } catch (error) {
    if (error instanceof ConfigError) throw keyMissing('is another one');
    throw error;
  }
}

function keyMissing(what: string): PrivacyError {
  return new PrivacyError(
    'privacy_key_missing',
    `persons were erased here, and what keeps them from coming back is encrypted with a LEADMIRROR_SECRET_KEY that ${what}; nothing is written until it is put back`,
  );
}

/** The secret, made at the first use, or `given` when there is none (a restored database gets that of the journal). */
export async function ensurePrivacySecret(
  prisma: PrismaClient,
  secretKey: string,
  { given, signal }: { readonly given: Buffer | null; readonly signal: AbortSignal },
): Promise<Buffer> {
  await assertSecretKey(prisma, secretKey);
  const vault = createDatabaseVault<Stored>(prisma, { name: NAME, secretKey });
  return vault.exclusive(
    async (stored) => {
      if (stored !== null) return { value: Buffer.from(stored.key, 'base64') };
      const made = given ?? randomBytes(32);
      return { value: made, store: { key: made.toString('base64') } };
    },
    { signal, maxWaitMs: 10_000 },
  );
}
