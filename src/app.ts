import { isDeepStrictEqual } from 'node:util';
import { createConnector } from './app/connector.ts';
import { type ConnectCustom, refuseSameIds, tablesOf } from './app/custom-sources.ts';
import { createFieldPolicies } from './app/field-policy.ts';
import { createLiveStreams, type ScheduledStream } from './app/live-streams.ts';
import {
  assertKey,
  type DatabaseAccess,
  type MirrorDatabase,
  openMirrorDatabase,
  vaultsIn,
  whileUnreachable,
} from './app/mirror-database.ts';
import { type LoadStored, loadWithStored, noteClashes, warnOfUnusable } from './app/stored-connections.ts';
import { createHttpClient, createUpstreams, databaseBudgets, type UpstreamParts } from './app/upstreams.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Config, type ConfigChanges, compareConfigs, type StreamSchedule, withLiveChanges } from './config.ts';
import { ConfigError, RunCancelledError } from './errors.ts';
import type { Logger } from './logger.ts';
import { Instruments, type RunKey } from './ops/instruments.ts';
import type { ProcessMetrics } from './ops/metrics/process-metrics.ts';
import { startTracing, type Tracing } from './ops/tracing.ts';
import { registerStreams, type StreamKey } from './store/engine/streams.ts';
import { databaseError } from './store/faults.ts';
import { ensureTables } from './store/mirror/custom-tables.ts';
import { ensureFeed } from './store/mirror/feed.ts';
import { ensureHistory } from './store/mirror/history.ts';
import { createRefusalStore } from './store/mirror/refusals.ts';
import { createPrivacyGuard, type PrivacyGuard, type PrivacyWatch } from './store/privacy/guard.ts';
import type { Connection, Stream } from './stream.ts';
import { type PassJob, type RunResult, runPass } from './sync/run-pass.ts';
import { runWithCounts } from './sync/run-with-counts.ts';
import { type VerifyJob, type VerifyReport, verifyStream } from './sync/verify.ts';

export interface App {
  /** As it is now: with `reload`, connections and streams change, so callers must not keep the result. */
  readonly config: Config;
  readonly connections: readonly Connection[];
  readonly streams: readonly ScheduledStream[];
  readonly logger: Logger;
  readonly clock: Clock;
  readonly database: MirrorDatabase;
  findStream(connectionId: string, stream: string): { connection: Connection; stream: Stream } | undefined;
  scheduleOf(connectionId: string, stream: string): StreamSchedule | undefined;
  /** What was erased stays erased. */
  readonly privacy: PrivacyGuard & PrivacyWatch;
  readonly metrics?: ProcessMetrics;
  /** Null: no traces are wanted. */
  readonly tracing?: Tracing | null;
  runPass(job: PassJob): Promise<RunResult>;
  verifyStream(job: VerifyJob): Promise<VerifyReport>;
  /** Stores which streams are configured, as the leading scheduler. @throws DatabaseError */
  assertStreams(): Promise<void>;
  /**
   * Takes another configuration over. Unchanged connections keep their objects; runs of changed ones end with the old;
   * runs of removed ones end at their page. Settings of the process stay, and are named in the answer. Connections made
   * by `connect` stay. @throws ConfigError, and changes nothing, when the configuration takes the id of one of them
   */
  reload(config: Config): Promise<ConfigChanges>;
  /** Calls after every reload; returns the way to leave. */
  onReload(listener: (changes: ConfigChanges) => void): () => void;
  /** Closes everything in reverse order; safe to call twice. */
  close(): Promise<void>;
}

export interface AppOptions extends DatabaseAccess {
  /** Accounts of sources that are not built in. Their tables are made where they are missing. */
  readonly connect?: ConnectCustom;
  /** Loads the configuration with the accounts of the database; without it they are left to other processes. */
  readonly stored?: LoadStored;
  /** False: nothing is counted for `/metrics`, and its library is not loaded. */
  readonly hasMetrics?: boolean;
}

/** Composition root: every part is made here and handed to the others as an argument. */
export async function createApp(config: Config, options: AppOptions): Promise<App> {
  const closers: (() => Promise<void> | undefined)[] = [];
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      for (const each of closers.reverse()) await each();
    })();
    return closing;
  };
  try {
    return await assemble(config, { ...options, closers, close });
  } catch (error) {
    await close();
    throw error;
  }
}

