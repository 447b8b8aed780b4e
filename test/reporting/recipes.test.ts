import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readRecipes } from '../helpers/recipes.ts';
import { type ReportingSetup, setupReporting } from './setup.ts';

/**
 * A month that fits on a sheet of paper, in Rome: UTC+1 until 29 March, UTC+2 from then on. The answers below were worked out by hand from this table.
 *
 *        opened (Rome)      department  channel   agents     answered after  closed (Rome)          by      rating  lead
 *   r1   Mon  2 Mar 10:00   Default     chat21    Ada        60 s            Mon 2 Mar 11:00        Ada     5       Anna
 *   r2   Mon  2 Mar 10:30   Default     chat21    Ada        120 s           Tue 3 Mar 10:30        Ada     3       Bruno
 *   r3   Tue  3 Mar 15:00   Default     email     Ben        600 s           Tue 3 Mar 16:00        Ben     4       Anna
 *   r4   Wed  4 Mar 00:30   Sales       chat21    Ben        30 s            reopened: open                         Anna, by phone
 *   r5   Mon  9 Mar 09:00   Sales       whatsapp  nobody     -               open                                   Carla
 *   r6   Tue 10 Mar 09:00   Sales       chat21    nobody     -               abandoned                              Dario
 *   r7   Mon 30 Mar 00:30   Default     chat21    Ada        240 s           Mon 30 Mar 03:30       system          Dario
 *   r8   Wed  1 Apr 09:00   Default     form      Ada, Ben   300 s           open                                   Elena
 *   a draft, a preflight conversation, a temporary one and one that is deleted later, all of March: none of them counts
 */
