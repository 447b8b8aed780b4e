import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  type Config,
  type ConfigSources,
  type LoadOptions,
  loadConfig,
  type TiledeskConnectionConfig,
  VARIABLES,
} from '../src/config.ts';
import { ConfigError } from '../src/errors.ts';

const PROJECT = '5f3c1d2e4b6a7f8091a2b3c4';
const ACCOUNT = { TILEDESK_PROJECT_ID: PROJECT, TILEDESK_EMAIL: 'ada@example.com', TILEDESK_PASSWORD: 'pw' };

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A working directory with the given files, and loading from it. */
function setup(files: Readonly<Record<string, string>> = {}) {
  const cwd = mkdtempSync(join(tmpdir(), 'leadmirror-config-'));
  folders.push(cwd);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  const load = (env: ConfigSources['env'] = {}, options?: LoadOptions & { isTerminal?: boolean }): Config =>
    loadConfig({ env, cwd, isTerminal: options?.isTerminal ?? false }, options);
  const problems = (env: ConfigSources['env'] = {}, options?: LoadOptions): string[] => {
    try {
      load(env, options);
    } catch (error) {
      if (error instanceof ConfigError) return error.problems.map(({ variable, message }) => `${variable}: ${message}`);
      throw error;
    }
    return [];
  };
  return { cwd, load, problems };
}

describe('defaults', () => {
  test('one project and its account are enough', () => {
    const { load, cwd } = setup();
    const { variables, ...settings } = load(ACCOUNT);
    expect(Object.keys(variables).every((name) => VARIABLES.some((variable) => variable.name === name))).toBe(true);
    expect(settings).toEqual({
      databaseUrl: null,
      connectionHosts: [],
      stored: [],
      unusable: [],
      heartbeatUrl: null,
      redis: null,
      home: join(cwd, '.leadmirror'),
      connections: [
        {
          id: `tiledesk:${PROJECT}`,
          configuredIn: 'TILEDESK_PROJECT_ID, TILEDESK_EMAIL, TILEDESK_PASSWORD',
          source: 'tiledesk',
          baseUrl: 'https://api.tiledesk.com/v3',
          projectId: PROJECT,
          auth: { kind: 'jwt', email: 'ada@example.com', password: 'pw' },
          streams: ['leads', 'requests', 'departments', 'project_users'],
          requestsPerMinute: 200,
          pageSize: 100,
          maxPageSize: 1000,
          fullSyncKey: 'id',
          allowCustomRole: false,
        },
      ],
      sync: {
        incrementalCron: 'auto',
        reconcileCron: '0 3 * * *',
        countCheckCron: '7 * * * *',
        fullSyncDays: 7,
        timezone: 'UTC',
        lookbackSeconds: 300,
        deletionLimit: 0.1,
      },
      feed: null,
      history: { streams: [], label: 'SYNC_HISTORY_STREAMS', months: 25 },
      http: { timeoutMs: 30_000, retryAttempts: 6, retryMaxMs: 120_000, allowInsecureHttp: false, proxy: null },
      workers: { concurrency: 4, bulkConcurrency: 2, shutdownTimeoutMs: 20_000 },
      ops: { host: '127.0.0.1', port: 8080, token: null, readToken: null, trustedProxies: [] },
      metrics: { maxStreams: 1000 },
      alerts: { webhook: null, email: null, afterMs: 60_000 },
      tracing: null,
      privacy: { storeVisitorPii: false, storeLinks: false, policy: { presets: [], fields: [] } },
      secretKey: null,
      oldSecretKey: null,
      runRetentionDays: 90,
      privacyJournal: null,
      retention: {
        upstreamDeletedDays: null,
        rules: [],
        visitsCount: false,
        quarantine: { resolvedDays: 7, openDays: 90 },
      },
      log: { level: 'info', format: 'json', colors: false },
      notes: [],
      openFiles: [],
    });
  });

  test('a terminal gets pretty logs in colour, unless told otherwise', () => {
    const { load } = setup();
    const log = (env: ConfigSources['env']) => load({ ...ACCOUNT, ...env }, { isTerminal: true }).log;
    expect(log({})).toEqual({ level: 'info', format: 'pretty', colors: true });
    expect(log({ NO_COLOR: '1' })).toEqual({ level: 'info', format: 'pretty', colors: false });
    expect(log({ NO_COLOR: '' }).colors).toBe(true);
    expect(log({ LOG_FORMAT: 'json', LOG_LEVEL: 'DEBUG' })).toEqual({ level: 'debug', format: 'json', colors: false });
    expect(load({ ...ACCOUNT, LOG_FORMAT: 'pretty' }).log).toEqual({ level: 'info', format: 'pretty', colors: false });
  });

  test('the result is frozen all the way down', () => {
    const config = setup().load({ ...ACCOUNT, REDIS_URL: 'redis://a,redis://b', HTTP_PROXY: 'http://p:1' });
    const unfrozen = (value: unknown): boolean =>
      typeof value === 'object' && value !== null && (!Object.isFrozen(value) || Object.values(value).some(unfrozen));
    expect(unfrozen(config)).toBe(false);
  });

  test('without arguments it reads the environment of the process', () => {
    expect(isAbsolute(loadConfig({ cwd: setup().cwd }, { requireConnections: false }).home)).toBe(true);
  });
});

