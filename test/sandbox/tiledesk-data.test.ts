import { describe, expect, test } from '@jest/globals';
import { createTiledeskSandbox, type TiledeskData, type TiledeskSandboxOptions } from '../../sandbox/tiledesk.ts';
import { createClient, ids } from './client.ts';

const now = Date.UTC(2026, 4, 20, 12);

function createData(options: TiledeskSandboxOptions = {}): TiledeskData {
  return createTiledeskSandbox({ leads: 120, requests: 400, now, ...options }).data;
}

describe('determinism', () => {
  test('the same seed gives the same project, also after the same changes', () => {
    const [one, two] = [createTiledeskSandbox({ seed: 4, now }), createTiledeskSandbox({ seed: 4, now })];
    expect([one.projectId, one.email, one.password]).toEqual([two.projectId, two.email, two.password]);
    for (const { data } of [one, two]) data.randomEdits(300, { hardDeletes: true });
    expect(JSON.stringify(one.data.listable())).toBe(JSON.stringify(two.data.listable()));
    expect(one.data.leads.size).toBeGreaterThan(1500);
  });

  test('another seed gives another one; ids of the project do not depend on the time', () => {
    expect(createTiledeskSandbox({ seed: 5, leads: 1, requests: 1, now }).projectId).toBe(
      createTiledeskSandbox({ seed: 5, leads: 1, requests: 1 }).projectId,
    );
    const [four, five] = [createData({ seed: 4 }), createData({ seed: 5 })];
    expect([...four.leads.keys()]).not.toEqual([...five.leads.keys()]);
  });
});

describe('the history', () => {
  const data = createData({ leads: 1500, requests: 4000 });
  const requests = [...data.requests.values()];
  const leads = [...data.leads.values()];

  test('has unique Mongo-like ids that begin with the creation second', () => {
    const rows = [...requests, ...leads];
    expect(new Set(rows.map((row) => row._id)).size).toBe(5500);
    for (const row of rows) {
      expect(row._id).toMatch(/^[0-9a-f]{24}$/);
      expect(Number.parseInt(row._id.slice(0, 8), 16)).toBe(Math.floor(Date.parse(String(row.createdAt)) / 1000));
    }
  });

  test('lies in the past, and nothing changes before it is created', () => {
    const from = new Date(now - 6 * 31 * 24 * 3600_000).toISOString();
    for (const { createdAt = '', updatedAt = '', closed_at: closedAt } of [...requests, ...leads]) {
      expect(createdAt >= from && createdAt <= updatedAt && updatedAt <= new Date(now).toISOString()).toBe(true);
      if (closedAt !== undefined) expect(String(closedAt) >= createdAt && String(closedAt) <= updatedAt).toBe(true);
    }
  });

  test.each([
    [
      'rows of an old server without ticket_id, preflight or priority',
      requests.filter((row) => !('ticket_id' in row)).length,
    ],
    [
      'request_ids of the old form',
      requests.filter((row) => /^support-group-[0-9a-f]{32}$/.test(row.request_id)).length,
    ],
    ['reopened rows that keep closed_at', requests.filter((row) => row.status === 200 && row.closed_at).length],
    ['rows without a lead', requests.filter((row) => row.lead === undefined).length],
    ['rows whose lead is gone', requests.filter((row) => row.lead && !data.leads.has(row.lead)).length],
    ['drafts', requests.filter((row) => row.draft).length],
    ['equal createdAt', requests.length - new Set(requests.map((row) => row.createdAt)).size],
    ['visitors with an IP address and a browser', requests.filter((row) => row.location && row.userAgent).length],
    ['leads without a phone field', leads.filter((row) => !('phone' in row)).length],
    ['leads with phone null', leads.filter((row) => row.phone === null).length],
    [
      'attributes with dots in keys',
      leads.filter((row) => JSON.stringify(row.attributes ?? '').includes('utm.source')).length,
    ],
    ['guests as requesters', requests.filter((row) => data.guests.has(row.requester ?? '')).length],
    [
      'members as requesters',
      requests.filter((row) => data.team.projectUsers.some((one) => one._id === row.requester)).length,
    ],
    ['members without a user', data.team.projectUsers.filter((one) => one.id_user === undefined).length],
  ])('holds %s', (_name, count) => {
    expect(count).toBeGreaterThan(0);
  });

  test('holds no NUL, and mail addresses at example.com only', () => {
    const text = JSON.stringify(data.listable());
    expect(text).not.toContain('\\u0000');
    const addresses = text.match(/@[\w.-]+\w/g) ?? [];
    expect(addresses.filter((address) => address !== '@example.com')).toEqual([]);
    expect(addresses.length).toBeGreaterThan(500);
  });
});

