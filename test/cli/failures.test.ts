import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli, type Finished } from '../helpers/cli.ts';
import { findClosedPort } from '../helpers/closed-port.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

/** Everything that can be wrong around a sync, as an operator meets it: the message, the code, the exit code. */
let cli: Cli;
let sandbox: TiledeskSandbox;
let database: TestDatabase;
let url: string;
let closedPort: number;

const WRONG_PASSWORD = 'canary-of-a-wrong-password';

beforeAll(async () => {
  cli = await createCli();
  sandbox = createTiledeskSandbox({ leads: 20, requests: 30 });
  ({ url } = await sandbox.listen());
  database = await createTestDatabase();
  closedPort = await findClosedPort();
  cli.guard(sandbox, WRONG_PASSWORD, ...sandbox.accounts.map(({ email }) => email), new URL(database.url).password);
});
afterEach(() => sandbox.faults.clear());
afterAll(async () => {
  await cli.close();
  await sandbox.close();
  await database.drop();
});

/** One stream and few tries: what is looked at here is how it ends. */
const environment = (overrides: Record<string, string> = {}) => ({
  ...variables(sandbox, url, database.url),
  TILEDESK_STREAMS: 'departments',
  RETRY_ATTEMPTS: '2',
  RETRY_MAX_SECONDS: '2',
  ...overrides,
});

