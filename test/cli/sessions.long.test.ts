import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

let cli: Cli;
let sandbox: TiledeskSandbox;
let url: string;
let database: TestDatabase;
beforeAll(async () => {
  cli = await createCli();
  sandbox = createTiledeskSandbox({ leads: 20, requests: 20 });
  ({ url } = await sandbox.listen());
  cli.guard(sandbox);
  database = await createTestDatabase();
});
afterAll(async () => {
  await sandbox.close();
  await database.drop();
  await cli.close();
});

const KEY = { LEADMIRROR_SECRET_KEY: 'a-key-that-is-long-enough-for-a-test' };

async function signInsOf(
  command: string,
  env: Record<string, string>,
): Promise<{ code: number | null; signIns: number }> {
  sandbox.clearLog();
  const { code } = await cli.run([command], { env: { ...variables(sandbox, url, database.url), ...env } });
  return { code, signIns: sandbox.log.filter(({ list }) => list === 'signin').length };
}

it('cron after cron goes on with one session where there is a key to keep it, and check tries the password all the same', async () => {
  expect(await signInsOf('sync', KEY)).toEqual({ code: 0, signIns: 1 });
  expect(await signInsOf('sync', KEY)).toEqual({ code: 0, signIns: 0 });
  expect(await signInsOf('check', KEY)).toEqual({ code: 0, signIns: 1 });
  expect(await signInsOf('check', { ...KEY, TILEDESK_PASSWORD: 'wrong' })).toEqual({ code: 1, signIns: 1 });
  expect(await signInsOf('sync', {})).toEqual({ code: 0, signIns: 1 });
});

it('another key is told by every command that signs in and by check, though there is a password, until rekey changes it', async () => {
  const OTHER = { LEADMIRROR_SECRET_KEY: 'another-one-of-9-letters-and-more' };
  const run = async (args: readonly string[], env: Record<string, string>) =>
    cli.run(args, { env: { ...variables(sandbox, url, database.url), ...env } });
  expect((await run(['sync'], KEY)).code).toBe(0);
  expect((await run(['sync'], {})).stderr).toContain('LEADMIRROR_SECRET_KEY is not set, and the sign-ins');
  const refused = await run(['sync'], OTHER);
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('LEADMIRROR_SECRET_KEY: is not the key')]);
  const checked = await run(['check'], OTHER);
  expect([checked.code, checked.stdout]).toEqual([
    1,
    expect.stringContaining('FAILED  secret key: LEADMIRROR_SECRET_KEY'),
  ]);

  expect((await run(['rekey'], OTHER)).code).toBe(2);
  const changed = await run(['rekey'], { ...OTHER, LEADMIRROR_OLD_SECRET_KEY: KEY.LEADMIRROR_SECRET_KEY });
  expect([changed.code, changed.stdout]).toEqual([
    0,
    expect.stringMatching(/^Encrypted with the new key: 1 stored sign-ins\.\n/),
  ]);
  for (const text of [changed.stdout, changed.stderr]) expect(text).not.toContain('another-one');
  expect(await signInsOf('sync', OTHER)).toEqual({ code: 0, signIns: 0 });
  expect((await run(['sync'], KEY)).code).toBe(2);
  expect((await run(['rekey', '--discard', '--json'], KEY)).stdout).toContain('"discarded": 1');
  expect(await signInsOf('sync', KEY)).toEqual({ code: 0, signIns: 1 });
});
