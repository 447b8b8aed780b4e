import { createHash, randomUUID } from 'node:crypto';
import type { Prisma, PrismaClient, SyncConnection } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { readSecrets, storeSecret } from './secret-key.ts';

/** The accounts that the database keeps: settings in `sync.connections`, and secrets, encrypted, in `sync.secrets`. */

const PREFIX = 'connection ';
const secretName = (id: string): string => `${PREFIX}${id}`;

export interface KeptConnection extends SyncConnection {
  /** What is stored encrypted; undefined where there is none, or the key does not open it. */
  readonly opened: unknown;
}

export async function readKeptConnections(prisma: PrismaClient, secretKey: string | null, id?: string) {
  const rows = await prisma.syncConnection.findMany({
    where: id === undefined ? {} : { id },
    orderBy: [{ created_at: 'asc' }, { id: 'asc' }],
  });
  if (rows.length === 0 || secretKey === null) return rows.map((row) => ({ ...row, opened: undefined }));
  const opened = await readSecrets(prisma, { prefix: id === undefined ? PREFIX : secretName(id), secretKey });
  return rows.map((row) => ({ ...row, opened: opened.get(secretName(row.id)) }));
}

/** Differs whenever an account was added, changed or removed. */
export async function readConnectionsState(prisma: PrismaClient): Promise<string> {
  return stateOf(await prisma.syncConnection.findMany({ where: { erasing_at: null }, select: { version: true } }));
}

/** Two accounts never have one version. */
export function stateOf(rows: readonly { readonly version?: string }[]): string {
  const versions = rows.map(({ version }) => version).sort();
  return createHash('sha256').update(versions.join()).digest('hex');
}

interface ConnectionToWrite {
  readonly id: string;
  readonly entry: Prisma.InputJsonObject;
  readonly secret: unknown;
  readonly secretKey: string;
  /** The version that the change was made from; null: the account is new. */
  readonly before: string | null;
  /** An account that rests counts again. */
  readonly isRevived?: boolean;
}

/** False when the account is there already, or was changed meanwhile: nothing is written then. @throws ConfigError */
export function writeKeptConnection(
  prisma: PrismaClient,
  { id, entry, secret, secretKey, before, isRevived = false }: ConnectionToWrite,
): Promise<boolean> {
  return prisma.$transaction(async (tx) => {
    const data = {
      entry,
      version: randomUUID(),
      ...(isRevived && { superseded_at: null }),
      updated_at: await databaseNow(tx),
    };
    const { count } =
      before === null
        ? await tx.syncConnection.createMany({ data: [{ id, ...data }], skipDuplicates: true })
        : await tx.syncConnection.updateMany({ where: { id, version: before, erasing_at: null }, data });
    if (count === 0) return false;
    await storeSecret(tx, { name: secretName(id), secretKey, value: secret });
    return true;
  });
}

/** Notes that a configuration has these ids, too: they rest from now on, also when it loses them again. */
export async function supersede(prisma: PrismaClient, ids: readonly string[]): Promise<void> {
  const superseded_at = await databaseNow(prisma);
  for (const id of ids) {
    await prisma.syncConnection.updateMany({
      where: { id, superseded_at: null },
      data: { superseded_at, version: randomUUID() },
    });
  }
}

/** Removes the account with its secret. Its streams rest, its rows and runs stay. False: there is none. */
export function removeKeptConnection(prisma: PrismaClient, id: string): Promise<boolean> {
  return prisma.$transaction(async (tx) => {
    const { count } = await tx.syncConnection.deleteMany({ where: { id } });
    await tx.syncSecret.deleteMany({ where: { name: secretName(id) } });
    if (count === 0) return false;
    const updated_at = await databaseNow(tx);
    await tx.syncStream.updateMany({
      where: { connection_id: id, enabled: true },
      data: { enabled: false, updated_at },
    });
    return true;
  });
}
