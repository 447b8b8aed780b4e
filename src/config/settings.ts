import { relative, resolve } from 'node:path';
import { z } from 'zod';
import { isLoopback } from '../loopback.ts';
import { databaseUrl, proxyUrl, redisUrls } from './address.ts';
import { preset, type Surroundings, schemasOf, secret, unset } from './declare.ts';
import { checkEmail, MONITORING, monitoringSettings } from './monitoring.ts';
import { privacyFields, privacyPresets } from './privacy.ts';
import { retentionRules } from './retention.ts';
import {
  autoOrCron,
  cron,
  eachOf,
  flag,
  folder,
  hostName,
  integer,
  listenHost,
  network,
  oneOf,
  opsToken,
  secondsAsMs,
  secretKey,
  share,
  streamNames,
  text,
  timeZone,
} from './values.ts';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** All variables but those of a connection: default, whether it is a secret, and how its text is read. */
export const SETTINGS = {
  REDIS_URL: secret(redisUrls),
  SYNC_TIMEZONE: preset('UTC', timeZone),
  LOG_FORMAT: {
    default: null,
    schema: (known: Surroundings) => oneOf(['json', 'pretty']).default(known.isTerminal ? 'pretty' : 'json'),
  },
  DATABASE_URL: secret(databaseUrl),
  LEADMIRROR_HOME: preset('./.leadmirror', (known) => folder.transform((path) => resolve(known.cwd, path))),
  SYNC_INCREMENTAL_CRON: preset('auto', (known) => autoOrCron(known.timezone)),
  SYNC_RECONCILE_CRON: preset('0 3 * * *', (known) => cron(known.timezone)),
  SYNC_COUNT_CHECK_CRON: preset('7 * * * *', (known) => cron(known.timezone)),
  SYNC_FULL_SYNC_DAYS: preset('7', integer(0, 365)),
  SYNC_LOOKBACK_SECONDS: preset('300', integer(0, 604_800)),
  SYNC_DELETE_BRAKE: preset('0.1', share),
  SYNC_HISTORY_STREAMS: unset(streamNames),
  SYNC_HISTORY_MONTHS: preset('25', integer(1, 1200)),
  SYNC_FEED_STREAMS: unset(streamNames),
  HTTP_TIMEOUT_SECONDS: preset('30', secondsAsMs(1, 600)),
  RETRY_ATTEMPTS: preset('6', integer(1, 20)),
  RETRY_MAX_SECONDS: preset('120', secondsAsMs(0, 3600)),
  ALLOW_INSECURE_HTTP: preset('false', flag),
  CONNECTION_HOSTS: unset(eachOf(hostName, 'names no host')),
  HTTP_PROXY: secret(proxyUrl),
  HTTPS_PROXY: secret(proxyUrl),
  NO_PROXY: unset(text),
  WORKER_CONCURRENCY: preset('4', integer(1, 64)),
  BULK_CONCURRENCY: preset('2', integer(1, 64)),
  SHUTDOWN_TIMEOUT_SECONDS: preset('20', secondsAsMs(1, 600)),
  OPS_HOST: preset('127.0.0.1', (known) =>
    listenHost.refine(
      (host) => known.hasOpsToken || isLoopback(host),
      'lets other machines in, which needs a secret OPS_TOKEN; set one, or use 127.0.0.1',
    ),
  ),
  OPS_TOKEN: secret(opsToken),
  OPS_READ_TOKEN: secret(opsToken),
  OPS_TRUSTED_PROXIES: unset(eachOf(network, 'names no address')),
  OPS_PORT: preset('8080', integer(0, 65_535)),
  ...MONITORING,
  STORE_VISITOR_PII: preset('false', flag),
  TILKEE_STORE_LINKS: preset('false', flag),
  PRIVACY_PRESET: preset('none', privacyPresets),
  PRIVACY_FIELDS: unset(privacyFields),
  PRIVACY_UPSTREAM_DELETED: preset(
    'keep',
    text
      .regex(/^(keep|[1-9]\d{0,3})$/, 'must be keep, or a number of days such as 30')
      .transform((given) => (given === 'keep' ? null : Number(given))),
  ),
  PRIVACY_RETENTION: unset(retentionRules),
  PRIVACY_VISITS_COUNT: preset('false', flag),
  PRIVACY_QUARANTINE_RESOLVED_DAYS: preset('7', integer(0, 3650)),
  PRIVACY_QUARANTINE_OPEN_DAYS: preset('90', integer(1, 3650)),
  PRIVACY_JOURNAL: unset((known) => folder.transform((path) => resolve(known.cwd, path))),
  // Only checked here: it decides about connections.
  TILKEE_ENABLED: preset('true', flag),
  LEADMIRROR_SECRET_KEY: secret(secretKey),
  LEADMIRROR_OLD_SECRET_KEY: secret(text),
  RUN_RETENTION_DAYS: preset('90', integer(1, 3650)),
  LOG_LEVEL: preset('info', oneOf(LOG_LEVELS)),
  NO_COLOR: unset(text),
};

