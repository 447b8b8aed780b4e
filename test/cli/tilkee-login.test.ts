import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTilkeeSandbox, secretCanary, type TilkeeAddress, type TilkeeSandbox } from '../../sandbox/tilkee.ts';
import type { KeptSignIn } from '../../src/sources/tilkee/parts.ts';
import { vaultName } from '../../src/sources/tilkee/sign-in.ts';
import { createDatabase } from '../../src/store/database.ts';
import { createDatabaseVault } from '../../src/store/engine/vault.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { findClosedPort } from '../helpers/closed-port.ts';
import type { RunningInProcess } from '../helpers/in-process.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { NOBODY } from '../sources/tilkee/sign-in-support.ts';

/** The browser sign-in as an operator does it, the browser being `fetch`. */
let cli: Cli;
let sandbox: TilkeeSandbox;
let address: TilkeeAddress;
let database: TestDatabase;
let sql: pg.Client;
let redirectUri: string;

const SECRET_KEY = 'a-secret-key-canary-of-some-length-0123456789';

beforeAll(async () => {
  cli = await createCli();
  sandbox = createTilkeeSandbox({ projects: 3, items: 3, tokens: 3, visits: 3, users: 2 });
  address = await sandbox.listen();
  database = await createTestDatabase();
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
  cli.guard(secretCanary, SECRET_KEY, new URL(database.url).password);
});
beforeEach(async () => {
  redirectUri = `http://127.0.0.1:${await findClosedPort()}/callback`;
});
afterEach(() => sql.query('truncate sync.secrets'));
afterAll(async () => {
  await cli.close();
  await sandbox.close();
  await sql.end();
  await database.drop();
});

const environment = (changed: Record<string, string | undefined> = {}): Record<string, string> => {
  const all: Record<string, string | undefined> = {
    DATABASE_URL: database.url,
    LEADMIRROR_SECRET_KEY: SECRET_KEY,
    TILKEE_V3_URL: address.v3Url,
    TILKEE_V2_URL: address.v2Url,
    TILKEE_AUTH_URL: address.authUrl,
    TILKEE_APP_URL: address.url,
    TILKEE_CLIENT_ID: sandbox.clientId,
    TILKEE_CLIENT_SECRET: sandbox.clientSecret,
    RETRY_ATTEMPTS: '2',
    RETRY_MAX_SECONDS: '2',
    ...changed,
  };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
};

const words = (args: readonly string[]) => ['tilkee', 'login', '--redirect-uri', redirectUri, ...args];

/** With nobody at the keyboard. */
function login(args: readonly string[] = [], env = environment()): RunningInProcess {
  const running = cli.converse(words(args), { env });
  running.stdin.end();
  return running;
}

const browserUrl = async (running: Pick<RunningInProcess, 'says'>): Promise<string> =>
  (await running.says(/^ {2}(http\S+\/oauth\/authorize\/\S+)$/m))[1] ?? '';

async function stored(secretKey = SECRET_KEY): Promise<KeptSignIn | null> {
  const { prisma, close } = createDatabase({ url: database.url, logger: unheardLogger() });
  const auth = { ...NOBODY, clientId: sandbox.clientId };
  const name = vaultName({ id: 'tilkee:default', auth, authUrl: address.authUrl });
  return createDatabaseVault<KeptSignIn>(prisma, { name, secretKey }).peek().finally(close);
}