/** The one document on stdout; stderr holds none. */
function readJson({ stdout, stderr }: Finished): Record<string, unknown> {
  expect(stderr.split('\n').filter((line) => /^\s*[{[]/.test(line))).toEqual([]);
  return JSON.parse(stdout);
}

interface Failure {
  readonly what: string;
  readonly env: () => Record<string, string>;
  readonly faults?: () => void;
  readonly code: string;
  readonly outcome?: 'failed' | 'postponed';
  /** Parts of the message. */
  readonly names: () => readonly string[];
}

const UPSTREAM_FAILURES: readonly Failure[] = [
  {
    what: 'a wrong password',
    env: () => ({ TILEDESK_PASSWORD: WRONG_PASSWORD }),
    code: 'auth_failed',
    names: () => ['TILEDESK_EMAIL', 'TILEDESK_PASSWORD'],
  },
  {
    what: 'a wrong password, sent with every request',
    env: () => ({ TILEDESK_PASSWORD: WRONG_PASSWORD, TILEDESK_AUTH: 'basic' }),
    code: 'auth_failed',
    names: () => ['TILEDESK_EMAIL', 'TILEDESK_PASSWORD'],
  },
  {
    what: 'an unknown project',
    env: () => ({ TILEDESK_PROJECT_ID: '0123456789abcdef01234567' }),
    code: 'project_not_found',
    names: () => ['TILEDESK_PROJECT_ID', '0123456789abcdef01234567'],
  },
  {
    what: 'an account that is not in the project',
    env: () => ({ TILEDESK_EMAIL: 'outsider@example.com' }),
    code: 'auth_not_member',
    names: () => ['not a member', 'TILEDESK_PROJECT_ID', 'invite'],
  },
  {
    what: 'an agent, who would see only a part',
    env: () => ({ TILEDESK_EMAIL: 'agent1@example.com' }),
    code: 'auth_role',
    names: () => ['agent', 'owner or admin'],
  },
  {
    what: "the project's IP filter",
    env: () => ({}),
    faults: () => {
      sandbox.faults.ipFilter = 'filter';
    },
    code: 'auth_refused',
    names: () => ['IP filter', 'owner'],
  },
  {
    what: 'a prefix that the server does not have',
    env: () => ({ TILEDESK_BASE_URL: `${url}/v9` }),
    code: 'wrong_base_url',
    names: () => ['TILEDESK_BASE_URL'],
  },
  {
    what: 'a server that cannot be reached',
    env: () => ({ TILEDESK_BASE_URL: `http://127.0.0.1:${closedPort}/v3` }),
    code: 'network',
    names: () => [`127.0.0.1:${closedPort}`, 'ECONNREFUSED', 'after 2 attempts'],
  },
  {
    what: 'a server that is down',
    env: () => ({}),
    faults: () => sandbox.faults.push({ kind: '503', times: Number.POSITIVE_INFINITY }),
    code: 'rate_limited',
    outcome: 'postponed',
    names: () => ['status 503', 'next try'],
  },
  {
    what: 'a server that fails',
    env: () => ({}),
    faults: () => sandbox.faults.push({ kind: '500', times: Number.POSITIVE_INFINITY }),
    code: 'upstream_unavailable',
    names: () => ['status 500', 'after 2 attempts'],
  },
  {
    what: 'a server that hangs',
    env: () => ({ HTTP_TIMEOUT_SECONDS: '1', RETRY_ATTEMPTS: '1' }),
    faults: () => sandbox.faults.push({ kind: 'hang', times: Number.POSITIVE_INFINITY }),
    code: 'timeout',
    names: () => ['within 1 s'],
  },
];

describe.each(UPSTREAM_FAILURES)('$what', ({ env, faults, code, outcome = 'failed', names }) => {
  it(`ends sync with 1 and ${code}, and check says the same`, async () => {
    faults?.();
    const [json, check] = await Promise.all([
      cli.run(['sync', '--json'], { env: environment(env()) }),
      cli.run(['check'], { env: environment(env()) }),
    ]);
    expect([json.code, check.code]).toEqual([1, 1]);
    const { runs } = readJson(json) as { runs: { outcome: string; error: { code: string; message: string } }[] };
    expect(runs).toMatchObject([{ outcome, error: { code } }]);
    const failed = check.stdout.split('\n').filter((line) => line.startsWith('FAILED'));
    expect(failed).toHaveLength(1);
    for (const output of [runs[0]?.error.message, failed[0]]) {
      for (const name of names()) expect(output).toContain(name);
    }
    expect(json.stderr + check.stderr).not.toMatch(/unexpected|^\s+at /im);
  });
});

it('is printed for people with its code, and by check as a document too', async () => {
  const env = environment({ TILEDESK_PASSWORD: WRONG_PASSWORD });
  const [text, json] = await Promise.all([cli.run(['sync'], { env }), cli.run(['check', '--json'], { env })]);
  expect([text.code, json.code]).toEqual([1, 1]);
  expect(text.stdout).toMatch(
    / tiledesk\.departments backfill: failed, 0 created.*\n {2}auth_failed: .*TILEDESK_PASSWORD(\. It was not sent again: .*)?\ndocs\/troubleshooting\.md#auth_failed\n$/,
  );
  const { ok, checks } = readJson(json) as { ok: boolean; checks: { ok: boolean }[] };
  expect(ok).toBe(false);
  expect(checks.filter((check) => !check.ok)).toMatchObject([{ error: { code: 'auth_failed' } }]);
});

describe('check', () => {
  it('goes on with the next connection, and with the upstream when the database is down', async () => {
    const env = environment({
      TILEDESK_PROJECT_ID: `0123456789abcdef01234567,${sandbox.projectId}`,
      DATABASE_URL: `postgresql://me:${WRONG_PASSWORD}@127.0.0.1:${closedPort}/mirror`,
    });
    const { code, stdout } = await cli.run(['check'], { env });
    expect(code).toBe(1);
    const lines = stdout.split('\n').filter((line) => /^(ok|FAILED)/.test(line));
    expect(lines).toEqual([
      expect.stringMatching(/^FAILED {2}database: .*127\.0\.0\.1:\d+\/mirror.* cannot be reached/),
      expect.stringMatching(/^FAILED {2}tiledesk:0123456789abcdef01234567: .*TILEDESK_PROJECT_ID/),
      expect.stringContaining(`ok      tiledesk:${sandbox.projectId}: Made-up Shop, role owner`),
      expect.stringMatching(new RegExp(`^ok {6}tiledesk:${sandbox.projectId} tiledesk.departments: \\d+ upstream`)),
    ]);
  });

  it('ends with 0 and one document when everything is well', async () => {
    const env = environment({ TILEDESK_STREAMS: 'leads,requests,departments,project_users' });
    const [text, json] = await Promise.all([cli.run(['check'], { env }), cli.run(['check', '--json'], { env })]);
    expect([text.code, json.code]).toEqual([0, 0]);
    const { ok, checks } = readJson(json) as { ok: boolean; checks: { name: string; ok: boolean }[] };
    expect(ok).toBe(true);
    expect(checks.map(({ name }) => name.replace(/^tiledesk:\w+/, 'connection'))).toEqual([
      'database',
      'queue',
      'connection',
      'connection tiledesk.leads',
      'connection tiledesk.requests',
      'connection tiledesk.departments',
      'connection tiledesk.project_users',
    ]);
    expect(text.stderr).toBe('');
  });
});

it('check remembers what a project is called, and does without it; so does a run whose sign-in shows it', async () => {
  const own = await createTestDatabase();
  const id = `tiledesk:${sandbox.projectId}`;
  const env = environment({ DATABASE_URL: own.url });
  const client = new pg.Client({ connectionString: own.url });
  await client.connect();
  const names = async () => (await client.query('select * from sync.account_names')).rows;
  try {
    sandbox.faults.push({ kind: '500', match: { list: 'project' }, times: Infinity });
    const without = await cli.run(['check'], { env });
    expect([without.code, without.stdout]).toEqual([0, expect.stringContaining(`${id}: role owner`)]);
    expect(await names()).toEqual([]);
    sandbox.faults.clear();
    expect((await cli.run(['check'], { env })).stdout).toContain(`${id}: Made-up Shop, role owner`);
    expect(await names()).toEqual([{ connection_id: id, name: 'Made-up Shop' }]);
    await client.query("update sync.account_names set name = 'before'");
    expect((await cli.run(['sync'], { env: { ...env, TILEDESK_AUTH: 'basic' } })).code).toBe(0);
    expect(await names()).toEqual([{ connection_id: id, name: 'Made-up Shop' }]);
  } finally {
    await client.end();
    await own.drop();
  }
});

it('a wait that the server asked for is named by every command, nothing is sent meanwhile, and resume ends it', async () => {
  const own = await createTestDatabase();
  const env = environment({ DATABASE_URL: own.url, SYNC_INCREMENTAL_CRON: '* * * * *' });
  const client = new pg.Client({ connectionString: own.url });
  await client.connect();
  try {
    expect((await cli.run(['sync'], { env })).code).toBe(0);
    const { rows } = await client.query<{ until: Date }>(
      `update sync.budgets set blocked_until = date_trunc('second', now()) + interval '30 minutes', blocked_reason = 'Retry-After on 429'
       returning blocked_until as until`,
    );
    const until = rows[0]?.until.toISOString() ?? '';
    sandbox.clearLog();

    const outputOf = async (...args: string[]) => (await cli.run(args, { env })).stdout;
    const outputs = {
      check: await outputOf('check'),
      trigger: await outputOf('trigger', 'tiledesk.departments'),
      json: JSON.parse(await outputOf('status', '--json')),
      status: await outputOf('status'),
      requests: sandbox.log.length,
      resume: await outputOf('resume', 'tiledesk.departments'),
    };
    const asked = `asked to wait until ${until} \\(Retry-After on 429\\)`;
    expect(outputs).toEqual({
      check: expect.stringMatching(new RegExp(`^FAILED .*${asked}.*leadmirror resume`, 'm')),
      trigger: expect.stringMatching(new RegExp(`The server ${asked}.*leadmirror resume[^]*\\nNo daemon is running`)),
      json: { streams: [expect.objectContaining({ state: 'blocked', next_run: until })] },
      status: expect.stringMatching(/next try \d\d:\d\d UTC/),
      requests: 0,
      resume: expect.stringContaining(`the wait that the server asked for, until ${until}, is lifted`),
    });
    expect((await cli.run(['check'], { env })).code).toBe(0);
    expect(sandbox.log.length).toBeGreaterThan(0);
  } finally {
    await client.end();
    await own.drop();
  }
});

it('a refused credential is tried once more by hand, then by check alone, which ends the refusal for every process', async () => {
  const own = await createTestDatabase();
  const env = environment({ DATABASE_URL: own.url, TILEDESK_AUTH: 'basic' });
  const outcomeOf = async (...args: string[]) => {
    sandbox.clearLog();
    const { code, stdout } = await cli.run(args, { env });
    return {
      code,
      requests: sandbox.log.length,
      isSaid: stdout.includes('It was not sent again: the next try is at '),
    };
  };
  try {
    sandbox.faults.push({ kind: '401-text', times: Number.POSITIVE_INFINITY });
    expect(await outcomeOf('sync')).toEqual({ code: 1, requests: 1, isSaid: false });
    expect(await outcomeOf('sync')).toEqual({ code: 1, requests: 1, isSaid: false });
    expect(await outcomeOf('sync')).toEqual({ code: 1, requests: 0, isSaid: true });
    expect(await outcomeOf('check')).toEqual({ code: 1, requests: 1, isSaid: false });
    sandbox.faults.clear();
    expect(await outcomeOf('sync')).toEqual({ code: 1, requests: 0, isSaid: true });
    expect(await outcomeOf('check')).toMatchObject({ code: 0 });
    expect(await outcomeOf('sync')).toMatchObject({ code: 0, isSaid: false });
  } finally {
    await own.drop();
  }
});

it('check names a file with secrets that others may read, and the command that closes it', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'leadmirror-open-'));
  try {
    await writeFile(join(cwd, '.env'), `TILEDESK_PASSWORD=${sandbox.password}\n`);
    await chmod(join(cwd, '.env'), 0o644);
    const env = environment();
    const [text, json] = await Promise.all([
      cli.run(['check'], { env, cwd }),
      cli.run(['check', '--json'], { env, cwd }),
    ]);
    const note = `every user of this machine may read (mode 0644); close it: chmod 600 ${join(cwd, '.env')}`;
    expect(text.stdout).toMatch(/^Note /m);
    expect(text.stdout).toContain(note);
    expect((readJson(json) as { notes: string[] }).notes).toContainEqual(expect.stringContaining(note));
  } finally {
    await rm(cwd, { recursive: true });
  }
});

