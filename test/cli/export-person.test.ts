import { readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runInProcess } from '../helpers/in-process.ts';
import { type BothProducts, quarantine, setupBoth } from '../privacy/both-products.ts';
import { erasePerson, query } from '../privacy/support.ts';

interface ExportedRow {
  readonly connection_id: string;
  readonly id: string;
}

interface Exported {
  readonly person: { readonly emails: readonly string[]; readonly unread: readonly string[] };
  readonly tables: Readonly<Record<string, readonly ExportedRow[]>>;
  readonly review: readonly { readonly table: string; readonly field: string; readonly why: string }[];
}

let setup: BothProducts;
/** Leads with an address, those with conversations and links first. */
let people: { id: string; email: string }[];
beforeAll(async () => {
  setup = await setupBoth({
    seed: 5,
    leads: 20,
    links: 40,
    env: { SYNC_HISTORY_STREAMS: 'tiledesk.leads,tiledesk.requests' },
  });
  await setup.syncAll();
  // Someone wrote internally about each conversation.
  await query(
    setup.database.url,
    `update tiledesk.requests set notes = '[{"text": "call back +39 333 1234567"}]', status = 999`,
  );
  people = await query(
    setup.database.url,
    `select l.id, l.email from tiledesk.leads l where l.email is not null
      order by (select count(*) from tiledesk.requests r where r.lead_id = l.id)
        * (select count(*) from tilkee.tokens t where t.external_id in (l.id, l.lead_id, l.email)) desc, l.id`,
  );
});
afterAll(() => setup.close());

const run = (args: readonly string[]) => runInProcess(['export-person', ...args], setup.env, { cwd: setup.folder });
const countsOf = ({ tables }: Exported) =>
  Object.fromEntries(Object.entries(tables).map(([name, rows]) => [name, rows.length]));

describe('leadmirror export-person', () => {
  it('writes everything into a file that only its owner can read, and prints none of it', async () => {
    const [person] = people;
    const { code, stdout, stderr } = await run(['--email', person?.email ?? '', '--output', 'one.json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toContain(person?.email);
    const file = join(setup.folder, 'one.json');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const exported: Exported = JSON.parse(await readFile(file, 'utf8'));
    expect(exported.person).toMatchObject({ emails: [person?.email.toLowerCase()], unread: [] });
    expect(Object.keys(exported.tables)).toEqual(
      expect.arrayContaining(['tiledesk.leads', 'tiledesk.requests', 'tiledesk.requests_history', 'tilkee.tokens']),
    );
    expect(exported.tables['tiledesk.leads']).toContainEqual(
      expect.objectContaining({ id: person?.id, raw: expect.anything(), first_seen_at: expect.any(String) }),
    );
    expect(exported.review).toContainEqual(
      expect.objectContaining({ table: 'tiledesk.requests', field: 'notes.0.text', why: 'internal_note' }),
    );
    expect(exported.review).toContainEqual(expect.objectContaining({ field: 'notes.0.text', why: 'other_contact' }));
    expect(exported.review.map(({ why }) => why)).toContain('colleague');
  });

  it('keeps numbers as they are, and the file that is there', async () => {
    const [, person] = people;
    const lead = ['--lead', person?.id ?? ''];
    const huge = '12345678901234567890.123456789';
    await query(setup.database.url, `update tiledesk.leads set raw = raw || '{"huge": ${huge}}' where id = $1`, [
      person?.id,
    ]);
    const printed = await run([...lead, '--output', '-', '--json']);
    expect({ code: printed.code, stderr: printed.stderr }).toEqual({ code: 0, stderr: '' });
    expect(printed.stdout).toContain(huge);
    expect(Object.keys(JSON.parse(printed.stdout))).toEqual(['person', 'tables', 'review']);

    await writeFile(join(setup.folder, 'there'), 'mine');
    await symlink(join(setup.folder, 'nowhere'), join(setup.folder, 'link'));
    for (const name of ['there', 'link']) {
      const { code, stderr } = await run([...lead, '--output', name]);
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/exists already/) });
    }
    expect(await readFile(join(setup.folder, 'there'), 'utf8')).toBe('mine');
    const { code, stderr } = await run([...lead, '--output', 'no/such/folder/one.json']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/cannot be written \(ENOENT\)/) });

    const named = JSON.parse((await run([...lead, '--json'])).stdout);
    expect(named).toEqual({
      file: expect.stringMatching(/person-[\dTZ-]+\.json$/),
      matched: countsOf(JSON.parse(printed.stdout)),
      review: expect.any(Number),
      unread: [],
    });
  });

  it.each([
    [[], /Whom\?/],
    [['--email', 'stranger@example.net'], /Nothing in the mirror belongs/],
    [['--email', 'a@example.net', '--connection', 'tiledesk:none'], /no connection/],
  ])('refuses %j as usage', async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
  });

  it('names what it could not read, because the stream is no longer configured', async () => {
    const env = { ...setup.env, TILEDESK_STREAMS: 'leads,requests,departments,project_users' };
    const args = ['export-person', '--lead', people[2]?.id ?? '', '--json'];
    const { stdout } = await runInProcess(args, env, { cwd: setup.folder });
    expect(JSON.parse(stdout).unread).toEqual(['tiledesk.messages']);
  });
});

describe('export-person and forget', () => {
  it('agree on each single row: what was exported is what is erased', async () => {
    const { app, database } = setup;
    const [person] = people;
    await quarantine(database.url, [person?.id ?? '']);
    const { stdout } = await run(['--lead', person?.id ?? '', '--output', '-']);
    const { tables }: Exported = JSON.parse(stdout);
    const keysOf = async (table: string) => {
      const sql = `select connection_id, id::text from ${table} where ${table.includes('.messages') ? 'true' : 'erased_at is null'}`;
      return new Set((await query<ExportedRow>(database.url, sql)).map((row) => `${row.connection_id} ${row.id}`));
    };
    const streams = app.connections.flatMap((connection) => connection.streams.map(({ name }) => name));
    const before = new Map<string, ReadonlySet<string>>();
    for (const name of streams) before.set(name, await keysOf(name));
    expect(tables).toMatchObject({ 'sync.quarantine': [expect.anything()], 'tilkee.tokens': expect.anything() });
    const report = await erasePerson(app, { leads: [person?.id ?? ''] });
    expect(report.erased).toEqual(countsOf({ tables } as Exported));
    for (const name of streams) {
      const after = await keysOf(name);
      const gone = [...(before.get(name) ?? [])].filter((key) => !after.has(key));
      const exported = (tables[name] ?? []).map((row) => `${row.connection_id} ${row.id}`);
      expect({ name, gone: gone.sort() }).toEqual({ name, gone: exported.sort() });
    }
  });
});
