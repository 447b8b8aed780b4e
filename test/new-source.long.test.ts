/** The guide for a third source: its code, taken from the page as it stands there, compiled against the package's own types and run as people run it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { buildProgram, until } from './helpers/cli.ts';
import { type HelpDesk, startHelpDesk } from './helpers/help-desk.ts';
import { createTestDatabase, type TestDatabase } from './helpers/postgres.ts';

// The program is compiled, and each step starts it anew; a killed one leaves its lease behind for ten seconds.
jest.setTimeout(120_000);

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const PAGE = readFileSync(join(ROOT, 'docs/new-source.md'), 'utf8');
const [code = '', ...others] = [...PAGE.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block ?? '');
const run = promisify(execFile);

/** A folder with leadmirror installed, and the source in it. */
async function setupProject(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'leadmirror-new-source-'));
  const installed = join(folder, 'node_modules/leadmirror');
  await mkdir(installed, { recursive: true });
  const build = dirname(dirname(await buildProgram()));
  await symlink(join(build, 'dist'), join(installed, 'dist'));
  await writeFile(join(installed, 'package.json'), readFileSync(join(ROOT, 'package.json')));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }\n');
  await writeFile(join(folder, 'helpdesk.ts'), code);
  return folder;
}

/** As the page says it for Node 20, and as strictly as this project itself. */
async function compile(folder: string): Promise<string> {
  const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
  const strict = ['--strict', '--noUncheckedIndexedAccess', '--erasableSyntaxOnly', '--verbatimModuleSyntax'];
  const settings = ['--module', 'nodenext', '--target', 'es2023', '--skipLibCheck', ...strict, ...types];
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  return run(process.execPath, [compiler, 'helpdesk.ts', ...settings], { cwd: folder }).then(
    () => '',
    ({ stdout }: { stdout: string }) => stdout,
  );
}

