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
  sandbox = createTiledeskSandbox({ leads: 300, requests: 0 });
  ({ url } = await sandbox.listen());
  cli.guard(sandbox);
  database = await createTestDatabase();
});
afterAll(async () => {
  await cli.close();
  await sandbox.close();
  await database.drop();
});

/** Half a day from midnight, so that no test waits for it. */
const zone = (): string => {
  const offset = 12 - new Date().getUTCHours();
  return `Etc/GMT${offset > 0 ? '-' : '+'}${Math.abs(offset)}`;
};

it('a sync is postponed when the requests of the day are used up, says so, and goes on when there are more', async () => {
  const run = (perDay: number, ...args: string[]) =>
    cli.run(args, {
      env: {
        ...{ ...variables(sandbox, url, database.url), TILEDESK_STREAMS: 'leads', TILEDESK_PAGE_SIZE: '10' },
        ...{ TILEDESK_REQUESTS_PER_DAY: String(perDay), SYNC_TIMEZONE: zone() },
      },
    });
  sandbox.clearLog();
  const { code, stdout } = await run(20, 'sync', '--json');
  expect(code).toBe(1);
  expect(JSON.parse(stdout).runs).toMatchObject([{ outcome: 'postponed', error: { code: 'day_limit' } }]);
  // Four fifths: it is a full read.
  expect(sandbox.log).toHaveLength(16);
  expect((await run(20, 'status')).stdout).toMatch(
    /the requests of this day are used up \(16 of 20 sent; .*\); the next are sent at (\d{4}-\d\d-\d\d )?\d\d:00 UTC/,
  );
  const { streams } = JSON.parse((await run(20, 'status', '--json')).stdout);
  expect(streams).toMatchObject([{ state: 'partial', reason_code: 'day_limit' }]);
  expect((await run(1_000, 'sync')).code).toBe(0);
  expect((await run(1_000, 'status', '--exit-code')).code).toBe(0);
});
