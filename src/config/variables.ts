/**
 * The table of all environment variables, as data. The loader takes its defaults from here, and `.env.example`, `--help` and
 * the README are checked against it, so a variable cannot exist in one of them only.
 */
export interface Variable {
  readonly name: string;
  /** The text that an unset variable stands for; null when there is none. */
  readonly default: string | null;
  /** One line for people. Says what happens without the variable when `default` is null. */
  readonly description: string;
  /** The value must never be printed. */
  readonly secret?: true;
}

type Entry = Omit<Variable, 'name'>;

const preset = (value: string, description: string): Entry => ({ default: value, description });
const unset = (description: string): Entry => ({ default: null, description });
const secret = (description: string): Entry => ({ default: null, description, secret: true });

const TABLE = {
  // Tiledesk
  TILEDESK_PROJECT_ID: unset('Project to mirror; several, comma separated, give one connection each.'),
  TILEDESK_EMAIL: secret('E-mail of an owner or admin of the project; goes with TILEDESK_PASSWORD.'),
  TILEDESK_PASSWORD: secret('Password of that account.'),
  TILEDESK_TOKEN: secret('Instead of e-mail and password: a sign-in token, beginning with "JWT ".'),
  TILEDESK_AUTH: preset(
    'jwt',
    'How e-mail and password are used: jwt (sign in once) or basic (sent with each request).',
  ),
  TILEDESK_BASE_URL: preset(
    'https://api.tiledesk.com/v3',
    'Address of the API with its prefix (/v1, /v2, /v3); a self-hosted server usually has none.',
  ),
  TILEDESK_STREAMS: preset(
    'leads,requests,departments,project_users',
    'What to mirror, comma separated; also bots, groups, tags, and messages (one request per conversation).',
  ),
  TILEDESK_REQUESTS_PER_MINUTE: preset('200', 'Requests in any minute, all processes together (10 to 100000).'),
  TILEDESK_PAGE_SIZE: preset('100', 'Rows asked for at once (10 to 100).'),
  TILEDESK_SCAN_KEY: preset(
    '_id',
    'Order of full walks: _id, or createdAt for very large projects whose server is slow at sorting by _id.',
  ),
  TILEDESK_ALLOW_CUSTOM_ROLE: preset(
    'false',
    'Accept an account that is neither owner nor admin; it may see only a part of the requests.',
  ),

  // Tilkee
  TILKEE_ENABLED: preset('true', 'False: Tilkee is configured and not mirrored.'),
  TILKEE_USERNAME: secret('Login of the Tilkee account to read with; goes with TILKEE_PASSWORD.'),
  TILKEE_PASSWORD: secret('Password of that account.'),
  TILKEE_CLIENT_ID: unset('Id of an application from the developer area of Tilkee; goes with TILKEE_CLIENT_SECRET.'),
  TILKEE_CLIENT_SECRET: secret('Secret of that application.'),
  TILKEE_REFRESH_TOKEN: secret(
    'Instead of user name and password: a refresh token; set LEADMIRROR_SECRET_KEY along with it.',
  ),
  TILKEE_ACCESS_TOKEN: secret('Instead of all of these: a static key of the V2 API, without "Bearer".'),
  TILKEE_ENV: preset('production', 'production or staging: decides the four addresses.'),
  TILKEE_V3_URL: unset('Address of the V3 API with its prefix; without it, the one of TILKEE_ENV.'),
  TILKEE_V2_URL: unset('Address of the V2 API with its prefix; without it, the one of TILKEE_ENV.'),
  TILKEE_AUTH_URL: unset('Where leadmirror signs in; without it, the address of the V3 API.'),
  TILKEE_APP_URL: unset('Where a person signs in with the browser; without it, the one of TILKEE_ENV.'),
  TILKEE_AUTH_BODY: preset('form', 'How the sign-in is written: form or json.'),
  TILKEE_SCOPE: unset('Scope that the sign-in asks for; without it, none is sent.'),
  TILKEE_STREAMS: preset(
    'projects,items,tokens,connexions,users',
    'What to mirror, comma separated; tokens are access links, connexions are visits.',
  ),
  TILKEE_PROJECTS_API: preset(
    'v3',
    'API that projects and items are read from: v3 or v2; with TILKEE_ACCESS_TOKEN it is v2.',
  ),
  TILKEE_REQUESTS_PER_MINUTE: preset('100', 'Requests in any minute, all processes together (10 to 100000).'),
  TILKEE_PAGE_SIZE: preset('50', 'Rows asked for at once (2 to 100).'),
  TILKEE_REF: preset('leadmirror', 'How leadmirror names itself to the V2 API (header x-tilk-ref).'),
  TILKEE_INCLUDE: preset(
    'templates,archived_projects,archived_tokens',
    'Lists read besides: templates, archived_projects, colleagues_projects, archived_tokens; or none.',
  ),
  TILKEE_ARRAY_PARAMS: preset(
    'repeat',
    'How several values of a parameter are written: repeat (a=1&a=2) or csv (a=1,2).',
  ),
  TILKEE_TIME_UNIT: preset('s', 'Unit of times in the questions about visits: s or ms.'),
  TILKEE_VISITS_BY: preset(
    'auto',
    'Where visits are read: list (all at once), project, token (link by link), or auto.',
  ),
  TILKEE_ORDER_BY_UPDATE: preset(
    'false',
    'Ask the V2 API for projects by last change; used only where the answer obeys.',
  ),
  TILKEE_ACT_AS: unset(
    'User numbers of colleagues to read as, too, comma separated; without it, only as the account itself.',
  ),

  // Storage
  DATABASE_URL: secret('postgres:// address of the mirror; without it, an embedded Postgres under LEADMIRROR_HOME.'),
  REDIS_URL: secret(
    'redis:// or rediss://, several hosts of a cluster comma separated; without it, the queue is in Postgres.',
  ),
  LEADMIRROR_HOME: preset('./.leadmirror', 'Folder of the embedded Postgres.'),
  RUN_RETENTION_DAYS: preset('90', 'How long the records of finished runs are kept (1 to 3650).'),
  LEADMIRROR_SECRET_KEY: secret(
    'Encrypts the sign-ins kept in the database, 16 characters or more; without it, none is kept.',
  ),
  LEADMIRROR_OLD_SECRET_KEY: secret('The key so far, while `leadmirror rekey` changes it to LEADMIRROR_SECRET_KEY.'),

  // Schedule
  SYNC_INCREMENTAL_CRON: preset(
    '*/5 * * * *',
    'When to fetch what changed: five cron fields, or six with seconds first.',
  ),
  SYNC_RECONCILE_CRON: preset('0 3 * * *', 'When to read everything and find what was deleted.'),
  SYNC_TIMEZONE: preset('UTC', 'Time zone of the two schedules, such as Europe/Rome.'),
  SYNC_LOOKBACK_SECONDS: preset(
    '300',
    'How far an incremental run reads back before the last known change (0 to 604800).',
  ),
  SYNC_DELETE_BRAKE: preset('0.1', 'Share of a table (0 to 1) that may vanish at once before a person has to agree.'),

  // Requests
  HTTP_TIMEOUT_SECONDS: preset('30', 'Time limit of one request (1 to 600).'),
  RETRY_ATTEMPTS: preset('6', 'Tries of one request before its run gives up (1 to 20).'),
  RETRY_MAX_SECONDS: preset('120', 'Longest time spent waiting for the retries of one request (0 to 3600).'),
  ALLOW_INSECURE_HTTP: preset(
    'false',
    'Allow http:// addresses beyond this machine; credentials then travel unencrypted.',
  ),
  HTTPS_PROXY: secret('Proxy for https:// requests to the upstream, as http://host:port (also in lower case).'),
  HTTP_PROXY: secret('Proxy for http:// requests to the upstream (also in lower case).'),
  NO_PROXY: unset('Hosts to be reached without the proxy, comma separated (also in lower case).'),

  // Workers
  WORKER_CONCURRENCY: preset('4', 'Incremental runs at the same time in one process (1 to 64).'),
  BULK_CONCURRENCY: preset('2', 'Full walks at the same time in one process (1 to 64).'),
  SHUTDOWN_TIMEOUT_SECONDS: preset('20', 'How long a stop may take to finish the current pages (1 to 600).'),

  // Status page
  OPS_HOST: preset(
    '127.0.0.1',
    'Address that health and status are served on; anything beyond loopback needs OPS_TOKEN.',
  ),
  OPS_PORT: preset('8080', 'Port of health and status; 0 takes any free one.'),
  OPS_READ_TOKEN: secret(
    'Secret that reads everything on the status page and changes nothing, such as for Prometheus.',
  ),
  OPS_TRUSTED_PROXIES: unset('Addresses or networks of proxies whose X-Forwarded-For counts, comma separated.'),
  OPS_TOKEN: secret('Bearer token for the buttons of the page; without it, the page is read-only and local.'),

  // Monitoring
  METRICS_MAX_STREAMS: preset(
    '1000',
    'Up to so many streams, /metrics has series for each connection and stream; above, only sums (0 to 100000).',
  ),
  HEARTBEAT_URL: secret(
    'Address that is called after each complete round of the scheduler, for services that report silence.',
  ),
  ALERT_WEBHOOK_URL: secret('Address that alerts are posted to; without it, none are.'),
  ALERT_WEBHOOK_FORMAT: preset('json', 'What is posted: json, or slack (also Mattermost, Rocket.Chat).'),
  ALERT_EMAIL_TO: secret('Who gets alerts by e-mail, comma separated; goes with ALERT_EMAIL_FROM and SMTP_URL.'),
  ALERT_EMAIL_FROM: secret('Sender of these e-mails.'),
  SMTP_URL: secret('Mail server: smtps://user:password@host:465, or smtp://…:587 (then with STARTTLS).'),
  ALERT_AFTER_SECONDS: preset(
    '60',
    'How long something has to last before it is told, and to be over before that is (0 to 86400).',
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: unset(
    'Collector that traces are sent to, such as http://localhost:4318; without it, none are made.',
  ),
  OTEL_EXPORTER_OTLP_HEADERS: secret('Headers for it, as name=value, comma separated.'),
  OTEL_SERVICE_NAME: preset('leadmirror', 'Name of this service in traces.'),
  OTEL_TRACES_SAMPLER: preset(
    'parentbased_always_on',
    'Which traces are kept: always_on, always_off, traceidratio, each also with parentbased_ before it.',
  ),
  OTEL_TRACES_SAMPLER_ARG: preset('1', 'For traceidratio: the share (0 to 1) that is kept.'),

  // Privacy
  STORE_VISITOR_PII: preset('false', "Store visitors' IP addresses and user agents."),
  TILKEE_STORE_LINKS: preset('false', 'Store public links, previews and iframes of Tilkee.'),

  // Logging
  LOG_LEVEL: preset('info', 'trace, debug, info, warn, error, fatal or silent.'),
  LOG_FORMAT: unset('json or pretty; without it, pretty on a terminal and json elsewhere.'),
  NO_COLOR: unset('Any value turns the colours of pretty logs off.'),
} satisfies Readonly<Record<string, Entry>>;

export type VariableName = keyof typeof TABLE;

export const VARIABLES: readonly Variable[] = Object.entries<Entry>(TABLE).map(([name, entry]) => ({ name, ...entry }));

const DEFAULTS = new Map(VARIABLES.map((entry) => [entry.name, entry.default]));

/** The text that an unset variable stands for, if any. */
export const defaultOf = (name: string): string | undefined => DEFAULTS.get(name) ?? undefined;
