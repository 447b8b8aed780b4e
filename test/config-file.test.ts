import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  type Config,
  type ConfigSources,
  compareConfigs,
  describeConfig,
  isSameAccount,
  loadConfig,
  scheduleOf,
  VARIABLES,
  withLiveChanges,
} from '../src/config.ts';
import { ConfigError } from '../src/errors.ts';

const PROJECT = '5f3c1d2e4b6a7f8091a2b3c4';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A working directory whose leadmirror.yaml holds `yaml`. */
function setup(yaml: string, files: Readonly<Record<string, string>> = {}) {
  const cwd = mkdtempSync(join(tmpdir(), 'leadmirror-config-'));
  folders.push(cwd);
  for (const [name, text] of Object.entries({ 'leadmirror.yaml': yaml, ...files }))
    writeFileSync(join(cwd, name), text);
  const load = (env: ConfigSources['env'] = {}): Config => loadConfig({ env, cwd, isTerminal: false });
  const problems = (env: ConfigSources['env'] = {}): string[] => {
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

/** A file with one good connection, less or more some keys. */
const entry = (changes: Readonly<Record<string, string | null>> = {}): string => {
  const keys = { source: 'tiledesk', projectId: PROJECT, email: 'ada@example.com', password: 'pw', ...changes };
  const lines = Object.entries(keys).filter(([, value]) => value !== null);
  return `connections:\n  -\n${lines.map(([key, value]) => `    ${key}: ${value}\n`).join('')}`;
};

describe('leadmirror.yaml', () => {
  test('the example loads', () => {
    const example = readFileSync(new URL('../leadmirror.example.yaml', import.meta.url), 'utf8');
    const { load } = setup(example.replaceAll(/\/run\/secrets\/(\S*)token/g, '$1token'), {
      'support-token': 'JWT x.y.z\n',
      'staging-refresh-token': 'r1\n',
    });
    const { connections, notes } = load({
      SHOP_EMAIL: 'ada@example.com',
      SHOP_PASSWORD: 'pw',
      SALES_USERNAME: 'eve@example.com',
      SALES_PASSWORD: 'word',
      STAGING_CLIENT_SECRET: 's1',
      LEADMIRROR_SECRET_KEY: 'a-long-enough-secret',
    });
    expect(notes).toEqual([]);
    expect(connections).toEqual([
      {
        id: `tiledesk:${PROJECT}`,
        configuredIn: 'leadmirror.yaml: connections[0]',
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
      {
        id: 'tiledesk:support',
        configuredIn: 'leadmirror.yaml: connections[1]',
        label: 'Support desk',
        source: 'tiledesk',
        baseUrl: 'https://chat.example.com/api',
        projectId: '60a1b2c3d4e5f60718293a4b',
        auth: { kind: 'token', token: 'JWT x.y.z' },
        streams: ['leads', 'requests'],
        requestsPerMinute: 120,
        requestsPerDay: 20_000,
        pageSize: 50,
        maxPageSize: 1000,
        fullSyncKey: 'created_at',
        allowCustomRole: false,
        schedule: { incremental: '*/2 * * * *', reconcile: '0 4 * * *', count: '37 * * * *', timezone: 'Europe/Paris' },
        streamSchedules: { leads: { incremental: '* * * * *' }, requests: { reconcile: null } },
      },
      {
        id: 'tilkee:default',
        configuredIn: 'leadmirror.yaml: connections[2]',
        source: 'tilkee',
        auth: {
          kind: 'oauth',
          username: 'eve@example.com',
          password: 'word',
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
        streams: ['projects', 'items', 'tokens', 'connexions', 'users'],
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
      },
      {
        id: 'tilkee:staging',
        configuredIn: 'leadmirror.yaml: connections[3]',
        source: 'tilkee',
        auth: {
          kind: 'oauth',
          username: null,
          password: null,
          clientId: 'app-1',
          clientSecret: 's1',
          refreshToken: 'r1',
        },
        v3Url: 'https://endpoints-staging.tilkee.com/v3',
        v2Url: 'https://api-staging.tilkee.com/v2',
        authUrl: 'https://endpoints-staging.tilkee.com/v3',
        appUrl: 'https://app-staging.tilkee.com',
        authBody: 'json',
        scope: 'all',
        streams: ['projects', 'tokens', 'connexions'],
        projectsApi: 'v2',
        requestsPerMinute: 60,
        pageSize: 20,
        ref: 'leadmirror-staging',
        extras: ['templates', 'archived_projects', 'colleagues_projects'],
        arrayParams: 'csv',
        timeUnit: 'ms',
        visitsBy: 'project',
        orderByUpdate: true,
        actAs: ['7', '12'],
      },
    ]);
  });

  test('joins the connections of the environment', () => {
    const env = { TILEDESK_PROJECT_ID: 'twelve-chars', TILEDESK_TOKEN: 'JWT x', TILEDESK_PAGE_SIZE: '20' };
    const { connections } = setup(entry()).load(env);
    expect(connections.map(({ id, pageSize }) => [id, pageSize])).toEqual([
      ['tiledesk:twelve-chars', 20],
      [`tiledesk:${PROJECT}`, 100],
    ]);
  });

  test('values that YAML would take for numbers stay as they are written', () => {
    const { load } = setup(entry({ projectId: '600000000000000000000e10', password: '0123' }));
    expect(load().connections[0]).toMatchObject({ projectId: '600000000000000000000e10', auth: { password: '0123' } });
  });

  test('references are looked up in .env and NAME_FILE too, also inside a text', () => {
    const yaml = entry({
      email: `\${TILEDESK_EMAIL}`,
      password: `\${PW}`,
      baseUrl: `https://\${HOST}/api`,
      streams: `["\${S}"]`,
    });
    const { load } = setup(yaml, { '.env': 'HOST=x.example\n', pw: 's3cret\n' });
    const config = load({ TILEDESK_EMAIL: 'eve@example.com', PW_FILE: 'pw', S: 'leads,requests' });
    expect(config.connections[0]).toMatchObject({
      baseUrl: 'https://x.example/api',
      auth: { kind: 'jwt', email: 'eve@example.com', password: 's3cret' },
      streams: ['leads', 'requests'],
    });
    expect(config.notes).toEqual([]);
  });

  test('a referenced variable is no misspelt one and no idle one', () => {
    const { load } = setup(entry({ email: `\${TILEDESK_EMAIL}`, password: `\${TILEDESK_A_PASSWORD}` }));
    expect(load({ TILEDESK_EMAIL: 'eve@example.com', TILEDESK_A_PASSWORD: 'x' }).notes).toEqual([]);
  });

  test('settings of the environment without effect are told', () => {
    expect(setup(entry()).load({ TILEDESK_PAGE_SIZE: '50' }).notes).toEqual([
      'TILEDESK_PAGE_SIZE without effect: connections of leadmirror.yaml take their settings from there only',
    ]);
  });

  test.each(['', 'connections:\n', '# nothing yet\n'])('%j holds no connection', (yaml) => {
    expect(setup(yaml).problems()).toEqual([
      expect.stringContaining('no Tiledesk project and no Tilkee account is configured'),
    ]);
  });

  test('leadmirror.yml is told to be renamed', () => {
    const cwd = mkdtempSync(join(tmpdir(), 'leadmirror-config-'));
    folders.push(cwd);
    writeFileSync(join(cwd, 'leadmirror.yml'), entry());
    const config = loadConfig({ env: {}, cwd, isTerminal: false }, { requireConnections: false });
    expect(config.notes).toEqual(['leadmirror.yml is not read; rename it to leadmirror.yaml']);
  });
});

describe('leadmirror.yaml: problems', () => {
  const at = 'leadmirror.yaml: connections[0]';
  const cases: [string, string][] = [
    ['- a\n', 'leadmirror.yaml: must begin with "connections:"'],
    ['conections: []\n', 'leadmirror.yaml: conections: is not a known key; did you mean connections?'],
    ['connections: x\n', 'leadmirror.yaml: connections: must be a list'],
    ['connections: [x]\n', `${at}: must have keys`],
    [entry({ source: null }), `${at}.source: is missing; write "source: tiledesk" or "source: tilkee"`],
    [entry({ source: 'other' }), `${at}.source: must be tiledesk or tilkee`],
    [entry({ source: `\${NOWHERE}` }), `${at}.source: refers to \${NOWHERE}, which is not set`],
    [
      entry({ username: 'x' }),
      `${at}.username: is no setting of a Tiledesk project; leave it out, or correct the source`,
    ],
    [entry({ projectId: null }), `${at}.projectId: is missing`],
    [entry({ projectId: '' }), `${at}.projectId: is missing`],
    [entry({ projectId: 'x' }), `${at}.projectId: must be a Tiledesk project id`],
    [entry({ projectId: `${PROJECT},${PROJECT}` }), `${at}.projectId: must be a Tiledesk project id`],
    [entry({ project_id: 'x' }), `${at}.project_id: is not a known key; did you mean projectId?`],
    [entry({ colour: 'x' }), `${at}.colour: is not a known key; known keys are id, label, source,`],
    [entry({ 'hunter2 x': 'x' }), `${at}.(unknown key): is not a known key`],
    [entry({ id: 'a.b' }), `${at}.id: must be up to 64 letters`],
    [entry({ email: null }), `${at}.email: is missing; it goes with password`],
    [entry({ email: null, password: null }), `${at}.email: is missing, and so is every other credential`],
    [entry({ token: 'JWT x' }), `${at}.token: is set together with an e-mail or password; keep either token, or email`],
    [entry({ passwordFile: 'x' }), `${at}.passwordFile: is set, and password too`],
    [
      entry({ password: null, passwordFile: 'nowhere' }),
      `${at}.passwordFile: names a file that cannot be read: no such file`,
    ],
    [entry({ password: `\${NOWHERE}` }), `${at}.password: refers to \${NOWHERE}, which is not set`],
    [entry({ password: `\${constructor}` }), `${at}.password: refers to \${constructor}, which is not set`],
    [entry({ password: `"\${A:-b}"` }), `${at}.password: has a $ with braces around more than the name of a variable`],
    [entry({ password: '{ a: b }' }), `${at}.password: must be a simple value`],
    [entry({ streams: '[leads, messages]' }), `${at}.streams: names messages without requests; messages are read`],
    [entry({ privacyPreset: 'contacts' }), `${at}.privacyPreset: entry 1 is not a preset, did you mean "contact"?`],
    [entry({ privacyFields: 'note=drop' }), `${at}.privacyFields: must be a stream, a field and what to do with it`],
    [entry({ pageSize: '5' }), `${at}.pageSize: must be a whole number from 10 to 100`],
    [entry({ baseUrl: 'http://x.example' }), `${at}.baseUrl: must begin with https://`],
    [
      `${entry()}  - { source: tiledesk, projectId: ${PROJECT}, token: JWT x }\n`,
      'leadmirror.yaml: connections[1].projectId: this connection is configured twice',
    ],
    ['connections:\n\t- a\n', 'leadmirror.yaml: line 2, column 1: indent with spaces'],
    ['connections: "x\n', 'leadmirror.yaml: line 2, column 1: a quote, bracket or ":" is missing'],
    ['connections: [\n', 'leadmirror.yaml: line 2, column 1: the indentation does not fit, or a bracket is not closed'],
    ['connections: []\nconnections: []\n', 'leadmirror.yaml: line 2, column 1: this key is there twice'],
    [entry({ enabled: 'maybe' }), `${at}.enabled: must be true or false`],
    [entry({ enabled: 'false' }), `${at}.enabled: is false, and no other connection is configured`],
    [entry({ schedule: 'hunter2' }), `${at}.schedule: must have keys of its own, such as "incremental: off"`],
    [
      entry({ schedule: '{ reconsile: off }' }),
      `${at}.schedule.reconsile: is not a known key; did you mean reconcile?`,
    ],
    [entry({ schedule: '{ incremental: hunter2 }' }), `${at}.schedule.incremental: must have five cron fields`],
    [entry({ schedule: '{ incremental: { hunter2: x } }' }), `${at}.schedule.incremental: must be a simple value`],
    [entry({ schedule: '{ reconcile: "61 * * * *" }' }), `${at}.schedule.reconcile: is not understood as cron`],
    [entry({ schedule: '{ timezone: hunter2 }' }), `${at}.schedule.timezone: is not a known time zone`],
    [entry({ schedule: `{ timezone: "\${NOWHERE}" }` }), `${at}.schedule.timezone: refers to \${NOWHERE}`],
    [entry({ schedule: '{ incremental: *x }' }), 'leadmirror.yaml: has an alias'],
    [entry({ streamSchedules: 'off' }), `${at}.streamSchedules: must have streams as keys`],
    [entry({ streamSchedules: '{ leads: off }' }), `${at}.streamSchedules.leads: must have keys of its own`],
    [
      entry({ streamSchedules: '{ leeds: { reconcile: off } }' }),
      `${at}.streamSchedules.leeds: is not a known key; did you mean leads?`,
    ],
    [
      entry({ streamSchedules: '{ "hunter2 x": { reconcile: off } }' }),
      `${at}.streamSchedules.(unknown key): is not a known key; known keys are leads, requests`,
    ],
    [
      entry({ streams: '[leads]', streamSchedules: '{ requests: { reconcile: off } }' }),
      `${at}.streamSchedules.requests: is not among the streams of this connection`,
    ],
    [
      entry({ streamSchedules: '{ leads: { incremental: "* * * *" } }' }),
      `${at}.streamSchedules.leads.incremental: must have five cron fields`,
    ],
    [`history: x\n${entry()}`, 'leadmirror.yaml: history: must be the name of a stream, such as tiledesk.requests'],
    [`feed: [tiledesk.leads, x]\n${entry()}`, 'leadmirror.yaml: feed: entry 2 must be the name of a stream'],
    [`feed: ","\n${entry()}`, 'leadmirror.yaml: feed: names no stream'],
    [`history: { tiledesk.requests: {} }\n${entry()}`, 'leadmirror.yaml: history: must be a simple value'],
    [`history: "\${NOWHERE}"\n${entry()}`, `leadmirror.yaml: history: refers to \${NOWHERE}, which is not set`],
    [`histroy: x\n${entry()}`, 'leadmirror.yaml: histroy: is not a known key; did you mean history?'],
    [entry({ password: '*hunter2' }), 'leadmirror.yaml: has an alias (*name) without its anchor'],
    [entry({ password: '@hunter2' }), 'leadmirror.yaml: line 6, column 15: a text beginning with @'],
  ];
  test.each(cases)('%j', (yaml, expected) => {
    const problems = setup(yaml)
      .problems()
      .filter((problem) => !problem.includes('no Tiledesk project'));
    expect(problems).toEqual([expect.stringContaining(expected)]);
    expect(problems.join()).not.toContain('hunter2');
  });

  test('the same connection in environment and file is told, with the way out', () => {
    const env = { TILEDESK_PROJECT_ID: PROJECT, TILEDESK_TOKEN: 'JWT x' };
    expect(setup(entry()).problems(env)).toEqual([
      `${at}.projectId: this connection is configured twice; keep one, or give the one in leadmirror.yaml an "id" of its own`,
    ]);
    expect(setup(entry({ id: 'tiledesk:again' })).load(env).connections).toHaveLength(2);
  });

  test('problems of several connections are listed together', () => {
    const yaml = 'connections:\n  - source: tiledesk\n    pageSize: x\n  - source: nobody\n  - projectId: x\n';
    expect(
      setup(yaml)
        .problems()
        .map((problem) => problem.split(': ')[1]),
    ).toEqual([
      'connections[0].email',
      'connections[0].pageSize',
      'connections[0].projectId',
      'connections[1].source',
      'connections[2].source',
    ]);
  });
});

describe('leadmirror.yaml: history and feed', () => {
  const listed = `${entry()}history: [tiledesk.requests, tilkee.tokens]\nfeed: tiledesk.leads\n`;

  test('are the streams of SYNC_HISTORY_STREAMS and SYNC_FEED_STREAMS', () => {
    const { history, feed } = setup(listed).load({ SYNC_HISTORY_MONTHS: '3' });
    expect(history).toEqual({
      streams: ['tiledesk.requests', 'tilkee.tokens'],
      label: 'leadmirror.yaml: history',
      months: 3,
    });
    expect(feed).toEqual(['tiledesk.leads']);
    expect(setup(`${entry()}feed: none\n`).load().feed).toEqual([]);
    expect(setup(`${entry()}feed:\n`).load()).toMatchObject({
      feed: null,
      history: { streams: [], label: 'SYNC_HISTORY_STREAMS' },
    });
  });

  test('without any connection in the file they count for those of the environment', () => {
    const env = { TILEDESK_PROJECT_ID: PROJECT, TILEDESK_TOKEN: 'JWT x' };
    expect(setup('history: [tiledesk.requests]\n').load(env).history.streams).toEqual(['tiledesk.requests']);
  });

  test('file and variable together are refused', () => {
    const env = { SYNC_HISTORY_STREAMS: 'tiledesk.leads', SYNC_FEED_STREAMS: 'none' };
    expect(setup(listed).problems(env)).toEqual([
      'leadmirror.yaml: history: is set, and SYNC_HISTORY_STREAMS too; keep one of them',
      'leadmirror.yaml: feed: is set, and SYNC_FEED_STREAMS too; keep one of them',
    ]);
  });

  test('a change of them needs a restart, and is named', () => {
    const [before, after] = [entry(), listed].map((yaml) => setup(yaml).load({ LEADMIRROR_HOME: '/srv/leadmirror' }));
    if (before === undefined || after === undefined) throw new Error('not loaded');
    const { changed, restart } = compareConfigs(before, after);
    expect({ changed, restart }).toEqual({ changed: [], restart: ['SYNC_HISTORY_STREAMS', 'SYNC_FEED_STREAMS'] });
  });
});

describe('leadmirror.yaml: privacy', () => {
  const rules = 'retention:\n    - { stream: tiledesk.leads, since: last_contact, after: 36 months, do: erase }\n';

  test('has the rules of PRIVACY_RETENTION, and whether visits count', () => {
    const { retention } = setup(
      `${entry()}privacy:\n  ${rules}    - tiledesk.requests closed 1 year texts\n  visitsCount: true\n`,
    ).load();
    expect(retention).toMatchObject({
      rules: [
        { stream: 'tiledesk.leads', since: 'last_contact', after: '36 months', do: 'erase' },
        { stream: 'tiledesk.requests', since: 'closed', after: '1 year', do: 'texts' },
      ],
      visitsCount: true,
    });
    expect(setup(entry()).load().retention).toMatchObject({ rules: [], visitsCount: false });
  });

  test('names what cannot be', () => {
    const problems = (yaml: string, env = {}) => setup(`${entry()}${yaml}`).problems(env);
    expect(problems('privacy: none\n')).toEqual([
      'leadmirror.yaml: privacy: must have keys of its own, such as "retention:"',
    ]);
    expect(problems(`privacy:\n  ${rules}`, { PRIVACY_RETENTION: 'tiledesk.leads created 1 year erase' })).toEqual([
      'leadmirror.yaml: privacy.retention: is set, and PRIVACY_RETENTION too; keep one of them',
    ]);
    expect(problems('privacy:\n  retention: [{ stream: tiledesk.leads, since: never }]\n')).toEqual([
      expect.stringMatching(/^leadmirror\.yaml: privacy\.retention: must be a stream, since when, how long/),
    ]);
    expect(problems('privacy:\n  retention: [{ strean: tiledesk.leads }]\n').join()).toMatch(/retention\[0\]/);
    expect(problems('privacy:\n  visits: true\n').join()).toMatch(/privacy\.visits/);
  });
});

describe('leadmirror.yaml: schedules', () => {
  const sync = { incrementalCron: 'auto', reconcileCron: '0 3 * * *', timezone: 'UTC' };
  const counted = { count: '7 * * * *' };
  const schedules = (yaml: string, env: ConfigSources['env'] = {}) => {
    const { connections, sync } = setup(yaml).load(env);
    return (stream: string) => scheduleOf(sync, connections[0] ?? {}, stream);
  };

  test('a stream follows itself, else its connection, else the settings', () => {
    const of = schedules(
      entry({
        schedule: `{ incremental: "*/2 * * * *", timezone: "\${ZONE}" }`,
        streamSchedules: '{ leads: { incremental: off }, requests: { timezone: Asia/Tokyo, reconcile: Off } }',
      }),
      { ZONE: 'Europe/Paris', SYNC_RECONCILE_CRON: '0 1 * * *' },
    );
    expect(of('departments')).toEqual({
      ...counted,
      incremental: '*/2 * * * *',
      reconcile: '0 1 * * *',
      timezone: 'Europe/Paris',
    });
    expect(of('leads')).toEqual({ ...counted, incremental: null, reconcile: '0 1 * * *', timezone: 'Europe/Paris' });
    expect(of('requests')).toEqual({ ...counted, incremental: '*/2 * * * *', reconcile: null, timezone: 'Asia/Tokyo' });
  });

  test('an interval that follows the changes is asked for by name, and is every five minutes at the latest', () => {
    const of = schedules(
      entry({ schedule: '{ incremental: Auto }', streamSchedules: '{ leads: { incremental: "* * * * *" } }' }),
      {
        SYNC_INCREMENTAL_CRON: '0 * * * *',
      },
    );
    const rest = { ...counted, reconcile: '0 3 * * *', timezone: 'UTC' };
    expect(of('requests')).toEqual({ ...rest, incremental: '*/5 * * * *', isAdaptive: true });
    expect(of('leads')).toEqual({ ...rest, incremental: '* * * * *' });
  });

  test('empty ones say nothing', () => {
    const config = setup(`${entry()}    schedule:\n    streamSchedules:\n`).load();
    expect(config.connections[0]).not.toHaveProperty('schedule');
    expect(config.sync).toMatchObject(sync);
    expect(describeConfig(config).filter(({ name }) => name.endsWith('schedule'))).toHaveLength(1);
  });

  test('are shown where they differ from the settings', () => {
    const yaml = entry({ schedule: '{ reconcile: off }', streamSchedules: '{ leads: { incremental: "* * * * *" } }' });
    const lines = describeConfig(setup(yaml).load());
    expect(lines.find(({ name }) => name === `tiledesk:${PROJECT} schedule`)?.value).toBe(
      'changes auto, everything off, counts 7 * * * * (UTC); leads: changes * * * * *, everything off, counts 7 * * * * (UTC)',
    );
  });

  test('a connection that is off is left out, and said; its mistakes are told all the same', () => {
    const second = `  - { source: tiledesk, projectId: twelve-chars, token: JWT x, enabled: no }\n`;
    const config = setup(entry() + second).load();
    expect(config.connections.map(({ id }) => id)).toEqual([`tiledesk:${PROJECT}`]);
    expect(config.notes).toEqual([
      'leadmirror.yaml: connections[1].enabled is false: tiledesk:twelve-chars is not mirrored',
    ]);
    expect(setup(entry() + second.replace('JWT x', 'x')).problems()).toEqual([
      expect.stringContaining('connections[1].token: must be the token'),
    ]);
    const many = Array.from({ length: 8 }, (_, i) => second.replace('twelve-chars', `twelve-char${i}`)).join('');
    expect(
      setup(entry() + many)
        .load()
        .notes.slice(-2),
    ).toEqual([
      'leadmirror.yaml: connections[5].enabled is false: tiledesk:twelve-char4 is not mirrored',
      '3 more connections are not mirrored: enabled is false',
    ]);
  });

  test('all files that are looked at are named', () => {
    const cwd = mkdtempSync(join(tmpdir(), 'leadmirror-config-'));
    folders.push(cwd);
    const files: string[] = [];
    const load = () => loadConfig({ env: {}, cwd }, { requireConnections: false, onFile: (path) => files.push(path) });
    load();
    writeFileSync(join(cwd, 'leadmirror.yaml'), entry({ password: null, passwordFile: 'nowhere' }));
    expect(load).toThrow(ConfigError);
    expect(files).toEqual(['leadmirror.yaml', 'leadmirror.yaml', 'nowhere'].map((name) => join(cwd, name)));
  });

  test('thousands of connections take no longer than each of them does', () => {
    const yaml = (count: number) => {
      const one = (i: number) =>
        `  - { source: tiledesk, projectId: ${i.toString(16).padStart(24, '0')}, email: a@example.com, password: "\${PW}", schedule: { incremental: "*/${1 + (i % 50)} * * * *" } }\n`;
      return `connections:\n${Array.from({ length: count }, (_, i) => one(i)).join('')}`;
    };
    const cpuMs = (count: number): number => {
      const { load } = setup(yaml(count));
      const before = process.cpuUsage();
      expect(load({ PW: 'pw' }).connections).toHaveLength(count);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    };
    cpuMs(500);
    expect(cpuMs(4_000)).toBeLessThan(Math.max(1_000, 24 * cpuMs(500)));
  });
});

describe('a configuration that is read again', () => {
  const yaml = (changes: Readonly<Record<string, string>> = {}) =>
    `${entry(changes)}  - { id: two, source: tiledesk, projectId: twelve-chars, token: JWT x }\n`;
  const old = () => setup(yaml()).load();
  /** As if it had been read in the other's working directory. */
  const inHomeOf = ({ home }: Config, other: Config): Config => ({
    ...other,
    home,
    variables: { ...other.variables, LEADMIRROR_HOME: home },
  });

  test('is the same when nothing was written', () => {
    const none = { added: [], removed: [], changed: [], settings: [], restart: [] };
    const [one, other] = [old(), old()];
    expect(compareConfigs(one, inHomeOf(one, other))).toEqual(none);
  });

  test('tells what came, went and changed, and what has to wait', () => {
    const third = '  - { id: three, source: tiledesk, projectId: twelve-chars, token: JWT y }\n';
    const after = setup(entry({ schedule: '{ reconcile: off }' }) + third).load({
      SYNC_TIMEZONE: 'Europe/Rome',
      OPS_PORT: '1',
      DATABASE_URL: 'postgres://h/db',
    });
    const one = old();
    const changes = compareConfigs(one, inHomeOf(one, after));
    expect(changes).toEqual({
      added: ['three'],
      removed: ['two'],
      changed: [`tiledesk:${PROJECT}`],
      settings: ['SYNC_TIMEZONE'],
      restart: ['DATABASE_URL', 'OPS_PORT'],
    });
    const live = withLiveChanges(one, after);
    expect([live.sync.timezone, live.ops.port, live.databaseUrl]).toEqual(['Europe/Rome', 8080, null]);
    const [was, is] = [one.connections[0], after.connections[0]];
    expect(was !== undefined && is !== undefined && isSameAccount(was, is)).toBe(true);
  });

  test('an entry that moves in the file, or gets a label, is the same account', () => {
    const labelled = '  - { id: two, label: Shop Milano, source: tiledesk, projectId: twelve-chars, token: JWT x }\n';
    const plain = labelled.replace('label: Shop Milano, ', '');
    const first = '  - { id: one, source: tiledesk, projectId: eleven-chars, token: JWT x }\n';
    const load = (yaml: string) => setup(`connections:\n${yaml}`).load();
    const [before, moved, named] = [load(first + plain), load(plain + first), load(first + labelled)];
    expect(moved.connections.map(({ configuredIn }) => configuredIn)).toEqual([
      'leadmirror.yaml: connections[0]',
      'leadmirror.yaml: connections[1]',
    ]);
    expect(compareConfigs(before, inHomeOf(before, moved)).changed).toEqual([]);
    expect(compareConfigs(before, inHomeOf(before, named)).changed).toEqual(['two']);
    const [was, is] = [before.connections[1], named.connections[1]];
    expect(is?.label).toBe('Shop Milano');
    expect(was !== undefined && is !== undefined && isSameAccount(was, is)).toBe(true);
  });

  test('every setting of the process either takes effect or is named', () => {
    const withoutDefault = {
      DATABASE_URL: 'postgres://h/db',
      REDIS_URL: 'redis://h',
      LEADMIRROR_SECRET_KEY: 'kX9vT2qLm8RzW4pY',
      LEADMIRROR_OLD_SECRET_KEY: 'old',
      CONNECTION_HOSTS: 'tiledesk.internal',
      HTTP_PROXY: 'http://proxy:3128',
      HTTPS_PROXY: 'http://proxy:3128',
      NO_PROXY: 'localhost',
      SYNC_HISTORY_STREAMS: 'tiledesk.requests',
      SYNC_FEED_STREAMS: 'tiledesk.leads',
      PRIVACY_FIELDS: 'tiledesk.leads.note=drop',
      PRIVACY_RETENTION: 'tiledesk.leads created 1 year erase',
      PRIVACY_JOURNAL: '/srv/journal/erasures.jsonl',
      OPS_TOKEN: 'kX9vT2qLm8RzW4pY',
      OPS_READ_TOKEN: 'aX9vT2qLm8RzW4pY',
      OPS_TRUSTED_PROXIES: '10.0.0.1',
      HEARTBEAT_URL: 'https://ping.example.com',
      ALERT_WEBHOOK_URL: 'https://hooks.example.com',
      ALERT_EMAIL_TO: 'a@example.com',
      ALERT_EMAIL_FROM: 'b@example.com',
      SMTP_URL: 'smtps://mail.example.com',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://traces.example.com',
      OTEL_EXPORTER_OTLP_HEADERS: 'a=b',
      NO_COLOR: '1',
    };
    const { variables } = setup(entry()).load(withoutDefault);
    const connectionSettings = /^(TILEDESK|TILKEE)_(?!STORE_LINKS)/;
    const names = VARIABLES.map(({ name }) => name).filter((name) => !connectionSettings.test(name));
    expect(Object.keys(variables).toSorted()).toEqual(names.toSorted());
    const { settings, restart } = compareConfigs({ ...old(), variables }, { ...old(), variables: {} });
    expect([...settings, ...restart].toSorted()).toEqual(names.toSorted());
  });
});
