import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  type Config,
  type ConfigSources,
  describeConfig,
  type LoadOptions,
  loadConfig,
  TILKEE_STREAM_NAMES,
  type TilkeeConnectionConfig,
} from '../src/config.ts';
import { ConfigError } from '../src/errors.ts';
import type { TilkeeSettings } from '../src/sources/tilkee/parts.ts';

const PROJECT = '5f3c1d2e4b6a7f8091a2b3c4';
const TILEDESK = { TILEDESK_PROJECT_ID: PROJECT, TILEDESK_TOKEN: 'JWT x' };
const ACCOUNT = { TILKEE_USERNAME: 'ada@example.com', TILKEE_PASSWORD: 'pw' };
const ACCOUNT_KEYS = { username: 'ada@example.com', password: 'pw' };
const CLIENT = { TILKEE_CLIENT_ID: 'app-1', TILKEE_CLIENT_SECRET: 's1' };
const SECRET_KEY = { LEADMIRROR_SECRET_KEY: 'a-long-enough-secret' };

type Env = ConfigSources['env'];

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A working directory with the given files, and loading from it. */
function setup(files: Readonly<Record<string, string>> = {}) {
  const cwd = mkdtempSync(join(tmpdir(), 'leadmirror-config-'));
  folders.push(cwd);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  const load = (env: Env = {}, options?: LoadOptions): Config => loadConfig({ env, cwd, isTerminal: false }, options);
  const problems = (env: Env = {}): string[] => {
    try {
      load(env);
    } catch (error) {
      if (error instanceof ConfigError) return error.problems.map(({ variable, message }) => `${variable}: ${message}`);
      throw error;
    }
    return [];
  };
  return { load, problems };
}

/** A file of Tilkee connections, each given as its keys. */
const file = (...entries: readonly Readonly<Record<string, string>>[]) => ({
  'leadmirror.yaml': `connections:\n${entries
    .map(
      (keys) =>
        `  -\n${Object.entries({ source: 'tilkee', ...keys })
          .map(([key, value]) => `    ${key}: ${value}\n`)
          .join('')}`,
    )
    .join('')}`,
});

/** The only connection of a configuration, which is one of Tilkee. */
function only({ connections: [connection, ...others] }: Config): TilkeeConnectionConfig {
  if (connection?.source !== 'tilkee' || others.length > 0) throw new Error('not one Tilkee connection');
  return connection;
}

const ids = ({ connections }: Config): string[] => connections.map(({ id }) => id);