/** The first connection, which is one of Tiledesk. */
function tiledesk({ connections: [connection] }: Config): TiledeskConnectionConfig {
  if (connection?.source !== 'tiledesk') throw new Error('no Tiledesk connection');
  return connection;
}

describe('values that are taken', () => {
  const cases: [ConfigSources['env'], (config: Config) => unknown, unknown][] = [
    [{ TILEDESK_BASE_URL: 'https://x.example/api/' }, (c) => tiledesk(c).baseUrl, 'https://x.example/api'],
    [{ TILEDESK_BASE_URL: 'http://127.0.0.1:3000/' }, (c) => tiledesk(c).baseUrl, 'http://127.0.0.1:3000'],
    [{ TILEDESK_BASE_URL: 'http://[::1]:3000' }, (c) => tiledesk(c).baseUrl, 'http://[::1]:3000'],
    [
      { TILEDESK_BASE_URL: 'http://chat.internal', ALLOW_INSECURE_HTTP: 'YES' },
      (c) => tiledesk(c).baseUrl,
      'http://chat.internal',
    ],
    [{ TILEDESK_AUTH: 'basic' }, (c) => c.connections[0]?.auth.kind, 'basic'],
    [
      { TILEDESK_PASSWORD: ' p#w ' },
      (c) => c.connections[0]?.auth,
      { kind: 'jwt', email: 'ada@example.com', password: ' p#w ' },
    ],
    [{ TILEDESK_SCAN_KEY: 'createdAt' }, (c) => tiledesk(c).fullSyncKey, 'created_at'],
    [{ TILEDESK_STREAMS: 'requests, leads,requests' }, (c) => c.connections[0]?.streams, ['requests', 'leads']],
    [{ TILEDESK_PAGE_SIZE: '10\r' }, (c) => c.connections[0]?.pageSize, 10],
    [{ TILEDESK_ALLOW_CUSTOM_ROLE: '1' }, (c) => tiledesk(c).allowCustomRole, true],
    [{ TILEDESK_PROJECT_ID: PROJECT.toUpperCase() }, (c) => c.connections[0]?.id, `tiledesk:${PROJECT}`],
    [{ TILEDESK_PROJECT_ID: 'twelve-chars' }, (c) => c.connections[0]?.id, 'tiledesk:twelve-chars'],
    [{ DATABASE_URL: 'postgresql:///db?host=/run/pg' }, (c) => c.databaseUrl, 'postgresql:///db?host=/run/pg'],
    [{ REDIS_URL: 'rediss://u:p@a:1/2' }, (c) => c.redis, { urls: ['rediss://u:p@a:1/2'] }],
    [{ REDIS_URL: 'redis://a:1, redis://b:2' }, (c) => c.redis, { urls: ['redis://a:1', 'redis://b:2'] }],
    [{ LEADMIRROR_HOME: '/var/lib/leadmirror' }, (c) => c.home, '/var/lib/leadmirror'],
    [{ SYNC_INCREMENTAL_CRON: 'AUTO' }, (c) => c.sync.incrementalCron, 'auto'],
    [{ SYNC_INCREMENTAL_CRON: '30  */2 * * * MON-FRI' }, (c) => c.sync.incrementalCron, '30 */2 * * * MON-FRI'],
    [{ SYNC_TIMEZONE: 'Europe/Rome' }, (c) => c.sync.timezone, 'Europe/Rome'],
    [{ SYNC_DELETE_BRAKE: '.25' }, (c) => c.sync.deletionLimit, 0.25],
    [{ SYNC_DELETE_BRAKE: '1' }, (c) => c.sync.deletionLimit, 1],
    [{ OPS_HOST: '0.0.0.0', OPS_TOKEN: 'a-long-enough-token' }, (c) => c.ops.host, '0.0.0.0'],
    [
      { OPS_HOST: '[::1]', OPS_PORT: '0' },
      (c) => c.ops,
      { host: '::1', port: 0, token: null, readToken: null, trustedProxies: [] },
    ],
    [
      { HTTPS_PROXY: 'http://u:p@proxy:3128', https_proxy: 'http://other:1', NO_PROXY: 'localhost' },
      (c) => c.http.proxy,
      { httpsProxy: 'http://other:1', noProxy: 'localhost' },
    ],
    [{ NO_PROXY: 'localhost' }, (c) => c.http.proxy, null],
    [
      { STORE_VISITOR_PII: 'true', TILKEE_STORE_LINKS: 'yes' },
      (c) => c.privacy,
      { storeVisitorPii: true, storeLinks: true, policy: { presets: [], fields: [] } },
    ],
    [
      { PRIVACY_PRESET: 'texts, contact', PRIVACY_FIELDS: 'tiledesk.requests.snapshot.lead.email=drop' },
      (c) => c.privacy.policy,
      {
        presets: ['texts', 'contact'],
        fields: [{ stream: 'tiledesk.requests', path: ['snapshot', 'lead', 'email'], action: 'drop' }],
      },
    ],
    [{ LEADMIRROR_SECRET_KEY: ' sixteen-letters- ' }, (c) => c.secretKey, 'sixteen-letters-'],
    [{ DATABASE_URL: '', TILEDESK_PAGE_SIZE: '  ' }, (c) => [c.databaseUrl, c.connections[0]?.pageSize], [null, 100]],
  ];
  test.each(cases)('%j', (env, pick, expected) => {
    expect(pick(setup().load({ ...ACCOUNT, ...env }))).toEqual(expected);
  });

  test('several projects share one account', () => {
    const env = { ...ACCOUNT, TILEDESK_PROJECT_ID: `${PROJECT}, twelve-chars`, TILEDESK_PAGE_SIZE: '50' };
    const { connections } = setup().load(env);
    expect(connections.map(({ id, pageSize }) => [id, pageSize])).toEqual([
      [`tiledesk:${PROJECT}`, 50],
      ['tiledesk:twelve-chars', 50],
    ]);
  });

  test('a token stands for e-mail and password', () => {
    const { connections } = setup().load({ TILEDESK_PROJECT_ID: PROJECT, TILEDESK_TOKEN: 'JWT eyJ.x.y' });
    expect(connections[0]?.auth).toEqual({ kind: 'token', token: 'JWT eyJ.x.y' });
  });
});

