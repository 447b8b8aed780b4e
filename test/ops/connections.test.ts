import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { createConnectionStore } from '../../src/app/connection-store.ts';
import { loadConfig } from '../../src/config.ts';
import { addConnectionRoutes } from '../../src/ops/routes/connections.ts';
import { findRoot } from '../helpers/recipes.ts';
import { BEARER, type OpsSetup, setupOps, TOKEN } from './support.ts';

const KEY = 'a-secret-key-of-the-connection-tests';

let setup: OpsSetup;
let server: FastifyInstance;
beforeAll(async () => {
  setup = await setupOps();
  const env = { LEADMIRROR_SECRET_KEY: KEY };
  const accounts = createConnectionStore({
    database: setup.store,
    secretKey: KEY,
    load: (stored) => loadConfig({ env, cwd: '/', isTerminal: false }, { stored, requireConnections: false }),
  });
  server = setup.server({
    token: TOKEN,
    readToken: 'a-token-that-reads-0123456789',
    plugins: [(to) => addConnectionRoutes(to, accounts)],
  });
});
afterAll(() => setup.close());
beforeEach(() => setup.store.query('truncate sync.connections, sync.secrets'));

const SECRET = 'canary-password-of-the-shop';
const project = (n: number): string => n.toString(16).padStart(24, '0');
const shop = (n = 1) => ({ source: 'tiledesk', projectId: project(n), email: 'shop@example.test', password: SECRET });
const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path = '', payload?: object, headers: object = BEARER) =>
  server.inject({ method, url: `/api/connections${path}`, headers: { ...headers }, ...(payload && { payload }) });

it('adds, lists, changes and removes an account; no answer has its secrets', async () => {
  const id = `tiledesk:${project(1)}`;
  const added = await call('POST', '', { ...shop(), label: 'Shop', pageSize: 50, streams: ['leads'] });
  expect([added.statusCode, added.json()]).toEqual([201, { added: id }]);
  const edited = await call('PATCH', `/${id}`, { label: null, schedule: { reconcile: 'off' }, enabled: false });
  expect([edited.statusCode, edited.json()]).toEqual([200, { edited: id }]);
  const listed = await call('GET');
  expect(listed.json().connections).toMatchObject([
    {
      ...{ id, source: 'tiledesk', state: 'off', code: null, secrets: ['email', 'password'] },
      settings: {
        source: 'tiledesk',
        projectId: project(1),
        pageSize: '50',
        streams: ['leads'],
        schedule: { reconcile: 'off' },
      },
    },
  ]);
  const answers = [added, edited, listed].map(({ body }) => body).join();
  expect(answers).not.toContain(SECRET);
  expect(answers).not.toContain('shop@');
  const removed = await call('DELETE', `/${id}`);
  expect([removed.statusCode, removed.json()]).toEqual([200, { removed: id, kept: [] }]);
  expect((await call('GET')).json().connections).toEqual([]);
});

it('what is wrong is refused with a code, and nothing is written', async () => {
  const id = `tiledesk:${project(1)}`;
  const refusal = async (response: ReturnType<typeof call>) => {
    const { statusCode, body } = await response;
    expect(body).not.toContain(SECRET);
    const { code, message } = JSON.parse(body).error;
    return `${statusCode} ${code} ${message}`;
  };
  expect(await refusal(call('POST', '', []))).toMatch(/^400 bad_request /);
  expect(await refusal(call('POST', '', { ...shop(), password: { of: SECRET } }))).toMatch(/^400 config_invalid /);
  expect(await refusal(call('POST', '', { ...shop(), pageSize: 1 }))).toMatch(/^400 config_invalid .*pageSize must be/);
  expect(await refusal(call('POST', '', { ...shop(), [SECRET]: 'x' }))).toMatch(/^400 config_invalid /);
  expect(await refusal(call('POST', '', { ...shop(), baseUrl: 'https://169.254.169.254/v3' }))).toMatch(
    /^400 config_invalid /,
  );
  expect(await refusal(call('PATCH', `/${id}`, { pageSize: 50 }))).toMatch(/^404 connection_unknown /);
  expect(await refusal(call('DELETE', `/${id}`))).toMatch(/^404 connection_unknown /);
  await call('POST', '', shop());
  expect(await refusal(call('POST', '', shop()))).toMatch(/^409 connection_exists /);
  expect(await refusal(call('PATCH', `/${id}`, {}))).toMatch(/^400 bad_request /);
  expect(await refusal(call('PATCH', `/${id}`, { source: 'tilkee' }))).toMatch(/^400 config_invalid /);
  const elsewhere = { baseUrl: 'https://desk.example.com/v3' };
  expect(await refusal(call('PATCH', `/${id}`, elsewhere))).toMatch(/^400 config_invalid .*another address/);
  expect((await call('PATCH', `/${id}`, { ...elsewhere, password: SECRET })).statusCode).toBe(200);
});

it('needs the token; the one that reads changes nothing', async () => {
  expect((await call('GET', '', undefined, {})).statusCode).toBe(401);
  expect((await call('POST', '', shop(), {})).statusCode).toBe(401);
  const reads = { authorization: 'Bearer a-token-that-reads-0123456789' };
  expect((await call('GET', '', undefined, reads)).statusCode).toBe(200);
  expect((await call('POST', '', shop(), reads)).statusCode).toBe(403);
});

it('examples/add-accounts.mjs adds those of a file, and those that are new when it is run again', async () => {
  const url = await server.listen({ port: 0, host: '127.0.0.1' });
  const folder = await mkdtemp(join(tmpdir(), 'leadmirror-accounts-'));
  const file = join(folder, 'accounts.ndjson');
  const write = (count: number) =>
    writeFile(file, Array.from({ length: count }, (_, n) => `${JSON.stringify(shop(n + 1))}\n`).join(''));
  const env = { ...process.env, LEADMIRROR_URL: url, OPS_TOKEN: TOKEN };
  const run = () => promisify(execFile)('node', [join(findRoot(), 'examples/add-accounts.mjs'), file], { env });
  await write(3);
  expect((await run()).stdout.trim().split('\n')).toEqual([1, 2, 3].map((n) => `tiledesk:${project(n)}`));
  await write(4);
  expect((await run()).stdout).toContain(`tiledesk:${project(4)}`);
  expect((await call('GET')).json().connections).toHaveLength(4);
  await rm(folder, { recursive: true });
});
