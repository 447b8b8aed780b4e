import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { byId, createTilkeeClient, idsOf, now, type Row, readAll, type TilkeeClient } from './tilkee-client.ts';

let client: TilkeeClient;

beforeEach(async () => {
  client = await createTilkeeClient();
});

afterEach(() => client.close());

const refusal = async (path: string): Promise<[number, unknown]> => {
  const response = await client.call(path);
  return [response.status, await response.json()];
};

describe('lists', () => {
  test('give 20 rows unless told, newest first and equal times by id, and say whether rows follow', async () => {
    const first = await client.json('/v3/items/');
    expect(Object.keys(first)).toEqual(['data', 'has_more']);
    expect([first.data.length, first.has_more]).toEqual([20, true]);
    const rows = await readAll(client, '/v3/items/');
    const key = (row: Row): string => `${Date.parse(String(row.created_at))} ${String(row.id).padStart(9, '0')}`;
    expect(rows.map(key)).toEqual(rows.map(key).sort().reverse());
    expect(new Set(rows.map((row) => row.created_at)).size).toBeLessThan(rows.length);
    expect((await client.json('/v3/items/?skip=40')).has_more).toBe(false);
  });

  test('hold exactly what listable() says, in both forms of a project', async () => {
    const { projectsV3, itemsV3 } = client.sandbox.data.listable();
    const expand = 'expand=owner&expand=tags&expand=data';
    const plain = await readAll(client, `/v3/projects/?${expand}`);
    const templates = await readAll(client, `/v3/projects/?is_template=true&${expand}`);
    expect(templates.length).toBeGreaterThan(0);
    expect(byId([...plain, ...templates])).toEqual(byId([...projectsV3]));
    expect(byId(await readAll(client, '/v3/items/?expand=owner&expand=tags'))).toEqual(byId([...itemsV3]));
    client.sandbox.switches.v3ProjectsHoldTemplates = true;
    expect(byId(await readAll(client, `/v3/projects/?${expand}`))).toEqual(byId([...projectsV3]));
    expect(await readAll(client, `/v3/projects/?is_template=false&${expand}`)).toEqual(plain);
  });

  test('show owner, tags and data only when asked', async () => {
    const tagged = client.sandbox.data.all('project').find((one) => one.tags.length > 0 && !one.is_template);
    const find = (rows: readonly Row[]): Row | undefined => rows.find((row) => row.id === tagged?.id);
    const bare = find(await readAll(client, '/v3/projects/', 100));
    expect(bare).toMatchObject({ tags: [] });
    expect(['owner', 'data', 'theme', 'vcard', 'iframe'].filter((key) => key in (bare ?? {}))).toEqual([]);
    const full = find(await readAll(client, '/v3/projects/?expand=owner&expand=tags&expand=data&expand=theme', 100));
    expect(full).toMatchObject({
      tags: tagged?.tags,
      owner: { id: tagged?.owner_id },
      data: { links_count: expect.any(Number) },
    });
    const item = (await client.json('/v3/items/?limit=1&expand=projects&expand=images')).data[0];
    expect(item).toMatchObject({ projects: expect.any(Array), images: expect.any(Array), tags: [] });
  });

  test('write times with six digits and an offset, or without one', async () => {
    const time = async (): Promise<string> => String((await client.json('/v3/items/?limit=1')).data[0]?.created_at);
    expect(await time()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00$/);
    client.sandbox.switches.v3TimesHaveOffset = false;
    expect(await time()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$/);
  });

  test('filter by creation time, both ends included or excluded', async () => {
    const { data, switches } = client.sandbox;
    const at = now + 3600_000;
    const { id } = data.add('item', {}, at);
    const later = data.add('item', {}, at + 1000).id;
    const iso = (time: number): string => encodeURIComponent(new Date(time).toISOString());
    const window = `/v3/items/?created_at_start=${iso(at)}&created_at_end=${iso(at + 1000)}`;
    expect(idsOf((await client.json(window)).data)).toEqual([later, id]);
    switches.createdBounds = 'exclusive';
    expect(idsOf((await client.json(window)).data)).toEqual([]);
    const inclusive = `/v3/items/?created_at_start=${iso(at - 1)}&created_at_end=${iso(at + 1)}`;
    expect(idsOf((await client.json(inclusive)).data)).toEqual([id]);
    expect(idsOf((await client.json('/v3/items/?created_at_start=2026-05-20T15:00:00%2B02:00')).data)).toEqual([later]);
    expect(idsOf((await client.json('/v3/items/?created_at_start=2026-05-20T13:00:00')).data)).toEqual([later]);
  });

  test('know the other filters', async () => {
    const { data, mainUser } = { data: client.sandbox.data, mainUser: client.sandbox.data.mainUserId };
    const project = data.add('project', { name: 'Unheard of', tags: ['solo'], favorite: true });
    for (const query of ['search=unheard', 'tags=solo', `owner_id=${mainUser}&favorite=true`]) {
      expect(idsOf((await client.json(`/v3/projects/?${query}`)).data)).toContain(project.id);
    }
    const item = data.add('item', { element_type: 'Video' });
    expect(idsOf((await client.json('/v3/items/?type=Video')).data)).toContain(item.id);
    expect(idsOf((await client.json('/v3/items/?type=Excel')).data)).not.toContain(item.id);
  });
});

