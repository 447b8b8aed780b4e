import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type InProcess, startInProcess } from '../helpers/in-process.ts';
import { createTestDatabase, type TestDatabase, withClient } from '../helpers/postgres.ts';

const KEY = 'a-secret-key-of-the-connection-tests';

let sandbox: TiledeskSandbox;
let url: string;
let database: TestDatabase;
let cwd: string;
beforeAll(async () => {
  sandbox = createTiledeskSandbox({ leads: 20, requests: 20 });
  ({ url } = await sandbox.listen());
  database = await createTestDatabase();
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-connection-'));
});
afterAll(async () => {
  await database.drop();
  await sandbox.close();
  await rm(cwd, { recursive: true, force: true });
});
beforeEach(async () => {
  await rm(join(cwd, 'leadmirror.yaml'), { force: true });
  await ask('truncate sync.connections, sync.secrets, sync.streams cascade');
});

const ask = <T>(text: string) => withClient(database.url, async (client) => (await client.query(text)).rows as T[]);

type RunOptions = { env?: object; input?: string; columns?: number };

function run(args: readonly string[], { env = {}, input = '', ...terminal }: RunOptions = {}) {
  const known = {
    DATABASE_URL: database.url,
    LEADMIRROR_SECRET_KEY: KEY,
    LOG_LEVEL: 'warn',
    CONNECTION_HOSTS: '127.0.0.1',
  };
  const running = startInProcess(args, { env: { ...known, ...env } as Record<string, string>, cwd, ...terminal });
  running.stdin.end(input);
  return running.ended;
}

const settings = () => [`projectId=${sandbox.projectId}`, `baseUrl=${url}`];
const signIn = () => ({ input: `${sandbox.email}\n${sandbox.password}\n` });
const addShop = (more: readonly string[] = []): Promise<InProcess> =>
  run(['connection', 'add', 'tiledesk', '--id', 'shop', ...settings(), ...more], signIn());
const list = async () => JSON.parse((await run(['connection', 'list', '--json'])).stdout).connections;

it('an account is added, mirrored, listed without its secrets, and removed; its rows stay', async () => {
  expect(await addShop()).toMatchObject({ code: 0, stdout: expect.stringContaining('shop is added.') });
  const synced = await run(['sync', 'leads', '--no-reports', '--json']);
  expect(JSON.parse(synced.stdout).runs).toEqual([
    expect.objectContaining({ connection: 'shop', outcome: 'succeeded', created: 20 }),
  ]);
  const listed = await run(['connection', 'list']);
  expect(listed.stdout).toContain('shop  tiledesk  mirrored');
  expect(listed.stdout).toContain('with email, password');
  expect(listed.stdout).not.toContain(sandbox.email);
  const removed = await run(['connection', 'remove', 'shop']);
  expect(removed).toMatchObject({ code: 0, stdout: expect.stringContaining('What was mirrored stays') });
  expect(await ask('select enabled from sync.streams where enabled')).toEqual([]);
  expect(await ask(`select 1 from sync.secrets where name = 'connection shop'`)).toEqual([]);
  expect(await ask('select count(*)::int from tiledesk.leads')).toEqual([{ count: 20 }]);
  expect(await run(['connection', 'remove', 'shop'])).toMatchObject({ code: 1 });
});

it('what is secret is in no table in the clear', async () => {
  await addShop();
  const rows = await ask<object>(
    `select c.*, s.payload from sync.connections c join sync.secrets s on s.name = 'connection ' || c.id`,
  );
  expect(rows).toHaveLength(1);
  for (const secret of [sandbox.password, sandbox.email]) {
    expect(JSON.stringify(rows)).not.toContain(secret);
    expect(await ask(`select 1 from sync.secrets where position('${secret}'::bytea in payload) > 0`)).toEqual([]);
  }
});

it('no secret is taken from an argument', async () => {
  const refused = await run(['connection', 'add', 'tiledesk', ...settings(), 'password=q1w2e3r4']);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('password is a secret') });
  expect(refused.stderr).not.toContain('q1w2e3r4');
});

it('a secret may be in a file', async () => {
  const typed = ['--secret', 'email'];
  const input = { input: `${sandbox.email}\n` };
  const path = join(cwd, 'password');
  await writeFile(path, sandbox.password, { mode: 0o600 });
  const added = await run(
    ['connection', 'add', 'tiledesk', ...settings(), ...typed, '--password-file', 'password'],
    input,
  );
  expect(added).toMatchObject({ code: 0, stdout: expect.stringContaining(`tiledesk:${sandbox.projectId} is added`) });
  const missing = await run(['connection', 'add', 'tiledesk', '--id', 'b', ...typed, '--password-file', 'none'], input);
  expect(missing).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('the file of password: names a file that'),
  });
});

it('an account needs a key, and what its source needs', async () => {
  const keyless = await run(['connection', 'add', 'tiledesk', ...settings()], {
    ...signIn(),
    env: { LEADMIRROR_SECRET_KEY: '' },
  });
  expect(keyless).toMatchObject({ code: 2, stderr: expect.stringContaining('LEADMIRROR_SECRET_KEY: is not set') });
  const half = await run(['connection', 'add', 'tiledesk', '--id', 'half', 'pageSize=5', '--secret', 'password'], {
    input: 'x\n',
  });
  expect(half.code).toBe(2);
  expect(half.stderr).toContain('  connection half: email is missing');
  expect(half.stderr).toContain('; projectId is missing');
  expect(half.stderr).toContain('; pageSize must be a whole number');
  expect(await run(['connection', 'add', 'tiledesk', ...settings()])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('stdin has no line'),
  });
  expect(await list()).toEqual([]);
});

