import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { createKeptAccounts } from '../../src/app/kept-accounts.ts';
import type { MirrorDatabase } from '../../src/app/mirror-database.ts';
import { loadConfig } from '../../src/config.ts';
import { findRoot } from '../helpers/recipes.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { BEARER, type OpsSetup, setupOps, TOKEN } from './support.ts';

const KEY = 'a-secret-key-of-the-connection-tests';

let setup: OpsSetup;
let server: FastifyInstance;
beforeAll(async () => {
  setup = await setupOps();
  const env = { LEADMIRROR_SECRET_KEY: KEY };
  const accounts = createKeptAccounts({
    ...{ database: setup.store as unknown as MirrorDatabase, logger: unheardLogger(), onChange: () => {} },
    secretKey: KEY,
    keptIds: () => [],
    load: (stored) => loadConfig({ env, cwd: '/', isTerminal: false }, { stored, requireConnections: false }),
  });
  server = setup.server({
    token: TOKEN,
    readToken: 'a-token-that-reads-0123456789',
    accounts,
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

it('the page has forms for them by the same rules, and sends nothing secret back', async () => {
  const id = `tiledesk:${project(1)}`;
  const form = (path: string, fields: Record<string, string>) =>
    server.inject({
      ...{ method: 'POST', url: `/accounts${path}`, payload: String(new URLSearchParams(fields)) },
      headers: { ...BEARER, accept: 'text/html', 'content-type': 'application/x-www-form-urlencoded' },
    });
  await call('POST', '', { ...shop(), label: 'Shop', streams: ['leads', 'requests'] });
  const page = await server.inject({ url: `/accounts?edit=${id}`, headers: { ...BEARER, accept: 'text/html' } });
  expect(page.body).toContain('value="leads,requests"');
  const moved = await form(`/${id}`, { label: 'Moved', baseUrl: 'https://desk.example.com/v3', password: '' });
  expect(moved.statusCode).toBe(400);
  expect(moved.body).toMatch(/role="alert">.*entered for another address/);
  expect(moved.body).toContain('value="Moved"');
  const twice = await form('', shop());
  expect([twice.statusCode, twice.body]).toEqual([400, expect.stringContaining('is there already')]);
  for (const { body } of [page, moved, twice]) expect(body).not.toMatch(new RegExp(`${SECRET}|shop@`));
  expect((await call('GET')).json().connections[0].settings).toMatchObject({ label: 'Shop' });
  const removed = await form(`/${id}/remove`, {});
  expect(removed.body).toContain(`${id} is removed. Nothing of it was mirrored.`);
  const unknown = await server.inject({ method: 'POST', url: `/api/connections/${id}/check`, headers: BEARER });
  expect(unknown.statusCode).toBe(404);
});

it('needs the token; the one that reads changes nothing', async () => {
  expect((await call('GET', '', undefined, {})).statusCode).toBe(401);
  expect((await server.inject({ url: '/accounts' })).statusCode).toBe(401);
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