describe('limits', () => {
  test('above the maximum are cut down silently', async () => {
    client.sandbox.switches.v3MaxLimit = 15;
    expect((await client.json('/v3/items/?limit=100')).data.length).toBe(15);
    expect((await client.json('/v3/items/')).data.length).toBe(15);
  });

  test('or refused', async () => {
    Object.assign(client.sandbox.switches, { v3MaxLimit: 20, v3LimitTooLarge: '422' });
    const problem = {
      loc: ['query', 'limit'],
      msg: 'ensure this value is less than or equal to 20',
      type: 'value_error.number.not_le',
      ctx: { limit_value: 20 },
    };
    expect(await refusal('/v3/items/?limit=21')).toEqual([422, { detail: [problem] }]);
    expect((await client.json('/v3/items/?limit=20')).data.length).toBe(20);
  });

  test.each([
    ['skip=-1', 'skip', 'value_error.number.not_ge'],
    ['limit=0', 'limit', 'value_error.number.not_ge'],
    ['limit=many', 'limit', 'type_error.integer'],
    ['created_at_start=yesterday', 'created_at_start', 'value_error.datetime'],
    ['created_at_start=2026-05-20T15:00:00+02:00', 'created_at_start', 'value_error.datetime'],
    ['favorite=perhaps', 'favorite', 'type_error.bool'],
  ])('%s is refused', async (query, name, type) => {
    const [status, body] = await refusal(`/v3/items/?${query}`);
    expect(status).toBe(422);
    expect(body).toMatchObject({ detail: [{ loc: ['query', name], type }] });
  });
});

describe('expand', () => {
  test('as one text with commas is refused, as is an unknown word', async () => {
    for (const query of ['expand=owner,tags', 'expand=everything']) {
      const [status, body] = await refusal(`/v3/projects/?${query}`);
      expect(status).toBe(422);
      expect(body).toMatchObject({ detail: [{ loc: ['query', 'expand', 0], type: 'type_error.enum' }] });
    }
  });

  test('a server that wants commas hears only the last of repeated keys', async () => {
    client.sandbox.switches.expandForm = 'csv';
    const [joined] = (await client.json('/v3/projects/?expand=owner,data')).data;
    expect(joined).toMatchObject({ owner: expect.anything(), data: expect.anything() });
    const [repeated] = (await client.json('/v3/projects/?expand=owner&expand=data')).data;
    expect('owner' in (repeated ?? {})).toBe(false);
    expect('data' in (repeated ?? {})).toBe(true);
    client.sandbox.switches.expandForm = 'any';
    const [mixed] = (await client.json('/v3/projects/?expand=owner&expand=data,tags')).data;
    expect(mixed).toMatchObject({ owner: expect.anything(), data: expect.anything() });
  });
});