describe('Tilkee in the environment', () => {
  test('user name and password are enough, without any Tiledesk', () => {
    const config = setup().load(ACCOUNT);
    // What the sources are given has to fit what they take.
    const settings: TilkeeSettings & { readonly source: 'tilkee' } = only(config);
    expect(settings).toEqual({
      id: 'tilkee:default',
      configuredIn: 'TILKEE_USERNAME, TILKEE_PASSWORD',
      source: 'tilkee',
      auth: {
        kind: 'oauth',
        username: 'ada@example.com',
        password: 'pw',
        clientId: null,
        clientSecret: null,
        refreshToken: null,
      },
      v3Url: 'https://endpoints.tilkee.com/v3',
      v2Url: 'https://api.tilkee.com/v2',
      authUrl: 'https://endpoints.tilkee.com/v3',
      appUrl: 'https://app.tilkee.com',
      authBody: 'form',
      scope: null,
      streams: [...TILKEE_STREAM_NAMES],
      projectsApi: 'v3',
      requestsPerMinute: 100,
      pageSize: 50,
      ref: 'leadmirror',
      extras: ['templates', 'archived_projects', 'archived_tokens'],
      arrayParams: 'repeat',
      timeUnit: 's',
      visitsBy: 'auto',
      orderByUpdate: false,
      actAs: [],
    });
    expect([config.secretKey, config.notes]).toEqual([null, []]);
  });

  test('both sources stand side by side', () => {
    const config = setup().load({ ...TILEDESK, ...ACCOUNT });
    expect(ids(config)).toEqual([`tiledesk:${PROJECT}`, 'tilkee:default']);
    expect(config.notes).toEqual([]);
  });

  test('a static key opens V2 only', () => {
    const { auth, projectsApi } = only(setup().load({ TILKEE_ACCESS_TOKEN: 'key' }));
    expect({ auth, projectsApi }).toEqual({ auth: { kind: 'key', accessToken: 'key' }, projectsApi: 'v2' });
    expect(only(setup().load({ TILKEE_ACCESS_TOKEN: 'key', TILKEE_PROJECTS_API: 'V2' })).projectsApi).toBe('v2');
  });

  test('secrets come out of files, too, and a password keeps its spaces', () => {
    const { load } = setup({ pw: ' p w \n', secret: 's1\n', key: 'a-long-enough-secret\n' });
    const config = load({
      TILKEE_USERNAME: 'ada@example.com',
      TILKEE_PASSWORD_FILE: 'pw',
      TILKEE_CLIENT_ID: 'app-1',
      TILKEE_CLIENT_SECRET_FILE: 'secret',
      LEADMIRROR_SECRET_KEY_FILE: 'key',
    });
    expect(only(config).auth).toMatchObject({ password: ' p w ', clientSecret: 's1' });
    expect(config.secretKey).toBe('a-long-enough-secret');
    expect(only(setup().load({ ...ACCOUNT, TILKEE_PASSWORD: ' p w ' })).auth).toMatchObject({ password: ' p w ' });
  });

  const taken: [Env, Partial<TilkeeConnectionConfig>][] = [
    [
      { TILKEE_ENV: 'Staging' },
      {
        v3Url: 'https://endpoints-staging.tilkee.com/v3',
        v2Url: 'https://api-staging.tilkee.com/v2',
        authUrl: 'https://endpoints-staging.tilkee.com/v3',
        appUrl: 'https://app-staging.tilkee.com',
      },
    ],
    [
      { TILKEE_V3_URL: 'http://127.0.0.1:9/v3/' },
      { v3Url: 'http://127.0.0.1:9/v3', authUrl: 'http://127.0.0.1:9/v3', v2Url: 'https://api.tilkee.com/v2' },
    ],
    [
      {
        TILKEE_V2_URL: 'https://x.example/v2',
        TILKEE_AUTH_URL: 'https://y.example',
        TILKEE_APP_URL: 'https://z.example',
      },
      { v2Url: 'https://x.example/v2', authUrl: 'https://y.example', appUrl: 'https://z.example' },
    ],
    [
      { TILKEE_AUTH_BODY: 'json', TILKEE_SCOPE: 'all' },
      { authBody: 'json', scope: 'all' },
    ],
    [{ TILKEE_STREAMS: 'tokens, projects,tokens' }, { streams: ['tokens', 'projects'] }],
    [
      { TILKEE_PAGE_SIZE: '2', TILKEE_REF: 'tool-2.1' },
      { pageSize: 2, ref: 'tool-2.1' },
    ],
    [{ TILKEE_INCLUDE: 'none' }, { extras: [] }],
    [{ TILKEE_INCLUDE: 'templates,archived_projects' }, { extras: ['templates', 'archived_projects'] }],
    [
      { TILKEE_ARRAY_PARAMS: 'csv', TILKEE_TIME_UNIT: 'ms' },
      { arrayParams: 'csv', timeUnit: 'ms' },
    ],
    [
      { TILKEE_VISITS_BY: 'token', TILKEE_ORDER_BY_UPDATE: 'yes' },
      { visitsBy: 'token', orderByUpdate: true },
    ],
    [{ TILKEE_ACT_AS: '7, 12,7' }, { actAs: ['7', '12'] }],
    [{ TILKEE_PROJECTS_API: 'v2' }, { projectsApi: 'v2' }],
  ];
  test.each(taken)('%j', (env, expected) => {
    expect(only(setup().load({ ...ACCOUNT, ...env }))).toMatchObject(expected);
  });

  const refused: [Env, string][] = [
    [{ TILKEE_PASSWORD: '' }, 'TILKEE_PASSWORD: is missing; it goes with TILKEE_USERNAME'],
    [{ TILKEE_USERNAME: '' }, 'TILKEE_USERNAME: is missing; it goes with TILKEE_PASSWORD'],
    [{ TILKEE_CLIENT_ID: 'app-1' }, 'TILKEE_CLIENT_SECRET: is missing; it goes with TILKEE_CLIENT_ID'],
    [{ TILKEE_CLIENT_SECRET: 'x' }, 'TILKEE_CLIENT_ID: is missing; it goes with TILKEE_CLIENT_SECRET'],
    [
      { TILKEE_USERNAME: '', TILKEE_PASSWORD: '', TILKEE_CLIENT_SECRET: 'x' },
      'TILKEE_CLIENT_ID: is missing; it goes with TILKEE_CLIENT_SECRET',
    ],
    [
      { TILKEE_ACCESS_TOKEN: 'key' },
      'TILKEE_ACCESS_TOKEN: is a sign-in of its own; remove it, or TILKEE_USERNAME, TILKEE_PASSWORD',
    ],
    [
      { TILKEE_USERNAME: '', TILKEE_PASSWORD: '', TILKEE_ACCESS_TOKEN: 'key', TILKEE_PROJECTS_API: 'v3' },
      'TILKEE_PROJECTS_API: v3 does not work with TILKEE_ACCESS_TOKEN, which opens the V2 API only',
    ],
    [
      { TILKEE_USERNAME: '', TILKEE_PASSWORD: '', TILKEE_ACCESS_TOKEN: 'Bearer key' },
      'TILKEE_ACCESS_TOKEN: must be the key alone',
    ],
    [
      { TILKEE_USERNAME: '', TILKEE_PASSWORD: '', ...CLIENT },
      'TILKEE_CLIENT_ID: is no sign-in by itself; add TILKEE_USERNAME with TILKEE_PASSWORD, or TILKEE_REFRESH_TOKEN; or set LEADMIRROR_SECRET_KEY, then sign in with `leadmirror tilkee login`',
    ],
    [{ TILKEE_ENV: 'test' }, 'TILKEE_ENV: must be production or staging'],
    [
      { TILKEE_V3_URL: 'endpoints.tilkee.com' },
      'TILKEE_V3_URL: must be a full address such as https://endpoints.tilkee.com/v3',
    ],
    [{ TILKEE_V2_URL: 'http://x.example/v2' }, 'TILKEE_V2_URL: must begin with https://'],
    [{ TILKEE_AUTH_URL: 'https://u:p@x.example' }, 'TILKEE_AUTH_URL: must not hold a user name'],
    [{ TILKEE_APP_URL: 'https://x.example/?a' }, 'TILKEE_APP_URL: must not have a query'],
    [{ TILKEE_AUTH_BODY: 'xml' }, 'TILKEE_AUTH_BODY: must be form or json'],
    [{ TILKEE_SCOPE: 'a  b' }, 'TILKEE_SCOPE: must be plain names'],
    [{ TILKEE_STREAMS: 'projects,conexions' }, 'TILKEE_STREAMS: entry 2 is not a stream, did you mean "connexions"?'],
    [{ TILKEE_STREAMS: 'hunter2' }, 'TILKEE_STREAMS: entry 1 is not a stream; known are projects, items,'],
    [{ TILKEE_PROJECTS_API: 'v1' }, 'TILKEE_PROJECTS_API: must be v3 or v2'],
    [{ TILKEE_REQUESTS_PER_MINUTE: '0' }, 'TILKEE_REQUESTS_PER_MINUTE: must be'],
    [{ TILKEE_PAGE_SIZE: '1' }, 'TILKEE_PAGE_SIZE: must be a whole number from 2 to 100'],
    [{ TILKEE_REF: 'é' }, 'TILKEE_REF: must be up to 100 plain letters'],
    [{ TILKEE_REF: 'a\nb' }, 'TILKEE_REF: must be up to 100 plain letters'],
    [{ TILKEE_INCLUDE: 'templates,none' }, 'TILKEE_INCLUDE: has "none" beside other names'],
    [{ TILKEE_INCLUDE: 'hunter2' }, 'TILKEE_INCLUDE: entry 1 is not a list; known are templates,'],
    [{ TILKEE_INCLUDE: ',' }, 'TILKEE_INCLUDE: names no list; known are templates,'],
    [{ TILKEE_ARRAY_PARAMS: 'x' }, 'TILKEE_ARRAY_PARAMS: must be repeat or csv'],
    [{ TILKEE_TIME_UNIT: 'h' }, 'TILKEE_TIME_UNIT: must be s or ms'],
    [{ TILKEE_VISITS_BY: 'x' }, 'TILKEE_VISITS_BY: must be auto, list, project or token'],
    [{ TILKEE_ORDER_BY_UPDATE: 'x' }, 'TILKEE_ORDER_BY_UPDATE: must be true or false'],
    [{ TILKEE_ACT_AS: '7,x' }, 'TILKEE_ACT_AS: entry 2 must be the number of a Tilkee user'],
    [{ TILKEE_ACT_AS: ',' }, 'TILKEE_ACT_AS: names no user'],
    [{ TILKEE_ENABLED: 'x' }, 'TILKEE_ENABLED: must be true or false'],
  ];
  test.each(refused)('%j is refused', (env, expected) => {
    const problems = setup().problems({ ...ACCOUNT, ...env });
    // Behind it at most what cannot be seen in the value.
    expect(problems.slice(0, 1)).toEqual([expect.stringContaining(expected)]);
    expect(problems[0]?.startsWith(expected)).toBe(true);
    expect(problems.join()).not.toContain('hunter2');
  });

  test('all problems of both sources are listed at once', () => {
    const env = {
      TILEDESK_PROJECT_ID: 'x',
      TILKEE_USERNAME: 'ada',
      TILKEE_ENV: 'x',
      TILKEE_V2_URL: 'x',
      LEADMIRROR_SECRET_KEY: 'short',
    };
    const problems = setup(file({ pageSize: '1' })).problems(env);
    expect(problems.map((problem) => problem.match(/^(leadmirror.yaml: )?[^:]+/)?.[0])).toEqual([
      'LEADMIRROR_SECRET_KEY',
      'TILEDESK_PROJECT_ID',
      'TILEDESK_EMAIL',
      'TILKEE_PASSWORD',
      'TILKEE_ENV',
      'TILKEE_V2_URL',
      'leadmirror.yaml: connections[0].username',
      'leadmirror.yaml: connections[0].pageSize',
    ]);
  });

  test('an unreadable file of a secret is the only problem', () => {
    expect(setup().problems({ TILKEE_USERNAME: 'ada', TILKEE_PASSWORD_FILE: 'nowhere' })).toEqual([
      'TILKEE_PASSWORD_FILE: names a file that cannot be read: no such file',
    ]);
  });
});

