import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { grantReadonly } from '../../src/store/reports/readonly-role.ts';
import { runInProcess } from '../helpers/in-process.ts';
import { variables } from '../helpers/mirror.ts';
import { erasePerson, type PrivacySetup, query, SECRET, setupPrivacy } from './support.ts';

const ROLE = `reader_${randomBytes(4).toString('hex')}`;
let setup: PrivacySetup;
let env: Record<string, string>;
let people: { id: string; fullname: string; email: string }[];
beforeAll(async () => {
  setup = await setupPrivacy({ leads: 12, requests: 10, now: Date.now() - 3_600_000 });
  await setup.syncAll();
  people = await query(
    setup.database.url,
    'select id, fullname, email from tiledesk.leads where email is not null and fullname is not null order by id',
  );
  const given = variables(setup.sandbox, setup.url, setup.database.url);
  env = { ...given, LEADMIRROR_SECRET_KEY: SECRET, PRIVACY_JOURNAL: setup.journal };
});
afterAll(async () => {
  await query(setup.database.url, `drop owned by ${ROLE}; drop role ${ROLE}`).finally(() => setup.close());
});

const record = (more: Readonly<Record<string, string>> = {}, ...args: readonly string[]) =>
  runInProcess(['privacy', 'record', ...args], { ...env, ...more }, { cwd: setup.folder });

it('has the accounts, tables, policies and retention as they are configured', async () => {
  const { code, stdout } = await record(
    { PRIVACY_PRESET: 'contact', PRIVACY_FIELDS: 'tiledesk.leads.city=keep', PRIVACY_UPSTREAM_DELETED: '30' },
    '--json',
  );
  expect(code).toBe(0);
  const document = JSON.parse(stdout);
  const [account] = document.accounts;
  expect(account).toMatchObject({ connection: `tiledesk:${setup.sandbox.projectId}`, presets: ['contact'] });
  expect(account.pseudonyms).toContain('tiledesk.leads.email');
  expect(account.left_out).toContain('tiledesk.leads.note');
  expect([...account.pseudonyms, ...account.left_out].join(' ')).not.toMatch(/tilkee|tiledesk\.leads\.city/);
  const leads = document.tables.find(({ table }: { table: string }) => table === 'tiledesk.leads');
  expect(leads.columns).toEqual(expect.arrayContaining(['email', 'phone', 'fullname', 'note', 'raw']));
  expect(leads.columns).not.toContain('status');
  expect(document.retention).toContainEqual(expect.objectContaining({ what: 'rows that are gone upstream', days: 30 }));
  expect(document.storage).toMatchObject({ is_built_in: false, queue: 'postgres', has_journal: true });
});

it('counts erasures by reason and state, and names nobody, whatever was given as the reason', async () => {
  const [one, two, three] = people;
  await erasePerson(setup.app, { leads: [one?.id ?? ''] });
  await erasePerson(setup.app, { leads: [two?.id ?? ''] }, { reason: `asked by ${one?.fullname}` });
  await erasePerson(setup.app, { leads: [three?.id ?? ''] }, { reason: `asked by ${one?.fullname}, again` });
  const json = await record({}, '--json');
  const ended = { state: 'done', last_ended_at: expect.stringMatching(/^20/) };
  expect(JSON.parse(json.stdout).erasures).toEqual([
    { reason: 'other', count: 2, ...ended },
    { reason: 'request', count: 1, ...ended },
  ]);
  const markdown = await record();
  for (const { fullname, email } of people) {
    expect(json.stdout + markdown.stdout).not.toContain(fullname);
    expect(json.stdout + markdown.stdout).not.toContain(email);
  }
});

it('lists the roles that can read, and whether it is personal data', async () => {
  await query(setup.database.url, `create role ${ROLE} login`);
  const accessOf = async () => {
    const { readers } = JSON.parse((await record({}, '--json')).stdout);
    return readers.find(({ role }: { role: string }) => role === ROLE);
  };
  expect(await accessOf()).toBeUndefined();
  await grantReadonly(setup.app.database.prisma, ROLE);
  expect(await accessOf()).toEqual({ role: ROLE, can_login: true, access: 'personal_data' });
  const { code } = await runInProcess(['grant-readonly', ROLE, '--without-personal-data'], env, { cwd: setup.folder });
  expect(code).toBe(0);
  expect(await accessOf()).toMatchObject({ access: 'without_personal_data' });
});

it('is Markdown, with the lines that a person has to fill in, also with nothing configured', async () => {
  const { code, stdout } = await record({ PRIVACY_PRESET: 'texts' });
  expect(code).toBe(0);
  expect(stdout).toMatch(/ \(texts\) \| tiledesk\.requests \| none \| first_text, subject, /);
  for (const heading of [
    'Sources',
    'Categories of data',
    'Retention',
    'Where it is stored',
    'Who can read',
    'Erasures',
  ]) {
    expect(stdout).toContain(`\n## ${heading}\n`);
  }
  expect(stdout).toMatch(/^- Purposes: _to be filled in_$/m);
  expect(stdout).toMatch(/^\| rows that are gone upstream \| kept for ever \|$/m);
  const bare = await runInProcess(['privacy', 'record'], { DATABASE_URL: setup.database.url }, { cwd: '/' });
  expect(bare).toMatchObject({ code: 0, stdout: expect.stringContaining('no longer configured') });
});
