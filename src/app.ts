import { type Clock, systemClock } from './clock.ts';
import type { Config, ConnectionConfig, TiledeskConnectionConfig, TilkeeConnectionConfig } from './config.ts';
import { DatabaseError } from './errors.ts';
import type { PrismaClient } from './generated/prisma/client.ts';
import type { RequestBudget } from './http/budget.ts';
import { HttpClient } from './http/client.ts';
import { createUpstream } from './http/upstream.ts';
import type { Logger } from './logger.ts';
import { createTiledeskConnection, createTiledeskSignIn, tiledeskCredential } from './sources/tiledesk/index.ts';
import {
  createMemoryVault,
  createTilkeeConnection,
  createTilkeeSignIn,
  type KeptSignIn,
  type TokenVault,
  tilkeeCredential,
  vaultName,
} from './sources/tilkee/index.ts';
import { createDatabaseBudget } from './store/budgets.ts';
import { assertReachable, createDatabase, type Database, databaseError } from './store/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './store/embedded.ts';
import { migrate } from './store/migrate.ts';
import { registerStreams } from './store/streams.ts';
import { createDatabaseVault } from './store/vault.ts';
import type { Connection, Stream } from './stream.ts';
import { type PassJob, type RunResult, runPass } from './sync/run-pass.ts';
import { freshWithinSeconds } from './sync/schedule.ts';
import { type VerifyJob, type VerifyReport, verifyStream } from './sync/verify.ts';

/** The mirror's database, reached and migrated; the part of the app that needs no connection of any account. */
export interface MirrorDatabase {
  readonly prisma: PrismaClient;
  /** With user and password: for the queue, never for messages. */
  readonly url: string;
  /** `host:port/name`. */
  readonly place: string;
  /** Null when DATABASE_URL was given. */
  readonly embedded: EmbeddedPostgres | null;
  close(): Promise<void>;
}

export interface App {
  readonly config: Config;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly database: MirrorDatabase;
  readonly connections: readonly Connection[];
  /** Undefined when it is not configured (any more). */
  findStream(connectionId: string, stream: string): { connection: Connection; stream: Stream } | undefined;
  runPass(job: PassJob): Promise<RunResult>;
  verifyStream(job: VerifyJob): Promise<VerifyReport>;
  /** Closes everything in reverse order; safe to call twice. */
  close(): Promise<void>;
}

export interface AppOptions {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Keep trying while the database cannot be reached; without it the first failure is thrown. */
  readonly waitForDatabase?: boolean;
}

/** Composition root: every part is made here and handed to the others as an argument. */
export async function createApp(config: Config, options: AppOptions): Promise<App> {
  const { logger, clock = systemClock } = options;
  const database = await openMirrorDatabase(config, options);
  const client = createHttpClient(config, clock);
  const connections = connect(config, {
    logger,
    clock,
    client,
    budgetOf: (credential, requestsPerMinute) => createDatabaseBudget(database.prisma, credential, requestsPerMinute),
    vaultOf: vaultsIn(config, database),
  });
  const schedule = { cron: config.sync.incrementalCron, timezone: config.sync.timezone };
  const streams = connections.flatMap(({ id, streams }) =>
    streams.map(({ name }) => ({ connectionId: id, stream: name })),
  );
  const isPatient = options.waitForDatabase ?? false;
  const registered = patiently({ ...options, clock, isPatient }, () =>
    registerStreams(database.prisma, streams, freshWithinSeconds(schedule, clock.now())).catch((error: unknown) => {
      throw databaseError(error, database.place);
    }),
  );
  await registered.catch(async (error: unknown) => {
    await client.close();
    await database.close();
    throw error;
  });
  const passParts = {
    prisma: database.prisma,
    databasePlace: database.place,
    clock,
    logger,
    lookbackMs: config.sync.lookbackSeconds * 1000,
    deleteBrake: config.sync.deleteBrake,
  };
  let closing: Promise<void> | null = null;
  return {
    config,
    logger,
    clock,
    database,
    connections,
    findStream(connectionId, name) {
      const connection = connections.find(({ id }) => id === connectionId);
      const stream = connection?.streams.find((candidate) => candidate.name === name);
      return connection && stream ? { connection, stream } : undefined;
    },
    runPass: (job) => runPass(passParts, job),
    verifyStream: (job) => verifyStream(passParts, job),
    close() {
      closing ??= client.close().then(() => database.close());
      return closing;
    },
  };
}

