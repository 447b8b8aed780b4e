import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../src/sandbox/tiledesk.ts';
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
