import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createTilkeeSandbox } from '../../sandbox/tilkee.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { declareSecrets } from '../helpers/printed/record.ts';

/** The same account twice: stored as it is, and by the preset `contact`. */
const KEY = 'made-up-secret-key-of-the-field-policy-test';
const tiledesk = createTiledeskSandbox({ leads: 60, requests: 80 });
const leads = [...tiledesk.data.leads.values()];
const tilkee = createTilkeeSandbox({
  ...{ projects: 10, items: 5, tokens: 40, visits: 50 },
  leads: leads.map((lead) => ({ ...lead, id: lead._id })),
});
let cli: Cli;
const databases: TestDatabase[] = [];
const envs: Record<string, string>[] = [];
beforeAll(async () => {
  cli = await createCli();
  const { url } = await tiledesk.listen();
  const at = await tilkee.listen();
  for (const preset of ['none', 'contact']) {
    const database = await createTestDatabase();
    databases.push(database);
    envs.push({
      ...variables(tiledesk, url, database.url),
      ...{ TILKEE_V3_URL: at.v3Url, TILKEE_V2_URL: at.v2Url, TILKEE_AUTH_URL: at.authUrl },
      ...{ TILKEE_USERNAME: tilkee.username, TILKEE_PASSWORD: tilkee.password, TILKEE_REQUESTS_PER_MINUTE: '100000' },
      ...{ TILKEE_CLIENT_ID: tilkee.clientId, TILKEE_CLIENT_SECRET: tilkee.clientSecret },
      ...{ PRIVACY_PRESET: preset, LEADMIRROR_SECRET_KEY: KEY },
    });
  }
  for (const env of envs) declareSecrets(env);
});
afterAll(async () => {
  await cli.close();
  for (const database of databases) await database.drop();
  await tiledesk.close();
  await tilkee.close();
});

async function read<T extends pg.QueryResultRow>(index: number, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: databases[index]?.url });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

const PEOPLE = `select count(*)::int as people, sum(leads)::int as leads, sum(requests)::int as requests,
  count(*) filter (where links > 0 and leads > 0)::int as joined from reporting.lead_360`;
const EVERYTHING = `select string_agg(t, ' ') as text from (select l::text as t from tiledesk.leads l
  union all select r::text from tiledesk.requests r union all select k::text from tilkee.tokens k
  union all select p::text from reporting.people p union all select f::text from reporting.lead_facts f) as everything`;

const emails = leads
  .map(({ email }) => email)
  .filter((email): email is string => typeof email === 'string' && email.includes('@'));
async function found(index: number): Promise<string[]> {
  const [row] = await read<{ text: string }>(index, EVERYTHING);
  const text = row?.text.toLowerCase() ?? '';
  return emails.filter((email) => text.includes(email.trim().toLowerCase()));
}

it('pseudonyms hide every address, and the reports join people of both products as without them', async () => {
  for (const env of envs) expect((await cli.run(['sync'], { env })).code).toBe(0);
  expect((await found(0)).length).toBeGreaterThan(10);
  expect(await found(1)).toEqual([]);
  const [plain, hidden] = await Promise.all([read(0, PEOPLE), read(1, PEOPLE)]);
  expect(plain[0]?.joined).toBeGreaterThan(0);
  expect(hidden).toEqual(plain);
  const verified = await cli.run(['verify', '--json'], { env: envs[1] ?? {} });
  expect(verified.code).toBe(0);
});

it('an account has a policy of its own, which wins over that of all accounts', async () => {
  const database = await createTestDatabase();
  const { TILEDESK_PROJECT_ID = '', TILEDESK_EMAIL, TILEDESK_PASSWORD, ...others } = envs[1] ?? {};
  const account = (more: string) =>
    `  - { source: tiledesk, projectId: ${TILEDESK_PROJECT_ID}, email: "${TILEDESK_EMAIL}", password: "${TILEDESK_PASSWORD}", ` +
    `baseUrl: "${others.TILEDESK_BASE_URL}", streams: leads, ${more} }\n`;
  const folder = await mkdtemp(join(tmpdir(), 'policy-'));
  try {
    const open = account('id: open, privacyPreset: none, privacyFields: tiledesk.leads.company=drop');
    await writeFile(join(folder, 'leadmirror.yaml'), `connections:\n${account('id: hidden')}${open}`);
    const given = Object.entries(others).filter(([name]) => !/^(TILEDESK|TILKEE)_/.test(name));
    const env = { ...Object.fromEntries(given), DATABASE_URL: database.url };
    const { code, stderr } = await cli.run(['sync'], { env, cwd: folder });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const sql = `select connection_id as id, bool_or(email like '%@pseudonym.invalid') as is_hidden, count(company)::int as companies
      from tiledesk.leads group by 1 order by 1`;
    const { rows } = await client.query(sql).finally(() => client.end());
    expect(rows).toEqual([
      { id: 'hidden', is_hidden: true, companies: expect.any(Number) },
      { id: 'open', is_hidden: false, companies: 0 },
    ]);
    expect(rows[0].companies).toBeGreaterThan(0);
  } finally {
    await rm(folder, { recursive: true });
    await database.drop();
  }
});

it('a policy that is chosen later reaches what is stored, with reproject', async () => {
  const env = { ...envs[0], PRIVACY_PRESET: 'contact' };
  for (const source of ['tiledesk', 'tilkee']) expect((await cli.run(['reproject', source], { env })).code).toBe(0);
  expect((await cli.run(['report', 'refresh', '--full'], { env })).code).toBe(0);
  expect(await found(0)).toEqual([]);
  const again = await cli.run(['reproject', 'tiledesk', '--json'], { env });
  expect(JSON.parse(again.stdout).streams.map(({ rewritten }: { rewritten: number }) => rewritten)).toEqual([
    0, 0, 0, 0,
  ]);
});

it('pseudonyms without a key to keep are refused, and what to do is said', async () => {
  const { LEADMIRROR_SECRET_KEY: _, ...env } = envs[1] ?? {};
  const { code, stderr } = await cli.run(['sync'], { env });
  expect(code).toBe(2);
  expect(stderr).toContain('LEADMIRROR_SECRET_KEY: is not set, and pseudonyms');
  const wrong = await cli.run(['sync'], { env: { ...envs[1], PRIVACY_FIELDS: 'leads.note=drop' } });
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain(
    'PRIVACY_FIELDS: must be a stream, a field and what to do with it, such as tiledesk.leads.note=drop',
  );
});