describe('what a sign-in leaves behind', () => {
  test('a refresh token without a secret key is noted, wherever it is given', () => {
    const lost = 'a refresh token that Tilkee replaces is lost at the next start; set LEADMIRROR_SECRET_KEY';
    const { load } = setup({ token: 'r1\n' });
    expect(load({ TILKEE_REFRESH_TOKEN: 'r1' }).notes).toEqual([`TILKEE_REFRESH_TOKEN: ${lost}`]);
    expect(load({ TILKEE_REFRESH_TOKEN_FILE: 'token' }).notes).toEqual([`TILKEE_REFRESH_TOKEN_FILE: ${lost}`]);
    expect(load({ TILKEE_REFRESH_TOKEN: 'r1', ...SECRET_KEY }).notes).toEqual([]);
    expect(setup(file({ refreshToken: 'r1' })).load().notes).toEqual([
      `leadmirror.yaml: connections[0].refreshToken: ${lost}`,
    ]);
  });

  test('an application alone waits for the sign-in in the browser, which a secret key keeps', () => {
    const config = setup().load({ ...CLIENT, ...SECRET_KEY });
    expect(only(config).auth).toEqual({
      kind: 'oauth',
      username: null,
      password: null,
      clientId: 'app-1',
      clientSecret: 's1',
      refreshToken: null,
    });
    expect(config.notes).toEqual([]);
  });
});

