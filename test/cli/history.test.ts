import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { runInProcess } from '../helpers/in-process.ts';
import { type MirrorSetup, setupMirror, variables } from '../helpers/mirror.ts';
import { withClient } from '../helpers/postgres.ts';
import { findRoot } from '../helpers/recipes.ts';

let mirror: MirrorSetup;
let cwd: string;
beforeAll(async () => {
  mirror = await setupMirror({ leads: 30, requests: 40 }, { SYNC_HISTORY_STREAMS: 'tiledesk.requests' });
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-history-'));
});
afterAll(async () => {
  await mirror.close();
  await rm(cwd, { recursive: true, force: true });
});

const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runInProcess(
    ['history', ...args],
    { ...variables(mirror.sandbox, mirror.url, mirror.database.url), LOG_LEVEL: 'warn', ...env },
    { cwd },
  );
const ask = <T>(text: string) =>
  withClient(mirror.database.url, async (client) => (await client.query(text)).rows as T[]);

it('one variable keeps the versions of a stream, from the first page on', async () => {
  await mirror.syncAll();
  expect(await ask('select op, count(*)::int from tiledesk.requests_versions group by 1')).toEqual([
    { op: 'c', count: 40 },
  ]);
  const [line] = await ask<{ now: number; certain: boolean }>(
    `select count(*)::int as now, bool_and(certain_until between now() - interval '1 minute' and now()) as certain from tiledesk.requests_as_of(now())`,
  );
  const [alive] = await ask<{ count: number }>('select count(*)::int from tiledesk.requests where deleted_at is null');
  expect(line).toEqual({ now: alive?.count, certain: true });
});

it('the queries of the docs can be copied', async () => {
  const past = readFileSync(join(findRoot(), 'docs/sql.md'), 'utf8')
    .split('## Questions about the past')[1]
    ?.split('\n## ')[0];
  const page = `${past}\n${readFileSync(join(findRoot(), 'docs/history.md'), 'utf8')}`;
  const queries = [...page.matchAll(/```sql\n([\s\S]+?);\n```/g)].map(([, text]) => text ?? '');
  expect(queries).toHaveLength(7);
  await ask('select reporting.refresh()');
  for (const query of queries) await ask(query);
  expect(await ask(queries[2] ?? '')).not.toEqual([]);
});

it('a name that has no history is refused, with those that have', async () => {
  const refused = await run(['on', 'tiledesk.requests'], { SYNC_HISTORY_STREAMS: 'tiledesk.request' });
  expect(refused).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(
      'names tiledesk.request; of the streams configured, these have a history: tiledesk.leads, tiledesk.requests',
    ),
  });
  expect(await run(['on', 'tiledesk.departments'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('docs/history.md'),
  });
  expect(await run(['on'])).toMatchObject({ code: 2 });
});

it('one command switches it on, off and on again, and shows it', async () => {
  const on = await run(['on', 'tiledesk.leads']);
  expect(on).toMatchObject({ code: 0, stdout: expect.stringContaining('tiledesk.leads_as_of(moment)') });
  expect(await ask(`select distinct op from tiledesk.leads_history`)).toEqual([{ op: 'f' }]);
  expect(await run(['off', 'tiledesk.leads'])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('no versions are kept'),
  });
  expect(await run(['off', 'tiledesk.leads'])).toMatchObject({ code: 0, stdout: 'It was off already.\n' });
  const { stdout } = await run(['status']);
  expect(stdout).toMatch(
    /^tiledesk\.leads: off since .*, about [\d,]+ versions, \d+ MB\ntiledesk\.requests: on since /,
  );
  const { streams } = JSON.parse((await run(['status', '--json'])).stdout);
  expect(streams).toMatchObject([
    { stream: 'tiledesk.leads' },
    { stream: 'tiledesk.requests', off_since: null, columns: expect.arrayContaining(['status']) },
  ]);
});
