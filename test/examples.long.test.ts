/** The examples, run as their comments say. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../sandbox/tiledesk.ts';
import { buildProgram } from './helpers/cli.ts';
import { runInProcess } from './helpers/in-process.ts';
import { type MirrorSetup, setupMirror, variables } from './helpers/mirror.ts';
import { createTestDatabase, type TestDatabase, withClient } from './helpers/postgres.ts';
import { SECRET } from './privacy/support.ts';
import { setupReporting } from './reporting/setup.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const EXAMPLES = join(ROOT, 'examples');
const PASSWORD = 'canary-of-a-wrong-password';

let program: string;
let folder: string;
let database: TestDatabase;
beforeAll(async () => {
  program = await buildProgram();
  folder = await mkdtemp(join(tmpdir(), 'leadmirror-examples-'));
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const install = (example: string) => copyFile(join(EXAMPLES, example), join(folder, example));

/** In an empty folder, with nothing but the given environment. */
async function run(command: string, words: readonly string[], env: Readonly<Record<string, string>>) {
  const { PATH = '' } = process.env;
  const child = spawn(command, words, { cwd: folder, env: { PATH, HOME: folder, ...env } });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
    });
  }
  const [code] = await once(child, 'close');
  return { code: code as number | null, ...texts };
}

it('examples/README.md names every example', () => {
  const page = readFileSync(join(EXAMPLES, 'README.md'), 'utf8');
  const names = readdirSync(EXAMPLES).filter((name) => name !== 'README.md');
  expect(names).toHaveLength(5);
  expect(names.filter((name) => !page.includes(`(${name})`))).toEqual([]);
});