describe('Tilkee left out', () => {
  test('TILKEE_ENABLED=false: checked and not mirrored', () => {
    const { load, problems } = setup(file({ id: 'tilkee:two', accessToken: 'key' }));
    const config = load({ ...TILEDESK, TILKEE_REFRESH_TOKEN: 'r1', TILKEE_ENABLED: 'false' });
    expect(ids(config)).toEqual([`tiledesk:${PROJECT}`]);
    expect(config.notes).toEqual([
      'TILKEE_ENABLED is false: tilkee:default is not mirrored',
      'TILKEE_ENABLED is false: tilkee:two is not mirrored',
    ]);
    expect(problems({ ...TILEDESK, TILKEE_USERNAME: 'ada', TILKEE_ENABLED: 'false' })).toHaveLength(1);
  });

  test('switched off, with nothing else, is a problem of the switch', () => {
    const off = { ...ACCOUNT, TILKEE_ENABLED: 'no' };
    expect(setup().problems(off)).toEqual([
      expect.stringContaining('TILKEE_ENABLED: is false, and no other connection'),
    ]);
    expect(setup().load(off, { requireConnections: false }).connections).toEqual([]);
    expect(setup().problems({ TILKEE_ENABLED: 'no' })).toEqual([expect.stringContaining('no Tiledesk project')]);
  });

  test('settings without a credential are checked and told', () => {
    const { load, problems } = setup();
    expect(load({ ...TILEDESK, TILKEE_ENV: 'staging', TILKEE_PAGE_SIZE: '20' }).notes).toEqual([
      'TILKEE_ENV, TILKEE_PAGE_SIZE without effect: no Tilkee account is configured',
    ]);
    expect(load({ ...ACCOUNT, TILEDESK_PAGE_SIZE: '20' }).notes).toEqual([
      'TILEDESK_PAGE_SIZE without effect: no Tiledesk project is configured',
    ]);
    expect(problems({ ...TILEDESK, TILKEE_PAGE_SIZE: '1' })).toEqual([
      expect.stringContaining('TILKEE_PAGE_SIZE: must be'),
    ]);
    expect(setup(file(ACCOUNT_KEYS)).load({ TILKEE_ENV: 'staging' }).notes).toEqual([
      'TILKEE_ENV without effect: connections of leadmirror.yaml take their settings from there only',
    ]);
  });
});

