import { type ConnectParts, createConnector, type Vaults } from './app/connector.ts';
import { createLiveStreams, type ScheduledStream } from './app/live-streams.ts';
import { type ConnectOwn, connectOwn, refuseSameIds, tablesOf } from './app/own-connections.ts';
import { RunsUnderWay } from './app/runs-under-way.ts';
import type { UpstreamParts } from './app/upstreams.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Config, type ConfigChanges, compareConfigs, type StreamSchedule, withLiveChanges } from './config.ts';
import { DatabaseError } from './errors.ts';
import type { PrismaClient } from './generated/prisma/client.ts';
import { HttpClient } from './http/client.ts';
import type { Logger } from './logger.ts';
import { Instruments, type RunFacts } from './ops/instruments.ts';
import { createProcessMetrics, type ProcessMetrics } from './ops/metrics/process-metrics.ts';
import { startTracing, type Tracing } from './ops/tracing.ts';
import { createMemoryVault, type Vault } from './sources/vault.ts';
import { type ConnectionRoom, type ConnectionShares, lackOfRoom, shareConnections } from './store/connection-room.ts';
import { createDatabase, type Database, type DatabaseOptions } from './store/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './store/embedded/embedded.ts';
import { createDatabaseBudget } from './store/engine/budgets.ts';
import { assertSecretKey, hasSecretKey } from './store/engine/secret-key.ts';
import { registerStreams } from './store/engine/streams.ts';
import { createDatabaseVault } from './store/engine/vault.ts';
import { databaseError, passesByWaiting } from './store/faults.ts';
import { migrate } from './store/migrate.ts';
import { ensureTables } from './store/mirror/custom-tables.ts';
import { createRefusalStore } from './store/mirror/refusals.ts';
import { assertReachable } from './store/session.ts';
import type { Connection, Stream } from './stream.ts';
import { type PassJob, type RunResult, runPass } from './sync/run-pass.ts';
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
  readonly connections: {
    /** Null when it cannot be known. */
    readonly room: ConnectionRoom | null;
    readonly wanted: ConnectionShares;
    /** How many of them this process takes. */
    readonly shares: ConnectionShares;
  };
  close(): Promise<void>;
}

export type { ConnectParts } from './app/connector.ts';
export type { ScheduledStream } from './app/live-streams.ts';
export type { ConnectOwn, OwnParts } from './app/own-connections.ts';

export interface App {
  /** As it is now: with `reload`, connections and streams change, so nobody keeps what these answer. */
  readonly config: Config;
  readonly connections: readonly Connection[];
  readonly streams: readonly ScheduledStream[];
  readonly logger: Logger;
  readonly clock: Clock;
  readonly database: MirrorDatabase;
  /** Undefined when it is not configured (any more). */
  findStream(connectionId: string, stream: string): { connection: Connection; stream: Stream } | undefined;
  /** Undefined when it is not configured (any more). */
  scheduleOf(connectionId: string, stream: string): StreamSchedule | undefined;
  /** What this process counts about itself. */
  readonly metrics?: ProcessMetrics;
  /** Null: no traces are wanted. */
  readonly tracing?: Tracing | null;
  runPass(job: PassJob): Promise<RunResult>;
  verifyStream(job: VerifyJob): Promise<VerifyReport>;
  /** Tells the database which streams are configured: the word of the leading scheduler, which counts. @throws DatabaseError */
  assertStreams(): Promise<void>;
  /**
   * Takes another configuration over while runs go on. Unchanged connections keep their objects; runs of changed ones end with the old, later ones begin
   * with the new; runs of removed ones are ended here, at their page. Settings of the process itself stay as they are, and are named in the answer.
   * Connections made by `connect` stay. @throws ConfigError, and changes nothing, when the configuration takes the id of one of them
   */
  reload(config: Config): Promise<ConfigChanges>;
  /** Calls after every reload; returns the way to leave. */
  onReload(listener: (changes: ConfigChanges) => void): () => void;
  /** Closes everything in reverse order; safe to call twice. */
  close(): Promise<void>;
}

export interface AppOptions {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Keep trying while the database cannot be reached; without it the first failure is thrown. */
  readonly waitForDatabase?: boolean;
  /** Accounts of sources that are not built in, beside those of the configuration. Their tables are made where they are missing. */
  readonly connect?: ConnectOwn;
}

