import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { staysSilent } from './client.ts';
import { createTilkeeClient, idsOf, readAll, type TilkeeClient } from './tilkee-client.ts';

let client: TilkeeClient;

beforeEach(async () => {
  client = await createTilkeeClient();
});

afterEach(() => client.close());

const statuses = async (...paths: readonly string[]): Promise<number[]> => {
  const seen: number[] = [];
  for (const path of paths) seen.push((await client.call(path)).status);
  return seen;
};

test('every call has its name, in the rules and in the log', async () => {
  const { data } = client.sandbox;
  const token = data.all('token')[0];
  const visit = data.add('connexion', { token_id: token?.id });
  const project = `/v2/projects/${token?.project_id}`;
  const paths = {
    'v3.me': '/v3/users/me/',
    'v3.items': '/v3/items/',
    'v3.projects': '/v3/projects/',
    'v3.project': `/v3/projects/${token?.project_id}/`,
    'v2.me': '/v2/users/me',
    'v2.users': '/v2/users',
    'v2.items': '/v2/items',
    'v2.projects': '/v2/projects',
    'v2.project': project,
    'v2.projectTokens': `${project}/tokens`,
    'v2.token': `${project}/tokens/${token?.id}`,
    'v2.projectConnexions': `${project}/connexions`,
    'v2.connexion': `${project}/connexions/${visit.id}`,
    'v2.tokens': '/v2/tokens',
    'v2.connexions': '/v2/connexions',
  };
  for (const [list, path] of Object.entries(paths)) {
    client.sandbox.faults.push({ kind: '503', match: { list } });
    expect([list, ...(await statuses(path, path))]).toEqual([list, 503, 200]);
  }
  const logged = client.sandbox.log.map((entry) => entry.list);
  expect(logged).toEqual(Object.keys(paths).flatMap((list) => [list, list]));
  client.sandbox.faults.push({ kind: '500', match: { list: 'oauth' } });
  expect((await client.post('/v3/oauth/authorize/', {})).status).toBe(500);
  expect(await statuses('/v2/elsewhere')).toEqual([404]);
  expect(client.sandbox.log.at(-1)).toMatchObject({ list: 'unknown', path: '/v2/elsewhere', status: 404 });
});

describe('trouble', () => {
  test('429 with Retry-After in seconds, as a date, and without', async () => {
    client.sandbox.faults.push(
      { kind: '429', retryAfterMs: 2000 },
      { kind: '429', retryAfter: 'date' },
      { kind: '429', retryAfter: 'none' },
    );
    const hints: (string | null)[] = [];
    for (let call = 0; call < 3; call++) hints.push((await client.call('/v2/tokens')).headers.get('retry-after'));
    expect(hints).toEqual(['2', expect.stringMatching(/GMT$/), null]);
  });

  test('a limit per minute counts logins and both APIs together', async () => {
    const limited = await createTilkeeClient({ requestsPerMinute: 3 });
    try {
      expect((await limited.call('/v3/users/me/')).status).toBe(200);
      expect((await limited.call('/v2/users')).status).toBe(200);
      expect((await limited.call('/v2/users')).status).toBe(429);
    } finally {
      await limited.close();
    }
  });

  test('503 once then fine, 500 for good, cut, reset, hang, HTML', async () => {
    const { faults } = client.sandbox;
    faults.push({ kind: '503' });
    expect(await statuses('/v3/items/', '/v3/items/')).toEqual([503, 200]);
    faults.push({ kind: '500', times: Infinity });
    expect(await statuses('/v3/items/', '/v2/items')).toEqual([500, 500]);
    faults.clear();
    faults.push({ kind: 'cut' }, { kind: 'reset' }, { kind: 'html-200' }, { kind: 'hang' });
    await expect((await client.call('/v3/items/')).text()).rejects.toThrow();
    await expect(client.call('/v3/items/')).rejects.toThrow('fetch failed');
    expect(await (await client.call('/v3/items/')).text()).toContain('<html>');
    expect(await staysSilent((signal) => client.call('/v3/items/', { signal }))).toBe(true);
  });

  test('a refused token looks as this server refuses', async () => {
    client.sandbox.faults.push({ kind: '401-text', times: 2 });
    client.sandbox.switches.v2Unauthorized = 'text';
    expect(await (await client.call('/v3/items/')).json()).toEqual({ detail: 'Could not validate credentials' });
    expect(await (await client.call('/v2/items')).text()).toContain('Access denied');
  });

  test('pages that are empty or short although more follows', async () => {
    client.sandbox.faults.push({ kind: 'empty-list' }, { kind: 'truncated-page', times: 2 });
    expect(await client.json('/v3/items/')).toMatchObject({ data: [], has_more: true });
    expect(await client.json('/v3/items/')).toMatchObject({ data: { length: 10 }, has_more: true });
    expect(await client.json('/v2/items?limit=20')).toMatchObject({ contents: { length: 10 }, limit: 20, total: 50 });
  });
});

describe('the hooks around a list answer', () => {
  test('let rows come and go between two pages: one is read twice, one is never seen', async () => {
    const { data, faults } = client.sandbox;
    const before = data.all('token').filter((token) => token.archived_at === null);
    const seen: string[] = [];
    faults.afterAnswer = ({ list, nth, ids }) => {
      seen.push(`${list} ${nth} ${ids.length}`);
      if (nth === 1) data.add('token');
      if (nth === 3) for (const id of ids.slice(0, 2)) data.remove('token', Number(id));
    };
    const ids = idsOf(await readAll(client, '/v2/tokens', 20));
    expect(seen.slice(0, 2)).toEqual(['v2.tokens 1 20', 'v2.tokens 2 20']);
    expect(ids.length).toBeGreaterThan(new Set(ids).size);
    expect(new Set(ids).size).toBeLessThan(before.length);
  });

  test('come before the rows are read, on both APIs and below a project', async () => {
    const { data, faults } = client.sandbox;
    const { id } = data.add('project');
    const seen: string[] = [];
    faults.beforeAnswer = ({ list }) => {
      seen.push(list);
      data.add('token', { project_id: id });
    };
    expect((await client.json(`/v2/projects/${id}/tokens`)).contents).toHaveLength(1);
    await statuses('/v3/projects/', '/v2/connexions', `/v3/projects/${id}/`);
    expect(seen).toEqual(['v2.projectTokens', 'v3.projects', 'v2.connexions']);
  });
});

test('answers carry a Date, an ETag, and no trace of another server', async () => {
  const { headers } = await client.call('/v3/items/');
  expect(headers.get('date')).toMatch(/GMT$/);
  expect(headers.get('etag')).toMatch(/^W\//);
  expect([headers.get('x-powered-by'), headers.get('set-cookie')]).toEqual([null, null]);
  client.sandbox.faults.dateOffsetMs = -3600_000;
  expect(Date.parse(String((await client.call('/v3/items/')).headers.get('date')))).toBeLessThan(
    Date.now() - 3_500_000,
  );
});
