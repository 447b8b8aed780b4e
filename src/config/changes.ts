import { isDeepStrictEqual } from 'node:util';
import type { Config, ConnectionConfig, Settings } from './types.ts';
import type { VariableName } from './variables.ts';

/** What a configuration that is read again says otherwise. Connections by their ids. */
export interface ConfigChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Another account, address, pace, stream or schedule. */
  readonly changed: readonly string[];
  /** Variables of other settings that take effect at once. */
  readonly settings: readonly VariableName[];
  /** Variables that take effect after a restart only. */
  readonly restart: readonly VariableName[];
}

export function compareConfigs(before: Config, after: Config): ConfigChanges {
  const old = new Map(before.connections.map((connection) => [connection.id, connection]));
  const ids = new Set(after.connections.map(({ id }) => id));
  const changed = after.connections.filter((connection) => {
    const known = old.get(connection.id);
    return known !== undefined && !isDeepStrictEqual(known, connection);
  });
  const idsOf = (connections: readonly ConnectionConfig[]): string[] => connections.map(({ id }) => id);
  return {
    added: idsOf(after.connections.filter(({ id }) => !old.has(id))),
    removed: idsOf(before.connections.filter(({ id }) => !ids.has(id))),
    changed: idsOf(changed),
    settings: namesOf(LIVE, before, after),
    restart: namesOf(AFTER_RESTART, before, after),
  };
}

/** The configuration to work with from now on: what takes effect after a restart stays as it was. */
export function withLiveChanges(before: Config, after: Config): Config {
  const { sync, runRetentionDays, connections, notes } = after;
  return Object.freeze({ ...before, sync, runRetentionDays, connections, notes });
}

/** The same account, address, pace and streams: only schedules may differ. */
export function isSameAccount(one: ConnectionConfig, other: ConnectionConfig): boolean {
  return isDeepStrictEqual(withoutSchedules(one), withoutSchedules(other));
}

const withoutSchedules = ({ schedule, streamSchedules, ...account }: ConnectionConfig) => account;

type Decided = Readonly<Partial<Record<VariableName, (settings: Settings) => unknown>>>;

const LIVE: Decided = {
  SYNC_INCREMENTAL_CRON: ({ sync }) => sync.incrementalCron,
  SYNC_RECONCILE_CRON: ({ sync }) => sync.reconcileCron,
  SYNC_TIMEZONE: ({ sync }) => sync.timezone,
  SYNC_LOOKBACK_SECONDS: ({ sync }) => sync.lookbackSeconds,
  SYNC_DELETE_BRAKE: ({ sync }) => sync.deleteBrake,
  RUN_RETENTION_DAYS: ({ runRetentionDays }) => runRetentionDays,
};

const AFTER_RESTART: Decided = {
  DATABASE_URL: ({ databaseUrl }) => databaseUrl,
  REDIS_URL: ({ redis }) => redis,
  LEADMIRROR_HOME: ({ home }) => home,
  LEADMIRROR_SECRET_KEY: ({ secretKey }) => secretKey,
  LEADMIRROR_OLD_SECRET_KEY: ({ oldSecretKey }) => oldSecretKey,
  HTTP_TIMEOUT_SECONDS: ({ http }) => http.timeoutMs,
  RETRY_ATTEMPTS: ({ http }) => http.retryAttempts,
  RETRY_MAX_SECONDS: ({ http }) => http.retryMaxMs,
  ALLOW_INSECURE_HTTP: ({ http }) => http.allowInsecureHttp,
  HTTP_PROXY: ({ http }) => http.proxy?.httpProxy,
  HTTPS_PROXY: ({ http }) => http.proxy?.httpsProxy,
  NO_PROXY: ({ http }) => http.proxy?.noProxy,
  WORKER_CONCURRENCY: ({ workers }) => workers.concurrency,
  BULK_CONCURRENCY: ({ workers }) => workers.bulkConcurrency,
  SHUTDOWN_TIMEOUT_SECONDS: ({ workers }) => workers.shutdownTimeoutMs,
  OPS_HOST: ({ ops }) => ops.host,
  OPS_PORT: ({ ops }) => ops.port,
  OPS_TOKEN: ({ ops }) => ops.token,
  OPS_READ_TOKEN: ({ ops }) => ops.readToken,
  OPS_TRUSTED_PROXIES: ({ ops }) => ops.trustedProxies.join(),
  METRICS_MAX_STREAMS: ({ metrics }) => metrics.maxStreams,
  HEARTBEAT_URL: ({ heartbeatUrl }) => heartbeatUrl,
  ALERT_WEBHOOK_URL: ({ alerts }) => alerts.webhook?.url,
  ALERT_WEBHOOK_FORMAT: ({ alerts }) => alerts.webhook?.format,
  ALERT_EMAIL_TO: ({ alerts }) => alerts.email?.to,
  ALERT_EMAIL_FROM: ({ alerts }) => alerts.email?.from,
  SMTP_URL: ({ alerts }) => alerts.email?.smtpUrl,
  ALERT_AFTER_SECONDS: ({ alerts }) => alerts.afterMs,
  OTEL_EXPORTER_OTLP_ENDPOINT: ({ tracing }) => tracing?.endpoint,
  OTEL_EXPORTER_OTLP_HEADERS: ({ tracing }) => tracing?.headers,
  OTEL_SERVICE_NAME: ({ tracing }) => tracing?.serviceName,
  OTEL_TRACES_SAMPLER: ({ tracing }) => tracing?.sampler,
  OTEL_TRACES_SAMPLER_ARG: ({ tracing }) => tracing?.samplerRatio,
  STORE_VISITOR_PII: ({ privacy }) => privacy.storeVisitorPii,
  TILKEE_STORE_LINKS: ({ privacy }) => privacy.storeLinks,
  LOG_LEVEL: ({ log }) => log.level,
  LOG_FORMAT: ({ log }) => log.format,
  NO_COLOR: ({ log }) => log.colors,
};

export const LIVE_SETTINGS: readonly string[] = Object.keys(LIVE);
export const RESTART_SETTINGS: readonly string[] = Object.keys(AFTER_RESTART);

function namesOf(decided: Decided, before: Settings, after: Settings): VariableName[] {
  const differs = Object.entries(decided).filter(([, of]) => !isDeepStrictEqual(of(before), of(after)));
  return differs.map(([name]) => name as VariableName);
}
