import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

let cli: Cli;
let sandbox: TiledeskSandbox;
let database: TestDatabase;
let admin: pg.Client;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await createCli();
  sandbox = createTiledeskSandbox({ leads: 150, requests: 250, now: Date.now() - 3_600_000 });
  const { url } = await sandbox.listen();
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  env = variables(sandbox, url, database.url);
  cli.guard(sandbox, new URL(database.url).password);
});
afterAll(async () => {
  await admin.end();
  await sandbox.close();
  await database.drop();
  await cli.close();
});

const spoil = () =>
  admin.query(`delete from tiledesk.leads where id in (select id from tiledesk.leads order by id limit 4);
    update tiledesk.leads set fullname = 'spoilt' where id in (select id from tiledesk.leads order by id desc limit 2)`);

describe('verify', () => {
  it('before the first full read says what to run first, and ends with 1', async () => {
    const { code, stdout } = await cli.run(['verify', 'tiledesk.leads'], { env });
    expect(code).toBe(1);
    expect(stdout).toContain('leadmirror sync tiledesk.leads');
  });

  it('of an equal mirror ends with 0 and shows what was compared', async () => {
    expect((await cli.run(['sync'], { env })).code).toBe(0);
    const { code, stdout, stderr } = await cli.run(['verify'], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/tiledesk\.requests: equal, 250 rows, 100 % by content/);
    const { rows } = await admin.query(
      `select verified_share, verification_differences from sync.status where stream = 'tiledesk.requests'`,
    );
    expect(rows).toEqual([{ verified_share: 1, verification_differences: 0 }]);
  });

  it('that finds differences ends with 3 and lists each; --repair mends them and ends with 0', async () => {
    await spoil();
    const found = await cli.runProcess(['verify', 'tiledesk.leads'], { env });
    expect(found.code).toBe(3);
    expect(found.stdout).toMatch(/4 missing in the mirror, 2 different in the mirror/);
    expect(found.stdout.match(/^ {2}missing {2}[0-9a-f]{24}$/gm)).toHaveLength(4);
    expect(found.stdout.match(/^ {2}different {2}[0-9a-f]{24} {2}fullname$/gm)).toHaveLength(2);
    expect(found.stdout).toMatch(/^ {2}next: leadmirror verify tiledesk\.leads --connection \S+ --repair$/m);
    expect(found.stdout).not.toContain('spoilt');

    const json = await cli.run(['verify', 'tiledesk.leads', '--json'], { env });
    expect({ code: json.code, stderr: json.stderr }).toEqual({ code: 3, stderr: '' });
    const [stream] = JSON.parse(json.stdout).streams;
    expect({ ...stream, missing: stream.missing.length, different: stream.different.length }).toMatchObject({
      ...{ stream: 'tiledesk.leads', error: null, rows: 150, compared: 150, missing: 4, different: 2 },
      ...{ stale: [], extra: [], repaired: 0 },
    });

    expect(Object.entries(stream.fields)).toEqual(stream.different.map((id: string) => [id, ['fullname']]));
    expect(stream.next).toMatch(/^leadmirror verify tiledesk\.leads .* --repair$/);

    const repaired = await cli.run(['verify', 'tiledesk.leads', '--repair'], { env });
    expect(repaired.code).toBe(0);
    expect(repaired.stdout).toContain('; 6 repaired; ');
    expect(await compareMirror(database.url, sandbox, 'leads')).toEqual(EQUAL);
    expect((await cli.run(['verify', 'tiledesk.leads'], { env })).code).toBe(0);
  });

  it.each(['2', '-1', 'much', ''])('refuses a share that is none: %j', async (share) => {
    const { code, stderr } = await cli.run(['verify', '--sample', share], { env });
    expect(code).toBe(2);
    expect(stderr).toContain('from 0 to 1');
  });
});