describe('has_more', () => {
  const ends = async (): Promise<unknown[]> => {
    const total = client.sandbox.data.all('item').length;
    const pages = [0, total - 20, total].map((skip) => client.json(`/v3/items/?skip=${skip}`));
    return (await Promise.all(pages)).map((body) => body.has_more);
  };

  test.each([
    ['right', [true, false, false]],
    ['missingOnLast', [true, undefined, undefined]],
    ['missing', [undefined, undefined, undefined]],
    ['emptyAtEnd', [true, true, false]],
    ['always', [true, true, true]],
  ] as const)('%s', async (kind, expected) => {
    client.sandbox.switches.hasMore = kind;
    expect(await ends()).toEqual(expected);
  });

  test('is missing with the envelope', async () => {
    client.sandbox.switches.v3BareArrays = true;
    const body: unknown = await client.json('/v3/items/?limit=3');
    expect(body).toHaveLength(3);
    expect((await client.json('/v2/items?limit=3')).contents).toHaveLength(3);
  });
});

describe('the order', () => {
  const order = async (): Promise<number[]> => idsOf(await readAll(client, '/v3/items/', 100));

  test('is a switch: oldest, by update, or another permutation that stays', async () => {
    const { switches, data } = client.sandbox;
    const newest = await order();
    switches.order = 'oldest';
    expect(await order()).toEqual([...newest].reverse());
    const touched = newest[30] as number;
    data.touch('item', touched);
    switches.order = 'byUpdate';
    expect((await order())[0]).toBe(touched);
    switches.order = 'shuffled';
    const shuffled = await order();
    expect(shuffled).not.toEqual(newest);
    expect(new Set(shuffled)).toEqual(new Set(newest));
    expect(await order()).toEqual(shuffled);
  });

  test('or a new one at every query', async () => {
    client.sandbox.switches.order = 'random';
    const [one, two] = [await order(), await order()];
    expect(one).not.toEqual(two);
  });
});

describe('single objects', () => {
  test('the account', async () => {
    expect(await client.json('/v3/users/me/')).toMatchObject({
      email: client.sandbox.username,
      id: expect.any(Number),
    });
  });

  test('a project, with what is asked for', async () => {
    const project = client.sandbox.data.all('project').find((one) => one.is_template);
    const row = await client.json(`/v3/projects/${project?.id}/?expand=owner&expand=data&expand=tags`);
    expect(row).toEqual(client.sandbox.data.listable().projectsV3.find((one) => one.id === project?.id));
    expect((await refusal('/v3/projects/abc/'))[0]).toBe(422);
  });

  test('that was removed is not found, or gone', async () => {
    const { data, switches } = client.sandbox;
    const { id } = data.add('project');
    data.remove('project', id);
    expect(await refusal(`/v3/projects/${id}/`)).toEqual([404, { detail: 'Not Found' }]);
    switches.removedStatus = 410;
    expect((await refusal(`/v3/projects/${id}/`))[0]).toBe(410);
    expect((await refusal('/v3/projects/1/'))[0]).toBe(404);
  });
});

describe('paths', () => {
  test('without the slash at the end are redirected to the one with it, before any check', async () => {
    const response = await fetch(`${client.url}/v3/projects?limit=3&expand=owner`, { redirect: 'manual' });
    expect(response.status).toBe(307);
    expect(response.headers.get('location')).toBe(`${client.url}/v3/projects/?limit=3&expand=owner`);
    expect((await client.call('/v3/projects?limit=3', { redirect: 'follow' })).status).toBe(200);
    expect((await client.post('/v3/oauth/authorize', { grant_type: 'x' })).status).toBe(400);
    expect(client.sandbox.log.map(({ list }) => list)).toContain('v3.redirect');
  });

  test('unknown ones are 404, other methods 405', async () => {
    expect(await refusal('/v3/tokens/')).toEqual([404, { detail: 'Not Found' }]);
    expect((await client.call('/v3/projects/', { method: 'DELETE' })).status).toBe(405);
  });

  test('can be refused one by one, after the check of the token', async () => {
    client.sandbox.switches.refuse = { 'v3.items': 403, 'v3.projects': 500 };
    expect(await refusal('/v3/items/')).toEqual([403, { detail: 'Forbidden' }]);
    expect((await refusal('/v3/projects/'))[0]).toBe(500);
    expect((await refusal('/v3/users/me/'))[0]).toBe(200);
    expect((await fetch(`${client.v3Url}/items/`)).status).toBe(401);
  });
});
