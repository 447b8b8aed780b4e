/**
 * leadmirror as a library: mirror a source that is not built in, with the same engine, tables, queue, commands and status page as those that are. What is
 * exported here keeps its meaning within a minor version; other files of the package are not for import. docs/new-source.md walks through it.
 *
 *   defineStream, defineConnection    what the source is
 *   createApp({ connect })            reaches the database, makes the tables
 *   syncOnce, runDaemon, verifyOnce   reads once, or on schedule until stopped; compares mirror and upstream
 */

import type { RunDaemonOptions } from '../workers/run-daemon.ts';
import type { App } from './app.ts';

/** Schedules, works and shows the status page, as `leadmirror start` does, until the signal fires; then ends what runs at its page. The app stays open. */
export async function runDaemon(app: App, options: RunDaemonOptions): Promise<void> {
  // A script that reads once does not load queue and web server.
  const daemon = await import('../workers/run-daemon.ts');
  return daemon.runDaemon(app, options);
}

export type { Role, RunDaemonOptions } from '../workers/run-daemon.ts';
export type { ConnectCustom as ConnectOwn, CustomParts as OwnParts } from './app/custom-sources.ts';
export { reprojectOnce, type SyncOnceOptions, type SyncReport, syncOnce } from './app/sync-streams.ts';
export type { Account } from './app/upstreams.ts';
export { type Verified, type VerifyOnceOptions, verifyOnce } from './app/verify-streams.ts';
export { type App, type AppOptions, createApp } from './app.ts';
export type { Clock } from './clock.ts';
export { type Config, type ConfigSources, type LoadOptions, loadConfig } from './config.ts';
export {
  AuthError,
  ConfigError,
  DatabaseError,
  errorCode,
  LeadmirrorError,
  RateLimitedError,
  RecordError,
  TransientError,
  UpstreamContractError,
  UpstreamRefusedError,
} from './errors.ts';
export type { RequestOptions, Upstream, UpstreamRequest, UpstreamResponse } from './http/upstream.ts';
export { createLogger, type Logger, type LoggerOptions, silentLogger } from './logger.ts';
export {
  asBigint,
  asBoolean,
  asEpochSecondsTime,
  asFlag,
  asId,
  asInteger,
  asJson,
  asMs,
  asNumber,
  asObject,
  asText,
  asTexts,
  asTime,
  firstOf,
  isObject,
  type JsonObject,
} from './sources/coerce.ts';
export {
  type ConnectionDefinition,
  defineConnection,
  defineStream,
  type MappedColumns,
  type StreamDefinition,
} from './sources/define.ts';
export { dropEntries } from './sources/redact.ts';
export type {
  AccountFacts,
  Capabilities,
  ColumnType,
  Connection,
  CountedList,
  Deletions,
  Entry,
  FetchOptions,
  JsonType,
  KnownFields,
  List,
  ListPage,
  ListQuery,
  ListWindow,
  MirroredRow,
  Pass,
  PlanContext,
  Row,
  SortKey,
  Stream,
  TableSpec,
  Walk,
  WalkState,
} from './stream.ts';
export { createKeysetWalk, type KeysetOptions } from './walks/keyset.ts';
export { createOffsetWalk, type OffsetOptions } from './walks/offset.ts';
export { createSnapshotWalk } from './walks/snapshot.ts';
export { createStitchWalk, type StitchOptions } from './walks/stitch.ts';
export type { TiePolicy } from './walks/ties.ts';