/** All variables but those of a connection, by name and as text, to the settings of the program. */
export const settingsSchema = (known: Surroundings) =>
  z
    .object(schemasOf(SETTINGS, known))
    .superRefine(checkEmail)
    .superRefine(({ PRIVACY_JOURNAL: journal, LEADMIRROR_HOME: home }, context) => {
      if (journal === undefined || relative(home, journal).startsWith('..')) return;
      const message =
        'lies in LEADMIRROR_HOME, whose backups would restore it together with the database; choose a file outside, which all processes reach';
      context.addIssue({ code: 'custom', path: ['PRIVACY_JOURNAL'], message });
    })
    .superRefine(({ OPS_TOKEN: token, OPS_READ_TOKEN: readToken }, context) => {
      if (readToken === undefined || (token !== undefined && token !== readToken)) return;
      const message =
        token === undefined
          ? 'does nothing without OPS_TOKEN; set that one, too'
          : 'must differ from OPS_TOKEN, which could change nothing otherwise; make one with: openssl rand -hex 24';
      context.addIssue({ code: 'custom', path: ['OPS_READ_TOKEN'], message });
    })
    .transform(({ TILKEE_ENABLED: _, ...variables }) => {
      const { HTTP_PROXY: httpProxy, HTTPS_PROXY: httpsProxy, NO_PROXY: noProxy } = variables;
      const proxy: { httpProxy?: string; httpsProxy?: string; noProxy?: string } = { httpProxy, httpsProxy, noProxy };
      return {
        /** Each variable's value by its name, for a comparison. */
        variables: variables as Readonly<Record<string, unknown>>,
        /** Null: embedded Postgres under `home`. */
        databaseUrl: variables.DATABASE_URL ?? null,
        /** Null: the queue lives in Postgres. Several addresses are the nodes of one cluster. */
        redis: variables.REDIS_URL === undefined ? null : { urls: variables.REDIS_URL },
        home: variables.LEADMIRROR_HOME,
        sync: {
          incrementalCron: variables.SYNC_INCREMENTAL_CRON,
          reconcileCron: variables.SYNC_RECONCILE_CRON,
          countCheckCron: variables.SYNC_COUNT_CHECK_CRON,
          /** While the last full sync is younger and counts agree, a scheduled one reads nothing; 0: always. */
          fullSyncDays: variables.SYNC_FULL_SYNC_DAYS,
          timezone: variables.SYNC_TIMEZONE,
          lookbackSeconds: variables.SYNC_LOOKBACK_SECONDS,
          /** Share of a table, 0 to 1, that one reconcile may mark as deleted without a person. */
          deletionLimit: variables.SYNC_DELETE_BRAKE,
        },
        /** Streams whose changes are in the feed. Null: as they are. */
        feed: variables.SYNC_FEED_STREAMS ?? null,
        history: {
          streams: variables.SYNC_HISTORY_STREAMS ?? [],
          /** Where they are set, for a problem with them. */
          label: known.historyLabel,
          months: variables.SYNC_HISTORY_MONTHS,
        },
        http: {
          timeoutMs: variables.HTTP_TIMEOUT_SECONDS,
          /** Tries of one request in all: 1 means no retry. */
          retryAttempts: variables.RETRY_ATTEMPTS,
          retryMaxMs: variables.RETRY_MAX_SECONDS,
          allowInsecureHttp: variables.ALLOW_INSECURE_HTTP,
          proxy: httpProxy === undefined && httpsProxy === undefined ? null : proxy,
        },
        /** Of private networks: those that accounts of the database may be mirrored from. */
        connectionHosts: variables.CONNECTION_HOSTS ?? [],
        workers: {
          concurrency: variables.WORKER_CONCURRENCY,
          bulkConcurrency: variables.BULK_CONCURRENCY,
          shutdownTimeoutMs: variables.SHUTDOWN_TIMEOUT_SECONDS,
        },
        /** Without a token the page is read-only, and `host` is loopback. */
        ops: {
          host: variables.OPS_HOST,
          port: variables.OPS_PORT,
          token: variables.OPS_TOKEN ?? null,
          readToken: variables.OPS_READ_TOKEN ?? null,
          trustedProxies: variables.OPS_TRUSTED_PROXIES ?? [],
        },
        ...monitoringSettings(variables),
        privacy: {
          storeVisitorPii: variables.STORE_VISITOR_PII,
          storeLinks: variables.TILKEE_STORE_LINKS,
          policy: { presets: variables.PRIVACY_PRESET, fields: variables.PRIVACY_FIELDS ?? [] },
        },
        retention: {
          /** How long rows stay that are gone upstream; null: for ever. */
          upstreamDeletedDays: variables.PRIVACY_UPSTREAM_DELETED,
          rules: variables.PRIVACY_RETENTION ?? [],
          /** Whether a visit is a contact that came from the person. */
          visitsCount: variables.PRIVACY_VISITS_COUNT,
          quarantine: {
            resolvedDays: variables.PRIVACY_QUARANTINE_RESOLVED_DAYS,
            openDays: variables.PRIVACY_QUARANTINE_OPEN_DAYS,
          },
        },
        /** Where erasures are noted; null: no person can be erased. */
        privacyJournal: variables.PRIVACY_JOURNAL ?? null,
        /** Encrypts what sign-ins leave behind. Null: nothing of them is kept beyond the process. */
        secretKey: variables.LEADMIRROR_SECRET_KEY ?? null,
        /** Only for `rekey`. */
        oldSecretKey: variables.LEADMIRROR_OLD_SECRET_KEY ?? null,
        runRetentionDays: variables.RUN_RETENTION_DAYS,
        log: {
          level: variables.LOG_LEVEL,
          format: variables.LOG_FORMAT,
          colors: variables.LOG_FORMAT === 'pretty' && known.isTerminal && variables.NO_COLOR === undefined,
        },
      };
    });