async function assemble(
  given: Config,
  options: AppOptions & { readonly closers: (() => Promise<void> | undefined)[]; readonly close: () => Promise<void> },
): Promise<App> {
  const { logger, clock = systemClock, closers, close } = options;
  const loaded = options.hasMetrics === false ? null : await import('./ops/metrics/process-metrics.ts');
  const metrics = loaded?.createProcessMetrics();
  const tracing = await startTracing(given.tracing, logger);
  closers.push(() => tracing?.close());
  const instruments = new Instruments(metrics ?? null, tracing?.tracer ?? null);
  const database = await openMirrorDatabase(given, { ...options, tracer: tracing?.tracer });
  const { prisma } = database;
  closers.push(database.close);
  const { stored } = options;
  const config = await whileUnreachable(options, async () => {
    await assertKey(given, database, logger);
    return stored === undefined ? given : loadWithStored(stored, database, given.secretKey);
  });
  let current = config;
  warnOfUnusable(config, logger);
  const client = createHttpClient(() => current, clock);
  closers.push(() => client.close());
  const parts: UpstreamParts = {
    logger,
    clock,
    client,
    instruments,
    budgetOf: databaseBudgets(prisma, config.http, () => current.sync.timezone),
  };
  const connectConfigured = createConnector(config, {
    ...parts,
    vaultOf: vaultsIn(config, database),
    refusals: (credential) => createRefusalStore(prisma, credential),
  });
  const custom = options.connect?.({ logger, clock, upstream: createUpstreams(config.http, parts) }) ?? [];
  refuseSameIds(custom, config);
  const readPolicies = createFieldPolicies(prisma, options.signal);
  let restrict = await readPolicies(config);
  await whileUnreachable(options, () => ensureTables(database.url, tablesOf(custom)));

  const listeners = new Set<(changes: ConfigChanges) => void>();
  const running = new Set<StreamKey & { readonly stop: AbortController }>();
  const createLive = () =>
    createLiveStreams(current, [...connectConfigured(current.connections), ...custom].map(restrict), clock.now());
  let live = createLive();
  /** A checkpoint is kept: if the stream is configured again, it goes on from there. */
  const endRemovedRuns = (): void => {
    for (const { connectionId, stream, stop } of running) {
      if (live.find(connectionId, stream) !== undefined) continue;
      const message = `${stream} of ${connectionId} is no longer configured; its rows and its checkpoint are kept`;
      stop.abort(new RunCancelledError('not_configured', message));
    }
  };
  const register = (retires: 'always' | 'unless_led'): Promise<void> =>
    registerStreams(prisma, live.streams, { retires }).catch((error: unknown) => {
      throw databaseError(error, database.address);
    });
  await whileUnreachable(options, async () => {
    await noteClashes(config, database);
    await register('unless_led');
    await prepareHistory(config, database, live.connections);
    const tables = live.connections.flatMap((one) => one.streams.map(({ table }) => table));
    await ensureFeed(database, tables, config.feed);
  });
  const privacy = createPrivacyGuard(prisma, {
    secretKey: config.secretKey,
    journal: config.privacyJournal,
    upstreamDeletedDays: config.retention.upstreamDeletedDays,
  });
  const passParts = () => ({
    prisma,
    privacy,
    databaseAddress: database.address,
    clock,
    logger,
    lookbackMs: current.sync.lookbackSeconds * 1000,
    deletionLimit: current.sync.deletionLimit,
    tracer: tracing?.tracer,
    onPageWritten: instruments.onPageWritten,
  });
  const runOnce = async (job: PassJob): Promise<RunResult> => {
    const stop = new AbortController();
    const run = { connectionId: job.connection.id, stream: job.stream.name, stop };
    running.add(run);
    try {
      // It may have been removed since the caller found it.
      endRemovedRuns();
      const signal = AbortSignal.any([job.signal, stop.signal]);
      return await instruments.run(factsOf(job, job.pass), () => runPass(passParts(), { ...job, signal }));
    } finally {
      running.delete(run);
    }
  };
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
    privacy,
    ...(metrics && { metrics }),
    tracing,
    findStream: (connectionId, name) => live.find(connectionId, name),
    scheduleOf: (connectionId, name) => live.find(connectionId, name)?.schedule,
    runPass(job) {
      const { prisma } = database;
      const fullSyncMs = current.sync.fullSyncDays * 86_400_000;
      return runWithCounts({ prisma, fullSyncMs, runPass: runOnce }, job);
    },
    verifyStream: (job) => instruments.verify(factsOf(job, 'verify'), () => verifyStream(passParts(), job)),
    assertStreams: () => register('always'),
    async reload(next) {
      refuseSameIds(custom, next);
      restrict = await readPolicies(withLiveChanges(current, next));
      const changes = compareConfigs(current, next);
      if (!isDeepStrictEqual(current.unusable, next.unusable)) warnOfUnusable(next, logger);
      current = withLiveChanges(current, next);
      live = createLive();
      endRemovedRuns();
      const noted = noteClashes(next, database).then(() => register('unless_led'));
      await noted.catch((error: Error) =>
        logger.warn(`${error.message} The leading scheduler stores what is configured as soon as it can.`),
      );
      for (const listener of listeners) listener(changes);
      return changes;
    },
    onReload(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close,
  };
}

/** Versions are kept from before the first page of this process on. @throws ConfigError when a stream has no history */
async function prepareHistory(
  { history }: Config,
  database: MirrorDatabase,
  connections: readonly Connection[],
): Promise<void> {
  const streams = connections.flatMap((connection) => connection.streams);
  const able = streams.filter(({ table }) => table.tracked !== undefined);
  const sources = new Set(connections.map(({ source }) => source));
  // A stream of a source that only other processes mirror is theirs to switch on.
  const unable = history.streams.find(
    (name) => sources.has(name.split('.')[0] ?? '') && !able.some((one) => one.name === name),
  );
  if (unable !== undefined) {
    const known = [...new Set(able.map(({ name }) => name))].join(', ');
    const message = `names ${unable}; of the streams configured, these have a history: ${known || 'none'}`;
    throw new ConfigError([{ variable: history.label, message }]);
  }
  const tables = able.map(({ table }) => table);
  await ensureHistory(database, tables, history.streams);
}

function factsOf({ connection, stream }: Pick<PassJob, 'connection' | 'stream'>, pass: string): RunKey {
  return { connection: connection.id, stream: stream.name, pass };
}
