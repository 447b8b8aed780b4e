import { type Clock, systemClock } from '../../clock.ts';
import { ConfigError, RateLimitedError } from '../../errors.ts';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { isRetryableDatabaseError } from '../faults.ts';
import { createCipher, toBuffer } from './cipher.ts';
import { refuseOtherKey } from './secret-key.ts';

/**
 * Secrets that an upstream hands out and that must not be lost, such as a refresh token that works once: one row each
 * in `sync.secrets`, encrypted with LEADMIRROR_SECRET_KEY, shared by all processes.
 *
 * Work on a secret (asking the upstream for a new one) happens under a lock that is a lease in the row, by the
 * database's clock: no transaction is open meanwhile, and the lock of a process that was killed ends by itself. Every
 * taker gets a larger token, and a secret is only written with the current one, so a process that slept past its lock
 * cannot overwrite what its successor has stored.
 */

interface VaultParts {
  /** Whose secret; in the clear. */
  readonly name: string;
  readonly secretKey: string;
  readonly clock?: Clock;
  /** How long the lock of a lost process lasts; default: a minute. Renewed at a quarter of it. */
  readonly lockMs?: number;
}

const LOCK_MS = 60_000;
const FIRST_POLL_MS = 50;
const LAST_POLL_MS = 500;
/** A new secret is lost when it cannot be stored, so it gets more attempts than a page. */
const STORE_PAUSES_MS = [100, 500, 1000, 2000, 4000];

/** The right to write the row, and the row's content when it was given. */
type Lock = { readonly token: bigint; readonly payload: Buffer | null };

/** `T` is plain JSON. */
export function createDatabaseVault<T>(prisma: PrismaClient, parts: VaultParts) {
  const { name, secretKey, clock = systemClock, lockMs = LOCK_MS } = parts;
  const cipher = createCipher(parts);

  async function tryTake(): Promise<Lock | null> {
    const now = await databaseNow(prisma);
    const [row] = await prisma.syncSecret.updateManyAndReturn({
      where: { name, OR: [{ locked_until: null }, { locked_until: { lt: now } }] },
      data: { lock_token: { increment: 1 }, locked_until: addMs(now, lockMs) },
    });
    return row === undefined ? null : { token: row.lock_token, payload: toBuffer(row.payload) };
  }

  async function take({ signal, maxWaitMs }: { signal: AbortSignal; maxWaitMs: number }): Promise<Lock> {
    const until = clock.now() + maxWaitMs;
    await prisma.syncSecret.createMany({ data: [{ name }], skipDuplicates: true });
    for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 1.5, LAST_POLL_MS)) {
      signal.throwIfAborted();
      const lock = await tryTake();
      if (lock !== null) return lock;
      const leftMs = until - clock.now();
      if (leftMs <= 0) {
        throw new RateLimitedError('another process is signing in to this account right now', {
          waitMs: LAST_POLL_MS * 10,
          code: 'sign_in_busy',
        });
      }
      await clock.sleep(Math.min(pauseMs, leftMs), signal);
    }
  }

  const isOurs = ({ token }: Lock) => ({ name, lock_token: token });

  async function renew(lock: Lock): Promise<void> {
    await prisma.syncSecret.updateMany({
      where: { ...isOurs(lock), locked_until: { not: null } },
      data: { locked_until: addMs(await databaseNow(prisma), lockMs) },
    });
  }

  async function release(lock: Lock): Promise<void> {
    await prisma.syncSecret.updateMany({ where: isOurs(lock), data: { locked_until: null } });
  }

  /** Stores and gives the lock back in one step; false when another process has the lock by now. */
  async function put(lock: Lock, payload: Buffer<ArrayBuffer>): Promise<boolean> {
    const { count } = await prisma.syncSecret.updateMany({
      where: isOurs(lock),
      data: { payload, locked_until: null, updated_at: await databaseNow(prisma) },
    });
    return count === 1;
  }

  async function putWithRetry(lock: Lock, payload: Buffer<ArrayBuffer>): Promise<boolean> {
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

  /** After sleeping past the lock. The next holder may have stored nothing: then this secret is the newest. */
  async function putLate(late: Lock, payload: Buffer<ArrayBuffer>): Promise<void> {
    const lock = await take({ signal: new AbortController().signal, maxWaitMs: lockMs });
    await refuseOtherKey(prisma, secretKey);
    const isUntouched = late.payload === null ? lock.payload === null : lock.payload?.equals(late.payload) === true;
    if (isUntouched) await putWithRetry(lock, payload);
    else await release(lock);
  }

  return {
    /**
     * Runs `work` exclusively, with what is stored; what it returns as `store` is stored for the next one. With
     * `overwriteUnreadable`, what cannot be opened counts as nothing, and is overwritten.
     *
     * @throws RateLimitedError (`sign_in_busy`) while another process is inside for longer than `maxWaitMs`,
     * ConfigError when what is stored cannot be opened
     */
    async exclusive<R>(
      work: (stored: T | null) => Promise<{ value: R; store?: T }>,
      options: { readonly signal: AbortSignal; readonly maxWaitMs: number; readonly overwriteUnreadable?: boolean },
    ): Promise<R> {
      const lock = await take(options);
      const timer = setInterval(() => void renew(lock).catch(() => {}), lockMs / 4);
      let isLocked = true;
      try {
        // What another key has stored meanwhile is not to be overwritten.
        await refuseOtherKey(prisma, secretKey);
        const stored = await cipher.open<T>(lock.payload).catch((error: unknown) => {
          if (options.overwriteUnreadable && error instanceof ConfigError) return null;
          throw error;
        });
        const { value, store } = await work(stored);
        if (store !== undefined) {
          const payload = await cipher.seal(store, lock.payload);
          isLocked = !(await putWithRetry(lock, payload));
          if (isLocked) await putLate(lock, payload);
          isLocked = false;
        }
        return value;
      } finally {
        clearInterval(timer);
        // A lock that cannot be given back ends by itself.
        if (isLocked) await release(lock).catch(() => {});
      }
    },
    /** Returns what is stored now, without waiting. @throws ConfigError when it cannot be opened */
    async peek(): Promise<T | null> {
      const row = await prisma.syncSecret.findUnique({ where: { name } });
      return cipher.open<T>(toBuffer(row?.payload ?? null));
    },
  };
}