/** Composition root: every part is made here and handed to the others as an argument. */
export async function createApp(config: Config, options: AppOptions): Promise<App> {
  const { logger, clock = systemClock } = options;
  const metrics = createProcessMetrics();
  const tracing = await startTracing(config.tracing, logger);
  const instruments = new Instruments(metrics, tracing?.tracer ?? null);
  const database = await openMirrorDatabase(config, { ...options, tracer: tracing?.tracer }).catch(async (error) => {
    await tracing?.close();
    throw error;
  });
  const client = createHttpClient(config, clock);
  const upstreamParts: UpstreamParts = {
    logger,
    clock,
    client,
    instruments,
    budgetOf: (credential, requestsPerMinute) =>
      createDatabaseBudget(database.prisma, credential, requestsPerMinute, { requestTimeoutMs: config.http.timeoutMs }),
  };
  const connector = createConnector(config, {
    ...upstreamParts,
    vaults: vaultsIn(config, database),
    refusals: (credential) => createRefusalStore(database.prisma, credential),
  });
  const isPatient = options.waitForDatabase ?? false;
  const closeParts = async () => {
    await client.close();
    await database.close();
    await tracing?.close();
  };
  const making = makeOwn(config, upstreamParts, { ...options, clock, isPatient, url: database.url });
  const own = await making.catch(async (error: unknown) => {
    await closeParts();
    throw error;
  });
  const connectionsOf = (now: Config) => [...connector(now.connections), ...own];
  const runs = new RunsUnderWay();
  const listeners = new Set<(changes: ConfigChanges) => void>();
  let current = config;
  let live = createLiveStreams(config, connectionsOf(config), clock.now());
  const register = (retires: 'always' | 'unless_led'): Promise<void> =>
    registerStreams(database.prisma, live.streams, { retires }).catch((error: unknown) => {
      throw databaseError(error, database.place);
    });
  const registered = patiently({ ...options, clock, isPatient }, async () => {
    await assertKey(config, database, logger);
    await register('unless_led');
  });
  await registered.catch(async (error: unknown) => {
    await closeParts();
    throw error;
  });
  const passParts = () => ({
    prisma: database.prisma,
    databasePlace: database.place,
    clock,
    logger,
    lookbackMs: current.sync.lookbackSeconds * 1000,
    deleteBrake: current.sync.deleteBrake,
    tracer: tracing?.tracer,
    onPageWritten: instruments.onPageWritten,
  });
  const isConfigured = (connectionId: string, stream: string): boolean => live.find(connectionId, stream) !== undefined;
  let closing: Promise<void> | null = null;
  return {
    get config() {
      return current;
    },
    get connections() {
      return live.connections;
    },
    get streams() {
      return live.streams;
    },
    logger,
    clock,
    database,
    metrics,
    tracing,
    findStream: (connectionId, name) => live.find(connectionId, name),
    scheduleOf: (connectionId, name) => live.scheduleOf(connectionId, name),
    runPass: (job) =>
      runs.during({ connectionId: job.connection.id, stream: job.stream.name, signal: job.signal }, (signal) => {
        // It may have been removed since the caller found it.
        runs.endUnless(isConfigured);
        return instruments.run(factsOf(job, job.pass), () => runPass(passParts(), { ...job, signal }));
      }),
    verifyStream: (job) => instruments.verify(factsOf(job, 'verify'), () => verifyStream(passParts(), job)),
    assertStreams: () => register('always'),
    async reload(next) {
      refuseSameIds(own, next);
      const changes = compareConfigs(current, next);
      current = withLiveChanges(current, next);
      live = createLiveStreams(current, connectionsOf(current), clock.now());
      runs.endUnless(isConfigured);
      await register('unless_led').catch((error: Error) =>
        logger.warn(`${error.message} The leading scheduler tells the database what is configured as soon as it can.`),
      );
      for (const listener of listeners) listener(changes);
      return changes;
    },
    onReload(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close() {
      closing ??= client
        .close()
        .then(() => database.close())
        .finally(() => tracing?.close());
      return closing;
    },
  };
}

/** The connections that `connect` answers, once their tables are there. */
async function makeOwn(
  config: Config,
  parts: UpstreamParts,
  options: Pick<AppOptions, 'connect'> & ReachOptions & { readonly url: string },
): Promise<readonly Connection[]> {
  const own = connectOwn(options.connect, config, parts);
  refuseSameIds(own, config);
  await patiently(options, () => ensureTables(options.url, tablesOf(own)));
  return own;
}

function factsOf({ connection, stream }: Pick<PassJob, 'connection' | 'stream'>, pass: string): RunFacts {
  return { connection: connection.id, stream: stream.name, pass };
}

/** Finds or starts the database, and brings it to this program's version. */
export async function openMirrorDatabase(
  config: Config,
  options: AppOptions & Pick<DatabaseOptions, 'tracer'>,
): Promise<MirrorDatabase> {
  const { logger, signal, clock = systemClock, tracer } = options;
  const embedded =
    config.databaseUrl === null ? await startEmbeddedPostgres({ home: config.home, logger, signal }) : null;
  const url = config.databaseUrl ?? embedded?.url ?? '';
  const { concurrency, bulkConcurrency } = config.workers;
  const wanted = { mirror: concurrency + bulkConcurrency + 4, queue: config.redis === null ? QUEUE_CONNECTIONS : 0 };
  const isDaemon = options.waitForDatabase ?? false;
  let database: Database | null = null;
  let connections: MirrorDatabase['connections'];
  try {
    const room = await reachAndMigrate(url, { logger, signal, clock, isPatient: isDaemon });
    const lack = lackOfRoom(room, wanted);
    if (isDaemon && lack !== null) throw new DatabaseError('database_refused', lack);
    connections = { room, wanted, shares: shareConnections(room, wanted) };
    database = createDatabase({ url, logger, maxConnections: connections.shares.mirror, tracer });
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
    connections,
    async close() {
      await close();
      await embedded?.close();
    },
  };
}

const DATABASE_RETRY_MS = 5_000;
const QUEUE_CONNECTIONS = 8;

export interface ReachOptions {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly isPatient: boolean;
}

async function reachAndMigrate(url: string, options: ReachOptions): Promise<ConnectionRoom | null> {
  return patiently(options, async () => {
    const room = await assertReachable(url);
    const applied = await migrate({ url });
    if (applied.length > 0) options.logger.info({ applied }, 'database migrated');
    return room;
  });
}

/** Tries again while the database is away, where the caller has the time; else the first failure is thrown. */
export async function patiently<T>(
  { logger, signal, clock, isPatient }: ReachOptions,
  work: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isPatient || !(error instanceof DatabaseError) || !passesByWaiting(error)) throw error;
      logger.warn(`${error.message} Trying again every ${DATABASE_RETRY_MS / 1000} s.`);
      await clock.sleep(DATABASE_RETRY_MS, signal);
    }
  }
}