describe('changes', () => {
  test('stamp updatedAt and never go back in time', () => {
    const data = createData();
    const [id = ''] = data.requests.keys();
    const stamps = [
      data.touchRequest(id, { rating: 5 }),
      data.insertLead(),
      data.insertRequest(),
      data.closeRequest(id),
      data.reopenRequest(id),
      data.setLeadStatus(String([...data.leads.keys()][0]), 1000),
    ].map((row) => String(row.updatedAt));
    expect(stamps).toEqual([...new Set(stamps)].sort());
    expect(stamps[0] && stamps[0] > new Date(now).toISOString()).toBe(true);
  });

  test('take an explicit time, and later ones follow it', () => {
    const data = createData();
    const [id = ''] = data.requests.keys();
    const at = now + 86_400_000;
    expect(data.touchRequest(id, {}, at).updatedAt).toBe(new Date(at).toISOString());
    expect(data.touchRequest(id, {}, now - 5000).updatedAt).toBe(new Date(now - 5000).toISOString());
    expect(String(data.insertLead().updatedAt) > new Date(at).toISOString()).toBe(true);
  });

  test('store a new document and leave the old one as it was', () => {
    const data = createData();
    const [before] = data.requests.values();
    data.touchRequest(String(before?._id), { rating: 1, subject: undefined });
    expect(data.requests.get(String(before?._id))).not.toBe(before);
    expect(data.requests.get(String(before?._id))).toMatchObject({ rating: 1 });
    expect('subject' in (data.requests.get(String(before?._id)) ?? {})).toBe(false);
  });

  test('of a lead rewrite its copy in all its requests with one updatedAt', () => {
    const data = createData();
    const lead = [...data.leads.values()].reduce((a, b) =>
      data.requestIdsOf(a._id).size >= data.requestIdsOf(b._id).size ? a : b,
    );
    const rows = [...data.requestIdsOf(lead._id)];
    expect(rows.length).toBeGreaterThan(100);
    const edited = data.editLead(lead._id, { fullname: 'Edited Name' });
    expect(edited.createdAt).toBe(lead.createdAt);
    const changed = rows.map((id) => data.requests.get(id));
    expect(new Set(changed.map((row) => row?.updatedAt)).size).toBe(1);
    const at = changed[0]?.updatedAt;
    for (const row of changed) {
      expect(row?.snapshot).toMatchObject({ lead: { fullname: 'Edited Name', createdAt: at, updatedAt: at } });
    }
  });

  test('a close is three writes, a reopening keeps what they wrote', () => {
    const data = createData();
    const { _id: id } = data.insertRequest();
    expect(data.closeRequest(id, { write: 1 })).toMatchObject({ status: 1000 });
    expect(data.requests.get(id)).not.toHaveProperty('closed_at');
    expect(data.closeRequest(id, { write: 2 })).toHaveProperty('transcript');
    const closed = data.closeRequest(id, { write: 3, closedBy: 'system' });
    expect(closed).toMatchObject({ closed_by: 'system', closed_at: expect.any(String), duration: expect.any(Number) });
    expect(String(closed.closed_at) <= String(closed.updatedAt)).toBe(true);
    const reopened = data.reopenRequest(id);
    expect([100, 200]).toContain(reopened.status);
    expect(reopened).toMatchObject({ closed_at: closed.closed_at, duration: closed.duration });
  });

  test('hard deletes are made only when asked for', () => {
    const data = createData();
    const before = [...data.requests.keys(), ...data.leads.keys()];
    data.randomEdits(500);
    expect(before.filter((id) => !data.requests.has(id) && !data.leads.has(id))).toEqual([]);
    data.randomEdits(500, { hardDeletes: true });
    expect(before.filter((id) => !data.requests.has(id) && !data.leads.has(id)).length).toBeGreaterThan(0);
  });
});

