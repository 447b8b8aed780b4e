import { type Clock, systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { DatabaseError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import { createMemoryVault, type Vault } from '../sources/vault.ts';
import { type ConnectionRoom, type ConnectionShares, lackOfRoom, shareConnections } from '../store/connection-room.ts';
import { createDatabase, type DatabaseOptions } from '../store/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../store/embedded/embedded.ts';
import { assertSecretKey, hasSecretKey } from '../store/engine/secret-key.ts';
import { createDatabaseVault } from '../store/engine/vault.ts';
import { databaseError, passesByWaiting } from '../store/faults.ts';
import { migrate } from '../store/migrate.ts';
import { assertReachable } from '../store/session.ts';
import type { VaultOf } from './connector.ts';

/** The mirror's database, reached and migrated; the part of the app that needs no connection of any account. */
export interface MirrorDatabase {
  readonly prisma: PrismaClient;
  /** With user and password: for the queue, never for messages. */
  readonly url: string;
  readonly address: string;
  /** Null when DATABASE_URL was given. */
  readonly embedded: EmbeddedPostgres | null;
  readonly connections: {
    /** Null when it cannot be known. */
    readonly room: ConnectionRoom | null;
    readonly wanted: ConnectionShares;
    /** How many of them this process takes. */
    readonly shares: ConnectionShares;
  };
  close(): Promise<void>;
}

export interface DatabaseAccess {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Keep trying while the database cannot be reached; without it the first failure is thrown. */
  readonly waitForDatabase?: boolean;
}

const QUEUE_CONNECTIONS = 8;

/** Finds or starts the database, and brings it to this program's version. */
export async function openMirrorDatabase(
  config: Config,
  options: DatabaseAccess & Pick<DatabaseOptions, 'tracer'>,
): Promise<MirrorDatabase> {
  const { logger, signal, tracer } = options;
  const embedded =
    config.databaseUrl === null ? await startEmbeddedPostgres({ home: config.home, logger, signal }) : null;
  const url = config.databaseUrl ?? embedded?.url ?? '';
  const { concurrency, bulkConcurrency } = config.workers;
  const wanted = { mirror: concurrency + bulkConcurrency + 4, queue: config.redis === null ? QUEUE_CONNECTIONS : 0 };
  try {
    const room = await whileUnreachable(options, async () => {
      const found = await assertReachable(url);
      const applied = await migrate({ url });
      if (applied.length > 0) logger.info({ applied }, 'database migrated');
      return found;
    });
    const lack = lackOfRoom(room, wanted);
    if (options.waitForDatabase && lack !== null) throw new DatabaseError('database_refused', lack);
    const connections = { room, wanted, shares: shareConnections(room, wanted) };
    const database = createDatabase({ url, logger, maxConnections: connections.shares.mirror, tracer });
    const close = async () => {
      await database.close();
      await embedded?.close();
    };
    return { prisma: database.prisma, url, address: database.address, embedded, connections, close };
  } catch (error) {
    await embedded?.close();
    throw error;
  }
}

const DATABASE_RETRY_MS = 5_000;

/** Tries again while the database cannot be reached, where the caller waits; else throws the first failure. */
export async function whileUnreachable<T>(
  { logger, signal, clock = systemClock, waitForDatabase }: DatabaseAccess,
  work: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!waitForDatabase || !(error instanceof DatabaseError) || !passesByWaiting(error)) throw error;
      logger.warn(`${error.message} Trying again every ${DATABASE_RETRY_MS / 1000} s.`);
      await clock.sleep(DATABASE_RETRY_MS, signal);
    }
  }
}

/** @throws ConfigError when what is stored was encrypted with another key; without one there is only a warning */
export async function assertKey(
  { secretKey }: Pick<Config, 'secretKey'>,
  { prisma, address }: MirrorDatabase,
  logger: Logger,
): Promise<void> {
  try {
    if (secretKey !== null) await assertSecretKey(prisma, secretKey);
    else if (await hasSecretKey(prisma)) logger.warn(KEY_MISSING);
  } catch (error) {
    throw databaseError(error, address);
  }
}

const KEY_MISSING =
  'LEADMIRROR_SECRET_KEY is not set, and the sign-ins in the database are encrypted with one: they are not used, and none is kept';

/** Keeps sign-ins in the database when there is a key to encrypt them with, else as long as this process lives. */
export function vaultsIn({ secretKey }: Pick<Config, 'secretKey'>, database: MirrorDatabase | null): VaultOf {
  if (database !== null && secretKey !== null) {
    return (name) => createDatabaseVault(database.prisma, { name, secretKey });
  }
  // Each name has one kind of content.
  const kept = new Map<string, Vault<never>>();
  return (name) => {
    const vault = kept.get(name) ?? createMemoryVault();
    kept.set(name, vault);
    return vault;
  };
}