describe('Tilkee in leadmirror.yaml', () => {
  test('joins the one of the environment under a name of its own', () => {
    const config = setup(file({ id: 'tilkee:two', ...ACCOUNT_KEYS, env: 'staging' })).load(ACCOUNT);
    expect(config.connections.map(({ id, source }) => [id, source])).toEqual([
      ['tilkee:default', 'tilkee'],
      ['tilkee:two', 'tilkee'],
    ]);
    expect(config.connections[1]).toMatchObject({ appUrl: 'https://app-staging.tilkee.com' });
  });

  test('referenced variables belong to the file', () => {
    const yaml = file({ id: 'tilkee:two', username: `\${TILKEE_USERNAME}`, password: `\${TILKEE_PASSWORD}` });
    const config = setup(yaml).load(ACCOUNT);
    expect([ids(config), config.notes]).toEqual([['tilkee:two'], []]);
  });

  test.each([
    ['passwordFile', { username: 'ada' }, 'password'],
    ['clientSecretFile', { ...ACCOUNT_KEYS, clientId: 'app-1' }, 'clientSecret'],
    ['refreshTokenFile', {}, 'refreshToken'],
    ['accessTokenFile', {}, 'accessToken'],
  ])('%s', (key, others, name) => {
    const { auth } = only(setup({ ...file({ ...others, [key]: 'secret' }), secret: 'x1\n' }).load());
    expect(auth).toMatchObject({ [name]: 'x1' });
  });

  const at = 'leadmirror.yaml: connections[0]';
  const cases: [Readonly<Record<string, string>>, string][] = [
    [
      {},
      `${at}.username: is missing, and so is every other credential of this account; set username with password, or`,
    ],
    [{ username: 'hunter2' }, `${at}.password: is missing; it goes with username`],
    [{ clientId: 'hunter2', clientSecret: 'x' }, `${at}.clientId: is no sign-in by itself; add username with password`],
    [
      { ...ACCOUNT_KEYS, accessToken: 'hunter2' },
      `${at}.accessToken: is a sign-in of its own; remove it, or username,`,
    ],
    [{ accessToken: 'hunter2', projectsApi: 'v3' }, `${at}.projectsApi: v3 does not work with accessToken`],
    [{ ...ACCOUNT_KEYS, projectId: PROJECT }, `${at}.projectId: is no setting of a Tilkee account; leave it out`],
    [{ ...ACCOUNT_KEYS, tokenFile: 'pw' }, `${at}.tokenFile: is no setting of a Tilkee account`],
    [{ ...ACCOUNT_KEYS, user_name: 'x' }, `${at}.user_name: is not a known key; did you mean username?`],
    [
      { ...ACCOUNT_KEYS, isEnabled: 'false' },
      `${at}.isEnabled: is not a known key; known keys are id, label, source, enabled, schedule, streamSchedules, env, v3Url,`,
    ],
    [{ ...ACCOUNT_KEYS, include: '[none, templates]' }, `${at}.include: has "none" beside other names`],
    [{ ...ACCOUNT_KEYS, v3Url: 'http://x.example' }, `${at}.v3Url: must begin with https://`],
  ];
  test.each(cases)('%j', (keys, expected) => {
    const problems = setup({ ...file(keys), pw: 'JWT x' }).problems();
    expect(problems).toEqual([expect.stringContaining(expected)]);
    expect(problems.join()).not.toContain('hunter2');
  });

  test('two without a name are told, with the way out', () => {
    const told = 'this connection is configured twice; keep one, or give the one in leadmirror.yaml an "id" of its own';
    expect(setup(file(ACCOUNT_KEYS, { accessToken: 'key' })).problems()).toEqual([
      `leadmirror.yaml: connections[1].id: ${told}`,
    ]);
    expect(setup(file(ACCOUNT_KEYS)).problems(ACCOUNT)).toEqual([`${at}.id: ${told}`]);
  });
});