const ANSWERS: Readonly<Record<number, readonly unknown[]>> = {
  1: [
    {
      ...{ department: 'Default Department', status_name: 'assigned', open: 1, unanswered: 0, over_a_week: 1 },
      oldest: '2026-04-01T07:00:00+00:00',
    },
    {
      ...{ department: 'Sales', status_name: 'assigned', open: 1, unanswered: 0, over_a_week: 1 },
      oldest: '2026-03-03T23:30:00+00:00',
    },
    {
      ...{ department: 'Sales', status_name: 'unassigned', open: 1, unanswered: 1, over_a_week: 1 },
      oldest: '2026-03-09T08:00:00+00:00',
    },
  ],
  2: [{ id: 'r5', department: 'Sales', opened_at: '2026-03-09T08:00:00+00:00', first_text: 'Is anybody there?' }],
  // 30 60 120 240 600: the middle one, and 0.6 of the way from the fourth to the fifth.
  3: [
    { month: '2026-03-01', answered: 5, median: 120, p90: 456 },
    { month: '2026-04-01', answered: 1, median: 300, p90: 300 },
  ],
  // Ada 60 120 240, Ben 30 600
  4: [
    { agent: 'Ada', requests: 3, median: 120, closed: 2 },
    { agent: 'Ben', requests: 2, median: 315, closed: 1 },
  ],
  // Default 60 120 240 600 and 1, 1, 3, 24 hours; Sales 30
  5: [
    { department: 'Default Department', requests: 4, median: 180, resolved: 4, median_hours: 2 },
    { department: 'Sales', requests: 3, median: 30, resolved: 0, median_hours: null },
  ],
  6: [
    { channel: 'chat21', opened: 5, abandoned_percent: 20 },
    { channel: 'email', opened: 1, abandoned_percent: 0 },
    { channel: 'whatsapp', opened: 1, abandoned_percent: 0 },
  ],
  7: [
    { dimension: 'hour', label: '00:00', requests: 2 },
    { dimension: 'hour', label: '09:00', requests: 2 },
    { dimension: 'hour', label: '10:00', requests: 2 },
    { dimension: 'hour', label: '15:00', requests: 1 },
    { dimension: 'weekday', label: 'Monday', requests: 4 },
    { dimension: 'weekday', label: 'Tuesday', requests: 2 },
    { dimension: 'weekday', label: 'Wednesday', requests: 1 },
  ],
  8: [
    {
      ...{ id: 'r4', department: 'Sales', agents: ['Ben'], opened_at: '2026-03-03T23:30:00+00:00' },
      closed_before: '2026-03-04T08:00:00+00:00',
    },
  ],
  // Anna and Dario have; Bruno and Carla wrote once, Elena in April
  9: [{ people: 4, returning: 2 }],
  // Anna, Bruno, Carla, Dario, Franco; the last two got none, Carla did not open hers.
  10: [{ leads: 5, wrote: 4, got_a_link: 3, opened_it: 2, signed: 1 }],
  11: [{ name: 'Carla', project: 'Renewal', sent_on: '2026-03-12' }],
  // Half of the visits' time: 60 and 15 seconds, 30 seconds
  12: [
    { document: 'Price list', visits: 2, minutes: 1.3 },
    { document: 'Contract', visits: 1, minutes: 0.5 },
  ],
  // 97 and 144.5 hours; 121 hours
  13: [{ opened: 2, signed: 1, to_visit: 5, to_signature: 5 }],
  14: [
    {
      ...{ name: 'Bruno', email: 'bruno@example.com', requests: 1, last_chat_at: '2026-03-02T09:30:00+00:00' },
      ...{ visits: 1, last_visit_at: '2026-03-08T10:00:00+00:00', outcome: 'lost' },
    },
    {
      ...{ name: 'Anna', email: 'anna@example.com', requests: 3, last_chat_at: '2026-03-03T23:30:00+00:00' },
      ...{ visits: 2, last_visit_at: '2026-03-07T10:00:00+00:00', outcome: 'signed' },
    },
  ],
  // Carla's project is won.
  15: [{ name: 'Elena', email: 'elena@example.com', last_contact: '2026-04-01T07:00:00+00:00' }],
  16: [
    { day: '2026-03-02', opened: 2, closed: 1 },
    { day: '2026-03-03', opened: 1, closed: 2 },
    { day: '2026-03-04', opened: 1, closed: 0 },
  ],
  17: [
    { department: 'Default Department', opened: 4, abandoned_percent: 0 },
    { department: 'Sales', opened: 3, abandoned_percent: 33.3 },
  ],
  // 30 60 120 600
  18: [{ median: 90 }],
  19: [
    { hour: '15:00', median: 600 },
    { hour: '09:00', median: 300 },
    { hour: '00:00', median: 135 },
    { hour: '10:00', median: 90 },
  ],
  20: [
    { agent: 'Ada', rated: 2, average: 4 },
    { agent: 'Ben', rated: 1, average: 4 },
  ],
  21: [{ month: '2026-03-01', rated: 3, average: 4, satisfied_percent: 66.7 }],
  // Anna twice, Bruno, Carla, Dario, Franco; Franco never wrote, Carla was not answered, the second Anna and Carla are open, Dario did not rate.
  22: [{ leads: 6, with_request: 5, answered: 4, closed: 3, rated: 2 }],
  23: [
    { project: 'Renewal', links: 2, visits: 1, minutes: 5 },
    { project: 'Offer', links: 3, visits: 3, minutes: 3.5 },
  ],
  24: [
    { verdict: 'lost', links: 1, signed: 0 },
    { verdict: 'unset', links: 2, signed: 1 },
    { verdict: 'won', links: 2, signed: 0 },
  ],
  25: [
    {
      ...{
        name: 'Anna',
        company: 'Example Ltd',
        leads: 2,
        links: 1,
        matched_by: ['external_id', 'phone'],
        requests: 3,
        open_requests: 1,
      },
      ...{
        last_chat_at: '2026-03-03T23:30:00+00:00',
        visits: 2,
        last_visit_at: '2026-03-07T10:00:00+00:00',
        outcome: 'signed',
      },
    },
  ],
  26: [
    { name: 'Bruno', last_chat_at: '2026-03-02T09:30:00+00:00', last_visit_at: '2026-03-08T10:00:00+00:00' },
    { name: 'Anna', last_chat_at: '2026-03-03T23:30:00+00:00', last_visit_at: '2026-03-07T10:00:00+00:00' },
  ],
  27: [{ name: 'Franco', email: 'franco@example.com', first_seen_at: '2026-03-15T10:00:00+00:00' }],
  28: [],
  29: [
    {
      ...{ request_id: 'c2', sender: 'Anna', created_at: '2026-03-03T10:00:00+00:00' },
      text: 'The INVOICE came too late.',
    },
  ],
};

