import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { type Cli, createCli, until } from '../helpers/cli.ts';

let cli: Cli;
let cwd: string;
beforeAll(async () => {
  cli = await createCli();
});
afterAll(() => cli.close());

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-demo-'));
  // For root, Postgres runs under an account of its own, which has to enter this directory.
  await chmod(cwd, 0o755);
});
afterEach(async () => {
  // Only where the demo itself failed to.
  const left = postmaster();
  if (left !== null) process.kill(left, 'SIGQUIT');
  await until('the server is gone', () => postmaster() === null);
  await rm(cwd, { recursive: true, force: true });
});

/** The built-in server of this demo; null once it is stopped. */
function postmaster(): number | null {
  try {
    const pid = Number.parseInt(readFileSync(join(cwd, '.leadmirror/demo/postgres/data/postmaster.pid'), 'utf8'), 10);
    process.kill(pid, 0);
    return pid;
  } catch {
    return null;
  }
}

async function processesIn(directory: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'args=']);
  return stdout.split('\n').filter((line) => line.includes(directory) && !line.startsWith('ps '));
}

/** What somebody may have in their shell or `.env`; none of it is meant for the demo. */
const GARBAGE = {
  DATABASE_URL: 'mysql://nobody:canary-in-the-environment@nowhere/none',
  REDIS_URL: 'not a url',
  TILEDESK_BASE_URL: 'http://192.0.2.1/',
  TILEDESK_PROJECT_ID: 'garbage',
  TILEDESK_EMAIL: 'garbage',
  TILEDESK_TOKEN: 'garbage',
  TILEDESK_STREAMS: 'garbage',
  SYNC_INCREMENTAL_CRON: 'garbage',
  TILKEE_V3_URL: 'garbage',
  TILKEE_ACCESS_TOKEN: 'gar bage',
  TILKEE_ENABLED: 'false',
  OPS_PORT: 'garbage',
  HTTP_PROXY: 'http://192.0.2.1:9',
};

const TILKEE_ROWS = [
  ['projects', '120'],
  ['items', '200'],
  ['tokens', '600'],
  ['connexions', '1,500'],
  ['users', '6'],
] as const;

it('once: mirrors, answers questions, follows a change, whatever is configured around it, and leaves nothing running', async () => {
  cli.guard('canary-in-the-environment');
  const { code, stdout, stderr } = await cli.runProcess(['demo', '--once'], { cwd, env: GARBAGE, timeoutMs: 110_000 });
  // Long work says now and then that it goes on.
  const said = stderr.split('\n').filter((line) => !/ backfill: [\d,]+ read, [\d,]+ requests$/.test(line));
  expect({ code, said }).toEqual({ code: 0, said: [''] });
  expect(stdout).toMatch(/tiledesk\.leads backfill: succeeded, 1,500 created/);
  expect(stdout).toMatch(/tiledesk\.requests backfill: succeeded, 4,000 created/);
  for (const [stream, rows] of TILKEE_ROWS) {
    expect(stdout).toMatch(new RegExp(`tilkee\\.${stream} backfill: succeeded, ${rows} created`));
  }
  expect(stdout).toMatch(/tiledesk\.leads incremental: succeeded, 0 created, 1 updated/);
  expect(stdout).toMatch(/^department +status_name +open .*\n(\S.* (un)?assigned +[1-9].*\n){8}and \d+ more rows\n/m);
  expect(stdout).toMatch(/^month +answered +median +p90\n(\d{4}-\d\d-01 +[1-9]\d* +\d.*\n){2,}/m);
  expect(stdout).toMatch(/^project +links +visits +minutes\n(\S.* +\d+ +\d+ +\d+(\.\d)?\n){8}/m);
  expect(stdout).toMatch(/^name +email +requests .*\n(\S.* +[1-9]\d* +\d{4}-\S+ +[1-9]\d* .*\n){8}/m);
  expect(stdout).toMatch(/tilkee\.connexions incremental: succeeded, 1 created/);
  expect(stdout).toMatch(/Renamed In The Demo +\d{4}-/);
  const [, link] = /a visitor opened the link for "(.+)"/.exec(stdout) ?? [];
  expect(stdout).toMatch(/^id +link +access_date\n\d+ +\S.* +\d{4}-\d\d-/m);
  expect(stdout.split(String(link)).length).toBeGreaterThan(2);
  expect(stdout).toMatch(/^ {2}.*psql /m);
  expect(postmaster()).toBeNull();
  expect(await processesIn(cwd)).toEqual([]);
}, 120_000);

it('live: mirrors, says how to join in, and ends with everything at Ctrl-C', async () => {
  const running = cli.start(['demo'], { cwd, isUnguarded: true });
  const said = (pattern: RegExp) => pattern.test(`${running.stdout}\n${running.stderr}`);
  await until('everything is mirrored', () => said(/Ctrl-C stops everything/), 90_000);
  const [, page = ''] = /status page: (http:\S+)/.exec(running.stdout) ?? [];
  const answer = await fetch(page, { headers: { accept: 'text/html' } });
  expect([answer.status, await answer.text()]).toEqual([200, expect.stringMatching(/<h1>.*9 streams/)]);
  await until('the page knows its daemon', async () =>
    /Daemon: 1 process, leader /.test(await (await fetch(page, { headers: { accept: 'text/html' } })).text()),
  );
  const came = (stream: string) => said(new RegExp(`^[\\d:]{8} {2}${stream} incremental .*: succeeded, .*[1-9]`, 'm'));
  await until('changes in Tiledesk arrive', () => came('tiledesk\\.requests'));
  await until('visits in Tilkee arrive', () => came('tilkee\\.connexions'));
  const foot = new RegExp(`^ +Status page: ${page} +Ctrl-C stops everything\\.$`, 'm');
  await until('the addresses come again below the runs', () => foot.test(running.stdout), 60_000);
  running.kill('SIGINT');
  const { code, stdout } = await running.ended;
  expect(code).toBe(0);
  expect(stdout).toContain('Stopped.');
  // A line for each run that brought something or went wrong, and nothing else.
  const others = stdout
    .slice(stdout.indexOf('Ctrl-C stops everything.\n\n'))
    .split('\n')
    .filter((line) => line !== '' && !/^(Ctrl-C|Stopped)/.test(line) && !foot.test(line));
  const isRun = /^[\d:]{8} {2}t\w+\.\w+ \w+ \(.*\): (?:partial|failed|succeeded, .*[1-9])/;
  expect(others.filter((line) => !isRun.test(line))).toEqual([]);
  expect(postmaster()).toBeNull();
  expect(await processesIn(cwd)).toEqual([]);
}, 180_000);

it('with a log level that does not exist says so like any other mistake', async () => {
  const { code, stderr } = await cli.runProcess(['demo', '--once'], { cwd, env: { LOG_LEVEL: 'loud' } });
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /^The configuration cannot be used:\n {2}LOG_LEVEL: .*\ndocs\/troubleshooting\.md#config_invalid\n$/,
  );
});
