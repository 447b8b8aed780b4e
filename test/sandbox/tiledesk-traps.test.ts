/** The habits of the real server that lose data or hang a worker, each shown by an ordinary call. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Client, createClient, ids, type Row, staysSilent } from './client.ts';

const all = 'status=all&preflight=true&no_populate=true';

let client: Client;
let listable: { leads: readonly Row[]; requests: readonly Row[] };

beforeAll(async () => {
  client = await createClient({ leads: 300, requests: 500, seed: 11 });
  listable = client.sandbox.data.listable();
});

afterAll(() => client.close());

const statuses = (rows: readonly Row[]): Set<unknown> => new Set(rows.map((row) => row.status));

describe('1: requests show only open conversations by default', () => {
  test('closed, abandoned, temporary and preflight rows are missing', async () => {
    const { rows, count } = await client.list('requests', 'limit=0');
    const open = listable.requests.filter(
      (row) => row.preflight === false && ![50, 150, 1000].includes(Number(row.status)),
    );
    expect(new Set(ids(rows))).toEqual(new Set(ids(open)));
    expect(count).toBe(open.length);
    expect(open.length).toBeLessThan(listable.requests.length / 2);
  });

  test('status=all&preflight=true gives every row, field by field', async () => {
    const { rows } = await client.list('requests', `${all}&limit=0&sort=_id&direction=1`);
    const expected = [...listable.requests].sort((a, b) => (String(a._id) < String(b._id) ? -1 : 1));
    expect(rows).toEqual(expected);
    expect(statuses(rows)).toEqual(new Set([50, 100, 150, 200, 1000]));
  });

  test('status=all alone still hides preflight rows and rows without the field', async () => {
    const { count } = await client.list('requests', 'status=all');
    expect(count).toBe(listable.requests.filter((row) => row.preflight === false).length);
    expect(count).toBeLessThan(listable.requests.filter((row) => row.preflight !== true).length);
  });

  test('a status list is a filter, a status without a number is none, a repeated status is a 500', async () => {
    expect(statuses((await client.list('requests', `status=100,1000&preflight=true&limit=0`)).rows)).toEqual(
      new Set([100, 1000]),
    );
    expect((await client.list('requests', 'status=foo&preflight=true')).count).toBe(listable.requests.length);
    const repeated = await client.call('/requests?status=100&status=200');
    expect([repeated.status, await repeated.json()]).toEqual([500, { err: 'error' }]);
  });
});

describe('2: leads show only status 100 by default', () => {
  test('each status has its list and together they are everything', async () => {
    const counts = await Promise.all(
      ['', 'status=', 'status=100', 'status=50', 'status=1000'].map(
        async (query) => (await client.list('leads', query)).count,
      ),
    );
    expect(counts[0]).toBe(counts[2]);
    expect(counts[1]).toBe(counts[2]);
    expect(Number(counts[2]) + Number(counts[3]) + Number(counts[4])).toBe(listable.leads.length);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });

  test('a repeated status is any of them, and gives every lead, field by field', async () => {
    const { rows } = await client.list('leads', 'status=100&status=50&status=1000&limit=1000&sort=_id&direction=1');
    expect(rows).toEqual([...listable.leads].sort((a, b) => (String(a._id) < String(b._id) ? -1 : 1)));
  });

  test('a server without joined statuses uses the first', async () => {
    const other = await createClient({ joinedLeadStatuses: false });
    try {
      const joined = await other.list('leads', 'status=1000&status=100&limit=1000');
      expect(statuses(joined.rows)).toEqual(new Set([1000]));
    } finally {
      await other.close();
    }
  });

  test('a lead edited under an unknown id becomes a stub that no list shows', async () => {
    const unknown = 'f'.repeat(24);
    const { count } = await client.list('leads');
    const headers = { 'content-type': 'application/json' };
    const put = await client.call(`/leads/${unknown}`, { method: 'PUT', headers, body: '{"fullname":"Stub"}' });
    expect(put.status).toBe(200);
    expect(await client.json(`/leads/${unknown}`)).toMatchObject({ fullname: 'Stub', status: 100 });
    expect((await client.list('leads')).count).toBe(count);
    client.sandbox.data.hardDeleteLead(unknown);
  });
});

describe('3, 12: limits', () => {
  test.each([
    ['requests', '', 40, 40],
    ['requests', 'limit=100', 100, 100],
    ['requests', 'limit=101', 40, 40],
    ['requests', 'limit=-5', -5, 5],
    ['requests', 'limit=0', 0, 500],
    ['requests', 'limit=abc', null, 500],
    ['leads', '', 40, 40],
    ['leads', 'limit=250', 250, 250],
  ] as const)('%s?%s reports perPage %s and sends %s rows', async (name, query, perPage, sent) => {
    const filter = name === 'requests' ? all : 'status=100&status=50&status=1000';
    const body = await client.list(name, `${filter}&${query}`);
    expect([body.perPage, body.rows.length]).toEqual([perPage, sent]);
  });
});

describe('4, 5: sorting', () => {
  test('sortField is ignored, sort is read', async () => {
    const byDefault = await client.list('requests', all);
    expect(ids((await client.list('requests', `${all}&sortField=updatedAt`)).rows)).toEqual(ids(byDefault.rows));
    const byChange = (await client.list('requests', `${all}&sort=updatedAt`)).rows.map((row) => String(row.updatedAt));
    expect(byChange).toEqual([...byChange].sort().reverse());
    expect(ids(byDefault.rows)).not.toEqual(ids((await client.list('requests', `${all}&sort=updatedAt`)).rows));
  });

  test.each(['asc', 'ascending', '1'])('direction %s is upwards', async (direction) => {
    const times = (await client.list('requests', `${all}&direction=${direction}`)).rows.map((row) =>
      String(row.createdAt),
    );
    expect(times).toEqual([...times].sort());
  });

  test('rows without the field come lowest', async () => {
    const { rows } = await client.list('requests', `${all}&sort=closed_at&direction=1&limit=0`);
    const firstClosed = rows.findIndex((row) => row.closed_at !== undefined);
    expect(firstClosed).toBeGreaterThan(0);
    expect(rows.slice(firstClosed).every((row) => row.closed_at !== undefined)).toBe(true);
  });

  test('a lead edit leaves more than a page of rows with one updatedAt; equal rows change places when asked to', async () => {
    const times = new Map<unknown, number>();
    for (const row of listable.requests) times.set(row.updatedAt, (times.get(row.updatedAt) ?? 0) + 1);
    expect(Math.max(...times.values())).toBeGreaterThan(100);
    const read = async (): Promise<readonly Row[]> =>
      (await client.list('requests', `${all}&sort=updatedAt&limit=0`)).rows;
    expect(ids(await read())).toEqual(ids(await read()));
    client.sandbox.faults.shuffleTies = true;
    const [one, two] = [await read(), await read()];
    client.sandbox.faults.shuffleTies = false;
    expect(ids(one)).not.toEqual(ids(two));
    expect(new Set(ids(one))).toEqual(new Set(ids(two)));
    expect(one.map((row) => row.updatedAt)).toEqual(two.map((row) => row.updatedAt));
  });
});

describe('6: pages', () => {
  test('are counted from 0; one that is no number is the first; past the end is empty', async () => {
    const first = ids((await client.list('requests', `${all}&page=0`)).rows);
    expect(ids((await client.list('requests', `${all}&page=abc`)).rows)).toEqual(first);
    expect(ids((await client.list('requests', `${all}&page=1`)).rows)).not.toEqual(first);
    const past = await client.list('requests', `${all}&page=99`);
    expect([past.rows, past.count]).toEqual([[], 500]);
  });

  test('together hold each row once', async () => {
    const seen: string[] = [];
    for (let page = 0; page < 6; page++) {
      seen.push(...ids((await client.list('requests', `${all}&sort=_id&direction=1&limit=100&page=${page}`)).rows));
    }
    expect(seen).toEqual(ids(listable.requests).sort());
  });
});

test('7: reading by change upwards skips rows that others move, downwards repeats them', async () => {
  const missed: Record<string, number> = {};
  for (const direction of [1, -1]) {
    const moving = await createClient({ leads: 10, requests: 30, seed: 5 });
    const { data, faults } = moving.sandbox;
    faults.afterAnswer = ({ list, ids: sent }) => {
      if (list === 'requests') for (const id of sent.slice(0, 2)) data.touchRequest(id);
    };
    const seen = new Set<string>();
    const before = [...data.requests.keys()];
    for (let page = 0; page < 6; page++) {
      const query = `${all}&sort=updatedAt&direction=${direction}&limit=5&page=${page}`;
      for (const id of ids((await moving.list('requests', query)).rows)) seen.add(id);
    }
    missed[direction] = before.filter((id) => !seen.has(id)).length;
    await moving.close();
  }
  expect(missed[1]).toBeGreaterThan(0);
  expect(missed[-1]).toBe(0);
});

test('9: a hard delete leaves nothing behind', async () => {
  const { _id: id, request_id: requestId } = client.sandbox.data.insertRequest({ first_text: 'soon gone' });
  expect((await client.call(`/requests/${requestId}`)).status).toBe(200);
  const deleted = await client.call(`/requests/${requestId}`, { method: 'DELETE' });
  expect(deleted.status).toBe(200);
  const single = await client.call(`/requests/${requestId}`);
  expect([single.status, await single.json()]).toEqual([404, { success: false, msg: 'Object not found.' }]);
  expect(ids((await client.list('requests', `${all}&limit=0`)).rows)).not.toContain(id);
});

describe('10: a leads list that fails is never answered', () => {
  test.each(['status=all', 'direction=up', 'page=-1', 'segment=abc', 'status=100&status=all'])('%s', async (query) => {
    expect(await staysSilent((signal) => client.call(`/leads?${query}`, { signal }))).toBe(true);
  });

  test('an unknown segment is a 404', async () => {
    const response = await client.call(`/leads?segment=${'a'.repeat(24)}`);
    expect([response.status, await response.json()]).toEqual([404, { success: false, msg: 'Error segment not found' }]);
  });

  test.each([
    ['page=-1', { success: false, msg: 'Error getting requests.' }],
    ['lead=abc', { success: false, msg: 'Error getting requests.' }],
    ['direction=up', { err: 'error' }],
    ['start_date=x', { success: false, error: 'Unable to parse the date: x' }],
    ['start_date=01/01/2026&timezone=Mars', { success: false, error: 'Invalid timezone: Mars' }],
  ])('the requests list answers %s with 500', async (query, body) => {
    const response = await client.call(`/requests?${query}`);
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject(body);
  });
});

test('11: the lead of a populated request is null once hard-deleted, and so is requester_id', async () => {
  const lead = client.sandbox.data.insertLead();
  const { _id: id, request_id: requestId } = client.sandbox.data.insertRequest({ lead: lead._id });
  const find = async (query: string): Promise<Row | undefined> =>
    (await client.list('requests', `${all.replace('&no_populate=true', '')}&${query}&limit=100`)).rows.find(
      (row) => row._id === id,
    );
  expect(await find('')).toMatchObject({ lead: { _id: lead._id, fullname: lead.fullname }, requester_id: lead._id });
  client.sandbox.data.hardDeleteLead(lead._id);
  expect(await find('')).toMatchObject({ lead: null, requester_id: null });
  expect(await find('no_populate=true')).toMatchObject({ lead: lead._id, requester_id: lead._id });
  expect(await client.json(`/requests/${requestId}`)).toMatchObject({ lead: null, requester_id: null });
  client.sandbox.data.hardDeleteRequest(id);
});

describe('date windows', () => {
  const inWindow = (field: string, from: string, to: string): string[] =>
    ids(listable.requests.filter((row) => String(row[field] ?? '') >= from && String(row[field] ?? '~') <= to)).sort();

  test.each(['createdAt', 'updatedAt', 'closed_at'])('on %s include both ends', async (field) => {
    const query = `${all}&limit=0&filterRangeField=${field}&timezone=UTC&start_date_time=01/02/2026 00:00:00&end_date_time=31/03/2026 18:30:00`;
    const found = await client.list('requests', query);
    expect(ids(found.rows).sort()).toEqual(inWindow(field, '2026-02-01T00:00:00.000Z', '2026-03-31T18:30:00.000Z'));
    expect(found.count).toBe(found.rows.length);
    for (const direction of [1, -1]) {
      const sorted = await client.list('requests', `${query}&sort=${field}&direction=${direction}`);
      expect(new Set(ids(sorted.rows))).toEqual(new Set(ids(found.rows)));
      expect(sorted.count).toBe(found.count);
    }
    expect(found.rows.length).toBeGreaterThan(10);
  });

  test('have a resolution of one second', async () => {
    const row = client.sandbox.data.insertRequest({ createdAt: '2026-06-01T10:00:05.001Z' });
    const until = async (end: string): Promise<string[]> =>
      ids(
        (await client.list('requests', `${all}&timezone=UTC&start_date_time=01/06/2026 10:00:00&end_date_time=${end}`))
          .rows,
      );
    expect(await until('01/06/2026 10:00:05')).toEqual([]);
    expect(await until('01/06/2026 10:00:06')).toEqual([row._id]);
    client.sandbox.data.hardDeleteRequest(row._id);
  });

  test('of days include the end day, in the time zone of Rome unless told otherwise', async () => {
    const row = client.sandbox.data.insertRequest({ createdAt: '2026-06-01T22:30:00.000Z' });
    const on = async (query: string): Promise<number> => (await client.list('requests', `${all}&${query}`)).count;
    expect(await on('start_date=01/06/2026&end_date=01/06/2026&timezone=UTC')).toBe(1);
    expect(await on('start_date=01/06/2026&end_date=01/06/2026')).toBe(0);
    expect(await on('start_date=02/06/2026&end_date=02/06/2026')).toBe(1);
    client.sandbox.data.hardDeleteRequest(row._id);
  });

  test('of times are ignored beside days, and leave out rows without the field', async () => {
    const both = await client.list(
      'requests',
      `${all}&timezone=UTC&end_date=01/01/1970&start_date_time=01/01/2000 00:00:00`,
    );
    expect(both.count).toBe(0);
    const closed = await client.list(
      'requests',
      `${all}&filterRangeField=closed_at&start_date=01/01/1970&timezone=UTC`,
    );
    expect(closed.count).toBe(listable.requests.filter((row) => row.closed_at !== undefined).length);
  });

  test('an end in 1970 counts nothing and a start in 2100 neither: the probes of support', async () => {
    expect((await client.list('requests', `${all}&timezone=UTC&end_date_time=01/01/1970 00:00:00`)).count).toBe(0);
    expect((await client.list('requests', `${all}&timezone=UTC&start_date_time=01/01/2100 00:00:00`)).count).toBe(0);
  });

  test('on an old server know days only, and the field only for an open end', async () => {
    const old = await createClient({ leads: 300, requests: 500, seed: 11, serverVersion: 'old' });
    const count = async (query: string): Promise<number> => (await old.list('requests', `${all}&${query}`)).count;
    try {
      expect(await count('timezone=UTC&end_date_time=01/01/1970 00:00:00')).toBe(500);
      expect(await count('filterRangeField=updatedAt&start_date_time=01/01/2100 00:00:00')).toBe(500);
      expect(await count('timezone=Mars&start_date=01/04/2026&filterRangeField=updatedAt')).toBe(
        inWindow('updatedAt', '2026-04-01T00:00:00.000Z', '~').length,
      );
      expect(await count('start_date=01/04/2026 18:00:00&end_date=03/04/2026&filterRangeField=updatedAt')).toBe(
        inWindow('createdAt', '2026-04-01T00:00:00.000Z', '2026-04-04T00:00:00.000Z').length,
      );
    } finally {
      await old.close();
    }
  });
});

describe('filters', () => {
  type Test = (row: Row) => boolean;
  const channelOf = (row: Row): unknown => (row.channel as Row).name;
  const someLead = (): unknown => listable.requests.find((row) => row.lead !== undefined)?.lead;
  const some = (field: string): Row => listable.requests.find((row) => row[field] !== undefined) as Row;
  const cases: readonly (readonly [string, () => string, () => Test])[] = [
    ['lead', () => `lead=${someLead()}`, () => (row) => row.lead === someLead()],
    [
      'dept_id',
      () => `dept_id=${some('department').department}`,
      () => (row) => row.department === some('department').department,
    ],
    [
      'ticket_id',
      () => `ticket_id=${some('ticket_id').ticket_id}`,
      () => (row) => row.ticket_id === some('ticket_id').ticket_id,
    ],
    ['channel', () => 'channel=whatsapp', () => (row) => channelOf(row) === 'whatsapp'],
    ['channel=offline', () => 'channel=offline', () => (row) => ['email', 'form'].includes(String(channelOf(row)))],
    ['channel=online', () => 'channel=online', () => (row) => !['email', 'form'].includes(String(channelOf(row)))],
    ['tags', () => 'tags=billing', () => (row) => (row.tags as Row[]).some((tag) => tag.tag === 'billing')],
    ['rated', () => 'rated=true', () => (row) => row.rating !== undefined],
    ['draft', () => 'draft=false', () => (row) => row.draft !== true],
    ['priority', () => 'priority=urgent', () => (row) => row.priority === 'urgent'],
    ['hasbot', () => 'hasbot=true', () => (row) => row.hasBot === true],
  ];

  test.each(cases)('%s', async (_name, query, accepts) => {
    const expected = ids(listable.requests.filter(accepts()));
    expect(expected.length).toBeGreaterThan(0);
    expect(new Set(ids((await client.list('requests', `${all}&limit=0&${query()}`)).rows))).toEqual(new Set(expected));
  });

  test('participant', async () => {
    const agent = client.sandbox.data.team.agentIds[0];
    const { rows } = await client.list('requests', `${all}&limit=0&participant=${agent}`);
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.every((row) => (row.participants as unknown[]).includes(agent))).toBe(true);
  });

  test('no_count reports 0', async () => {
    expect(await client.list('requests', `${all}&no_count=true&limit=3`)).toMatchObject({ count: 0, perPage: 3 });
  });
});

describe('answers', () => {
  test('carry a weak ETag, honoured, a Date and a new session cookie each', async () => {
    const [one, two] = [await client.call('/leads?limit=1'), await client.call('/leads?limit=1')];
    expect(one.headers.get('etag')).toMatch(/^W\/"/);
    expect(one.headers.get('etag')).toBe(two.headers.get('etag'));
    expect(one.headers.get('date')).toMatch(/GMT$/);
    expect(one.headers.get('set-cookie')).toMatch(/^connect\.sid=/);
    expect(one.headers.get('set-cookie')).not.toBe(two.headers.get('set-cookie'));
    await Promise.all([one.text(), two.text()]);
    const again = await client.call('/leads?limit=1', {
      headers: { 'if-none-match': String(one.headers.get('etag')) },
    });
    expect(again.status).toBe(304);
    const [newest] = (await client.list('leads', 'limit=1')).rows;
    const stored = client.sandbox.data.leads.get(String(newest?._id));
    client.sandbox.data.editLead(String(newest?._id), { note: 'other', updatedAt: stored?.updatedAt });
    expect((await client.call('/leads?limit=1')).headers.get('etag')).not.toBe(one.headers.get('etag'));
  });

  test('never show who was eligible, though the server stores it', async () => {
    const stored = [...client.sandbox.data.requests.values()].find(
      (row) => row.snapshot !== undefined && 'agents' in (row.snapshot as object),
    );
    expect(stored).toBeDefined();
    for (const row of listable.requests) expect(row.snapshot ?? {}).not.toHaveProperty('agents');
    expect(((await client.json(`/requests/${stored?.request_id}`)) as Row).snapshot).not.toHaveProperty('agents');
  });

  test('by id: leads by _id, requests by request_id only', async () => {
    const { leads, requests } = client.sandbox.data.listable();
    const [lead, request] = [leads[0], requests[0]];
    expect(await client.json(`/leads/${lead?._id}`)).toEqual(lead);
    expect((await client.call(`/leads/${'0'.repeat(24)}`)).status).toBe(404);
    const malformed = await client.call('/leads/abc');
    expect([malformed.status, await malformed.json()]).toEqual([500, { success: false, msg: 'Error getting object.' }]);
    expect((await client.call(`/requests/${request?._id}`)).status).toBe(404);
    expect(await client.json(`/requests/${request?.request_id}`)).toMatchObject({ _id: request?._id });
  });
});