let setup: ReportingSetup;
const ids = new Map<string, string>();
beforeAll(async () => {
  setup = await setupReporting({
    leads: 0,
    requests: 0,
    tilkee: { projects: 0, items: 0, tokens: 0, visits: 0, users: 1 },
  });
  const doomed = writeMonth(setup);
  await setup.client.query("update reporting.settings set time_zone = 'Europe/Rome'");
  await setup.sync('backfill');
  await setup.refresh();
  setup.tiledesk.data.hardDeleteRequest(doomed);
  await setup.sync('incremental');
  await setup.sync('reconcile');
  await setup.refresh();
  await setup.client.query(`
    insert into tiledesk.messages (connection_id, id, request_id, sender_fullname, text, created_at, deleted_at, raw, content_hash, run_id)
    select 'tiledesk:x', g::text, 'c' || g, 'Anna', text, '2026-03-03 10:00Z', case g when 5 then now() end, '{}', g::text, 1
    from unnest(array['Too late!', 'The INVOICE came too late.', 'late, too: the invoice', 'invoice too late, reminder', 'invoice too late'])
      with ordinality as m (text, g)`);
}, 120_000);
afterAll(() => setup?.close());

function writeMonth({ tiledesk, tilkee }: ReportingSetup): string {
  const { data } = tiledesk;
  const [ada = '', ben = ''] = data.team.agentIds;
  for (const [id, name] of [
    [ada, 'Ada'],
    [ben, 'Ben'],
  ] as const) {
    const user = data.team.users.get(id);
    if (user) data.team.users.set(id, { ...user, firstname: name, lastname: '' });
  }
  const lead = (name: string, created: string, fields: object = {}) => {
    const at = Date.parse(created);
    const common = { fullname: name, email: `${name.toLowerCase()}@example.com`, phone: undefined, company: undefined };
    ids.set(name, data.insertLead({ ...common, status: 100, ...fields } as object, at)._id);
  };
  lead('Anna', '2026-03-01T10:00:00Z', { phone: '+39 055 1234567', company: 'Example Ltd' });
  lead('Bruno', '2026-03-02T08:00:00Z');
  lead('Anna by phone', '2026-03-03T22:30:00Z', { fullname: undefined, email: undefined, phone: '0039 055 12 34 567' });
  lead('Carla', '2026-03-09T07:00:00Z');
  lead('Dario', '2026-03-10T07:00:00Z');
  lead('Franco', '2026-03-15T10:00:00Z');
  lead('Guest', '2026-03-16T10:00:00Z', { status: 50 });
  lead('Elena', '2026-04-01T06:00:00Z');

  const [main, sales] = data.team.departments.map(({ _id }) => _id);
  const request = (
    id: string,
    opened: string,
    of: string,
    fields: Record<string, unknown> = {},
    afterSeconds?: number,
  ) => {
    const at = Date.parse(opened);
    const answer = afterSeconds === undefined ? undefined : new Date(at + afterSeconds * 1000).toISOString();
    const agents = (fields.agents as string[] | undefined) ?? [];
    const plain = {
      createdAt: opened,
      preflight: false,
      draft: undefined,
      waiting_time: undefined,
      rating: undefined,
      closed_at: undefined,
      closed_by: undefined,
    };
    const who = {
      participants: agents,
      participantsAgents: agents,
      participantsBots: [],
      hasBot: false,
      first_response_at: answer,
    };
    const { agents: _, ...rest } = fields;
    const channel = { name: 'chat21' };
    data.insertRequest(
      { ...plain, ...who, channel, department: main, status: 200, ...rest, _id: id, lead: ids.get(of) } as object,
      at,
    );
  };
  const closed = (at: string, by: string, rating?: number) => ({ status: 1000, closed_at: at, closed_by: by, rating });
  request(
    'r1',
    '2026-03-02T09:00:00.000Z',
    'Anna',
    { agents: [ada], ...closed('2026-03-02T10:00:00.000Z', ada, 5) },
    60,
  );
  request(
    'r2',
    '2026-03-02T09:30:00.000Z',
    'Bruno',
    { agents: [ada], ...closed('2026-03-03T09:30:00.000Z', ada, 3) },
    120,
  );
  const email = { name: 'email' };
  request(
    'r3',
    '2026-03-03T14:00:00.000Z',
    'Anna',
    { agents: [ben], channel: email, ...closed('2026-03-03T15:00:00.000Z', ben, 4) },
    600,
  );
  const reopened = { ...closed('2026-03-04T08:00:00.000Z', ben), status: 200 };
  request('r4', '2026-03-03T23:30:00.000Z', 'Anna by phone', { agents: [ben], department: sales, ...reopened }, 30);
  const waiting = { department: sales, channel: { name: 'whatsapp' }, status: 100, first_text: 'Is anybody there?' };
  request('r5', '2026-03-09T08:00:00.000Z', 'Carla', waiting);
  request('r6', '2026-03-10T08:00:00.000Z', 'Dario', { department: sales, status: 150 });
  request(
    'r7',
    '2026-03-29T22:30:00.000Z',
    'Dario',
    { agents: [ada], ...closed('2026-03-30T01:30:00.000Z', 'system') },
    240,
  );
  request('r8', '2026-04-01T07:00:00.000Z', 'Elena', { agents: [ada, ben], channel: { name: 'form' } }, 300);
  request('x1', '2026-03-05T08:00:00.000Z', 'Bruno', { draft: true });
  request('x2', '2026-03-05T08:10:00.000Z', 'Bruno', { preflight: true, status: 100 });
  request('x3', '2026-03-05T08:20:00.000Z', 'Bruno', { status: 50 });
  request(
    'x4',
    '2026-03-05T08:30:00.000Z',
    'Bruno',
    { agents: [ada], ...closed('2026-03-05T09:00:00.000Z', ada, 1) },
    5,
  );

  const at = Date.parse('2026-03-01T09:00:00Z');
  const offer = tilkee.data.add('project', { name: 'Offer', verdict: 'unset' }, at).id;
  const renewal = tilkee.data.add('project', { name: 'Renewal', verdict: 'won' }, at + 1000).id;
  const link = (project_id: number, name: string, sent: string, fields: object = {}) =>
    tilkee.data.add('token', { project_id, name, external_id: null, won: 'na', ...fields }, Date.parse(sent)).id;
  const [list, contract] = ['Price list', 'Contract'].map((name) => tilkee.data.add('item', { name }, at).id);
  const visit = (token_id: number, began: string, total_time: number, percentage_read: number, more: object = {}) => {
    const time = Date.parse(began);
    const visited = { token_id, access_date: time, total_time, percentage_read, signed: false, is_open: false };
    tilkee.data.add('connexion', { ...visited, most_visited_item_id: null, ...more }, time);
  };
  const toAnna = link(offer, 'Anna', '2026-03-05T10:00:00Z', { external_id: ids.get('Anna') });
  visit(toAnna, '2026-03-06T10:00:00Z', 120_000, 80, { most_visited_item_id: list });
  visit(toAnna, '2026-03-07T10:00:00Z', 60_000, 40, { most_visited_item_id: contract, signed: true });
  const toBruno = link(offer, 'Bruno <Bruno@example.com>', '2026-03-05T11:00:00Z', { won: 'lost' });
  visit(toBruno, '2026-03-08T10:00:00Z', 30_000, 10, { most_visited_item_id: list });
  link(renewal, 'Carla', '2026-03-12T10:00:00Z', { external_id: ids.get('Carla') });
  link(offer, 'Elena', '2026-04-02T10:00:00Z', { external_id: ids.get('Elena') });
  visit(link(renewal, 'Somebody', '2026-04-02T10:00:00Z'), '2026-04-03T10:00:00Z', 300_000, 100);
  return 'x4';
}

