import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

/** What a person sees of a project whose messages are mirrored, command by command. */
let cli: Cli;
let sandbox: TiledeskSandbox;
let database: TestDatabase;
let env: Record<string, string>;
beforeAll(async () => {
  cli = await createCli();
  sandbox = createTiledeskSandbox({ leads: 10, requests: 30 });
  database = await createTestDatabase();
  const { url } = await sandbox.listen();
  cli.guard(sandbox);
  env = { ...variables(sandbox, url, database.url), TILEDESK_STREAMS: 'messages,requests,bots' };
});
afterAll(async () => {
  await cli.close();
  await sandbox.close();
  await database.drop();
});

it('messages without requests are a mistake in the configuration, told in a sentence', async () => {
  const { code, stderr } = await cli.run(['sync'], { env: { ...env, TILEDESK_STREAMS: 'leads,messages' } });
  expect(code).toBe(2);
  expect(stderr).toContain('TILEDESK_STREAMS: names messages without requests; messages are read conversation by conv');
});

it('check finds nothing wrong with them before the first sync', async () => {
  const { code, stdout } = await cli.run(['check', '--json'], { env });
  expect(code).toBe(0);
  expect(stdout).toContain('wait for a complete and recent pass of tiledesk.requests');
});

it('one sync brings requests and then their messages, whatever order they are named in', async () => {
  const { code, stdout } = await cli.run(['sync', '--json'], { env });
  const { runs } = JSON.parse(stdout) as { runs: { stream: string; outcome: string }[] };
  expect(runs.map(({ stream, outcome }) => `${stream} ${outcome}`)).toEqual([
    'tiledesk.requests succeeded',
    'tiledesk.bots succeeded',
    'tiledesk.messages succeeded',
  ]);
  expect(code).toBe(0);
  expect(await compareMirror(database.url, sandbox, 'messages')).toEqual(EQUAL);
});

it('verify compares the others and says so of these; asked for these alone it has proven nothing', async () => {
  const all = await cli.run(['verify'], { env });
  expect(all.code).toBe(0);
  expect(all.stdout).toMatch(/tiledesk\.requests: equal/);
  expect(all.stdout).toMatch(/tiledesk\.messages: not compared\n {2}messages are read conversation by conversation/);
  const alone = await cli.run(['verify', 'tiledesk.messages', '--json'], { env });
  expect(alone.code).toBe(1);
  expect(JSON.parse(alone.stdout)).toMatchObject({
    streams: [{ stream: 'tiledesk.messages', rows: null, error: { code: 'not_compared' } }],
  });
});

it('reconcile, resync and status treat them as any other stream', async () => {
  expect((await cli.run(['sync', '--pass', 'reconcile'], { env })).code).toBe(0);
  expect((await cli.run(['resync', 'tiledesk.messages'], { env })).code).toBe(0);
  sandbox.clearLog();
  expect((await cli.run(['sync'], { env })).code).toBe(0);
  expect(sandbox.log.filter(({ list }) => list === 'messages')).toHaveLength(30);
  const { stdout } = await cli.run(['status', '--json'], { env });
  const { streams } = JSON.parse(stdout) as { streams: { stream: string; state: string }[] };
  expect(streams.map(({ stream, state }) => `${stream} ${state}`).sort()).toEqual([
    'tiledesk.bots fresh',
    'tiledesk.messages fresh',
    'tiledesk.requests fresh',
  ]);
});
