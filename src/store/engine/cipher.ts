import { createCipheriv, createDecipheriv, createHash, randomBytes, type ScryptOptions, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { ConfigError } from '../../errors.ts';

/*
 * A payload: version (1 byte), salt of the key (16), nonce (12), tag (16), and the JSON text under AES-256-GCM. Version
 * and name are authenticated with it: a payload moved to another row does not open.
 */
const VERSION = 1;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + SALT_BYTES + NONCE_BYTES + TAG_BYTES;
/** About 50 ms and 16 MB, once per process and salt. */
const SCRYPT: ScryptOptions = { N: 2 ** 14, r: 8, p: 1 };

/** The salt of what this process stores: so it derives one key only, however many accounts there are. */
const PROCESS_SALT = randomBytes(SALT_BYTES);

export function createCipher({ name, secretKey }: { readonly name: string; readonly secretKey: string }) {
  const additional = Buffer.concat([Buffer.from([VERSION]), Buffer.from(name, 'utf8')]);

  return {
    /** Keeps the salt of the payload that is replaced: its key is known already. */
    async seal(value: unknown, replaced: Buffer | null): Promise<Buffer<ArrayBuffer>> {
      const isOurs = replaced !== null && replaced.length > HEAD_BYTES && replaced[0] === VERSION;
      const salt = isOurs ? replaced.subarray(1, 1 + SALT_BYTES) : PROCESS_SALT;
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', await deriveOnce(secretKey, salt), nonce).setAAD(additional);
      const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()]);
      return Buffer.concat([Buffer.from([VERSION]), salt, nonce, cipher.getAuthTag(), text]);
    },

    /** @throws ConfigError */
    async open<T>(payload: Buffer | null): Promise<T | null> {
      if (payload === null) return null;
      if (payload.length <= HEAD_BYTES || payload[0] !== VERSION) throw unreadable(name);
      const salt = payload.subarray(1, 1 + SALT_BYTES);
      const nonce = payload.subarray(1 + SALT_BYTES, 1 + SALT_BYTES + NONCE_BYTES);
      const tag = payload.subarray(HEAD_BYTES - TAG_BYTES, HEAD_BYTES);
      const key = await deriveOnce(secretKey, salt);
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, nonce).setAAD(additional).setAuthTag(tag);
        const text = Buffer.concat([decipher.update(payload.subarray(HEAD_BYTES)), decipher.final()]);
        return JSON.parse(text.toString('utf8'));
      } catch {
        throw unreadable(name);
      }
    },
  };
}

const deriveKey = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

/** By secret key and salt. A few dozen bytes for each process that ever stored something. */
const derivedKeys = new Map<string, Promise<Buffer>>();

function deriveOnce(secretKey: string, salt: Buffer): Promise<Buffer> {
  const name = createHash('sha256').update(salt).update(secretKey).digest('base64');
  const known = derivedKeys.get(name);
  if (known !== undefined) return known;
  const key = deriveKey(secretKey, salt, 32, SCRYPT);
  derivedKeys.set(name, key);
  key.catch(() => derivedKeys.delete(name));
  return key;
}

function unreadable(name: string): ConfigError {
  return new ConfigError([
    {
      variable: 'LEADMIRROR_SECRET_KEY',
      message:
        `does not open the sign-in that is stored as ${name} in sync.secrets: it was stored with another key, or the row was damaged. ` +
        'Put the former key back, or sign in again with `leadmirror tilkee login`, which replaces what is stored',
    },
  ]);
}

export const toBuffer = (bytes: Uint8Array | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes));
