/**
 * The table of all environment variables, as data. The loader takes its defaults from here, and `.env.example`, `--help` and
 * the README are checked against it, so a variable cannot exist in one of them only.
 */
export interface Variable {
  readonly name: string;
  readonly group: VariableGroup;
  /** The text that an unset variable stands for; null when there is none. */
  readonly default: string | null;
  /** One line for people. Says what happens without the variable when `default` is null. */
  readonly description: string;
  /** The value must never be printed. */
  readonly secret?: true;
}

export type VariableGroup =
  | 'Tiledesk'
  | 'Tilkee'
  | 'Storage'
  | 'Schedule'
  | 'Requests'
  | 'Workers'
  | 'Status page'
  | 'Monitoring'
  | 'Privacy'
  | 'Logging';

export const VARIABLES = [
  {
    name: 'TILEDESK_PROJECT_ID',
    group: 'Tiledesk',
    default: null,
    description: 'Project to mirror; several, comma separated, give one connection each.',
  },
  {
    name: 'TILEDESK_EMAIL',
    group: 'Tiledesk',
    default: null,
    description: 'E-mail of an owner or admin of the project; goes with TILEDESK_PASSWORD.',
    secret: true,
  },
  {
    name: 'TILEDESK_PASSWORD',
    group: 'Tiledesk',
    default: null,
    description: 'Password of that account.',
    secret: true,
  },
  {
    name: 'TILEDESK_TOKEN',
    group: 'Tiledesk',
    default: null,
    description: 'Instead of e-mail and password: a sign-in token, beginning with "JWT ".',
    secret: true,
  },
  {
    name: 'TILEDESK_AUTH',
    group: 'Tiledesk',
    default: 'jwt',
    description: 'How e-mail and password are used: jwt (sign in once) or basic (sent with each request).',
  },
  {
    name: 'TILEDESK_BASE_URL',
    group: 'Tiledesk',
    default: 'https://api.tiledesk.com/v3',
    description: 'Address of the API with its prefix (/v1, /v2, /v3); a self-hosted server usually has none.',
  },
  {
    name: 'TILEDESK_STREAMS',
    group: 'Tiledesk',
    default: 'leads,requests,departments,project_users',
    description:
      'What to mirror, comma separated; also bots, groups, tags, and messages (one request per conversation).',
  },
  {
    name: 'TILEDESK_REQUESTS_PER_MINUTE',
    group: 'Tiledesk',
    default: '200',
    description: 'Requests in any minute, all processes together (10 to 100000).',
  },
  {
    name: 'TILEDESK_PAGE_SIZE',
    group: 'Tiledesk',
    default: '100',
    description: 'Rows asked for at once (10 to 100).',
  },
  {
    name: 'TILEDESK_SCAN_KEY',
    group: 'Tiledesk',
    default: '_id',
    description:
      'Order of full walks: _id, or createdAt for very large projects whose server is slow at sorting by _id.',
  },
  {
    name: 'TILEDESK_ALLOW_CUSTOM_ROLE',
    group: 'Tiledesk',
    default: 'false',
    description: 'Accept an account that is neither owner nor admin; it may see only a part of the requests.',
  },
  {
    name: 'TILKEE_ENABLED',
    group: 'Tilkee',
    default: 'true',
    description: 'False: Tilkee is configured and not mirrored.',
  },
  {
    name: 'TILKEE_USERNAME',
    group: 'Tilkee',
    default: null,
    description: 'Login of the Tilkee account to read with; goes with TILKEE_PASSWORD.',
    secret: true,
  },
  {
    name: 'TILKEE_PASSWORD',
    group: 'Tilkee',
    default: null,
    description: 'Password of that account.',
    secret: true,
  },
  {
    name: 'TILKEE_CLIENT_ID',
    group: 'Tilkee',
    default: null,
    description: 'Id of an application from the developer area of Tilkee; goes with TILKEE_CLIENT_SECRET.',
  },
  {
    name: 'TILKEE_CLIENT_SECRET',
    group: 'Tilkee',
    default: null,
    description: 'Secret of that application.',
    secret: true,
  },
  {
    name: 'TILKEE_REFRESH_TOKEN',
    group: 'Tilkee',
    default: null,
    description: 'Instead of user name and password: a refresh token; set LEADMIRROR_SECRET_KEY along with it.',
    secret: true,
  },
  {
    name: 'TILKEE_ACCESS_TOKEN',
    group: 'Tilkee',
    default: null,
    description: 'Instead of all of these: a static key of the V2 API, without "Bearer".',
    secret: true,
  },
  {
    name: 'TILKEE_ENV',
    group: 'Tilkee',
    default: 'production',
    description: 'production or staging: decides the four addresses.',
  },
  {
    name: 'TILKEE_V3_URL',
    group: 'Tilkee',
    default: null,
    description: 'Address of the V3 API with its prefix; without it, the one of TILKEE_ENV.',
  },
  {
    name: 'TILKEE_V2_URL',
    group: 'Tilkee',
    default: null,
    description: 'Address of the V2 API with its prefix; without it, the one of TILKEE_ENV.',
  },
  {
    name: 'TILKEE_AUTH_URL',
    group: 'Tilkee',
    default: null,
    description: 'Where leadmirror signs in; without it, the address of the V3 API.',
  },
  {
    name: 'TILKEE_APP_URL',
    group: 'Tilkee',
    default: null,
    description: 'Where a person signs in with the browser; without it, the one of TILKEE_ENV.',
  },
  {
    name: 'TILKEE_AUTH_BODY',
    group: 'Tilkee',
    default: 'form',
    description: 'How the sign-in is written: form or json.',
  },
  {
    name: 'TILKEE_SCOPE',
    group: 'Tilkee',
    default: null,
    description: 'Scope that the sign-in asks for; without it, none is sent.',
  },
  {
    name: 'TILKEE_STREAMS',
    group: 'Tilkee',
    default: 'projects,items,tokens,connexions,users',
    description: 'What to mirror, comma separated; tokens are access links, connexions are visits.',
  },
  {
    name: 'TILKEE_PROJECTS_API',
    group: 'Tilkee',
    default: 'v3',
    description: 'API that projects and items are read from: v3 or v2; with TILKEE_ACCESS_TOKEN it is v2.',
  },
  {
    name: 'TILKEE_REQUESTS_PER_MINUTE',
    group: 'Tilkee',
    default: '100',
    description: 'Requests in any minute, all processes together (10 to 100000).',
  },
  {
    name: 'TILKEE_PAGE_SIZE',
    group: 'Tilkee',
    default: '50',
    description: 'Rows asked for at once (2 to 100).',
  },
  {
    name: 'TILKEE_REF',
    group: 'Tilkee',
    default: 'leadmirror',
    description: 'How leadmirror names itself to the V2 API (header x-tilk-ref).',
  },
  {
    name: 'TILKEE_INCLUDE',
    group: 'Tilkee',
    default: 'templates,archived_projects,archived_tokens',
    description: 'Lists read besides: templates, archived_projects, colleagues_projects, archived_tokens; or none.',
  },
  {
    name: 'TILKEE_ARRAY_PARAMS',
    group: 'Tilkee',
    default: 'repeat',
    description: 'How several values of a parameter are written: repeat (a=1&a=2) or csv (a=1,2).',
  },
  {
    name: 'TILKEE_TIME_UNIT',
    group: 'Tilkee',
    default: 's',
    description: 'Unit of times in the questions about visits: s or ms.',
  },
  {
    name: 'TILKEE_VISITS_BY',
    group: 'Tilkee',
    default: 'auto',
    description: 'Where visits are read: list (all at once), project, token (link by link), or auto.',
  },
  {
    name: 'TILKEE_ORDER_BY_UPDATE',
    group: 'Tilkee',
    default: 'false',
    description: 'Ask the V2 API for projects by last change; used only where the answer obeys.',
  },
  {
    name: 'TILKEE_ACT_AS',
    group: 'Tilkee',
    default: null,
    description: 'User numbers of colleagues to read as, too, comma separated; without it, only as the account itself.',
  },
  {
    name: 'DATABASE_URL',
    group: 'Storage',
    default: null,
    description: 'postgres:// address of the mirror; without it, an embedded Postgres under LEADMIRROR_HOME.',
    secret: true,
  },
  {
    name: 'REDIS_URL',
    group: 'Storage',
    default: null,
    description:
      'redis:// or rediss://, several hosts of a cluster comma separated; without it, the queue is in Postgres.',
    secret: true,
  },
  {
    name: 'LEADMIRROR_HOME',
    group: 'Storage',
    default: './.leadmirror',
    description: 'Folder of the embedded Postgres.',
  },
  {
    name: 'RUN_RETENTION_DAYS',
    group: 'Storage',
    default: '90',
    description: 'How long the records of finished runs are kept (1 to 3650).',
  },
  {
    name: 'LEADMIRROR_SECRET_KEY',
    group: 'Storage',
    default: null,
    description: 'Encrypts the sign-ins kept in the database, 16 characters or more; without it, none is kept.',
    secret: true,
  },
  {
    name: 'LEADMIRROR_OLD_SECRET_KEY',
    group: 'Storage',
    default: null,
    description: 'The key so far, while `leadmirror rekey` changes it to LEADMIRROR_SECRET_KEY.',
    secret: true,
  },
  {
    name: 'SYNC_INCREMENTAL_CRON',
    group: 'Schedule',
    default: '*/5 * * * *',
    description: 'When to fetch what changed: five cron fields, or six with seconds first.',
  },
  {
    name: 'SYNC_RECONCILE_CRON',
    group: 'Schedule',
    default: '0 3 * * *',
    description: 'When to read everything and find what was deleted.',
  },
  {
    name: 'SYNC_TIMEZONE',
    group: 'Schedule',
    default: 'UTC',
    description: 'Time zone of the two schedules, such as Europe/Rome.',
  },
  {
    name: 'SYNC_LOOKBACK_SECONDS',
    group: 'Schedule',
    default: '300',
    description: 'How far an incremental run reads back before the last known change (0 to 604800).',
  },
  {
    name: 'SYNC_DELETE_BRAKE',
    group: 'Schedule',
    default: '0.1',
    description: 'Share of a table (0 to 1) that may vanish at once before a person has to agree.',
  },
  {
    name: 'HTTP_TIMEOUT_SECONDS',
    group: 'Requests',
    default: '30',
    description: 'Time limit of one request (1 to 600).',
  },
  {
    name: 'RETRY_ATTEMPTS',
    group: 'Requests',
    default: '6',
    description: 'Tries of one request before its run gives up (1 to 20).',
  },
  {
    name: 'RETRY_MAX_SECONDS',
    group: 'Requests',
    default: '120',
    description: 'Longest time spent waiting for the retries of one request (0 to 3600).',
  },
  {
    name: 'ALLOW_INSECURE_HTTP',
    group: 'Requests',
    default: 'false',
    description: 'Allow http:// addresses beyond this machine; credentials then travel unencrypted.',
  },
  {
    name: 'HTTPS_PROXY',
    group: 'Requests',
    default: null,
    description: 'Proxy for https:// requests to the upstream, as http://host:port (also in lower case).',
    secret: true,
  },
  {
    name: 'HTTP_PROXY',
    group: 'Requests',
    default: null,
    description: 'Proxy for http:// requests to the upstream (also in lower case).',
    secret: true,
  },
  {
    name: 'NO_PROXY',
    group: 'Requests',
    default: null,
    description: 'Hosts to be reached without the proxy, comma separated (also in lower case).',
  },
  {
    name: 'WORKER_CONCURRENCY',
    group: 'Workers',
    default: '4',
    description: 'Incremental runs at the same time in one process (1 to 64).',
  },
  {
    name: 'BULK_CONCURRENCY',
    group: 'Workers',
    default: '2',
    description: 'Full walks at the same time in one process (1 to 64).',
  },
  {
    name: 'SHUTDOWN_TIMEOUT_SECONDS',
    group: 'Workers',
    default: '20',
    description: 'How long a stop may take to finish the current pages (1 to 600).',
  },
  {
    name: 'OPS_HOST',
    group: 'Status page',
    default: '127.0.0.1',
    description: 'Address that health and status are served on; anything beyond loopback needs OPS_TOKEN.',
  },
  {
    name: 'OPS_PORT',
    group: 'Status page',
    default: '8080',
    description: 'Port of health and status; 0 takes any free one.',
  },
  {
    name: 'OPS_READ_TOKEN',
    group: 'Status page',
    default: null,
    description: 'Secret that reads everything on the status page and changes nothing, such as for Prometheus.',
    secret: true,
  },
  {
    name: 'OPS_TRUSTED_PROXIES',
    group: 'Status page',
    default: null,
    description: 'Addresses or networks of proxies whose X-Forwarded-For counts, comma separated.',
  },
  {
    name: 'OPS_TOKEN',
    group: 'Status page',
    default: null,
    description: 'Bearer token for the buttons of the page; without it, the page is read-only and local.',
    secret: true,
  },
  {
    name: 'METRICS_MAX_STREAMS',
    group: 'Monitoring',
    default: '1000',
    description:
      'Up to so many streams, /metrics has series for each connection and stream; above, only sums (0 to 100000).',
  },
  {
    name: 'HEARTBEAT_URL',
    group: 'Monitoring',
    default: null,
    description: 'Address that is called after each complete round of the scheduler, for services that report silence.',
    secret: true,
  },
  {
    name: 'ALERT_WEBHOOK_URL',
    group: 'Monitoring',
    default: null,
    description: 'Address that alerts are posted to; without it, none are.',
    secret: true,
  },
  {
    name: 'ALERT_WEBHOOK_FORMAT',
    group: 'Monitoring',
    default: 'json',
    description: 'What is posted: json, or slack (also Mattermost, Rocket.Chat).',
  },
  {
    name: 'ALERT_EMAIL_TO',
    group: 'Monitoring',
    default: null,
    description: 'Who gets alerts by e-mail, comma separated; goes with ALERT_EMAIL_FROM and SMTP_URL.',
    secret: true,
  },
  {
    name: 'ALERT_EMAIL_FROM',
    group: 'Monitoring',
    default: null,
    description: 'Sender of these e-mails.',
    secret: true,
  },
  {
    name: 'SMTP_URL',
    group: 'Monitoring',
    default: null,
    description: 'Mail server: smtps://user:password@host:465, or smtp://…:587 (then with STARTTLS).',
    secret: true,
  },
  {
    name: 'ALERT_AFTER_SECONDS',
    group: 'Monitoring',
    default: '60',
    description: 'How long something has to last before it is told, and to be over before that is (0 to 86400).',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    group: 'Monitoring',
    default: null,
    description: 'Collector that traces are sent to, such as http://localhost:4318; without it, none are made.',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_HEADERS',
    group: 'Monitoring',
    default: null,
    description: 'Headers for it, as name=value, comma separated.',
    secret: true,
  },
  {
    name: 'OTEL_SERVICE_NAME',
    group: 'Monitoring',
    default: 'leadmirror',
    description: 'Name of this service in traces.',
  },
  {
    name: 'OTEL_TRACES_SAMPLER',
    group: 'Monitoring',
    default: 'parentbased_always_on',
    description: 'Which traces are kept: always_on, always_off, traceidratio, each also with parentbased_ before it.',
  },
  {
    name: 'OTEL_TRACES_SAMPLER_ARG',
    group: 'Monitoring',
    default: '1',
    description: 'For traceidratio: the share (0 to 1) that is kept.',
  },
  {
    name: 'STORE_VISITOR_PII',
    group: 'Privacy',
    default: 'false',
    description: "Store visitors' IP addresses and user agents.",
  },
  {
    name: 'TILKEE_STORE_LINKS',
    group: 'Privacy',
    default: 'false',
    description: 'Store public links, previews and iframes of Tilkee.',
  },
  {
    name: 'LOG_LEVEL',
    group: 'Logging',
    default: 'info',
    description: 'trace, debug, info, warn, error, fatal or silent.',
  },
  {
    name: 'LOG_FORMAT',
    group: 'Logging',
    default: null,
    description: 'json or pretty; without it, pretty on a terminal and json elsewhere.',
  },
  {
    name: 'NO_COLOR',
    group: 'Logging',
    default: null,
    description: 'Any value turns the colours of pretty logs off.',
  },
] as const satisfies readonly Variable[];

export type VariableName = (typeof VARIABLES)[number]['name'];

const DEFAULTS: ReadonlyMap<string, string | null> = new Map(VARIABLES.map((entry) => [entry.name, entry.default]));

/** The text that an unset variable stands for, if any. */
export const defaultOf = (name: string): string | undefined => DEFAULTS.get(name) ?? undefined;
