/** The list of activities as the server has it: its pages, filters and refusals. */
import { afterEach, expect, it } from '@jest/globals';
import { basic, type Client, createClient, ids, staysSilent } from './client.ts';

let client: Client;
afterEach(() => client.close());

const start = async (options: Parameters<typeof createClient>[0] = {}) => {
  client = await createClient({ months: 1, activities: true, ...options });
  const all = [...client.sandbox.data.listable().activities].map(({ _id, createdAt, verb }) => {
    return { _id, createdAt: String(createdAt), verb };
  });
  return all.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
};
const list = (query = '') => client.list('activities', query);

it('40 a page, newest first, with the count; up to 100 where they are asked for', async () => {
  const all = await start();
  const { perPage, count, rows } = await list();
  expect({ perPage, count, ids: ids(rows) }).toEqual({ perPage: 40, count: all.length, ids: ids(all.slice(0, 40)) });
  expect(await list('limit=15&page=1')).toMatchObject({ perPage: 15, rows: all.slice(15, 30) });
  expect((await list('limit=500')).perPage).toBe(100);
  expect((await list('limit=100&page=99')).rows).toEqual([]);
});

it('40 a page whatever is asked for, on an old server', async () => {
  const all = await start({ serverVersion: 'old' });
  expect(await list('limit=15&page=1')).toMatchObject({ perPage: 40, rows: all.slice(40, 80) });
});

it('from a day on, up to the midnight behind a day; a last day alone counts for nothing', async () => {
  const all = await start();
  const [from, to] = ['2026-05-01T00:00:00.000Z', '2026-05-04T00:00:00.000Z'];
  const later = all.filter(({ createdAt }) => createdAt >= from);
  expect((await list('start_date=01/05/2026')).count).toBe(later.length);
  expect((await list('start_date=01/05/2026&end_date=03/05/2026')).count).toBe(
    later.filter(({ createdAt }) => createdAt <= to).length,
  );
  expect((await list('end_date=03/05/2026')).count).toBe(all.length);
  const closings = all.filter(({ verb }) => verb === 'REQUEST_CLOSE');
  expect((await list('activities=REQUEST_CLOSE')).count).toBe(closings.length);
  expect(closings.length).toBeGreaterThan(0);
});

it('refused to an agent; not answered for a page that is none', async () => {
  await start();
  const agent = client.sandbox.accounts.find(({ role }) => role === 'agent');
  const headers = { authorization: basic(agent?.email ?? '', agent?.password ?? '') };
  expect((await client.call('/activities', { headers })).status).toBe(403);
  expect((await client.call('/activities?direction=down')).status).toBe(500);
  for (const page of ['-1', 'x']) {
    expect(await staysSilent((signal) => client.call(`/activities?page=${page}`, { signal }))).toBe(true);
  }
});

it('empty where the server notes none', async () => {
  await start({ activities: false });
  expect(await list()).toEqual({ perPage: 40, count: 0, rows: [] });
});
