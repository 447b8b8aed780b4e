import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createExpectation, type Row } from './expected.ts';
import { type ReportingSetup, setupReporting } from './setup.ts';

/** Of four kinds: none, an hour of daylight saving, a zone at a quarter of an hour, and half an hour with daylight saving. */
const ZONES = ['UTC', 'Europe/Rome', 'Asia/Kathmandu', 'America/St_Johns'] as const;
const VIEWS = [
  'requests_daily',
  'csat',
  'response_times',
  'agent_activity',
  'open_backlog',
  'lead_funnel',
  'link_engagement',
  'lead_360',
] as const;

let setup: ReportingSetup;
beforeAll(async () => {
  setup = await setupReporting();
  addRareOnes(setup);
  await setup.sync('backfill');
  await setup.refresh();
}, 180_000);
afterAll(() => setup?.close());

/** What the generated history has too rarely: the edges of days and of clock changes, people known by phone only, links for them. */
function addRareOnes({ tiledesk, tilkee }: ReportingSetup): void {
  const { data } = tiledesk;
  const edges = [
    ...['2026-03-28T22:59:59.999Z', '2026-03-29T00:59:59.999Z', '2026-03-29T01:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ...['2025-10-26T00:30:00.000Z', '2025-10-26T01:30:00.000Z', '2025-10-25T22:00:00.000Z', '2025-10-26T23:00:00.000Z'],
    ...['2025-12-31T18:14:59.999Z', '2025-12-31T18:15:00.000Z', '2025-12-31T23:59:59.999Z', '2026-01-01T03:29:59.999Z'],
    ...['2026-03-08T05:29:59.999Z', '2026-03-08T05:30:00.000Z', '2025-11-02T02:29:59.999Z', '2025-11-02T03:30:00.000Z'],
  ];
  for (const edge of edges) {
    const at = Date.parse(edge);
    const { _id } = data.insertRequest({ createdAt: edge, status: 200 }, at);
    data.closeRequest(_id, { at: at + 1 });
  }
  const { team } = data;
  data.insertRequest(
    { participantsAgents: [...team.agentIds, ...team.agentIds] } as object,
    Date.parse('2026-04-01T12:00:00Z'),
  );
  const at = Date.parse('2026-04-02T00:00:00Z');
  data.insertLead({ email: 'Only.One@Example.com', phone: '+39 055 123-4567', fullname: 'Known By Both' }, at);
  data.insertLead({ email: undefined, phone: '0039055 1234567', fullname: 'Known By Phone' }, at + 1);
  data.insertLead({ email: undefined, phone: '0000000000' }, at + 2);
  data.insertLead({ email: undefined, phone: '0000000000' }, at + 3);
  data.insertLead({ email: 'first@example.com', phone: '+44 20 7946 0001' }, at + 4);
  data.insertLead({ email: 'second@example.com', phone: '+44 20 7946 0001' }, at + 5);
  data.insertLead({ email: undefined, phone: '+44 20 7946 0001' }, at + 6);
  data.insertLead({ email: 'ONLY.ONE@example.com', lead_id: 'shared-visitor', company: 'Example Ltd' }, at + 7);
  data.insertLead({ lead_id: 'shared-visitor' }, at + 8);
  const names = [
    'Known Person <only.one@example.com>',
    '+39 055 1234567',
    '00442079460001',
    '5512345678',
    'nobody@example.org',
    'nobody@example.org',
  ];
  for (const name of names) tilkee.data.add('token', { name, external_id: null });
  tilkee.data.add('token', { name: 'By Visitor', external_id: 'shared-visitor' });
}

/** Fractions to twelve digits, instants as milliseconds: what both sides can say. */
function normalised(rows: readonly Row[]): string[] {
  const plain = (column: string, value: unknown): unknown => {
    if (column.endsWith('_at') && typeof value === 'string') return Date.parse(value);
    return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(12)) : value;
  };
  return rows
    .map((row) => {
      const { as_of: _, person_key, ...rest } = row;
      const columns = 'link_id' in row ? rest : { ...rest, ...(person_key !== undefined && { person_key }) };
      return JSON.stringify(
        Object.fromEntries(
          Object.entries(columns)
            .sort()
            .map(([name, value]) => [name, plain(name, value)]),
        ),
      );
    })
    .sort();
}

async function expectAllEqual(zone: string): Promise<void> {
  const expectation = createExpectation(setup.tiledesk, setup.tilkee, zone);
  for (const view of VIEWS) {
    const rows = await setup.rows(`select * from reporting.${view}`);
    const expected = normalised(expectation[view](Date.now()));
    const found = normalised(rows);
    expect(expected.length).toBeGreaterThan(10);
    const missing = expected.filter((row) => !found.includes(row)).slice(0, 3);
    expect({ view, missing, extra: found.filter((row) => !expected.includes(row)).slice(0, 3) }).toEqual({
      view,
      missing: [],
      extra: [],
    });
    expect(found).toHaveLength(expected.length);
  }
}

