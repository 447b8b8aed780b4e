import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { SyncReport } from '../../src/app/sync-streams.ts';
import { formatVerification } from '../../src/cli/status-view.ts';
import { exitCodeOf } from '../../src/cli/sync.ts';
import { createOpsServer } from '../../src/ops/server.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { setupTilkee, type TilkeeSetup, tilkeeVariables } from '../helpers/tilkee-mirror.ts';

/** Too much vanishes at once: what an operator meets, and how a person lifts the brake. */
let cli: Cli;
let setup: TilkeeSetup;
beforeAll(async () => {
  cli = await createCli();
  setup = await setupTilkee({ items: 80 });
  const { data } = setup.sandbox;
  for (const stream of ['items', 'users'] as const) await setup.run(stream, 'backfill');
  for (const { id } of data.all('item').slice(10, 50)) data.remove('item', id);
});
afterAll(async () => {
  await cli.close();
  await setup.close();
});

const run = (...args: string[]) => {
  const env = tilkeeVariables(setup.sandbox, setup.address, setup.database.url);
  return cli.run(args, { env: { ...env, TILKEE_STREAMS: 'items,users' } });
};

const acceptedStreams = async () =>
  (
    await setup.query<{ stream: string }>(
      'select stream from sync.streams where deletions_accepted_at is not null order by 1',
    )
  ).map(({ stream }) => stream);

it('before the brake holds there is nothing to accept, and nothing is changed', async () => {
  const { code, stdout, stderr } = await run('accept-deletions', 'tilkee.items');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toBe(
    'tilkee:default tilkee.items: the deletion guard blocks nothing, so there is nothing to accept; nothing was changed\n',
  );
  expect(await acceptedStreams()).toEqual([]);
});

it('a braked stream ends sync with 1, and stays partial with its reason after the next incremental pass', async () => {
  const braked = await run('sync', 'tilkee.items', '--pass', 'reconcile');
  expect(braked.code).toBe(1);
  expect(braked.stdout).toMatch(/: partial, .*\n {2}deletion_brake: /);
  expect((await run('sync', 'tilkee.items')).code).toBe(0);
  const { stdout } = await run('status', '--json');
  expect(JSON.parse(stdout).streams).toContainEqual(
    expect.objectContaining({
      stream: 'tilkee.items',
      state: 'partial',
      reason: expect.stringContaining('none was marked as deleted'),
    }),
  );
});

it('accepting says what was held, what will happen and how to do it now', async () => {
  const { code, stdout, stderr } = await run('accept-deletions', 'tilkee.items');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^tilkee:default tilkee\.items: accepted\. Blocked since \d{4}-.*Z:\n {2}deletion_brake: /);
  expect(stdout).toMatch(/The next full sync that begins before \d{4}-.*Z may mark as deleted/);
  expect(stdout).toMatch(/leadmirror sync tilkee\.items --pass reconcile\n$/);
  expect(await acceptedStreams()).toEqual(['tilkee.items']);
});

it('a source stands for all of its streams, and --json is one document', async () => {
  const { code, stdout, stderr } = await run('accept-deletions', 'tilkee', '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { streams } = JSON.parse(stdout) as { streams: unknown[] };
  expect(streams).toEqual([
    {
      connection: 'tilkee:default',
      stream: 'tilkee.items',
      accepted: true,
      blocked: { code: 'deletion_brake', message: expect.any(String), since: expect.stringMatching(/Z$/) },
      valid_until: expect.stringMatching(/Z$/),
    },
    { connection: 'tilkee:default', stream: 'tilkee.users', accepted: false, blocked: null, valid_until: null },
  ]);
  expect(await acceptedStreams()).toEqual(['tilkee.items']);
});

it('a stream or connection that is not there ends with 2 and names those that are', async () => {
  const wrong = [
    await run('accept-deletions', 'tilkee.itmes'),
    await run('accept-deletions', 'tilkee.items', '--connection', 'x'),
  ];
  expect(wrong.map(({ code }) => code)).toEqual([2, 2]);
  expect(wrong[0]?.stderr).toContain('tilkee.items');
  expect(wrong[1]?.stderr).toContain('tilkee:default');
});

it('the last verify is in status, for people, for scripts and over HTTP', async () => {
  await setup.query(
    `insert into sync.verifications (connection_id, stream, verified_at, upstream_rows, compared_rows, missing, stale, extra, different, repaired, started_at)
     values ('tilkee:default', 'tilkee.users', now() - interval '3 hours', 25000, 25000, 1, 1, 0, 0, 2, now() - interval '4 hours')`,
  );
  const [text, json] = await Promise.all([run('status'), run('status', '--json')]);
  expect(text.stdout).toMatch(/tilkee\.items .* never +\S/);
  expect(text.stdout).toMatch(/tilkee\.users .* 3 h ago: 25,000 rows, 100 % /);
  const server = createOpsServer({ prisma: setup.app.database.prisma });
  const body = (await server.inject('/api/status')).json();
  await server.close();
  for (const { streams } of [JSON.parse(json.stdout), body]) {
    expect(streams).toContainEqual(
      expect.objectContaining({
        stream: 'tilkee.users',
        ...{ verified_at: expect.any(String), verified_rows: 25_000, verified_share: 1, verification_differences: 0 },
      }),
    );
    expect(streams).toContainEqual(
      expect.objectContaining({ stream: 'tilkee.items', verified_at: null, verified_rows: null }),
    );
  }
});

describe('the exit code of a sync', () => {
  const never = new AbortController().signal;
  const report = (outcome: SyncReport['outcome'], code: string | null) =>
    ({ outcome, error: code === null ? null : { code, message: '' } }) as SyncReport;

  it.each([
    ['succeeded', null, 0],
    ['partial', 'quarantined', 0],
    ['partial', 'walk_gave_up', 0],
    ['partial', 'deletions_unconfirmed', 0],
    ['partial', 'deletion_brake', 1],
    ['failed', 'suddenly_empty', 1],
    ['postponed', 'rate_limited', 1],
    ['cancelled', 'lease_busy', 1],
  ] as const)('with one stream %s (%s) is %d', (outcome, code, expected) => {
    expect(exitCodeOf([report('succeeded', null), report(outcome, code)], never)).toBe(expected);
  });
});

describe('a proof in words', () => {
  const NOW = Date.UTC(2026, 0, 2);
  const proof = {
    verified_at: new Date(NOW - 7_200_000),
    verified_rows: 25_000,
    verified_share: 1,
    verification_differences: 0,
  };

  it.each([
    [{}, '2 h ago: 25,000 rows, 100 %'],
    [{ verified_share: 0.9999 }, '2 h ago: 25,000 rows, 99 % by content'],
    [{ verified_share: 0.1 }, '2 h ago: 25,000 rows, 10 % by content'],
    [{ verified_share: 0.29 }, '2 h ago: 25,000 rows, 29 % by content'],
    [{ verification_differences: 1234 }, '2 h ago: 25,000 rows, 100 %, 1,234 differ'],
    [{ verified_at: null }, 'never'],
  ])('%j reads %s', (change, words) => {
    expect(formatVerification({ ...proof, ...change }, NOW)).toBe(words);
  });
});