test('after a thousand changes each list still equals listable(), in every order', async () => {
  const client = await createClient({ leads: 150, requests: 300, seed: 9 });
  const { data } = client.sandbox;
  const all = 'status=all&preflight=true&no_populate=true&limit=0';
  try {
    for (let round = 0; round < 5; round++) {
      data.randomEdits(200, { hardDeletes: true });
      const expected = data.listable();
      const requests = await client.list('requests', `${all}&sort=updatedAt`);
      expect(requests.count).toBe(expected.requests.length);
      const times = requests.rows.map((row) => String(row.updatedAt));
      expect(times).toEqual([...times].sort().reverse());
      const byId = (await client.list('requests', `${all}&sort=_id&direction=1`)).rows;
      expect(byId).toEqual([...expected.requests].sort((a, b) => (String(a._id) < String(b._id) ? -1 : 1)));
      expect(new Set(ids(requests.rows))).toEqual(new Set(ids(byId)));
      const leads = await client.list('leads', 'status=100&status=50&status=1000&limit=5000&sort=_id&direction=1');
      expect(leads.rows).toEqual([...expected.leads].sort((a, b) => (String(a._id) < String(b._id) ? -1 : 1)));
      expect(await client.json('/departments/allstatus')).toEqual(expected.departments);
      expect(await client.json('/project_users?trashed=true')).toEqual(expected.project_users);
    }
  } finally {
    await client.close();
  }
});

test('writes over HTTP do what the same calls of the data do', async () => {
  const client = await createClient();
  const { data } = client.sandbox;
  const send = async (method: string, path: string, body?: unknown): Promise<number> => {
    const headers = { 'content-type': 'application/json' };
    return (await client.call(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }))
      .status;
  };
  try {
    const lead = data.insertLead();
    const request = data.insertRequest({ lead: lead._id });
    const path = `/requests/${request.request_id}`;
    const statuses = [
      await send('PUT', `/leads/${lead._id}`, { fullname: 'By HTTP', id_project: 'ignored' }),
      await send('PUT', `${path}/close`),
      await send('PUT', `${path}/reopen`),
      await send('PATCH', path, { rating: 3, request_id: 'ignored' }),
      await send('DELETE', `/leads/${lead._id}`),
    ];
    expect(statuses).toEqual([200, 200, 200, 200, 200]);
    expect(data.leads.get(lead._id)).toMatchObject({
      fullname: 'By HTTP',
      status: 1000,
      id_project: client.sandbox.projectId,
    });
    expect(data.requests.get(request._id)).toMatchObject({
      rating: 3,
      request_id: request.request_id,
      closed_at: expect.any(String),
      snapshot: { lead: { fullname: 'By HTTP' } },
    });
    expect(await send('DELETE', `/leads/${lead._id}/physical`)).toBe(200);
    expect(data.leads.has(lead._id)).toBe(false);
    expect(await send('DELETE', `/requests/id/${request._id}`)).toBe(200);
    expect(data.requests.has(request._id)).toBe(false);
  } finally {
    await client.close();
  }
});

test('live changes go on until they are stopped', async () => {
  const client = await createClient({ leads: 10, requests: 10 });
  const { data } = client.sandbox;
  const newest = async (): Promise<unknown> =>
    (await client.list('requests', 'status=all&preflight=true&sort=updatedAt&limit=1')).rows[0]?.updatedAt;
  try {
    const before = await newest();
    client.sandbox.startLive({ changesPerSecond: 500 });
    while ((await newest()) === before) {}
    client.sandbox.stopLive();
    const stopped = JSON.stringify(data.listable());
    await newest();
    expect(JSON.stringify(data.listable())).toBe(stopped);
  } finally {
    await client.close();
  }
});
