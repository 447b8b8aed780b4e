import { createCipheriv, createDecipheriv, createHash, randomBytes, type ScryptOptions, scrypt } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import { ConfigError, RateLimitedError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { isRetryableDatabaseError } from './faults.ts';

/**
 * Secrets that an upstream hands out and that must not be lost, such as a refresh token that works once: one row each in `sync.secrets`, encrypted
 * with LEADMIRROR_SECRET_KEY, shared by all processes.
 *
 * Work on a secret (asking the upstream for a new one) happens under a lock that is a lease in the row, by the database's clock: no transaction is open
 * meanwhile, and the lock of a process that was killed ends by itself. Every taker gets a larger token, and a secret is only written with the current
 * one, so a process that slept past its lock cannot overwrite what its successor has stored.
 */
export interface DatabaseVault<T> {
  /**
   * Runs `work` alone, with what is stored; what it returns as `store` is stored for the next one.
   *
   * @throws RateLimitedError (`sign_in_busy`) while somebody else is inside for longer than `maxWaitMs`, ConfigError when what is stored cannot be opened
   */
  exclusive<R>(
    work: (stored: T | null) => Promise<{ value: R; store?: T }>,
    options: {
      readonly signal: AbortSignal;
      readonly maxWaitMs: number;
      /** What cannot be opened counts as nothing, and is overwritten. */
      readonly overwriteUnreadable?: boolean;
    },
  ): Promise<R>;
  /** What is stored now. Waits for nobody. @throws ConfigError when it cannot be opened */
  peek(): Promise<T | null>;
}

export interface VaultParts {
  /** Whose secret; in the clear. */
  readonly name: string;
  /** LEADMIRROR_SECRET_KEY. */
  readonly secretKey: string;
  readonly clock?: Clock;
  /** How long the lock of a process that says nothing any more holds; a minute unless told. Renewed at a quarter of it. */
  readonly lockMs?: number;
}

const LOCK_MS = 60_000;
const FIRST_POLL_MS = 50;
const LAST_POLL_MS = 500;
/** A secret just handed out is lost when it cannot be stored: worth more patience than a page. */
const STORE_PAUSES_MS = [100, 500, 1000, 2000, 4000];

/** The right to write the row, and what the row held when it was given. */
interface Lock {
  readonly token: bigint;
  readonly payload: Buffer | null;
}

interface SecretRow {
  lock_token: bigint;
  payload: Uint8Array | null;
}

/** `T` is plain JSON. */
export function createDatabaseVault<T>(prisma: PrismaClient, parts: VaultParts): DatabaseVault<T> {
  const { name, clock = systemClock, lockMs = LOCK_MS } = parts;
  const cipher = createCipher(parts);

  async function tryTake(): Promise<Lock | null> {
    const [row] = await prisma.$queryRaw<SecretRow[]>`
      insert into sync.secrets as s (name, locked_until, lock_token, updated_at)
      values (${name}, clock_timestamp() + make_interval(secs => ${lockMs / 1000}::float8), 1, now())
      on conflict (name) do update set lock_token = s.lock_token + 1, locked_until = excluded.locked_until
      where s.locked_until is null or s.locked_until < clock_timestamp()
      returning s.lock_token, s.payload`;
    return row === undefined ? null : { token: row.lock_token, payload: toBuffer(row.payload) };
  }

  async function take({ signal, maxWaitMs }: { signal: AbortSignal; maxWaitMs: number }): Promise<Lock> {
    const until = clock.now() + maxWaitMs;
    for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 1.5, LAST_POLL_MS)) {
      signal.throwIfAborted();
      const lock = await tryTake();
      if (lock !== null) return lock;
      const leftMs = until - clock.now();
      if (leftMs <= 0) throw busy();
      await clock.sleep(Math.min(pauseMs, leftMs), signal);
    }
  }

  async function renew({ token }: Lock): Promise<void> {
    await prisma.$executeRaw`
      update sync.secrets set locked_until = clock_timestamp() + make_interval(secs => ${lockMs / 1000}::float8)
      where name = ${name} and lock_token = ${token} and locked_until is not null`;
  }

  async function release({ token }: Lock): Promise<void> {
    await prisma.$executeRaw`update sync.secrets set locked_until = null where name = ${name} and lock_token = ${token}`;
  }

  /** Stores and gives the lock back in one step; false when the lock is somebody else's by now. */
  async function put({ token }: Lock, payload: Buffer): Promise<boolean> {
    const count = await prisma.$executeRaw`
      update sync.secrets set payload = ${payload}, locked_until = null, updated_at = now()
      where name = ${name} and lock_token = ${token}`;
    return count === 1;
  }

  async function putPatiently(lock: Lock, payload: Buffer): Promise<boolean> {
    for (const pauseMs of STORE_PAUSES_MS) {
      try {
        return await put(lock, payload);
      } catch (error) {
        if (!isRetryableDatabaseError(error)) throw error;
        await clock.sleep(pauseMs);
      }
    }
    return put(lock, payload);
  }

  /** After sleeping past the lock. Whoever had it since may have stored nothing: then what was got here is the newest there is. */
  async function putLate(late: Lock, payload: Buffer): Promise<void> {
    const lock = await take({ signal: new AbortController().signal, maxWaitMs: lockMs });
    const isUntouched = late.payload === null ? lock.payload === null : lock.payload?.equals(late.payload) === true;
    if (isUntouched) await putPatiently(lock, payload);
    else await release(lock);
  }

  return {
    async exclusive(work, options) {
      const lock = await take(options);
      const timer = setInterval(() => void renew(lock).catch(() => {}), lockMs / 4);
      let isHeld = true;
      try {
        const stored = await cipher.open<T>(lock.payload).catch((error: unknown) => {
          if (options.overwriteUnreadable && error instanceof ConfigError) return null;
          throw error;
        });
        const { value, store } = await work(stored);
        if (store !== undefined) {
          const payload = await cipher.seal(store, lock.payload);
          isHeld = !(await putPatiently(lock, payload));
          if (isHeld) await putLate(lock, payload);
          isHeld = false;
        }
        return value;
      } finally {
        clearInterval(timer);
        // A lock that cannot be given back ends by itself.
        if (isHeld) await release(lock).catch(() => {});
      }
    },
    async peek() {
      const rows = await prisma.$queryRaw<Pick<SecretRow, 'payload'>[]>`
        select payload from sync.secrets where name = ${name}`;
      return cipher.open<T>(toBuffer(rows[0]?.payload ?? null));
    },
  };
}