describe('with the browser on this machine', () => {
  it('the sign-in is kept, encrypted, and nothing of it is printed', async () => {
    const running = login();
    const page = await fetch(await browserUrl(running));
    const { code, stdout, stderr } = await running.ended;

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/Signed in\. The sign-in of tilkee:default is kept, encrypted/);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('this page can be closed');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page.headers.get('referrer-policy')).toBe('no-referrer');
    expect(await stored()).toMatchObject({ accessToken: expect.any(String), refreshToken: expect.any(String) });
    const { rows } = await sql.query(
      "select secrets::text as text, payload from sync.secrets where name like 'tilkee:%'",
    );
    expect(rows).toHaveLength(1);
    expect(rows[0].text).not.toContain(secretCanary);
    expect(rows[0].payload.includes(secretCanary)).toBe(false);
  });

  it('asks the web app for everything, with a state that nobody can guess', async () => {
    const seen = new Set<string | null>();
    for (let turn = 0; turn < 2; turn += 1) {
      const running = login();
      const url = new URL(await browserUrl(running));
      expect(url.origin).toBe(address.url);
      expect(Object.fromEntries(url.searchParams)).toMatchObject({
        response_type: 'code',
        client_id: sandbox.clientId,
        redirect_uri: redirectUri,
        scope: 'all',
      });
      const state = url.searchParams.get('state') ?? '';
      expect(state.length).toBeGreaterThanOrEqual(32);
      seen.add(state);
      running.kill('SIGINT');
      await running.ended;
    }
    expect(seen.size).toBe(2);
  });

  it('an answer of somebody else is not taken, and the right one still is', async () => {
    const running = login();
    const url = await browserUrl(running);
    const wrong = [`${redirectUri}?code=stolen&state=guessed`, `${redirectUri}?code=stolen`];
    for (const attempt of wrong) expect((await fetch(attempt)).status).toBe(400);
    expect((await fetch(new URL('/favicon.ico', redirectUri))).status).toBe(404);
    await running.says(/does not belong to this sign-in/);

    expect((await fetch(url)).status).toBe(200);
    expect((await running.ended).code).toBe(0);
    expect(await stored()).not.toBeNull();
  });

  it('a “no” in the browser ends it, and changes nothing', async () => {
    const running = login();
    const state = new URL(await browserUrl(running)).searchParams.get('state');
    const page = await fetch(`${redirectUri}?error=access_denied&error_description=canary&state=${state}`);
    const { code, stderr } = await running.ended;
    expect(code).toBe(1);
    expect(stderr).toContain('Tilkee did not allow the sign-in');
    expect(stderr + (await page.text())).not.toContain('canary');
    expect(await stored()).toBeNull();
  });

  it('a code that Tilkee refuses ends it, and says what to do', async () => {
    const running = login();
    const state = new URL(await browserUrl(running)).searchParams.get('state');
    await fetch(`${redirectUri}?code=not-one-of-theirs&state=${state}`);
    const { code, stderr } = await running.ended;
    expect(code).toBe(1);
    expect(stderr).toContain('`leadmirror tilkee login`');
    expect(stderr).not.toContain('not-one-of-theirs');
  });

  it('Ctrl-C ends it cleanly', async () => {
    const running = cli.start(words([]), { env: environment() });
    await browserUrl(running);
    running.kill('SIGINT');
    const { code, stderr } = await running.ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    await expect(fetch(redirectUri)).rejects.toThrow();
  });

  it('a port that is in use is told before anybody signs in', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`;
    const { code, stdout, stderr } = await login().ended;
    server.close();
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const text of ['EADDRINUSE', '--redirect-uri', '--no-listen']) expect(stderr).toContain(text);
  });

  it('replaces a sign-in that was damaged; with another key nobody has to sign in to be told', async () => {
    for (const _ of ['first', 'damaged']) {
      const running = login();
      await fetch(await browserUrl(running));
      expect((await running.ended).code).toBe(0);
      expect(await stored()).not.toBeNull();
      await sql.query("update sync.secrets set payload = '\\x01' where name like 'tilkee:%'");
    }
    const { code, stdout, stderr } = await login([], environment({ LEADMIRROR_SECRET_KEY: `${SECRET_KEY}-changed` }))
      .ended;
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('rekey --discard');
  });
});

describe('with the browser elsewhere', () => {
  /** As `login`, with somebody at the keyboard. */
  function typing(args: readonly string[]) {
    const running = cli.converse(words(args), { env: environment() });
    return {
      type: (line: string) => running.stdin.write(`${line}\n`),
      end: () => running.stdin.end(),
      ended: running.ended.then(({ code, stdout, stderr }) => ({ code, text: stdout + stderr })),
      says: async (pattern: RegExp) => (await running.says(pattern))[1] ?? '',
    };
  }

  const signInElsewhere = async (url: string): Promise<string> =>
    (await fetch(url, { redirect: 'manual' })).headers.get('location') ?? '';

  const ways: readonly [string, (location: string) => string][] = [
    ['the address that it ends on', (location) => location],
    ['what follows the question mark', (location) => new URL(location).search],
    ['the code alone', (location) => new URL(location).searchParams.get('code') ?? ''],
    ['the code, with spaces around it', (location) => `  ${new URL(location).searchParams.get('code')} `],
  ];

  it.each(ways)('%s can be pasted', async (_, paste) => {
    const running = typing(['--no-listen']);
    const url = await running.says(/^ {2}(http\S+)$/m);
    running.type(paste(await signInElsewhere(url)));
    const { code, text } = await running.ended;
    expect({ code, text }).toEqual({ code: 0, text: expect.stringContaining('Signed in.') });
    expect(text).not.toContain(secretCanary);
    expect(await stored()).not.toBeNull();
  });

  it('it can also be pasted while the browser is waited for', async () => {
    const running = typing([]);
    const url = await running.says(/^ {2}(http\S+)$/m);
    running.type(await signInElsewhere(url));
    expect((await running.ended).code).toBe(0);
  });

  it('an address of another attempt is not taken, nor is a slip; the right one still is', async () => {
    const running = typing(['--no-listen']);
    const url = await running.says(/^ {2}(http\S+)$/m);
    const location = await signInElsewhere(url);
    running.type(location.replace(/state=[^&]+/, 'state=another'));
    await running.says(/does not belong to this sign-in/);
    running.type('');
    running.type('two words');
    await running.says(/neither an address nor a code/);
    running.type(location);
    expect((await running.ended).code).toBe(0);
  });

  it('a redirect URI that is not this machine’s is only for pasting', async () => {
    redirectUri = 'https://app.example.test/callback';
    const running = typing([]);
    const url = await running.says(/^ {2}(http\S+)$/m);
    await running.says(/paste the address that the browser ends on/);
    running.type(await signInElsewhere(url));
    expect((await running.ended).code).toBe(0);
  });

  it('an end of the input is the end', async () => {
    const running = typing(['--no-listen']);
    await running.says(/^ {2}(http\S+)$/m);
    running.end();
    const { code, text } = await running.ended;
    expect({ code, text }).toEqual({ code: 2, text: expect.stringContaining('No code was given') });
  });
});

describe('what is missing is told before anything is done', () => {
  it.each([
    ['the secret key', { LEADMIRROR_SECRET_KEY: undefined, TILKEE_REFRESH_TOKEN: 'r' }, ['LEADMIRROR_SECRET_KEY']],
    [
      'client id and secret',
      { TILKEE_CLIENT_ID: undefined, TILKEE_CLIENT_SECRET: undefined, TILKEE_REFRESH_TOKEN: 'r' },
      ['TILKEE_CLIENT_ID', 'TILKEE_CLIENT_SECRET'],
    ],
    [
      'a Tilkee account',
      {
        TILKEE_CLIENT_ID: undefined,
        TILKEE_CLIENT_SECRET: undefined,
        TILKEE_V3_URL: undefined,
        TILKEE_V2_URL: undefined,
        TILKEE_AUTH_URL: undefined,
        TILKEE_APP_URL: undefined,
      },
      ['TILKEE_CLIENT_ID'],
    ],
    [
      'a need to sign in',
      { TILKEE_CLIENT_ID: undefined, TILKEE_CLIENT_SECRET: undefined, TILKEE_ACCESS_TOKEN: 'static-key-canary' },
      ['TILKEE_ACCESS_TOKEN'],
    ],
  ])('%s', async (_, changed, names) => {
    const { code, stdout, stderr } = await login([], environment(changed)).ended;
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const name of names) expect(stderr).toContain(name);
    expect(stderr).not.toContain('canary');
  });

  it('an account that is not there', async () => {
    const { code, stderr } = await login(['--connection', 'tilkee:other']).ended;
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('tilkee:default') });
  });

  it.each(['callback', 'ftp://127.0.0.1/callback', 'http://127.0.0.1/#a'])('a redirect URI: %s', async (uri) => {
    redirectUri = uri;
    const { code, stderr } = await login().ended;
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('--redirect-uri') });
  });
});

it('help explains it', async () => {
  const group = await cli.run(['tilkee', '--help']);
  expect({ code: group.code, stdout: group.stdout }).toEqual({ code: 0, stdout: expect.stringContaining('login') });
  const { code, stdout } = await cli.run(['tilkee', 'login', '--help']);
  expect(code).toBe(0);
  for (const option of ['--connection', '--redirect-uri', '--no-listen', 'http://127.0.0.1:8765/callback']) {
    expect(stdout).toContain(option);
  }
  expect((await cli.run(['tilkee', 'lgoin'])).code).toBe(2);
  expect((await cli.run(['tilkee'])).code).toBe(2);
});