describe('docs/new-source.md', () => {
  let folder: string;
  let complaints: string;
  let desk: HelpDesk;
  let database: TestDatabase;
  let client: pg.Client;
  const children = new Set<ChildProcess>();

  beforeAll(async () => {
    desk = await startHelpDesk(620);
    database = await createTestDatabase();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
    folder = await setupProject();
    complaints = await compile(folder);
  });
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await client.end();
    await desk.close();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  });

  function start(...words: string[]) {
    const env = {
      ...{ PATH: process.env.PATH, HOME: folder, DATABASE_URL: database.url, LOG_LEVEL: 'warn' },
      ...{ HELPDESK_URL: desk.url, HELPDESK_TOKEN: desk.token },
      ...{ SYNC_INCREMENTAL_CRON: '*/2 * * * * *', OPS_PORT: '0' },
    };
    const child = spawn(process.execPath, ['helpdesk.js', ...words], { cwd: folder, env });
    const said = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said.out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said.err += text;
    });
    children.add(child);
    const ended = once(child, 'close').then(([exitCode]) => {
      children.delete(child);
      return { exitCode: exitCode as number | null, ...said };
    });
    return { child, ended };
  }

  /** Its report, with what was asked meanwhile. */
  async function call(...words: string[]) {
    const from = desk.log.length;
    const { exitCode, out, err } = await start(...words).ended;
    if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${out}${err}`);
    return { report: JSON.parse(out), asked: desk.log.slice(from) };
  }

  const expected = () =>
    [...desk.tickets.values()]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ requester: _, ...ticket }) => ({ ...ticket, requester: '{}' }));

  async function mirrored() {
    const { rows } = await client.query<{ id: string; subject: string; created_at: Date; updated_at: Date }>(
      `select id, subject, status, priority, tags, (raw -> 'requester')::text as requester, created_at, updated_at
        from helpdesk.tickets where connection_id = 'helpdesk:main' and deleted_at is null order by id collate "C"`,
    );
    return rows.map((row) => ({
      ...row,
      created_at: row.created_at.toISOString(),
      updated_at: row.updated_at.toISOString(),
    }));
  }

  it('is one block of under 150 lines that fits the types of the package', async () => {
    expect(others).toEqual([]);
    expect(code.split('\n').length).toBeLessThan(150);
    expect(code.split('\n').filter((line) => line.length > 120)).toEqual([]);
    expect(complaints).toBe('');
  });

  it('reads a list that moves, and goes on where it was killed', async () => {
    // Some of what was read goes away, so that the rest moves up: plain paging would skip as many.
    const stable = new Set(desk.tickets.keys());
    let lists = 0;
    desk.onList = (ids) => {
      lists += 1;
      // The newest change, then a few pages and steps back; the next page never comes.
      if (lists === 7) desk.trouble.push('hang');
      if (![3, 5, 9, 12].includes(lists)) return;
      for (const id of ids.slice(0, 3)) desk.remove(id);
      desk.add();
    };
    const before = desk.log.length;
    const { child, ended } = start();
    await until('the read hangs', () => desk.log.slice(before).some((line) => line.endsWith('hang')));
    const written = async () => {
      const { rows } = await client.query('select count(*)::int as n from helpdesk.tickets');
      return Number(rows[0]?.n) >= 200;
    };
    await until('what came before it is written', written);
    child.kill('SIGKILL');
    await ended;

    desk.trouble.push(429, 500);
    const { report, asked } = await call();
    desk.onList = null;
    expect(report).toMatchObject({ stream: 'helpdesk.tickets', pass: 'backfill', outcome: 'succeeded' });
    expect(asked.filter((line) => line.endsWith('429') || line.endsWith('500'))).toHaveLength(2);
    // Two pages at most are read again.
    expect(Number(/offset=(\d+)/.exec(asked[0] ?? '')?.[1])).toBeGreaterThan(90);
    const there = new Set((await mirrored()).map(({ id }) => id));
    expect([...stable].filter((id) => desk.tickets.has(id) && !there.has(id))).toEqual([]);
  });

  it('then brings what arrived and what was edited with one incremental, and asks once when nothing was', async () => {
    desk.edit('T00000007', { subject: 'an older one, edited', tags: ['vip'] });
    const { report } = await call();
    expect(report).toMatchObject({ pass: 'incremental', outcome: 'succeeded' });
    const rows = new Map((await mirrored()).map((row) => [row.id, row]));
    expect(expected().map((ticket) => rows.get(ticket.id))).toEqual(expected());
    const idle = await call();
    expect(idle.report).toMatchObject({ created: 0, updated: 0, requests: 1 });
    expect(idle.asked).toHaveLength(1);
  });

  it('finds what was deleted, asking for each by its id', async () => {
    desk.remove('T00000100');
    const { report, asked } = await call('reconcile');
    expect(report.outcome).toBe('succeeded');
    expect(asked).toContain('/api/v2/tickets/T00000100 404');
    expect(await mirrored()).toEqual(expected());
    const { rows } = await client.query("select deleted_at from helpdesk.tickets where id = 'T00000100'");
    expect(rows).toEqual([{ deleted_at: expect.any(Date) }]);
  });

  it('proves that mirror and help desk are equal, and keeps out of it what must not be stored', async () => {
    const { report } = await call('verify');
    expect(report).toEqual({ stream: 'helpdesk.tickets', findings: [], error: null });
    const { rows } = await client.query(`select count(*)::int as n from helpdesk.tickets where raw::text like '%@%'`);
    expect(rows).toEqual([{ n: 0 }]);
  });

  it('answers the SQL of the page', async () => {
    const [, sql = ''] = /^```sql\n(.*?)^```$/ms.exec(PAGE) ?? [];
    const statements = sql.split(';').filter((text) => text.replace(/--.*$/gm, '').trim() !== '');
    expect(statements).toHaveLength(3);
    for (const statement of statements) expect((await client.query(statement)).rows.length).toBeGreaterThan(0);
  });

  it('fills a new column from what is stored', async () => {
    await client.query('alter table helpdesk.tickets drop column priority cascade');
    const { report, asked } = await call('reproject');
    expect(report).toEqual([expect.objectContaining({ stream: 'helpdesk.tickets', failed: 0 })]);
    expect(asked).toEqual([]);
    expect(await mirrored()).toEqual(expected());
  });

  it('runs as a daemon, beside the status page', async () => {
    desk.edit('T00000008', { subject: 'edited while the daemon runs' });
    const daemon = start('daemon');
    const isThere = async () => (await mirrored()).some(({ subject }) => subject === 'edited while the daemon runs');
    await until('the daemon brings an edit', isThere, 60_000);
    daemon.child.kill('SIGTERM');
    expect(await daemon.ended).toMatchObject({ exitCode: 0 });
  });
});