function busy(): RateLimitedError {
  return new RateLimitedError('another process is signing in to this account right now', {
    waitMs: LAST_POLL_MS * 10,
    code: 'sign_in_busy',
  });
}

const toBuffer = (bytes: Uint8Array | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes));

/*
 * A payload: version (1 byte), salt of the key (16), nonce (12), tag (16), and the JSON text under AES-256-GCM. Version and name are authenticated with it:
 * a payload moved to another row does not open.
 */
const VERSION = 1;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + SALT_BYTES + NONCE_BYTES + TAG_BYTES;
/** About 50 ms and 16 MB, once per process and salt. */
const SCRYPT: ScryptOptions = { N: 2 ** 14, r: 8, p: 1 };

/** For what this process stores first: one key to derive, for it and for whoever reads that, however many accounts there are. */
const PROCESS_SALT = randomBytes(SALT_BYTES);

function createCipher({ name, secretKey }: VaultParts) {
  const additional = Buffer.concat([Buffer.from([VERSION]), Buffer.from(name, 'utf8')]);
  const keyOf = (salt: Buffer): Promise<Buffer> => deriveOnce(secretKey, salt);

  return {
    /** Keeps the salt of the payload that is replaced: its key is known already. */
    async seal(value: unknown, replaced: Buffer | null): Promise<Buffer> {
      const isOurs = replaced !== null && replaced.length > HEAD_BYTES && replaced[0] === VERSION;
      const salt = isOurs ? replaced.subarray(1, 1 + SALT_BYTES) : PROCESS_SALT;
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', await keyOf(salt), nonce).setAAD(additional);
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
      const key = await keyOf(salt);
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

/** By secret key and salt. A few dozen bytes for each process that ever stored something. */
const derivedKeys = new Map<string, Promise<Buffer>>();

function deriveOnce(secretKey: string, salt: Buffer): Promise<Buffer> {
  const name = createHash('sha256').update(salt).update(secretKey).digest('base64');
  const known = derivedKeys.get(name);
  if (known !== undefined) return known;
  const key = deriveKey(secretKey, salt);
  derivedKeys.set(name, key);
  key.catch(() => derivedKeys.delete(name));
  return key;
}

function deriveKey(secretKey: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(secretKey, salt, 32, SCRYPT, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
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