describe('values that are refused', () => {
  const cases: [ConfigSources['env'], string][] = [
    [{ TILEDESK_PROJECT_ID: 'short' }, 'TILEDESK_PROJECT_ID: must be a Tiledesk project id'],
    [{ TILEDESK_PROJECT_ID: 'twelve/chars' }, 'TILEDESK_PROJECT_ID: must be a Tiledesk project id'],
    [{ TILEDESK_PROJECT_ID: `${PROJECT},x` }, 'TILEDESK_PROJECT_ID: entry 2 must be'],
    [{ TILEDESK_PROJECT_ID: ',' }, 'TILEDESK_PROJECT_ID: names no project'],
    [
      { TILEDESK_PROJECT_ID: `${PROJECT},${PROJECT.toUpperCase()}` },
      'TILEDESK_PROJECT_ID: this connection is configured twice',
    ],
    [{ TILEDESK_EMAIL: undefined, TILEDESK_PASSWORD: undefined }, 'TILEDESK_EMAIL: is missing, and so is every other'],
    [{ TILEDESK_EMAIL: undefined }, 'TILEDESK_EMAIL: is missing; it goes with TILEDESK_PASSWORD'],
    [{ TILEDESK_PASSWORD: '' }, 'TILEDESK_PASSWORD: is missing; it goes with TILEDESK_EMAIL'],
    [{ TILEDESK_EMAIL: 'ada' }, 'TILEDESK_EMAIL: must be an e-mail address'],
    [{ TILEDESK_PROJECT_ID: undefined }, 'TILEDESK_PROJECT_ID: is not set, but TILEDESK_EMAIL is'],
    [{ TILEDESK_TOKEN: 'JWT x' }, 'TILEDESK_TOKEN: is set together with an e-mail or password'],
    [
      { TILEDESK_EMAIL: '', TILEDESK_PASSWORD: '', TILEDESK_AUTH: 'basic', TILEDESK_TOKEN: 'JWT x' },
      'TILEDESK_AUTH: basic does not work with TILEDESK_TOKEN',
    ],
    [{ TILEDESK_EMAIL: '', TILEDESK_PASSWORD: '', TILEDESK_TOKEN: 'Bearer x' }, 'TILEDESK_TOKEN: must be the token'],
    [{ TILEDESK_EMAIL: '', TILEDESK_PASSWORD: '', TILEDESK_TOKEN: 'JWT a b' }, 'TILEDESK_TOKEN: must be the token'],
    [{ TILEDESK_AUTH: 'oauth' }, 'TILEDESK_AUTH: must be jwt or basic'],
    [{ TILEDESK_BASE_URL: 'api.tiledesk.com/v3' }, 'TILEDESK_BASE_URL: must be a full address'],
    [{ TILEDESK_BASE_URL: 'ftp://x.example' }, 'TILEDESK_BASE_URL: must be a full address'],
    [{ TILEDESK_BASE_URL: 'http://x.example' }, 'TILEDESK_BASE_URL: must begin with https://'],
    [{ TILEDESK_BASE_URL: 'http://127.0.0.1.x.example' }, 'TILEDESK_BASE_URL: must begin with https://'],
    [{ TILEDESK_BASE_URL: 'https://u:p@x.example' }, 'TILEDESK_BASE_URL: must not hold a user name'],
    [{ TILEDESK_BASE_URL: 'https://x.example/?a=b' }, 'TILEDESK_BASE_URL: must not have a query'],
    [{ TILEDESK_BASE_URL: 'https://x.example/#' }, 'TILEDESK_BASE_URL: must not have a query'],
    [{ TILEDESK_BASE_URL: `https://x.example/v3/${PROJECT}` }, 'TILEDESK_BASE_URL: must end before the project id'],
    [{ TILEDESK_STREAMS: 'leads,messages' }, 'TILEDESK_STREAMS: names messages without requests; messages are read'],
    [{ TILEDESK_STREAMS: 'lead' }, 'TILEDESK_STREAMS: entry 1 is not a stream, did you mean "leads"?'],
    [{ TILEDESK_STREAMS: 'leads,hunter2' }, 'TILEDESK_STREAMS: entry 2 is not a stream; known are leads,'],
    [{ TILEDESK_STREAMS: ',' }, 'TILEDESK_STREAMS: names no stream'],
    [{ TILEDESK_PAGE_SIZE: '9' }, 'TILEDESK_PAGE_SIZE: must be a whole number from 10 to 100'],
    [{ TILEDESK_PAGE_SIZE: '101' }, 'TILEDESK_PAGE_SIZE: must be'],
    [{ TILEDESK_PAGE_SIZE: '50.0' }, 'TILEDESK_PAGE_SIZE: must be'],
    [{ TILEDESK_PAGE_SIZE: '5e1' }, 'TILEDESK_PAGE_SIZE: must be'],
    [{ TILEDESK_PAGE_SIZE: '50x' }, 'TILEDESK_PAGE_SIZE: must be'],
    [{ TILEDESK_REQUESTS_PER_MINUTE: '5' }, 'TILEDESK_REQUESTS_PER_MINUTE: must be'],
    [{ TILEDESK_REQUESTS_PER_DAY: '5' }, 'TILEDESK_REQUESTS_PER_DAY: must be a whole number from 10'],
    [{ TILEDESK_SCAN_KEY: 'updatedAt' }, 'TILEDESK_SCAN_KEY: must be _id or createdAt'],
    [{ TILEDESK_ALLOW_CUSTOM_ROLE: 'maybe' }, 'TILEDESK_ALLOW_CUSTOM_ROLE: must be true or false'],
    [{ DATABASE_URL: 'mysql://x' }, 'DATABASE_URL: must be a full address such as postgres://'],
    [{ DATABASE_URL: 'postgres://u:p%w@h/db' }, 'DATABASE_URL: holds a raw'],
    [{ DATABASE_URL: 'postgres://h:port/db' }, 'DATABASE_URL: must be a full address'],
    [{ REDIS_URL: 'localhost:6379' }, 'REDIS_URL: must be a full address'],
    [{ REDIS_URL: 'redis://a,http://b' }, 'REDIS_URL: must be a full address'],
    [{ REDIS_URL: 'redis://a/db' }, 'REDIS_URL: must have a host'],
    [{ LEADMIRROR_HOME: '~/mirror' }, 'LEADMIRROR_HOME: must be a plain path'],
    [{ SYNC_INCREMENTAL_CRON: '@daily' }, 'SYNC_INCREMENTAL_CRON: must have five cron fields'],
    [{ SYNC_INCREMENTAL_CRON: '* * *' }, 'SYNC_INCREMENTAL_CRON: must have five cron fields'],
    [
      { SYNC_INCREMENTAL_CRON: '61 25 * * *' },
      'SYNC_INCREMENTAL_CRON: is not understood as cron, look at: minute, hour;',
    ],
    [{ SYNC_INCREMENTAL_CRON: 'x * * * * *' }, 'SYNC_INCREMENTAL_CRON: is not understood as cron, look at: second;'],
    [{ SYNC_INCREMENTAL_CRON: 'H * * * *' }, 'SYNC_INCREMENTAL_CRON: must not use H'],
    [{ SYNC_RECONCILE_CRON: '0 0 30 2 *' }, 'SYNC_RECONCILE_CRON: never comes due'],
    [{ SYNC_TIMEZONE: 'Rome' }, 'SYNC_TIMEZONE: is not a known time zone'],
    [{ SYNC_DELETE_BRAKE: '10%' }, 'SYNC_DELETE_BRAKE: must be a number from 0 to 1'],
    [{ SYNC_DELETE_BRAKE: '1.1' }, 'SYNC_DELETE_BRAKE: must be a number from 0 to 1'],
    [{ SYNC_LOOKBACK_SECONDS: '-1' }, 'SYNC_LOOKBACK_SECONDS: must be'],
    [{ HTTP_TIMEOUT_SECONDS: '0' }, 'HTTP_TIMEOUT_SECONDS: must be'],
    [{ RETRY_ATTEMPTS: '0' }, 'RETRY_ATTEMPTS: must be'],
    [{ WORKER_CONCURRENCY: '0' }, 'WORKER_CONCURRENCY: must be'],
    [{ HTTPS_PROXY: 'proxy:3128' }, 'HTTPS_PROXY: must be a full address'],
    [{ http_proxy: 'socks5://proxy' }, 'http_proxy: must be a full address'],
    [{ OPS_HOST: '0.0.0.0' }, 'OPS_HOST: lets other machines in'],
    [{ OPS_HOST: 'localhost:80' }, 'OPS_HOST: must be an address or host name without a port'],
    [{ OPS_TOKEN: 'two words' }, 'OPS_TOKEN: must be plain letters'],
    [{ OPS_READ_TOKEN: 'only-this-one-to-read' }, 'OPS_READ_TOKEN: does nothing without OPS_TOKEN'],
    [
      { OPS_TOKEN: 'one-token-for-both', OPS_READ_TOKEN: 'one-token-for-both' },
      'OPS_READ_TOKEN: must differ from OPS_TOKEN',
    ],
    ...['0.0.0.0/0', '::/0', '10.0.0.0/00'].map((OPS_TRUSTED_PROXIES): [Record<string, string>, string] => [
      { OPS_TRUSTED_PROXIES },
      'OPS_TRUSTED_PROXIES: must be an address or a network',
    ]),
    [{ OPS_PORT: '65536' }, 'OPS_PORT: must be a whole number from 0 to 65535'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL: must be trace, debug, info, warn, error, fatal or silent'],
    [{ LOG_FORMAT: 'xml' }, 'LOG_FORMAT: must be json or pretty'],
    [{ STORE_VISITOR_PII: 'on' }, 'STORE_VISITOR_PII: must be true or false'],
    [{ TILKEE_STORE_LINKS: 'on' }, 'TILKEE_STORE_LINKS: must be true or false'],
    [{ LEADMIRROR_SECRET_KEY: 'fifteen-letters' }, 'LEADMIRROR_SECRET_KEY: must be at least 16 characters'],
    [{ RUN_RETENTION_DAYS: '0' }, 'RUN_RETENTION_DAYS: must be'],
  ];
  test.each(cases)('%j gives %s', (env, expected) => {
    const problems = setup().problems({ ...ACCOUNT, ...env });
    expect(problems).toEqual([expect.stringContaining(expected)]);
    expect(problems[0]?.startsWith(expected)).toBe(true);
  });

  test('all problems are listed at once, each on a line of its own', () => {
    const { problems, load } = setup({ 'leadmirror.yaml': 'connections:\n  - source: tiledesk\n' });
    const env = {
      DATABASE_URL: 'x',
      OPS_PORT: 'x',
      SYNC_TIMEZONE: 'x',
      TILEDESK_PAGE_SIZE: 'x',
      TILEDESK_TOKEN: 'x',
      TILEDESK_PROJECTID: PROJECT,
    };
    expect(problems(env).map((line) => line.slice(0, line.indexOf(': ')))).toEqual([
      'SYNC_TIMEZONE',
      'DATABASE_URL',
      'OPS_PORT',
      'TILEDESK_PROJECT_ID',
      'TILEDESK_TOKEN',
      'TILEDESK_PAGE_SIZE',
      'leadmirror.yaml',
      'leadmirror.yaml',
      'TILEDESK_PROJECTID',
    ]);
    expect(() => load(env)).toThrow(problems(env).join('\n'));
  });

  test('nothing configured leads the newcomer to the demo', () => {
    const { problems, load } = setup();
    expect(problems()).toEqual([
      expect.stringContaining('TILEDESK_PROJECT_ID: no Tiledesk project and no Tilkee account is configured'),
    ]);
    expect(problems()[0]).toContain('npm run demo');
    for (const name of ['TILEDESK_TOKEN', 'TILKEE_USERNAME', 'TILKEE_ACCESS_TOKEN'])
      expect(problems()[0]).toContain(name);
    expect(problems({ TILEDESK_PAGE_SIZE: 'x' })).toHaveLength(2);
    expect(load({}, { requireConnections: false }).connections).toEqual([]);
  });
});

describe('.env', () => {
  test('is read, and the process wins over it', () => {
    const { load } = setup({
      '.env': `TILEDESK_PROJECT_ID=${PROJECT}\nTILEDESK_EMAIL=ada@example.com\nTILEDESK_PASSWORD="a#b"\nOPS_PORT=1\nLOG_LEVEL=warn\n`,
    });
    const config = load({ OPS_PORT: '2' });
    expect([config.ops.port, config.log.level]).toEqual([2, 'warn']);
    expect(config.connections[0]?.auth).toMatchObject({ password: 'a#b' });
    expect(config.notes).toEqual([]);
  });

  test('loses per variable: an empty one or a NAME_FILE of the process switches it off', () => {
    const { load } = setup({ '.env': 'DATABASE_URL=postgres://h/db\nTILEDESK_PASSWORD=old\n', secret: 'new\n' });
    const config = load({
      ...ACCOUNT,
      TILEDESK_PASSWORD: undefined,
      TILEDESK_PASSWORD_FILE: 'secret',
      DATABASE_URL: '',
    });
    expect(config.databaseUrl).toBeNull();
    expect(config.connections[0]?.auth).toMatchObject({ password: 'new' });
  });

  test('tells about a value cut at an unquoted #', () => {
    const { load, problems } = setup({ '.env': "TILEDESK_PASSWORD=ab#cd\nLOG_LEVEL=warn # fine\nOPS_TOKEN='x#y'\n" });
    const account = { ...ACCOUNT, TILEDESK_PASSWORD: undefined };
    expect(load(account).notes.filter((note) => note.includes('#'))).toEqual([
      'TILEDESK_PASSWORD is cut at "#" in .env; put the value in double quotes to keep all of it',
    ]);
    expect(problems({ ...account, OPS_PORT: 'x' })).toHaveLength(2);
  });

  test('tells about a line that would swallow the next one', () => {
    const { problems } = setup({ '.env': '# mine\nhunter2\nLOG_LEVEL=warn\n' });
    expect(problems(ACCOUNT)).toEqual(['.env: line 2 is not NAME=value; correct it, or begin it with #']);
  });

  test('that cannot be read is a problem', () => {
    const { cwd, problems } = setup();
    mkdirSync(join(cwd, '.env'));
    expect(problems(ACCOUNT)).toEqual(['.env: cannot be read: it is not a file']);
  });
});

describe('NAME_FILE', () => {
  test('gives any variable, less the line end', () => {
    const { load } = setup({ pw: ' s3cret \r\n', level: 'warn\n' });
    const config = load({ ...ACCOUNT, TILEDESK_PASSWORD: '', TILEDESK_PASSWORD_FILE: 'pw', LOG_LEVEL_FILE: 'level' });
    expect(config.connections[0]?.auth).toMatchObject({ password: ' s3cret ' });
    expect(config.log.level).toBe('warn');
  });

  test.each([
    ['missing', 'TILEDESK_PASSWORD_FILE: names a file that cannot be read: no such file'],
    ['.', 'TILEDESK_PASSWORD_FILE: names a file that cannot be read: it is not a file'],
    ['empty', 'TILEDESK_PASSWORD_FILE: names a file that is empty'],
  ])('%j is a problem, and the only one', (path, expected) => {
    const { problems } = setup({ empty: '\n' });
    expect(problems({ ...ACCOUNT, TILEDESK_PASSWORD: undefined, TILEDESK_PASSWORD_FILE: path })).toEqual([expected]);
  });

  test('beside NAME is a problem', () => {
    const { problems } = setup({ pw: 'x' });
    expect(problems({ ...ACCOUNT, TILEDESK_PASSWORD_FILE: 'pw' })).toEqual([
      'TILEDESK_PASSWORD: is set, and TILEDESK_PASSWORD_FILE too; keep one of them',
    ]);
  });

  test('a value out of a file is reported under the name of the file variable', () => {
    const { problems } = setup({ port: 'x' });
    expect(problems({ ...ACCOUNT, OPS_PORT_FILE: 'port' })[0]).toContain('OPS_PORT_FILE: must be a whole number');
  });
});

describe('notes', () => {
  const cases: [ConfigSources['env'], string[]][] = [
    [{ LEADMIRROR_SECRET_KEY: 'a-long-enough-secret' }, []],
    [{ TILKEE_USERNAM: 'x' }, ['TILKEE_USERNAM is not known; did you mean TILKEE_USERNAME?']],
    [{ TILEDESK_PROJECTID: 'x' }, ['TILEDESK_PROJECTID is not known; did you mean TILEDESK_PROJECT_ID?']],
    [{ TILDESK_BASE_URL: 'x' }, ['TILDESK_BASE_URL is not known; did you mean TILEDESK_BASE_URL?']],
    [{ SYNC_INCREMENTL_CRON: 'x' }, ['SYNC_INCREMENTL_CRON is not known; did you mean SYNC_INCREMENTAL_CRON?']],
    [{ OPS_TOKN_FILE: '/x' }, ['OPS_TOKN_FILE is not known; did you mean OPS_TOKEN_FILE?']],
    [{ LEADMIRROR_HOEM: 'x' }, ['LEADMIRROR_HOEM is not known; did you mean LEADMIRROR_HOME?']],
    [{ APP_PORT: '1', PATH: '/bin', HTTP_HOST: 'x', LOG_DIR: 'x', REDIS_PORT: '1', DATABASE_HOST: 'x', npm_x: '' }, []],
    [{ OPS_TOKEN: 'short' }, ['OPS_TOKEN is short; 16 characters or more are hard to guess']],
    [{ DATABASE_URL: 'postgres://h:6432/db' }, []],
    [{ DATABASE_URL: 'postgres://h:6432/db', REDIS_URL: 'redis://h' }, []],
  ];
  test.each(cases)('%j', (env, notes) => {
    expect(setup().load({ ...ACCOUNT, ...env }).notes).toEqual(notes);
  });
});

describe('.env.example', () => {
  const text = readFileSync(new URL('../.env.example', import.meta.url), 'utf8');

  test('names every variable once, with its default', () => {
    const lines = [...text.matchAll(/^#?([A-Z][A-Z0-9_]*)=(.*)$/gm)].map(([, name, value]) => [name, value]);
    const table = VARIABLES.map(({ name, default: fallback }) => [name, fallback ?? '']);
    expect(lines.toSorted()).toEqual(table.toSorted());
  });

  test('copied as it is, or with every line switched on, changes nothing', () => {
    const options = { requireConnections: false };
    const defaults = setup().load({}, options);
    const all = text.replace(/^#([A-Z0-9_]+=)/gm, '$1');
    for (const env of [parseEnv(text), parseEnv(all)]) {
      const { cwd, load } = setup();
      const home = join(cwd, '.leadmirror');
      const variables = { ...defaults.variables, LEADMIRROR_HOME: home };
      expect(load(env, options)).toEqual({ ...defaults, home, variables });
    }
  });
});
