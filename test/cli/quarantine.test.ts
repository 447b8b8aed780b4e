import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

let cli: Cli;
let sandbox: TiledeskSandbox;
let database: TestDatabase;
let admin: pg.Client;
let env: Record<string, string>;
let connection: string;
let lead: string;

/** One record without an id, one that the database refuses. */
beforeAll(async () => {
  cli = await createCli();
  sandbox = createTiledeskSandbox({ leads: 30, requests: 20 });
  const { url } = await sandbox.listen();
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  cli.guard(sandbox);
  env = { ...variables(sandbox, url, database.url), TILEDESK_STREAMS: 'leads,departments' };
  connection = `tiledesk:${sandbox.projectId}`;
  lead = String([...sandbox.data.leads.keys()][0]);
  sandbox.data.editLead(lead, { email: randomBytes(9000).toString('base64'), note: 'canary' });
  const { departments } = sandbox.data.team;
  departments.push({ ...departments[0], _id: undefined } as never);
  expect((await cli.run(['sync'], { env })).code).toBe(0);
});
afterAll(async () => {
  await admin.end();
  await sandbox.close();
  await database.drop();
  await cli.close();
});

describe('quarantine', () => {
  const inDatabaseOnly = () => ({ env: { DATABASE_URL: database.url } });

  it('lists what is set aside and why, without its text, and needs no account for it', async () => {
    const { code, stdout, stderr } = await cli.run(['quarantine'], inDatabaseOnly());
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      new RegExp(`^${connection} +tiledesk\\.leads +${lead} +refused_by_database +\\d+ s ago`, 'm'),
    );
    expect(stdout).toMatch(/tiledesk\.departments +sha256:\w+ +no_id /);
    expect(stdout).toMatch(/54000, column email of tiledesk\.leads$/m);
    expect(stdout).toMatch(/no_id .*field _id, is absent$/m);
    expect(stdout).toContain('2 in quarantine. They are tried again by: leadmirror quarantine retry');
    expect(stdout).not.toContain('canary');
  });

  it('lists the streams that were named, and their text when asked to', async () => {
    const { stdout } = await cli.run(['quarantine', 'list', 'tiledesk.leads', '--raw', '--json'], inDatabaseOnly());
    const { quarantine } = JSON.parse(stdout);
    expect(quarantine).toHaveLength(1);
    expect(Object.keys(quarantine[0])).toEqual(
      'connection stream record_id reason detail first_seen_at last_seen_at run raw_text'.split(' '),
    );
    expect(quarantine[0].detail).toEqual({ sqlstate: '54000', table: 'tiledesk.leads', column: 'email' });
    expect(quarantine[0]).toMatchObject({ connection, stream: 'tiledesk.leads', record_id: lead });
    expect(JSON.parse(quarantine[0].raw_text)).toMatchObject({ _id: lead, note: 'canary' });
    const short = await cli.run(['quarantine', 'departments', '--connection', connection], inDatabaseOnly());
    expect(short.stdout).toContain('1 in quarantine.');
  });

  it.each([
    [['quarantine', 'list', 'tiledesk.laeds'], 'There is no stream tiledesk.laeds. Known: '],
    [['quarantine', 'list', '--connection', 'x'], 'There is no connection x. Known: '],
    [['quarantine', 'retry', 'tiledesk.laeds'], 'There is no stream tiledesk.laeds. Configured: '],
  ])('%j ends with 2 and says what there is', async (args, says) => {
    const { code, stderr } = await cli.run(args, { env });
    expect(code).toBe(2);
    expect(stderr).toContain(says);
  });

  it('retry writes what can be written, without a request, and says what is left', async () => {
    sandbox.clearLog();
    const first = await cli.run(['quarantine', 'retry'], { env });
    expect({ ...first, ms: 0 }).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toContain(`${connection} tiledesk.leads: 0 resolved, 1 still in quarantine\n`);

    await admin.query('drop index tiledesk.leads_email_idx');
    const second = await cli.run(['quarantine', 'retry', '--json'], { env });
    expect(JSON.parse(second.stdout)).toEqual({
      streams: [
        { connection, stream: 'tiledesk.leads', tried: 1, resolved: 1, left: 0 },
        { connection, stream: 'tiledesk.departments', tried: 1, resolved: 0, left: 1 },
      ],
    });
    expect((await admin.query('select note from tiledesk.leads where id = $1', [lead])).rows).toEqual([
      { note: 'canary' },
    ]);
    expect(sandbox.log).toEqual([]);
  });
});

describe('reproject', () => {
  it('derives the columns again, without a request, and counts', async () => {
    await admin.query(`update tiledesk.leads set fullname = 'wrong' where id <> $1`, [lead]);
    sandbox.clearLog();
    const { code, stdout, stderr } = await cli.run(['reproject', 'tiledesk.leads'], { env });
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: `${connection} tiledesk.leads: 30 read, 29 rewritten\n`,
      stderr: '',
    });
    const again = await cli.run(['reproject', 'tiledesk.leads', '--json'], { env });
    expect(JSON.parse(again.stdout)).toEqual({
      streams: [{ connection, stream: 'tiledesk.leads', rows: 30, read: 30, rewritten: 0, failed: 0 }],
    });
    expect(sandbox.log).toEqual([]);
  });
});