/** Everything that the precomputed tables hold, whoever computed it. */
async function everything(): Promise<Record<string, string[]>> {
  const tables = [
    'names',
    'request_facts',
    'request_days',
    'agent_days',
    'response_stats',
    'lead_facts',
    'visit_facts',
    'link_facts',
    'people',
  ];
  const found: Record<string, string[]> = {};
  for (const table of tables) {
    const isSum = table === 'request_days' || table === 'agent_days';
    const rows = await setup.rows(
      `select * from reporting.${table}${isSum ? ' where rated <> 0 or closed <> 0 or ' : ''}${
        table === 'request_days' ? 'opened <> 0' : table === 'agent_days' ? 'requests <> 0' : ''
      }`,
    );
    found[table] = rows.map((row) => JSON.stringify(row)).sort();
  }
  return found;
}

describe.each(ZONES)('in the time zone %s', (zone) => {
  beforeAll(async () => {
    await setup.client.query("update reporting.settings set time_zone = $1 where connection_id = '*'", [zone]);
    await setup.refresh();
  });

  it('every view shows what a plain computation over the sandboxes gives', () => expectAllEqual(zone), 120_000);
});

it('people are brought together by each of the rules', async () => {
  const rows = await setup.rows('select distinct unnest(matched_by) as rule from reporting.lead_360');
  expect(rows.map(({ rule }) => rule).sort()).toEqual(['email', 'external_id', 'phone']);
});

describe('after a day of changes', () => {
  beforeAll(async () => {
    const { tiledesk, tilkee } = setup;
    tiledesk.data.randomEdits(150, { hardDeletes: false });
    const requests = [...tiledesk.data.requests.values()];
    for (const { _id } of requests.filter(({ status }) => status === 1000).slice(10, 20))
      tiledesk.data.reopenRequest(_id);
    for (const { _id } of requests.filter(({ status }) => status === 200).slice(10, 20))
      tiledesk.data.closeRequest(_id);
    for (const { _id } of requests.slice(30, 36)) tiledesk.data.hardDeleteRequest(_id);
    for (const { _id } of [...tiledesk.data.leads.values()].slice(40, 44)) tiledesk.data.setLeadStatus(_id, 1000);
    const half = Date.now() - 30 * 60_000;
    tiledesk.data.insertRequest({ createdAt: new Date(half).toISOString() }, half);
    const only = [...tiledesk.data.leads.values()].find(({ fullname }) => fullname === 'Known By Both');
    if (only) tiledesk.data.editLead(only._id, { email: 'moved.away@example.com' });
    tilkee.data.randomEdits(60);
    for (const project of tilkee.data.all('project').slice(0, 5))
      tilkee.data.touch('project', project.id, { verdict: 'won' });
    await setup.client.query("insert into reporting.settings values ($1, 'Pacific/Auckland')", [
      `tiledesk:${tiledesk.projectId}`,
    ]);
    await setup.client.query("insert into reporting.settings values ('tilkee:default', 'Pacific/Auckland')");
    await setup.sync('incremental');
    await setup.sync('reconcile');
    expect(await setup.refresh()).toBe('refreshed');
  }, 180_000);

  it(
    'what was refreshed row by row is what a plain computation gives',
    () => expectAllEqual('Pacific/Auckland'),
    120_000,
  );

  it('and what a computation anew from all rows gives', async () => {
    const refreshed = await everything();
    expect(await setup.refresh(true)).toBe('rebuilt');
    expect(await everything()).toEqual(refreshed);
  });

  it('every view says as of when it is, as the status of its streams does', async () => {
    const [status] = await setup.rows("select max(as_of) as as_of from sync.status where stream = 'tiledesk.requests'");
    for (const view of ['requests', 'requests_daily', 'csat', 'response_times', 'agent_activity', 'open_backlog']) {
      expect(await setup.rows(`select distinct as_of from reporting.${view}`)).toEqual([status]);
    }
    for (const [view, streams] of [
      ['lead_funnel', ['tiledesk.leads', 'tiledesk.requests']],
      ['link_engagement', ['tilkee.tokens', 'tilkee.connexions', 'tilkee.projects']],
    ] as const) {
      const oldest = await setup.rows(
        `select min(as_of) as as_of from sync.status where stream = any ('{${streams}}')`,
      );
      expect(await setup.rows(`select distinct as_of from reporting.${view}`)).toEqual(oldest);
    }
    const fresh = await setup.rows('select relation, as_of, reads, refreshed_at from reporting.freshness');
    expect(fresh.filter(({ as_of }) => as_of === null)).toEqual([]);
    expect(new Set(fresh.map(({ relation }) => relation)).size).toBe(9 + 9);
  });
});