it('check lists the defaults that a data protection officer would change, which is no error', async () => {
  const plain = await cli.run(['check'], { env: environment() });
  const lines = plain.stdout.split('\n').filter((line) => line.startsWith('Privacy '));
  expect(lines).toEqual([
    expect.stringContaining('PRIVACY_PRESET=contact,texts (by default names, addresses'),
    expect.stringContaining('PRIVACY_UPSTREAM_DELETED=30 (by default rows that are gone upstream are kept for ever)'),
    expect.stringContaining('PRIVACY_RETENTION=tiledesk.leads last_contact 36 months erase'),
    expect.stringContaining('PRIVACY_JOURNAL=/'),
    expect.stringContaining('LEADMIRROR_SECRET_KEY='),
  ]);
  const set = {
    PRIVACY_PRESET: 'texts',
    PRIVACY_UPSTREAM_DELETED: '30',
    PRIVACY_RETENTION: 'tiledesk.leads last_contact 36 months erase',
    LEADMIRROR_SECRET_KEY: 'a-key-that-is-long-enough-0123456789',
  };
  const json = await cli.run(['check', '--json'], { env: { ...environment(), ...set } });
  expect((readJson(json) as { privacy: unknown[] }).privacy).toEqual([
    { variable: 'PRIVACY_JOURNAL', because: expect.any(String), line: expect.any(String) },
  ]);
  expect([plain.code, json.code]).toEqual([0, 0]);
});