describe('the summary', () => {
  const line = (env: Env, name = 'tilkee:default') =>
    describeConfig(setup().load(env)).find((each) => each.name === name)?.value;

  const cases: [Env, string][] = [
    [
      ACCOUNT,
      'endpoints.tilkee.com api.tilkee.com, password, projects items tokens connexions users, projects by v3, ' +
        '100 requests a minute, pages of 50, also templates archived_projects archived_tokens',
    ],
    [
      { TILKEE_ACCESS_TOKEN: 'key', TILKEE_INCLUDE: 'none', TILKEE_STREAMS: 'tokens', TILKEE_ACT_AS: '7,8' },
      'api.tilkee.com, static key, tokens, projects by v2, 100 requests a minute, pages of 50, also as 2 colleagues',
    ],
    [
      { ...ACCOUNT, TILKEE_REFRESH_TOKEN: 'r1', TILKEE_AUTH_URL: 'https://app.tilkee.com/v3', TILKEE_INCLUDE: 'none' },
      'endpoints.tilkee.com api.tilkee.com app.tilkee.com, refresh token and password, projects items tokens connexions ' +
        'users, projects by v3, 100 requests a minute, pages of 50',
    ],
    [
      { ...CLIENT, ...SECRET_KEY, TILKEE_STREAMS: 'users' },
      'endpoints.tilkee.com api.tilkee.com, code flow (leadmirror tilkee login), users, projects by v3, ' +
        '100 requests a minute, pages of 50, also templates archived_projects archived_tokens',
    ],
  ];
  test.each(cases)('%j', (env, expected) => {
    expect(line(env)).toBe(expected);
  });

  test('tells whether links are stored', () => {
    const visitors = 'IP addresses and user agents of visitors left out';
    expect(line(ACCOUNT, 'privacy')).toBe(`${visitors}, public links and previews left out`);
    expect(line({ ...ACCOUNT, TILKEE_STORE_LINKS: '1' }, 'privacy')).toBe(
      `${visitors}, public links and previews stored`,
    );
  });
});

describe('secrets', () => {
  const CANARY = 'c4n4ry';
  const visible = (files: Readonly<Record<string, string>>, env: Env = {}): string => {
    try {
      const config = setup(files).load(env, { requireConnections: false });
      return JSON.stringify([config.notes, describeConfig(config)]);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return `${error.message} ${JSON.stringify(error.problems)} ${String(error.cause ?? '')} ${error.stack ?? ''}`;
    }
  };
  const shapes = [CANARY, `Bearer ${CANARY}`, `"${CANARY}: x"`, `*${CANARY}`, `https://u:${CANARY}@host.example/`];

  test.each([
    'env',
    'v2Url',
    'username',
    'password',
    'passwordFile',
    'clientId',
    'clientSecret',
    'clientSecretFile',
    'refreshToken',
    'refreshTokenFile',
    'accessToken',
    'accessTokenFile',
    'scope',
    'streams',
    'ref',
    'include',
    'actAs',
    'projectId',
    'token',
  ])('pasted into %s of leadmirror.yaml are in no message', (key) => {
    for (const value of shapes) {
      const accounts: Readonly<Record<string, string>>[] = [{}, ACCOUNT_KEYS];
      for (const others of accounts) {
        expect(visible(file({ ...others, [key]: value }))).not.toContain(CANARY);
      }
    }
  });

  test('are in no problem, note or summary of the environment', () => {
    const secrets = {
      TILKEE_USERNAME: CANARY,
      TILKEE_PASSWORD: CANARY,
      TILKEE_CLIENT_ID: CANARY,
      TILKEE_CLIENT_SECRET: CANARY,
      TILKEE_REFRESH_TOKEN: CANARY,
    };
    for (const more of [{}, { TILKEE_ENABLED: 'false' }, { TILKEE_ACCESS_TOKEN: CANARY }, { TILKEE_PASSWORD: '' }]) {
      expect(visible({}, { ...secrets, ...more })).not.toContain(CANARY);
    }
    expect(visible({}, { TILKEE_ACCESS_TOKEN: CANARY })).not.toContain(CANARY);
    expect(visible({}, { ...ACCOUNT, LEADMIRROR_SECRET_KEY: CANARY })).not.toContain(CANARY);
  });
});
