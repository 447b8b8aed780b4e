import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, RateLimitedError } from '../../errors.ts';
import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { createCipher } from './cipher.ts';

/** The row of `sync.secrets` that only the right key opens; it holds no secret. */
const CHECK_NAME = 'leadmirror:key-check';

type Client = PrismaClient | Prisma.TransactionClient;

type Stored = { readonly name: string; readonly payload: Buffer };

async function readStored(prisma: Client, where: Prisma.SyncSecretWhereInput = {}): Promise<Stored[]> {
  const rows = await prisma.syncSecret.findMany({
    where: { payload: { not: null }, ...where },
    orderBy: { name: 'asc' },
  });
  return rows.map(({ name, payload }) => ({ name, payload: Buffer.from(payload ?? []) }));
}

/** What was stored under a name, and undefined where this key does not open it. */
async function tryOpen({ name, payload }: Stored, secretKey: string): Promise<unknown> {
  return createCipher({ name, secretKey })
    .open<unknown>(payload)
    .catch((error: unknown) => {
      if (error instanceof ConfigError) return undefined;
      throw error;
    });
}

async function writeCheck(prisma: Client, secretKey: string): Promise<void> {
  const payload = await createCipher({ name: CHECK_NAME, secretKey }).seal(true, null);
  await prisma.syncSecret.createMany({ data: [{ name: CHECK_NAME, payload }], skipDuplicates: true });
}

/** @throws ConfigError when the database knows another key; before anything was checked in it, nothing is known. */
export async function refuseOtherKey(prisma: Client, secretKey: string): Promise<'known' | 'unknown'> {
  const [check] = await readStored(prisma, { name: CHECK_NAME });
  if (check === undefined) return 'unknown';
  if ((await tryOpen(check, secretKey)) === undefined) throw otherKey();
  return 'known';
}

export const hasSecretKey = async (prisma: Client): Promise<boolean> =>
  (await readStored(prisma, { name: CHECK_NAME })).length > 0;

/** Makes sure that this is the key of what is stored, and remembers it where nothing is. @throws ConfigError */
export async function assertSecretKey(prisma: PrismaClient, secretKey: string): Promise<void> {
  if ((await refuseOtherKey(prisma, secretKey)) === 'known') return;
  // Stored before there was such a row: one that opens is enough, others may be damaged.
  const stored = await readStored(prisma);
  const opened = await Promise.all(stored.map((row) => tryOpen(row, secretKey)));
  if (stored.length > 0 && opened.every((value) => value === undefined)) throw otherKey();
  await writeCheck(prisma, secretKey);
  // Another process, with another key, may have been faster.
  await refuseOtherKey(prisma, secretKey);
}

/**
 * Stores a value under a name, in a transaction of the caller. All that is stored so shares one salt, so that a process
 * derives one key for thousands of them. A change of the key at the same time comes wholly before or wholly after.
 * @throws ConfigError when the database knows another key
 */
export async function storeSecret(
  tx: Prisma.TransactionClient,
  { name, secretKey, value }: { readonly name: string; readonly secretKey: string; readonly value: unknown },
): Promise<void> {
  // First: it waits for a change of the key, which locks the table.
  await tx.syncSecret.upsert({ where: { name }, create: { name }, update: { lock_token: { increment: 1 } } });
  const [check] = await readStored(tx, { name: CHECK_NAME });
  await refuseOtherKey(tx, secretKey);
  const payload = await createCipher({ name, secretKey }).seal(value, check?.payload ?? null);
  await tx.syncSecret.update({ where: { name }, data: { payload, updated_at: await databaseNow(tx) } });
}

/** What is stored under these names; undefined where this key does not open it. */
export async function readSecrets(
  prisma: Client,
  { prefix, secretKey }: { readonly prefix: string; readonly secretKey: string },
): Promise<ReadonlyMap<string, unknown>> {
  const rows = await readStored(prisma, { name: { startsWith: prefix } });
  return new Map(await Promise.all(rows.map(async (row) => [row.name, await tryOpen(row, secretKey)] as const)));
}

function otherKey(): ConfigError {
  const message =
    'is not the key that the sign-ins in the database are encrypted with. Put that one back, change it with `leadmirror rekey`, or, when it is lost, ' +
    'delete them with `leadmirror rekey --discard`';
  return new ConfigError([{ variable: 'LEADMIRROR_SECRET_KEY', message }]);
}

export interface RekeyOptions {
  readonly oldKey: string | null;
  readonly newKey: string;
  /** What neither key opens is deleted, instead of refused. */
  readonly discards: boolean;
  readonly signal: AbortSignal;
}

const POLL_MS = 250;
const WAIT_MS = 90_000;
const TRANSACTION_MS = 120_000;

/**
 * Encrypts everything stored with the new key, in one transaction: an interruption changes nothing. Waits until no
 * process is signing in, since what it is handed could not be stored any more; a process that still has the old key
 * stores nothing afterwards. Returns how many were encrypted with the new key, how many were so already, and how many
 * neither key opened.
 *
 * @throws ConfigError when neither key opens something, RateLimitedError (`sign_in_busy`) when the sign-ins do not end
 */
export async function rekey(prisma: PrismaClient, options: RekeyOptions) {
  for (let waitedMs = 0; waitedMs < WAIT_MS; waitedMs += POLL_MS) {
    options.signal.throwIfAborted();
    const rekeyed = await prisma.$transaction((tx) => tryRekey(tx, options), { timeout: TRANSACTION_MS });
    if (rekeyed !== null) return rekeyed;
    await sleep(POLL_MS, undefined, { signal: options.signal });
  }
  throw new RateLimitedError(
    'Another process is signing in all the time; stop it, and start again. Nothing was changed.',
    { waitMs: WAIT_MS, code: 'sign_in_busy' },
  );
}

/** Null while a process is signing in. */
async function tryRekey(tx: Prisma.TransactionClient, { oldKey, newKey, discards }: RekeyOptions) {
  await tx.$executeRaw`lock table sync.secrets in share row exclusive mode`;
  const now = await databaseNow(tx);
  if ((await tx.syncSecret.count({ where: { locked_until: { gt: now } } })) > 0) return null;
  const rows = await readStored(tx, { name: { not: CHECK_NAME } });
  const unopened: string[] = [];
  let unchanged = 0;
  for (const row of rows) {
    if ((await tryOpen(row, newKey)) !== undefined) {
      unchanged++;
      continue;
    }
    const { name } = row;
    const value = oldKey === null ? undefined : await tryOpen(row, oldKey);
    if (value === undefined) unopened.push(name);
    const payload = value === undefined ? null : await createCipher({ name, secretKey: newKey }).seal(value, null);
    await tx.syncSecret.update({ where: { name }, data: { payload, updated_at: now } });
  }
  if (unopened.length > 0 && !discards) throw unopenable(unopened);
  // No process that took a lock with the old key can write with it.
  await tx.syncSecret.updateMany({ data: { lock_token: { increment: 1 } } });
  await tx.syncSecret.deleteMany({ where: { name: CHECK_NAME } });
  await writeCheck(tx, newKey);
  return { reencrypted: rows.length - unchanged - unopened.length, unchanged, discarded: unopened.length };
}

function unopenable(names: readonly string[]): ConfigError {
  const message =
    `does not open ${names.join(', ')} in sync.secrets, and LEADMIRROR_SECRET_KEY does not either; nothing was changed. Set the key that they were stored ` +
    'with, or delete what neither opens with --discard';
  return new ConfigError([{ variable: 'LEADMIRROR_OLD_SECRET_KEY', message }]);
}