/** Finds or starts the database, and brings it to this program's version. */
export async function openMirrorDatabase(config: Config, options: AppOptions): Promise<MirrorDatabase> {
  const { logger, signal, clock = systemClock } = options;
  const embedded =
    config.databaseUrl === null ? await startEmbeddedPostgres({ home: config.home, logger, signal }) : null;
  const url = config.databaseUrl ?? embedded?.url ?? '';
  let database: Database | null = null;
  try {
    await reachAndMigrate(url, { logger, signal, clock, isPatient: options.waitForDatabase ?? false });
    const maxConnections = config.workers.concurrency + config.workers.bulkConcurrency + 4;
    database = createDatabase({ url, logger, maxConnections });
  } catch (error) {
    await embedded?.close();
    throw error;
  }
  const { prisma, place, close } = database;
  return {
    prisma,
    url,
    place,
    embedded,
    async close() {
      await close();
      await embedded?.close();
    },
  };
}

const DATABASE_RETRY_MS = 5_000;

interface ReachOptions {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly isPatient: boolean;
}

async function reachAndMigrate(url: string, options: ReachOptions): Promise<void> {
  await patiently(options, async () => {
    await assertReachable(url);
    const applied = await migrate({ url });
    if (applied.length > 0) options.logger.info({ applied }, 'database migrated');
  });
}

/** Tries again while the database is away, where the caller has the time; else the first failure is thrown. */
async function patiently({ logger, signal, clock, isPatient }: ReachOptions, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isPassing = error instanceof DatabaseError && error.code === 'database_unavailable';
      if (!isPatient || !isPassing) throw error;
      logger.warn(`${error.message} Trying again every ${DATABASE_RETRY_MS / 1000} s.`);
      await clock.sleep(DATABASE_RETRY_MS, signal);
    }
  }
}

export function createHttpClient(config: Config, clock: Clock): HttpClient {
  const { timeoutMs, allowInsecureHttp, proxy } = config.http;
  return new HttpClient({ timeoutMs, allowInsecureHttp, proxy, clock });
}

export interface ConnectParts {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly client: HttpClient;
  readonly budgetOf: (credential: string, requestsPerMinute: number) => RequestBudget;
  /** Where an account's sign-in is kept, by its name. */
  readonly vaultOf: (name: string) => TokenVault;
}

/** All configured accounts. Those that share a credential share its budget and its sign-in. */
export function connect(config: Config, parts: ConnectParts): readonly Connection[] {
  const { logger, clock } = parts;
  const { privacy } = config;
  const upstreams = shared((credential: string, { requestsPerMinute }: ConnectionConfig) =>
    createUpstream({
      client: parts.client,
      budget: parts.budgetOf(credential, requestsPerMinute),
      clock,
      logger,
      attempts: config.http.retryAttempts,
      maxTotalMs: config.http.retryMaxMs,
    }),
  );
  const tiledeskSignIns = shared((credential: string, settings: TiledeskConnectionConfig) =>
    createTiledeskSignIn(settings, upstreams(credential, settings)),
  );
  const tilkeeSignIns = shared((credential: string, settings: TilkeeConnectionConfig) => {
    const vault = parts.vaultOf(vaultName(settings));
    return createTilkeeSignIn({ settings, upstream: upstreams(credential, settings), vault, clock, logger });
  });
  return config.connections.map((settings) => {
    if (settings.source === 'tilkee') {
      const credential = tilkeeCredential(settings);
      const upstream = upstreams(credential, settings);
      return createTilkeeConnection({ settings, upstream, signIn: tilkeeSignIns(credential, settings), privacy });
    }
    const credential = tiledeskCredential(settings);
    const upstream = upstreams(credential, settings);
    return createTiledeskConnection({ settings, upstream, signIn: tiledeskSignIns(credential, settings), privacy });
  });
}

/** One part for each key, made when it is first asked for. */
function shared<S, T>(create: (key: string, settings: S) => T): (key: string, settings: S) => T {
  const made = new Map<string, T>();
  return (key, settings) => {
    const found = made.get(key) ?? create(key, settings);
    made.set(key, found);
    return found;
  };
}

/** Sign-ins are kept in the database when there is a key to encrypt them with, else only as long as this process lives. */
export function vaultsIn({ secretKey }: Config, database: MirrorDatabase | null): ConnectParts['vaultOf'] {
  const memory = shared<null, TokenVault>(() => createMemoryVault());
  return (name) =>
    database === null || secretKey === null
      ? memory(name, null)
      : createDatabaseVault<KeptSignIn>(database.prisma, { name, secretKey });
}