describe("the mirror's database", () => {
  it.each([
    {
      what: 'is down',
      change: (to: URL) => {
        to.port = String(closedPort);
      },
      code: 'database_unavailable',
      isEvery: true,
      names: ['cannot be reached', 'is it running', 'DATABASE_URL'],
    },
    {
      what: 'refuses the password',
      change: (to: URL) => {
        to.password = WRONG_PASSWORD;
      },
      code: 'database_refused',
      names: ['user or password refused', 'DATABASE_URL'],
    },
    {
      what: 'does not exist',
      change: (to: URL) => {
        to.pathname = '/nowhere';
      },
      code: 'database_refused',
      names: ['/nowhere', 'no database of this name', 'create it'],
    },
  ])('$what: a command says so and ends with 1', async ({ change, code, names, isEvery = false }) => {
    const broken = new URL(database.url);
    change(broken);
    const env = environment({ DATABASE_URL: broken.href });
    const commands = [['sync'], ...(isEvery ? [['status'], ['runs'], ['migrate'], ['trigger', 'tiledesk']] : [])];
    const outputs = await Promise.all(commands.map((args) => cli.run(args, { env })));
    for (const { code: exitCode, stdout, stderr } of outputs) {
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
      for (const name of names) expect(stderr).toContain(name);
      expect(stderr.trim().split('\n')).toEqual([expect.any(String), `docs/troubleshooting.md#${code}`]);
    }
    const [json, check] = await Promise.all([
      cli.run([isEvery ? 'status' : 'sync', '--json'], { env }),
      cli.run(['check', '--json'], { env }),
    ]);
    expect([json.code, check.code]).toEqual([1, 1]);
    expect(readJson(json)).toEqual({ error: { code, message: expect.stringContaining(names[0] ?? '') } });
    expect(readJson(check)).toMatchObject({
      ok: false,
      checks: [{ name: 'database', ok: false, error: { code } }, {}, {}],
    });
  });

  it('belongs to something else: nothing is touched', async () => {
    const foreign = await createTestDatabase({ migrated: false });
    try {
      const client = new pg.Client({ connectionString: foreign.url });
      await client.connect();
      await client.query('create schema sync; create table sync.theirs (id int)');
      await client.end();
      const { code, stderr } = await cli.run(['sync'], { env: environment({ DATABASE_URL: foreign.url }) });
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^.*schema named sync that leadmirror did not make.*\ndocs\/troubleshooting\.md#database_foreign\n$/,
      );
    } finally {
      await foreign.drop();
    }
  });
});