describe('cron-sync.sh', () => {
  let sandbox: TiledeskSandbox;
  let env: Record<string, string>;
  beforeAll(async () => {
    sandbox = createTiledeskSandbox({ leads: 30, requests: 20 });
    const { url } = await sandbox.listen();
    const given = { ...variables(sandbox, url, database.url), LEADMIRROR: program, TILEDESK_STREAMS: 'leads' };
    env = { ...given, RETRY_ATTEMPTS: '1' };
  });
  afterAll(() => sandbox.close());

  it('reads what is there, and prints nothing', async () => {
    expect(await run(join(EXAMPLES, 'cron-sync.sh'), [], env)).toEqual({ code: 0, stdout: '', stderr: '' });
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const { rows } = await client.query('select count(*)::int as leads from tiledesk.leads');
    await client.end();
    expect(rows).toEqual([{ leads: sandbox.data.leads.size }]);
  });

  it('prints the error and the status where a run fails, and keeps the exit code', async () => {
    const { code, stdout, stderr } = await run(join(EXAMPLES, 'cron-sync.sh'), ['--pass', 'reconcile'], {
      ...env,
      TILEDESK_PASSWORD: PASSWORD,
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('auth_failed');
    expect(stderr).toContain('docs/troubleshooting.md#auth_failed');
    expect(stderr).toMatch(/tiledesk\.leads .*blocked|blocked.*tiledesk\.leads/);
    expect(stderr).not.toContain(PASSWORD);
  });
});

describe('second-table.mjs', () => {
  let mirror: MirrorSetup;
  let copy: TestDatabase;
  let env: Record<string, string>;
  beforeAll(async () => {
    mirror = await setupMirror({ leads: 30, requests: 5 }, { SYNC_FEED_STREAMS: 'tiledesk.leads' });
    copy = await createTestDatabase();
    const given = variables(mirror.sandbox, mirror.url, mirror.database.url);
    const privacy = { LEADMIRROR_SECRET_KEY: SECRET, PRIVACY_JOURNAL: join(folder, 'journal.jsonl') };
    env = { ...given, ...privacy, COPY_URL: copy.url, LEADMIRROR: program };
    await install('second-table.mjs');
    await mkdir(join(folder, 'node_modules'), { recursive: true });
    await symlink(join(ROOT, 'node_modules/pg'), join(folder, 'node_modules/pg'));
    await mirror.run('leads', 'backfill');
  });
  afterAll(async () => {
    await mirror.close();
    await copy.drop();
  });

  const follow = async () => {
    const { code, stdout, stderr } = await run(process.execPath, ['second-table.mjs'], env);
    return { code, stderr, ...(stdout === '' ? {} : JSON.parse(stdout)) };
  };
  const query = (url: string, statement: string) =>
    withClient(url, async (client) => (await client.query(statement)).rows);
  const expectInStep = async () => {
    const all = 'select connection_id, id, fullname, email, status from';
    const alive = `${all} tiledesk.leads where deleted_at is null and erased_at is null order by id`;
    const rows = await query(mirror.database.url, alive);
    expect(rows.length).toBeGreaterThan(15);
    expect(await query(copy.url, `${all} leads_copy order by id`)).toEqual(rows);
    return rows.map(({ id }) => id);
  };

  it('copies all leads, then what changes, and removes who was deleted or erased', async () => {
    expect(await follow()).toEqual({ code: 0, stderr: '', isFirst: true, copied: 0 });
    const [edited, erased, removed] = await expectInStep();
    const added = mirror.sandbox.data.insertLead();
    mirror.sandbox.data.editLead(edited, { company: 'Initech', status: 50 });
    mirror.sandbox.data.editLead(removed, { status: 1000 });
    await mirror.run('leads', 'incremental');
    expect(await runInProcess(['forget', '--lead', erased, '--yes'], env, { cwd: folder })).toMatchObject({ code: 0 });
    expect(await follow()).toEqual({ code: 0, stderr: '', isFirst: false, copied: 4 });
    const ids = await expectInStep();
    expect(ids).toEqual(expect.arrayContaining([edited, added._id]));
    expect(ids).not.toEqual(expect.arrayContaining([erased]));
    expect(ids).not.toEqual(expect.arrayContaining([removed]));
  });

  it('is refused when it is too far behind, and begins anew when its consumer was deleted', async () => {
    await query(mirror.database.url, 'update sync.feed set dropped_seq = 1000000');
    expect(await follow()).toMatchObject({ code: 1, stderr: expect.stringContaining('consumer_behind') });
    await query(mirror.database.url, 'update sync.feed set dropped_seq = null; delete from sync.consumers');
    mirror.sandbox.data.insertLead();
    await mirror.run('leads', 'incremental');
    expect(await follow()).toMatchObject({ code: 0, isFirst: true });
    await expectInStep();
  });
});

it('custom-source.mjs mirrors its list, and finds nothing new the second time', async () => {
  const products = [
    { id: 1, title: 'Chair', price: 49.5, changed: '2026-03-01T10:00:00Z' },
    { id: 2, title: 'Table', price: 120, changed: '2026-03-02T10:00:00Z' },
  ];
  const shop = createServer((_, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(products));
  });
  shop.listen(0, '127.0.0.1');
  await once(shop, 'listening');
  const installed = join(folder, 'node_modules/leadmirror');
  await mkdir(installed, { recursive: true });
  await symlink(join(dirname(dirname(program)), 'dist'), join(installed, 'dist'));
  await writeFile(join(installed, 'package.json'), readFileSync(join(ROOT, 'package.json')));
  await install('custom-source.mjs');
  const { port } = shop.address() as AddressInfo;
  const env = { DATABASE_URL: database.url, SHOP_URL: `http://127.0.0.1:${port}/products.json`, LOG_LEVEL: 'warn' };
  try {
    const first = await run(process.execPath, ['custom-source.mjs'], env);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(first.stdout)).toMatchObject({ stream: 'shop.products', outcome: 'succeeded', created: 2 });
    const second = await run(process.execPath, ['custom-source.mjs'], env);
    expect(JSON.parse(second.stdout)).toMatchObject({ outcome: 'succeeded', created: 0, updated: 0 });
  } finally {
    shop.close();
  }
});

describe('weekly-report.sql', () => {
  it('runs on a mirror of both products, each question with its columns', async () => {
    const setup = await setupReporting({ leads: 40, requests: 80 });
    try {
      await setup.sync('backfill');
      await setup.refresh();
      const results = await setup.client.query(readFileSync(join(EXAMPLES, 'weekly-report.sql'), 'utf8'));
      const columns = (results as unknown as pg.QueryResult[]).map(({ fields }) => fields.map(({ name }) => name));
      expect(columns.map(([first]) => first)).toEqual(['day', 'median_minutes', 'name', 'relation']);
    } finally {
      await setup.close();
    }
  });
});
