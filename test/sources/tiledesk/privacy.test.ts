import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { redactTiledesk } from '../../../src/sources/privacy.ts';
import { type MirrorSetup, setupMirror } from '../../helpers/mirror.ts';

/** Words that no other field holds: where one turns up, something came through. */
const AGENT = 'Mozilla/5.0 (canary-agent)';
const ADDRESS = '203.0.113.77';
const CANARIES = ['canary-agent', ADDRESS, 'canary-last-ip', 'canary-client-ip'];
/** Secrets of accounts, which no setting lets through. */
const SECRETS = ['canary-secret-1', 'canary-secret-2', 'canary-secret-3', 'canary-secret-4', 'canary-secret-5'];

/** One of each place where such things are known to be, the nested copies included. */
const visitor = {
  userAgent: AGENT,
  location: { country: 'IT', ipAddress: ADDRESS, geometry: { type: 'Point', coordinates: [9, 45] } },
  attributes: {
    client: AGENT,
    userAgent: AGENT,
    ip: ADDRESS,
    ip_address: ADDRESS,
    note: 'kept note',
    // Names that no list holds, and no name at all.
    seenFrom: ADDRESS,
    'X-Whence': `[::ffff:${ADDRESS}]:443, 10.0.0.1`,
    [ADDRESS]: { visits: 1 },
    state: JSON.stringify({ clientIP: ADDRESS, zz: AGENT }),
    headers: [{ name: 'User-Agent', value: AGENT }],
    fcmPushToken: SECRETS[0],
    id_user: { password: SECRETS[4], firstname: 'Ann' },
    session: { Authorization: SECRETS[1] },
    form: [{ key: 'API-Key', value: SECRETS[2] }],
    returnTo: `https://example.test/reset?reset_token=${SECRETS[3]}&x=1`,
    nested: [{ deep: { client_ip: 'canary-client-ip', client: AGENT, kept: 1 } }],
    last_message: { attributes: { client: AGENT, ipAddress: ADDRESS }, text: 'kept text' },
  },
  snapshot: {
    requester: { last_ip: 'canary-last-ip', role: 'guest' },
    lead: { attributes: { client: AGENT }, email: 'kept@example.com' },
  },
};

const kept = {
  client: 'ACME Ltd',
  attributes: { client: 'Mozilla Foundation', clients: [AGENT.length], ipo: 'kept', zip: 'kept' },
};

async function mirrored(storeVisitorPii: boolean): Promise<MirrorSetup> {
  const setup = await setupMirror({ leads: 12, requests: 12 }, { STORE_VISITOR_PII: String(storeVisitorPii) });
  const { data } = setup.sandbox;
  const lead = data.insertLead({ attributes: { ...visitor.attributes, ...kept.attributes, client: AGENT } });
  data.insertLead({ fullname: 'another use', attributes: kept.attributes });
  data.insertRequest({ lead: lead._id, ...visitor });
  data.insertRequest({ first_text: 'another use', attributes: { client: kept.client, ip: undefined } });
  for (const member of data.team.projectUsers) Object.assign(member, { last_ip: 'canary-last-ip' });
  for (const department of data.team.departments) Object.assign(department, { attributes: visitor.attributes });
  // Bad records go to quarantine as text: without an id, but with everything else.
  data.team.departments.push({ ...data.team.departments[0], _id: undefined, name: 'no id', ...visitor } as never);
  await setup.syncAll();
  return setup;
}

/** Every value of every table of ours as text: whatever was stored is somewhere in there. */
async function everything(setup: MirrorSetup): Promise<Record<string, string>> {
  const client = new pg.Client({ connectionString: setup.database.url });
  await client.connect();
  try {
    const tables = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('sync', 'tiledesk')`,
    );
    const texts: Record<string, string> = {};
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ text: string | null }>(
        `select string_agg(t::text, E'\\n') as text from ${name} t`,
      );
      texts[name] = rows[0]?.text ?? '';
    }
    return texts;
  } finally {
    await client.end();
  }
}

const found = (texts: Record<string, string>, word: string) =>
  Object.keys(texts)
    .filter((table) => texts[table]?.includes(word))
    .sort();

describe('with STORE_VISITOR_PII=false', () => {
  let setup: MirrorSetup;
  let texts: Record<string, string>;
  beforeAll(async () => {
    setup = await mirrored(false);
    texts = await everything(setup);
  });
  afterAll(() => setup.close());

  it.each(CANARIES)('%s is in no table, raw and quarantine included', (canary) => {
    expect(found(texts, canary)).toEqual([]);
  });

  it.each(SECRETS)('%s is in no table', (secret) => {
    expect(found(texts, secret)).toEqual([]);
  });

  it('everything around it is there', () => {
    expect(found(texts, 'kept note')).toEqual(
      expect.arrayContaining(['tiledesk.leads', 'tiledesk.requests', 'tiledesk.departments', 'sync.quarantine']),
    );
    expect(found(texts, 'kept@example.com')).toContain('tiledesk.requests');
    expect(found(texts, 'kept text')).toContain('tiledesk.requests');
  });

  it('other uses of the word `client` are kept', () => {
    expect(found(texts, 'Mozilla Foundation')).toEqual(['tiledesk.leads']);
    expect(found(texts, 'ACME Ltd')).toEqual(['tiledesk.requests']);
  });
});

describe('with STORE_VISITOR_PII=true', () => {
  let setup: MirrorSetup;
  let texts: Record<string, string>;
  beforeAll(async () => {
    setup = await mirrored(true);
    texts = await everything(setup);
  });
  afterAll(() => setup.close());

  it.each([
    ['canary-agent', ['sync.quarantine', 'tiledesk.departments', 'tiledesk.leads', 'tiledesk.requests']],
    [ADDRESS, ['sync.quarantine', 'tiledesk.departments', 'tiledesk.leads', 'tiledesk.requests']],
    ['canary-client-ip', ['sync.quarantine', 'tiledesk.departments', 'tiledesk.leads', 'tiledesk.requests']],
    ['canary-last-ip', ['sync.quarantine', 'tiledesk.project_users', 'tiledesk.requests']],
  ])('%s is there', (canary, tables) => {
    expect(found(texts, canary)).toEqual(tables);
  });

  it.each(SECRETS)('%s is not', (secret) => {
    expect(found(texts, secret)).toEqual([]);
  });

  it('and the browser has its column', async () => {
    const client = new pg.Client({ connectionString: setup.database.url });
    await client.connect();
    const { rows } = await client.query(
      `select distinct user_agent from tiledesk.requests where user_agent like '%canary%'`,
    );
    await client.end();
    expect(rows).toEqual([{ user_agent: AGENT }]);
  });
});

describe('redactTiledesk', () => {
  const none = { storeVisitorPii: false };

  it('leaves a record alone that holds nothing of the kind, down to its identity', () => {
    const record = { _id: '1', ...kept, list: [1, { a: null }] };
    expect(redactTiledesk(record, none)).toBe(record);
  });

  it('changes a copy, not the record', () => {
    const record = structuredClone(visitor);
    const redacted = redactTiledesk(record, none);
    expect(record).toEqual(visitor);
    expect(JSON.stringify(redacted)).not.toMatch(/canary|203\.0/);
    expect(redacted).toMatchObject({ location: { country: 'IT' }, attributes: { nested: [{ deep: { kept: 1 } }] } });
  });

  it.each([null, undefined, 'text', 7, true, []])('takes %p as it is', (value) => {
    expect(redactTiledesk(value, none)).toEqual(value);
  });
});
