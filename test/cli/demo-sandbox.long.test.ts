import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { type Cli, createCli, type Running } from '../helpers/cli.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

/** The simulated upstreams that `sandbox` and `demo` start: both, side by side, and both gone afterwards. */
let cli: Cli;
let database: TestDatabase;
const taken: Server[] = [];
beforeAll(async () => {
  cli = await createCli();
  database = await createTestDatabase();
});
afterEach(async () => {
  for (const server of taken.splice(0)) server.close();
});
afterAll(async () => {
  await cli.close();
  await database.drop();
});

const SMALL = ['--leads', '30', '--requests', '40', '--seed', '7'];

function start(...options: string[]): Running {
  return cli.start(['sandbox', ...SMALL, ...options], { isUnguarded: true });
}

const variablesOf = ({ stdout }: Running): Record<string, string> =>
  Object.fromEntries(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

async function isClosed(url: string): Promise<boolean> {
  return fetch(url).then(
    () => false,
    () => true,
  );
}

/** A port that is free, and so is the next one. */
async function freePair(): Promise<number> {
  for (;;) {
    const first = createServer().listen(0, '127.0.0.1');
    await once(first, 'listening');
    const address = first.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const second = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      second.once('error', () => resolve(false)).listen(port + 1, '127.0.0.1', () => resolve(true));
    });
    await Promise.all([first, second].filter(({ listening }) => listening).map((one) => once(one.close(), 'close')));
    if (isFree) return port;
  }
}

it('prints variables of both that work with sync, and ends with both at a signal', async () => {
  const sizes = ['--messages', '--projects', '12', '--links', '60', '--visits', '90'];
  const running = start('--port', '0', ...sizes);
  await running.says(/Ctrl-C stops them/);
  const given = variablesOf(running);
  expect(Object.keys(given)).toEqual([
    ...['TILEDESK_BASE_URL', 'TILEDESK_PROJECT_ID', 'TILEDESK_EMAIL', 'TILEDESK_PASSWORD', 'TILEDESK_STREAMS'],
    ...['TILKEE_V3_URL', 'TILKEE_V2_URL', 'TILKEE_AUTH_URL', 'TILKEE_APP_URL', 'TILKEE_USERNAME', 'TILKEE_PASSWORD'],
    ...['TILKEE_CLIENT_ID', 'TILKEE_CLIENT_SECRET', 'TILKEE_REQUESTS_PER_MINUTE'],
  ]);
  const { code, stdout } = await cli.run(['sync', '--json'], { env: { ...given, DATABASE_URL: database.url } });
  expect(code).toBe(0);
  const created = JSON.parse(stdout).runs.map((run: { stream: string; created: number }) => [run.stream, run.created]);
  expect(Object.fromEntries(created)).toMatchObject({
    'tiledesk.leads': 30,
    'tiledesk.requests': 40,
    'tiledesk.messages': expect.any(Number),
    'tilkee.projects': 12,
    'tilkee.items': 200,
    'tilkee.tokens': 60,
    'tilkee.connexions': 90,
    'tilkee.users': 6,
  });
  running.kill('SIGTERM');
  expect((await running.ended).code).toBe(0);
  expect(await isClosed(given.TILEDESK_BASE_URL ?? '')).toBe(true);
  expect(await isClosed(given.TILKEE_V3_URL ?? '')).toBe(true);
});

it('puts Tilkee on the port after that of Tiledesk', async () => {
  const port = await freePair();
  const running = start('--port', String(port));
  await running.says(/Ctrl-C stops them/);
  const given = variablesOf(running);
  expect(given.TILEDESK_BASE_URL).toBe(`http://127.0.0.1:${port}`);
  expect(given.TILKEE_V3_URL).toBe(`http://127.0.0.1:${port + 1}/v3`);
  running.kill('SIGINT');
  await running.ended;
});

it('makes the trouble that was asked for, in its time only', async () => {
  const running = start('--port', '0', '--fault', '503:60m', '429:60m@60m');
  await running.says(/Ctrl-C stops them/);
  const { TILEDESK_BASE_URL = '', TILKEE_V3_URL = '' } = variablesOf(running);
  const statuses = await Promise.all([TILEDESK_BASE_URL, TILKEE_V3_URL].map(async (url) => (await fetch(url)).status));
  expect(statuses).toEqual([503, 503]);
  running.kill('SIGTERM');
  await running.ended;
  for (const text of ['503', '418:60s', '503:1h', '503:60s@']) {
    const { code, stderr } = await cli.run(['sandbox', '--fault', text]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^--fault takes kind:duration, such as 503:60s .*Kinds: 429, 500, 503, /);
  }
});

it('says which port is taken, for either of them', async () => {
  const port = await freePair();
  taken.push(createServer().listen(port + 1, '127.0.0.1'));
  const { code, stdout, stderr } = await cli.run(['sandbox', ...SMALL, '--port', String(port)]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(new RegExp(`^Port ${port + 1} cannot be used for the simulated Tilkee .*--port.*\\n$`));
  const last = await cli.run(['sandbox', ...SMALL, '--port', '65535']);
  expect({ code: last.code, stdout: last.stdout }).toEqual({ code: 2, stdout: '' });
  expect(last.stderr).toMatch(/^Port 65536 cannot be used .*--port.*\n$/);
});