describe('docs/sql.md', () => {
  const recipes = readRecipes();

  it('has an answer to each question', () => {
    expect(recipes.map(({ number }) => number)).toEqual(Object.keys(ANSWERS).map(Number));
    expect(recipes).toHaveLength(29);
  });

  it.each(recipes.map(({ number, question, sql }) => [number, question, sql] as const))(
    '%i. %s',
    async (number, _, sql) => {
      expect(await setup.rows(sql)).toEqual(ANSWERS[number]);
    },
  );
});

describe('on a mirror of fifty thousand requests', () => {
  beforeAll(async () => {
    await setup.client.query(`
      insert into tiledesk.requests (connection_id, id, status, first_text, created_at, updated_at, lead_id, raw, content_hash, run_id)
      select 'tiledesk:large', 'q' || g, 100, 'A question', now() - g * interval '1 minute', now(), 'l' || g % 9000, '{}', md5(g::text), 1
      from generate_series(1, 50000) g;
      insert into tiledesk.leads (connection_id, id, status, email, created_at, raw, content_hash, run_id)
      select 'tiledesk:large', 'l' || g, 100, 'l' || g || '@example.com', now(), '{}', md5(g::text), 1 from generate_series(1, 9000) g;
      insert into tilkee.tokens (connection_id, id, name, created_at, raw, content_hash, run_id)
      select 'tilkee:large', g::text, 'Person', now() - g * interval '1 hour', '{}', md5(g::text), 1 from generate_series(1, 9000) g;
      insert into tilkee.connexions (connection_id, id, token_id, access_date, created_at, raw, content_hash, run_id)
      select 'tilkee:large', g::text, g::text, now() - g * interval '1 hour', now(), '{}', md5(g::text), 1 from generate_series(1, 9000) g;
      insert into tiledesk.messages (connection_id, id, request_id, text, created_at, raw, content_hash, run_id)
      select 'tiledesk:large', g::text, 'q' || g, 'word' || g || ' and more of it', now(), '{}', md5(g::text), 1 from generate_series(1, 50000) g;
      analyze`);
    await setup.refresh();
    await setup.client.query('analyze');
  });

  it.each(readRecipes().map(({ number, sql }) => [number, sql] as const))(
    'recipe %i scans no mirrored table',
    async (_, sql) => {
      const { rows } = await setup.client.query(`explain (format json) ${sql}`);
      const plan = JSON.stringify(rows[0]['QUERY PLAN']);
      const scans = [...plan.matchAll(/"Node Type":"Seq Scan"[^{}]*?"Relation Name":"(\w+)"/g)].map(
        ([, table]) => table,
      );
      const mirrored = [
        'requests',
        'leads',
        'departments',
        'project_users',
        'projects',
        'items',
        'tokens',
        'connexions',
        'users',
        'messages',
      ];
      expect(scans.filter((table) => mirrored.includes(String(table)))).toEqual([]);
    },
  );

  it('a text too long for the index of words is written all the same', async () => {
    await setup.client.query(`
      insert into tiledesk.messages (connection_id, id, text, raw, content_hash, run_id)
      select 'tiledesk:large', 'long', string_agg(chr(40000 + g % 9000) || g, ' '), '{}', 'long', 1 from generate_series(1, 400000) g`);
    expect(
      await setup.rows("select length(text) > 2000000 as is_long from tiledesk.messages where id = 'long'"),
    ).toEqual([{ is_long: true }]);
  });

  it('what is left of an erased person is in the counts, and is no person', async () => {
    const counts = () =>
      setup.rows(`select (select count(*) from reporting.lead_360 where person_key like '%@example.com' or 'l1' = any(lead_ids)) as people,
        (select sum(leads) from reporting.lead_funnel where connection_id = 'tiledesk:large') as leads`);
    const [before] = await counts();
    await setup.client.query(
      `update tiledesk.leads set email = null, erased_at = now(), synced_at = now() where id = 'l1'`,
    );
    await setup.refresh();
    expect(await counts()).toEqual([{ people: Number(before?.people) - 1, leads: before?.leads }]);
  });
});