it('no text of a stored account refers to a variable or a file of the process', async () => {
  const variable = await addShop([`scanKey=$${'{LEADMIRROR_SECRET_KEY}'}`]);
  expect(variable).toMatchObject({ code: 2, stderr: expect.stringContaining('connection shop: scanKey must be') });
  const file = await addShop(['tokenFile=/etc/passwd']);
  expect(file).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('connection shop: tokenFile is not a known key'),
  });
});

it('a host of a private network has to be allowed', async () => {
  const env = { CONNECTION_HOSTS: '' };
  const refused = await run(['connection', 'add', 'tiledesk', ...settings()], { ...signIn(), env });
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('CONNECTION_HOSTS of every process') });
  await addShop();
  const checked = await run(['connection', 'check'], { env });
  expect(checked).toMatchObject({ code: 1, stdout: expect.stringContaining('FAILED  shop: names 127.0.0.1') });
  expect(await run(['connection', 'check', 'shop'])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('ok      shop'),
  });
  const wrong = await run(['connection', 'list'], { env: { CONNECTION_HOSTS: 'http://x' } });
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('CONNECTION_HOSTS: must be the name') });
});

it('check on a terminal breaks lines between words, below their beginning', async () => {
  await addShop();
  const { code, stdout } = await run(['check'], { columns: 60 });
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.filter((line) => !/^(ok {6}|Note {4}|Privacy | {8})\S/.test(line))).toEqual([]);
  expect(lines.filter((line) => line.length > 60 && line.slice(8).includes(' '))).toEqual([]);
  expect(lines.length).toBeGreaterThan((await run(['check'])).stdout.trimEnd().split('\n').length);
});

it('an id lives in one place', async () => {
  await writeFile(join(cwd, 'leadmirror.yaml'), yaml('shop'));
  const secret = { ...signIn(), env: { SHOP_PASSWORD: sandbox.password } };
  const refused = await run(['connection', 'add', 'tiledesk', '--id', 'shop', ...settings()], secret);
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('shop is also configured, by leadmirror.yaml'),
  });
  await rm(join(cwd, 'leadmirror.yaml'));
  await addShop();
  expect(await addShop()).toMatchObject({ code: 1, stderr: expect.stringContaining('shop is there already') });
});

it('an id that the file gets later is taken from there, and dropping it from the file revives nothing', async () => {
  await addShop(['streams=leads']);
  await writeFile(join(cwd, 'leadmirror.yaml'), yaml('shop'));
  const env = { SHOP_PASSWORD: sandbox.password };
  const synced = await run(['sync', 'departments', '--no-reports', '--json'], { env });
  expect(synced.stderr).toContain('shop is also configured, by leadmirror.yaml');
  expect(JSON.parse(synced.stdout).runs).toMatchObject([{ connection: 'shop', outcome: 'succeeded' }]);
  expect(await run(['check'], { env })).toMatchObject({ code: 1, stdout: expect.stringContaining('FAILED  shop: ') });
  await rm(join(cwd, 'leadmirror.yaml'));
  expect(await run(['sync'])).toMatchObject({ code: 2, stderr: expect.stringContaining('no Tiledesk project') });
  expect(await list()).toMatchObject([{ id: 'shop', state: 'unusable', code: 'connection_clash' }]);
  expect(await run(['connection', 'edit', 'shop', 'enabled=true'])).toMatchObject({ code: 0 });
  expect(await list()).toMatchObject([{ id: 'shop', state: 'mirrored', code: null }]);
});

const yaml = (id: string): string =>
  `connections:
  - id: ${id}
    source: tiledesk
    projectId: ${sandbox.projectId}
    email: ${sandbox.email}
    password: \${SHOP_PASSWORD}
    baseUrl: ${url}
    streams: departments
`;

it('rekey reports where the new key is kept, or that it is in its own environment only', async () => {
  await addShop();
  const other = 'another-secret-key-of-the-connection-tests';
  const env = { LEADMIRROR_SECRET_KEY: other, LEADMIRROR_OLD_SECRET_KEY: KEY };
  const lost = await run(['rekey'], { env });
  expect(lost).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/environment of this command only: write LEAD/),
  });
  await writeFile(join(cwd, '.env'), `LEADMIRROR_SECRET_KEY=${KEY}\n`, { mode: 0o600 });
  expect(JSON.parse((await run(['rekey', '--json'], { env })).stdout)).toMatchObject({ key_kept_in: null });
  const back = { LEADMIRROR_SECRET_KEY: KEY, LEADMIRROR_OLD_SECRET_KEY: other };
  const kept = await run(['rekey'], { env: back });
  expect(kept).toMatchObject({ code: 0, stdout: expect.stringContaining('The new key is kept in .env.') });
  await rm(join(cwd, '.env'));
});
