import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runInProcess } from '../helpers/in-process.ts';
import { variables } from '../helpers/mirror.ts';
import { type PrivacySetup, query, setupPrivacy } from '../privacy/support.ts';

let setup: PrivacySetup;
beforeAll(async () => {
  setup = await setupPrivacy({ leads: 130, requests: 20, now: Date.now() - 3_600_000 });
  await setup.run('leads', 'backfill');
  await setup.run('requests', 'backfill');
});
afterAll(() => setup.close());

const run = (args: readonly string[], rules = 'tiledesk.leads created 1 day erase') => {
  const env = { ...variables(setup.sandbox, setup.url, setup.database.url), PRIVACY_RETENTION: rules };
  return runInProcess(['retention', ...args], env, { cwd: setup.folder });
};

const erased = async () =>
  (await query<{ count: number }>(setup.database.url, 'select count(erased_at)::int as count from tiledesk.leads'))[0]
    ?.count;

describe('leadmirror retention', () => {
  it('removes nothing without a rule', async () => {
    const { code, stderr } = await run([], '');
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/No rule of retention is set/) });
  });

  it('shows what would go, table by table, and changes nothing', async () => {
    const { code, stdout } = await run(['--dry-run', '--json']);
    expect(code).toBe(0);
    const [rule] = JSON.parse(stdout).rules;
    expect(JSON.parse(stdout)).toMatchObject({ state: 'dry_run', returned: 0 });
    expect(rule).toMatchObject({
      ...{ stream: 'tiledesk.leads', since: 'created', after: '1 day', do: 'erase', of: 130, blocked: true },
      tables: { 'tiledesk.leads': rule.due, 'tiledesk.requests': expect.any(Number) },
    });
    expect((await run(['--dry-run'])).stdout).toMatch(/large share of the table.*--force\.\nNothing was removed\./);
    expect(await erased()).toBe(0);
  });

  it('removes texts, and leaves rows, counts and times', async () => {
    const rows = () =>
      query(
        setup.database.url,
        'select id, status, created_at, closed_at, duration_ms, lead_id from tiledesk.requests order by id',
      );
    const texts = `select count(first_text)::int as count from tiledesk.requests where created_at < now() - interval '1 day'`;
    const before = await rows();
    expect((await query<{ count: number }>(setup.database.url, texts))[0]?.count).toBeGreaterThan(5);
    const { code, stdout } = await run(['--json'], 'tiledesk.requests created 1 day texts');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).rules[0]).toMatchObject({
      blocked: false,
      tables: { 'tiledesk.requests': expect.any(Number) },
    });
    expect(await query(setup.database.url, texts)).toEqual([{ count: 0 }]);
    expect(await rows()).toEqual(before);
    await setup.run('requests', 'reconcile');
    expect(await query(setup.database.url, texts)).toEqual([{ count: 0 }]);
    expect(await rows()).toEqual(before);
  });

  it('removes nothing by a rule that is due for a large share of a table, unless it is forced', async () => {
    const { code, stdout } = await run([]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringMatching(/Nothing of it was removed/) });
    expect(await erased()).toBe(0);
    const forced = await run(['--force', '--json']);
    expect(forced.code).toBe(0);
    const [rule] = JSON.parse(forced.stdout).rules;
    expect(rule.due).toBeGreaterThan(100);
    expect(rule.tables['tiledesk.leads']).toBe(rule.due);
    expect(await erased()).toBe(rule.due);
  });

  it.each([
    ['tiledesk.leads', /such as "tiledesk\.leads last_contact 36 months erase"/],
    ['tiledesk.leads last_contact 0 days erase', /PRIVACY_RETENTION/],
    ['tiledesk.departments last_contact 3 months erase', /counts since last_contact/],
    ['tiledesk.leads closed 3 months erase', /only rows of tiledesk\.requests have/],
    ['tiledesk.project_users created 3 months texts', /wants to remove texts/],
    ['tiledesk.leads created 1 year erase, nonsense', /entry 2/],
    ['tiledesk.leeds created 1 year erase', /did you mean tiledesk\.leads\?/],
  ])('refuses the rule %s', async (rule, message) => {
    const { code, stderr } = await run(['--dry-run'], rule);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
  });
});
