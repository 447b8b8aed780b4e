/** All variables with their defaults; a test compares them with docs/configuration.md and .env.example. */
export interface Variable {
  readonly name: string;
  /** The text that an unset variable stands for; null when there is none. */
  readonly default: string | null;
  readonly secret?: true;
}

type VariableEntry = Omit<Variable, 'name'>;

const preset = (value: string): VariableEntry => ({ default: value });
const unset: VariableEntry = { default: null };
const secret: VariableEntry = { default: null, secret: true };

const TABLE = {
  // Tiledesk
  TILEDESK_PROJECT_ID: unset,
  TILEDESK_EMAIL: secret,
  TILEDESK_PASSWORD: secret,
  TILEDESK_TOKEN: secret,
  TILEDESK_AUTH: preset('jwt'),
  TILEDESK_BASE_URL: preset('https://api.tiledesk.com/v3'),
  TILEDESK_STREAMS: preset('leads,requests,departments,project_users'),
  TILEDESK_REQUESTS_PER_MINUTE: preset('200'),
  TILEDESK_REQUESTS_PER_DAY: unset,
  TILEDESK_PAGE_SIZE: preset('100'),
  TILEDESK_MAX_PAGE_SIZE: preset('1000'),
  TILEDESK_SCAN_KEY: preset('_id'),
  TILEDESK_ALLOW_CUSTOM_ROLE: preset('false'),

  // Tilkee
  TILKEE_ENABLED: preset('true'),
  TILKEE_USERNAME: secret,
  TILKEE_PASSWORD: secret,
  TILKEE_CLIENT_ID: unset,
  TILKEE_CLIENT_SECRET: secret,
  TILKEE_REFRESH_TOKEN: secret,
  TILKEE_ACCESS_TOKEN: secret,
  TILKEE_ENV: preset('production'),
  TILKEE_V3_URL: unset,
  TILKEE_V2_URL: unset,
  TILKEE_AUTH_URL: unset,
  TILKEE_APP_URL: unset,
  TILKEE_AUTH_BODY: preset('form'),
  TILKEE_SCOPE: unset,
  TILKEE_STREAMS: preset('projects,items,tokens,connexions,users'),
  TILKEE_PROJECTS_API: preset('v3'),
  TILKEE_REQUESTS_PER_MINUTE: preset('100'),
  TILKEE_REQUESTS_PER_DAY: unset,
  TILKEE_PAGE_SIZE: preset('50'),
  TILKEE_REF: preset('leadmirror'),
  TILKEE_INCLUDE: preset('templates,archived_projects,archived_tokens'),
  TILKEE_ARRAY_PARAMS: preset('repeat'),
  TILKEE_TIME_UNIT: preset('s'),
  TILKEE_VISITS_BY: preset('auto'),
  TILKEE_ORDER_BY_UPDATE: preset('false'),
  TILKEE_ACT_AS: unset,

  // Storage
  DATABASE_URL: secret,
  REDIS_URL: secret,
  LEADMIRROR_HOME: preset('./.leadmirror'),
  RUN_RETENTION_DAYS: preset('90'),
  LEADMIRROR_SECRET_KEY: secret,
  LEADMIRROR_OLD_SECRET_KEY: secret,

  // Schedule
  SYNC_INCREMENTAL_CRON: preset('auto'),
  SYNC_RECONCILE_CRON: preset('0 3 * * *'),
  SYNC_COUNT_CHECK_CRON: preset('7 * * * *'),
  SYNC_FULL_SYNC_DAYS: preset('7'),
  SYNC_TIMEZONE: preset('UTC'),
  SYNC_LOOKBACK_SECONDS: preset('300'),
  SYNC_DELETE_BRAKE: preset('0.1'),
  SYNC_HISTORY_STREAMS: unset,
  SYNC_HISTORY_MONTHS: preset('25'),
  SYNC_FEED_STREAMS: unset,

  // Requests
  HTTP_TIMEOUT_SECONDS: preset('30'),
  RETRY_ATTEMPTS: preset('6'),
  RETRY_MAX_SECONDS: preset('120'),
  ALLOW_INSECURE_HTTP: preset('false'),
  CONNECTION_HOSTS: unset,
  HTTPS_PROXY: secret,
  HTTP_PROXY: secret,
  NO_PROXY: unset,

  // Workers
  WORKER_CONCURRENCY: preset('4'),
  BULK_CONCURRENCY: preset('2'),
  SHUTDOWN_TIMEOUT_SECONDS: preset('20'),

  // Status page
  OPS_HOST: preset('127.0.0.1'),
  OPS_PORT: preset('8080'),
  OPS_READ_TOKEN: secret,
  OPS_TRUSTED_PROXIES: unset,
  OPS_TOKEN: secret,

  // Monitoring
  METRICS_MAX_STREAMS: preset('1000'),
  HEARTBEAT_URL: secret,
  ALERT_WEBHOOK_URL: secret,
  ALERT_WEBHOOK_FORMAT: preset('json'),
  ALERT_EMAIL_TO: secret,
  ALERT_EMAIL_FROM: secret,
  SMTP_URL: secret,
  ALERT_AFTER_SECONDS: preset('60'),
  OTEL_EXPORTER_OTLP_ENDPOINT: unset,
  OTEL_EXPORTER_OTLP_HEADERS: secret,
  OTEL_SERVICE_NAME: preset('leadmirror'),
  OTEL_TRACES_SAMPLER: preset('parentbased_always_on'),
  OTEL_TRACES_SAMPLER_ARG: preset('1'),

  // Privacy
  STORE_VISITOR_PII: preset('false'),
  TILKEE_STORE_LINKS: preset('false'),
  PRIVACY_PRESET: preset('none'),
  PRIVACY_FIELDS: unset,
  PRIVACY_JOURNAL: unset,
  PRIVACY_UPSTREAM_DELETED: preset('keep'),
  PRIVACY_RETENTION: unset,
  PRIVACY_VISITS_COUNT: preset('false'),
  PRIVACY_QUARANTINE_RESOLVED_DAYS: preset('7'),
  PRIVACY_QUARANTINE_OPEN_DAYS: preset('90'),

  // Logging
  LOG_LEVEL: preset('info'),
  LOG_FORMAT: unset,
  NO_COLOR: unset,
} satisfies Readonly<Record<string, VariableEntry>>;

export type VariableName = keyof typeof TABLE;

export const VARIABLES: readonly Variable[] = Object.entries<VariableEntry>(TABLE).map(([name, entry]) => ({
  name,
  ...entry,
}));

const DEFAULTS = new Map(VARIABLES.map((entry) => [entry.name, entry.default]));

export const defaultOf = (name: string): string | undefined => DEFAULTS.get(name) ?? undefined;
