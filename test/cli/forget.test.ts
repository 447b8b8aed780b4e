import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runInProcess } from '../helpers/in-process.ts';
import { variables } from '../helpers/mirror.ts';
import { declareErased } from '../helpers/printed/record.ts';
import { type PrivacySetup, query, SECRET, searchDump, setupPrivacy } from '../privacy/support.ts';

let setup: PrivacySetup;
let env: Record<string, string>;
beforeAll(async () => {
  setup = await setupPrivacy({ leads: 40, requests: 60, now: Date.now() - 3_600_000 });
  await setup.syncAll();
  const given = variables(setup.sandbox, setup.url, setup.database.url);
  env = { ...given, LEADMIRROR_SECRET_KEY: SECRET, PRIVACY_JOURNAL: setup.journal };
});
afterAll(() => setup.close());

const run = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  runInProcess(['forget', ...args], { ...env, ...more }, { cwd: setup.folder });

const people = () =>
  query<{ id: string; email: string; fullname: string }>(
    setup.database.url,
    `select id, email, fullname from tiledesk.leads where email is not null and fullname is not null and deleted_at is null order by id`,
  );

describe('leadmirror forget', () => {
  it.each([
    [[], /Whom\?/],
    [['--email', ' ', '--yes'], /Whom\?/],
    [['--email', 'stranger@example.net', '--yes'], /Nothing in the mirror/],
    [['--email', 'a@example.net'], /Without a terminal/],
    [['--include', 'nonsense', '--yes'], /--include takes/],
    [['--resume', '12'], /no id of an erasure/],
    [['--email', 'a@example.net', '--connection', 'tiledesk:none', '--yes'], /no connection/],
  ])('refuses %j as usage', async (args, message) => {
    const { code, stderr } = await run(args);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
  });

  it('shows what belongs to a person, erases just that, and keeps another one of the same name', async () => {
    const [one, namesake] = await people();
    if (one === undefined || namesake === undefined) throw new Error('no people');
    setup.sandbox.data.editLead(namesake.id, { fullname: one.fullname });
    await setup.run('leads', 'incremental');

    const dry = await run(['--email', one.email, '--dry-run', '--json']);
    expect(dry.code).toBe(0);
    const shown = JSON.parse(dry.stdout);
    expect(shown).toMatchObject({ erasure: null, state: 'dry_run', matched: { 'tiledesk.leads': 1 }, erased: {} });
    expect((await searchDump(setup.database.url, [one.email])).length).toBeGreaterThan(0);

    const done = await run(['--email', one.email, '--yes', '--json', '--force', '--reference', 'T-17']);
    declareErased([one.email]);
    expect(done.code).toBe(0);
    const report = JSON.parse(done.stdout);
    expect(report).toMatchObject({ state: 'done', matched: shown.matched, erased: shown.matched, residue: {} });
    expect(await searchDump(setup.database.url, [one.email])).toEqual([]);
    const [left] = await query<{ email: string }>(
      setup.database.url,
      'select email from tiledesk.leads where id = $1',
      [namesake.id],
    );
    expect(left?.email).toBe(namesake.email);
    const log = await query(setup.database.url, 'select reason, reference, state, plan from sync.erasures');
    expect(log).toEqual([{ reason: 'request', reference: 'T-17', state: 'done', plan: null }]);

    const lifted = await run(['--lift', report.erasure, '--json']);
    expect(JSON.parse(lifted.stdout)).toMatchObject({ state: 'lifted' });
  });

  it('wants to be forced for more than one person has', async () => {
    const selectors = (await people()).slice(5, 11).flatMap(({ id }) => ['--lead', id]);
    const { code, stderr } = await run([...selectors, '--yes']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/leads belong to this.*--force/) });
  });

  it('says what it needs, and that a journal in LEADMIRROR_HOME would be restored with the database', async () => {
    const [, , person] = await people();
    const without = { LEADMIRROR_SECRET_KEY: '', PRIVACY_JOURNAL: '' };
    const { code, stderr } = await run(['--lead', person?.id ?? '', '--yes'], without);
    expect(code).toBe(2);
    expect(stderr).toMatch(/LEADMIRROR_SECRET_KEY.*\n.*PRIVACY_JOURNAL/);
    const inside = await run(['--lead', person?.id ?? '', '--yes'], { PRIVACY_JOURNAL: './.leadmirror/journal' });
    expect({ code: inside.code, stderr: inside.stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/LEADMIRROR_HOME/),
    });
  });

  it('goes on under another LEADMIRROR_SECRET_KEY, which the journal takes over', async () => {
    const newKey = 'another-key-of-the-privacy-test-01234';
    const given = { ...env, LEADMIRROR_SECRET_KEY: newKey, LEADMIRROR_OLD_SECRET_KEY: SECRET };
    expect(await runInProcess(['rekey'], given, { cwd: setup.folder })).toMatchObject({ code: 0 });
    const person = (await people()).at(-1);
    const { code, stderr } = await run(['--email', person?.email ?? '', '--yes', '--force'], {
      LEADMIRROR_SECRET_KEY: newKey,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const back = { ...env, LEADMIRROR_OLD_SECRET_KEY: newKey };
    expect(await runInProcess(['rekey'], back, { cwd: setup.folder })).toMatchObject({ code: 0 });
  });

  it('ends with 1 when a text of another one still holds the person, and says where', async () => {
    const [, , , person] = await people();
    const sql = `update tiledesk.departments set description = $1 where id = (select min(id) from tiledesk.departments)`;
    await query(setup.database.url, sql, [`ask ${person?.email} about it`]);
    const { code, stdout } = await run(['--email', person?.email ?? '', '--yes', '--json']);
    expect({ code, ...JSON.parse(stdout) }).toMatchObject({
      code: 1,
      state: 'residue',
      residue: { 'tiledesk.departments': 1 },
    });
  });
});
