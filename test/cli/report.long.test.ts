import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

/** `leadmirror report refresh` and `leadmirror grant-readonly`, as a person runs them: no account needs to be configured. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

let database: TestDatabase;
let client: pg.Client;
beforeEach(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterEach(async () => {
  await client.end();
  await database.drop();
});

function leadmirror(...words: string[]) {
  const script = `(await import(${JSON.stringify(join(ROOT, 'src/cli/main.ts'))})).main(['node', 'leadmirror', ...${JSON.stringify(words)}])`;
  const hooks = join(ROOT, 'test/helpers/typescript.js');
  const args = ['--no-warnings', '--import', hooks, '--input-type=module', '-e', script];
  const env = { PATH: process.env.PATH, DATABASE_URL: database.url };
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, args, { cwd: '/', env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

it('refreshes, takes a time zone on the way, and says so', async () => {
  await client.query(`insert into tiledesk.requests (connection_id, id, status, created_at, raw, content_hash, run_id)
    values ('tiledesk:p', 'a', 200, '2026-03-01T23:30:00Z', '{}', '', 1)`);
  const day = async () => (await client.query('select day::text from reporting.requests_daily')).rows;

  const first = await leadmirror('report', 'refresh');
  expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^The reporting tables were computed anew/) });
  expect(await day()).toEqual([{ day: '2026-03-01' }]);
  const second = await leadmirror(
    ...['report', 'refresh', '--time-zone', 'Europe/Rome', '--connection', 'tiledesk:p', '--json'],
  );
  expect(second.code).toBe(0);
  expect(JSON.parse(second.stdout)).toEqual({ outcome: 'refreshed', ms: expect.any(Number) });
  expect(await day()).toEqual([{ day: '2026-03-02' }]);
});

it('refuses what it cannot do, with 2 and a word on what to do', async () => {
  const zone = await leadmirror('report', 'refresh', '--time-zone', 'Middle/Earth');
  expect(zone).toMatchObject({ code: 2, stderr: expect.stringContaining('Europe/Rome') });
  const hours = await leadmirror('report', 'refresh', '--business-hours', '9 to 5');
  expect(hours).toMatchObject({ code: 2, stderr: expect.stringContaining('write "mon-fri 09:00-18:00"') });
  const alone = await leadmirror('report', 'refresh', '--connection', 'tiledesk:p');
  expect(alone).toMatchObject({ code: 2, stderr: expect.stringContaining('--time-zone') });
  const role = await leadmirror('grant-readonly', 'nobody-of-that-name');
  expect(role).toMatchObject({ code: 2, stderr: expect.stringContaining('create role "nobody-of-that-name"') });
});

it('says busy, with 1, while another one is at it', async () => {
  await client.query('begin; select reporting.refresh()');
  expect(await leadmirror('report', 'refresh')).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('under way'),
  });
});