describe('configuration', () => {
  it('that is absent ends with 2 and shows the way in', async () => {
    const [text, json] = await Promise.all([cli.run(['sync']), cli.run(['sync', '--json'])]);
    expect({ code: text.code, stdout: text.stdout }).toEqual({ code: 2, stdout: '' });
    for (const name of ['npm run demo', 'TILEDESK_PROJECT_ID', '.env']) expect(text.stderr).toContain(name);
    expect(json.code).toBe(2);
    const { error } = readJson(json) as { error: { code: string; problems: { variable: string }[] } };
    expect(error.code).toBe('config_invalid');
    expect(error.problems.map(({ variable }) => variable)).toEqual(['TILEDESK_PROJECT_ID']);
  });

  it('with several problems lists all of them, one a line, without the values of secrets', async () => {
    const env = {
      TILEDESK_PROJECT_ID: 'my project',
      TILEDESK_EMAIL: 'lead-canary(at)example.org',
      TILEDESK_PAGE_SIZE: '5000',
      TILEDESK_BASE_URL: 'http://tiledesk.example.org/v3',
      DATABASE_URL: `mysql://root:${WRONG_PASSWORD}@db/x`,
      SYNC_INCREMENTAL_CRON: 'every minute',
      HTTP_TIMEOUT_SECONDS: 'soon',
    };
    cli.guard('lead-canary');
    const { code, stdout, stderr } = await cli.run(['sync'], { env });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    const [head, ...lines] = stderr.trimEnd().split('\n');
    expect(head).toBe('The configuration cannot be used:');
    const named = lines.map((line) => /^ {2}([A-Z_]+): \S/.exec(line)?.[1]);
    expect(named.sort()).toEqual([...Object.keys(env), 'TILEDESK_PASSWORD'].sort());
  });

  it('with http:// to another machine ends with 2, unless that is wanted', async () => {
    const env = environment({
      TILEDESK_BASE_URL: 'http://192.0.2.1/v3',
      HTTP_TIMEOUT_SECONDS: '1',
      RETRY_ATTEMPTS: '1',
    });
    const refused = await cli.run(['sync'], { env });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/ {2}TILEDESK_BASE_URL: .*https/);
    expect(refused.stderr).toContain('ALLOW_INSECURE_HTTP');
  });

  it('with a misspelt name says which one was probably meant, in plain words', async () => {
    const { code, stderr } = await cli.runProcess(['status'], {
      env: { DATABASE_URL: database.url, TILEDESK_PROJCT_ID: 'x' },
    });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^Note: TILEDESK_PROJCT_ID .*TILEDESK_PROJECT_ID.*\n$/);
  });
});

describe('words on the command line', () => {
  it.each([
    { args: ['sync', 'nosuch.stream'], names: ['no stream nosuch.stream', 'tiledesk.departments'] },
    { args: ['sync', '--connection', 'nosuch'], names: ['no connection nosuch', 'tiledesk:'] },
    { args: ['trigger', 'leads'], names: ['no stream leads', 'tiledesk.departments'] },
    { args: ['start', '--role', 'boss'], names: ['no role boss', 'scheduler, worker, web'] },
  ])('$args: ends with 2 and names what there is', async ({ args, names }) => {
    const { code, stdout, stderr } = await cli.run(args, { env: environment() });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const name of names) expect(stderr).toContain(name);
  });

  it('are an error document for scripts', async () => {
    // What a test before has encrypted.
    const LEADMIRROR_SECRET_KEY = 'a-key-that-is-long-enough-0123456789';
    const json = await cli.run(['sync', 'nosuch.stream', '--json'], {
      env: { ...environment(), LEADMIRROR_SECRET_KEY },
    });
    expect(json.code).toBe(2);
    expect(readJson(json)).toEqual({ error: { code: 'usage', message: expect.stringContaining('nosuch.stream') } });
  });
});