export function createHttpClient(config: Config, clock: Clock): HttpClient {
  const { timeoutMs, allowInsecureHttp, proxy } = config.http;
  return new HttpClient({ timeoutMs, allowInsecureHttp, proxy, clock });
}

/** All configured accounts, once. */
export function connect(config: Config, parts: ConnectParts): readonly Connection[] {
  return createConnector(config, parts)(config.connections);
}

/** @throws ConfigError when what is stored was encrypted with another key; without one it is only told */
export async function assertKey(
  { secretKey }: Pick<Config, 'secretKey'>,
  { prisma, place }: MirrorDatabase,
  logger: Logger,
): Promise<void> {
  try {
    if (secretKey !== null) await assertSecretKey(prisma, secretKey);
    else if (await hasSecretKey(prisma)) logger.warn(KEY_MISSING);
  } catch (error) {
    throw databaseError(error, place);
  }
}

const KEY_MISSING =
  'LEADMIRROR_SECRET_KEY is not set, and the sign-ins in the database are encrypted with one: they are not used, and none is kept';

/** Sign-ins are kept in the database when there is a key to encrypt them with, else only as long as this process lives. */
export function vaultsIn({ secretKey }: Pick<Config, 'secretKey'>, database: MirrorDatabase | null): Vaults {
  return { tiledesk: vaultsOf(), tilkee: vaultsOf() };

  function vaultsOf<T>(): (name: string) => Vault<T> {
    if (database !== null && secretKey !== null) {
      return (name) => createDatabaseVault<T>(database.prisma, { name, secretKey });
    }
    const kept = new Map<string, Vault<T>>();
    return (name) => {
      const vault = kept.get(name) ?? createMemoryVault<T>();
      kept.set(name, vault);
      return vault;
    };
  }
}
