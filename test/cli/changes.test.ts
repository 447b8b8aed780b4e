import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createOpsServer } from '../../src/ops/server.ts';
import { runInProcess, startInProcess } from '../helpers/in-process.ts';
import { type MirrorSetup, setupMirror, variables } from '../helpers/mirror.ts';
import { withClient } from '../helpers/postgres.ts';
import { findRoot } from '../helpers/recipes.ts';

let mirror: MirrorSetup;
let cwd: string;
beforeAll(async () => {
  mirror = await setupMirror({ leads: 30, requests: 5 }, { SYNC_FEED_STREAMS: 'tiledesk.leads' });
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-changes-'));
});
afterAll(async () => {
  await mirror.close();
  await rm(cwd, { recursive: true, force: true });
});

const env = () => ({ ...variables(mirror.sandbox, mirror.url, mirror.database.url), LOG_LEVEL: 'warn' });
const run = (...args: readonly string[]) => runInProcess(['changes', ...args], env(), { cwd });
const linesOf = (stdout: string) =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

it('a consumer registers, reads what changes, and acknowledges it', async () => {
  const registered = expect.stringMatching(/^search is now registered as a consumer: .* behind cursor \d+\.$/m);
  expect(await run('--consumer', 'search')).toMatchObject({ code: 0, stdout: '', stderr: registered });
  expect(await run('--consumer', 'search')).toMatchObject({ code: 0, stdout: '', stderr: '' });
  await mirror.syncAll();
  const lines = linesOf((await run('--consumer', 'search')).stdout);
  const [{ count } = { count: 0 }] = await withClient(
    mirror.database.url,
    async (client) => (await client.query('select count(*)::int from tiledesk.leads')).rows,
  );
  expect(lines).toHaveLength(count);
  expect(lines[0]).toMatchObject({
    cursor: expect.stringMatching(/^\d+$/),
    stream: 'tiledesk.leads',
    op: 'c',
    changed: [],
  });
  expect(linesOf((await run('--consumer', 'search', '--ack', lines[count - 3].cursor)).stdout)).toEqual(
    lines.slice(-2),
  );
  expect(await run('--consumer', 'search', '--ack', 'x')).toMatchObject({ code: 2 });
});

it('follows until it is stopped', async () => {
  await run('--consumer', 'follower');
  const running = startInProcess(['changes', '--consumer', 'follower', '--follow'], { env: env(), cwd });
  const lead = mirror.sandbox.data.insertLead();
  await mirror.run('leads', 'incremental');
  await running.says(new RegExp(`"id":"${lead._id}","op":"c"`));
  mirror.sandbox.data.editLead(lead._id, { company: 'Initech' });
  await mirror.run('leads', 'incremental');
  await running.says(new RegExp(`"id":"${lead._id}","op":"u","changed":\\[[^\\]]*"company"`));
  running.kill('SIGINT');
  expect((await running.ended).code).toBe(130);
});

it.each([
  ['its reader has gone', 'EPIPE', 0, /^$/],
  ['its output cannot be written', 'ENOSPC', 1, /^The output cannot be written \(ENOSPC\)/],
])('ends when %s: further lines would hide a gap', async (_when, outputError, code, printed) => {
  const running = startInProcess(['changes', '--consumer', 'follower', '--follow'], { env: env(), cwd, outputError });
  expect(await running.ended).toMatchObject({ code, stderr: expect.stringMatching(printed) });
});

it('the API gives the same, and acknowledges for who may change something', async () => {
  const token = 'kX9vT2qLm8RzW4pY';
  const readToken = 'aX9vT2qLm8RzW4pZ';
  const server = createOpsServer({ prisma: mirror.app.database.prisma, token, readToken });
  const call = async (method: 'GET' | 'POST', query: string, payload?: object, secret = token) => {
    const response = await server.inject({
      method,
      url: `/api/changes${query}`,
      headers: { authorization: `Bearer ${secret}` },
      ...(payload && { payload }),
    });
    return { status: response.statusCode, body: response.json() };
  };
  expect(await call('GET', '?consumer=web')).toMatchObject({
    status: 404,
    body: { error: { code: 'consumer_unknown' } },
  });
  expect(await call('POST', '', { consumer: 'web' }, readToken)).toMatchObject({ status: 403 });
  expect(await call('POST', '', { consumer: 'web' })).toMatchObject({ status: 200 });
  const lead = mirror.sandbox.data.insertLead();
  await mirror.run('leads', 'incremental');
  const { body } = await call('GET', '?consumer=web&limit=10', undefined, readToken);
  expect(body.changes).toMatchObject([{ id: lead._id, op: 'c' }]);
  await call('POST', '', { consumer: 'web', ack: body.changes[0].cursor });
  expect(await call('GET', '?consumer=web')).toMatchObject({ body: { changes: [] } });
  await withClient(mirror.database.url, (client) => client.query('update sync.feed set dropped_seq = 1000000'));
  expect(await call('GET', '?consumer=web')).toMatchObject({
    status: 410,
    body: { error: { code: 'consumer_behind' } },
  });
  await withClient(mirror.database.url, (client) => client.query('update sync.feed set dropped_seq = null'));
  await server.close();
});

it('the statement of the docs keeps a second table in step', async () => {
  const page = readFileSync(join(findRoot(), 'docs/changes.md'), 'utf8');
  const step = /```sql\n(with read[\s\S]+?);\n```/.exec(page)?.[1] ?? '';
  await withClient(mirror.database.url, async (client) => {
    const compare = async () =>
      (
        await client.query(
          'select count(*)::int as other from tiledesk.leads l full join my_leads m using (id) where (l.status, l.deleted_at is not null) is distinct from (m.status, m.is_gone)',
        )
      ).rows[0].other;
    await client.query(
      `create table my_leads (id text primary key, status integer, is_gone boolean); select sync.ack_changes('mine', null)`,
    );
    await client.query('insert into my_leads select id, status, deleted_at is not null from tiledesk.leads');
    mirror.sandbox.data.randomEdits(80);
    await mirror.run('leads', 'incremental');
    expect(await compare()).toBeGreaterThan(0);
    await client.query(step);
    expect(await compare()).toBe(0);
    expect((await client.query(step)).rows).toEqual([]);
  });
});
