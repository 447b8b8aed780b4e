import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { byId, createTilkeeClient, idsOf, now, type Row, readAll, type TilkeeClient } from './tilkee-client.ts';

let client: TilkeeClient;

beforeEach(async () => {
  client = await createTilkeeClient();
});

afterEach(() => client.close());

const statusOf = async (path: string): Promise<number> => (await client.call(path)).status;
const lists = ['projects', 'items', 'tokens', 'connexions', 'users'] as const;

describe('the envelope', () => {
  test.each(lists)('of /v2/%s echoes what was applied', async (table) => {
    const body = await client.json(`/v2/${table}?offset=1`);
    expect(Object.keys(body)).toEqual(['search', 'limit', 'offset', 'total', 'order', 'contents']);
    expect(body).toMatchObject({ search: null, limit: 50, offset: 1, order: `-${table}.created_at` });
    expect(body.contents.length).toBe(Math.min(50, Number(body.total) - 1));
    client.sandbox.switches.v2MaxLimit = 3;
    const capped = await client.json(`/v2/${table}?limit=70`);
    expect([capped.limit, capped.contents.length]).toEqual([3, 3]);
  });

  test.each([
    ['number', 6],
    ['string', '6'],
    ['object', { value: 6, relation: 'eq' }],
    ['null', null],
    ['missing', undefined],
    ['wrong', 2],
  ] as const)('has a total that is %s', async (kind, total) => {
    client.sandbox.switches.v2Total = kind;
    expect((await client.json('/v2/users')).total).toEqual(total);
  });

  test('may lack the limit, or be missing', async () => {
    const { switches } = client.sandbox;
    switches.v2RepeatsLimit = false;
    expect(await client.json('/v2/users')).not.toHaveProperty('limit');
    switches.v2BareArrays = true;
    const body: unknown = await client.json('/v2/users?limit=2');
    expect(body).toHaveLength(2);
    expect((await client.json('/v3/items/?limit=2')).data).toHaveLength(2);
  });

  test('may hold a text where no rows are', async () => {
    const past = '/v2/users?offset=100';
    expect((await client.json(past)).contents).toEqual([]);
    client.sandbox.switches.v2EmptyContents = 'text';
    expect((await client.json(past)).contents).toBe('');
    expect((await client.json('/v2/users')).contents).toHaveLength(6);
  });

  test('numbers that are none are refused', async () => {
    expect(await statusOf('/v2/tokens?limit=many')).toBe(400);
    expect(await statusOf('/v2/connexions?tokens=1,b')).toBe(400);
  });
});

describe('the lists hold exactly what listable() says', () => {
  test('projects: in use, templates and archived apart, or together', async () => {
    const { projectsV2 } = client.sandbox.data.listable();
    const parts = ['', '?is_template=true', '?status=archived'].map((query) => readAll(client, `/v2/projects${query}`));
    const [inUse = [], templates = [], archived = []] = await Promise.all(parts);
    expect([inUse, templates, archived].every((rows) => rows.length > 0)).toBe(true);
    expect(byId([...inUse, ...templates, ...archived])).toEqual(byId([...projectsV2]));
    expect(inUse.every((row) => row.is_template === false && row.archived_at === null)).toBe(true);
    const { switches } = client.sandbox;
    switches.v2ProjectsHoldTemplates = true;
    expect((await readAll(client, '/v2/projects')).length).toBe(inUse.length + templates.length);
    switches.v2ProjectsHoldArchived = true;
    expect(byId(await readAll(client, '/v2/projects'))).toEqual(byId([...projectsV2]));
  });

  test('tokens: archived ones only when asked for, or with the others', async () => {
    const { tokens } = client.sandbox.data.listable();
    const current = await readAll(client, '/v2/tokens');
    const archived = await readAll(client, '/v2/tokens?archived_tokens=true');
    expect(current.every((row) => row.archived_at === null)).toBe(true);
    expect(archived.length).toBeGreaterThan(0);
    expect(archived.every((row) => row.archived_at !== null)).toBe(true);
    expect(byId([...current, ...archived])).toEqual(byId([...tokens]));
    client.sandbox.switches.tokensListHoldsArchived = true;
    expect(byId(await readAll(client, '/v2/tokens'))).toEqual(byId([...tokens]));
    expect(await readAll(client, '/v2/tokens?archived_tokens=true')).toEqual(archived);
    expect(await readAll(client, '/v2/tokens?archived_tokens=false')).toEqual(current);
  });

  test('connexions, items and users', async () => {
    const { connexions, itemsV2, users } = client.sandbox.data.listable();
    expect(byId(await readAll(client, '/v2/connexions'))).toEqual(byId([...connexions]));
    expect(byId(await readAll(client, '/v2/items'))).toEqual(byId([...itemsV2]));
    expect(byId(await readAll(client, '/v2/users', 4))).toEqual(byId([...users]));
    expect(users.some((row) => row.deleted_at !== null)).toBe(true);
  });
});

describe('the order', () => {
  const asked = async (path: string): Promise<{ order: unknown; times: string[] }> => {
    const body = await client.json(path);
    return { order: body.order, times: body.contents.map((row) => new Date(String(row.updated_at)).toISOString()) };
  };

  test('is obeyed, and echoed', async () => {
    const { order, times } = await asked('/v2/projects?order=-projects.updated_at');
    expect(order).toBe('-projects.updated_at');
    expect(times).toEqual([...times].sort().reverse());
    const oldest = await client.json('/v2/connexions?sort=connexions.created_at&limit=3');
    expect(oldest.order).toBe('connexions.created_at');
    const newest = await readAll(client, '/v2/connexions');
    expect(idsOf(oldest.contents)).toEqual(idsOf(newest.slice(-3).reverse()));
  });

  test('is ignored when so switched or not known, and the echo tells', async () => {
    expect((await asked('/v2/projects?order=-projects.colour')).order).toBe('-projects.created_at');
    // Links have no such column.
    expect((await client.json('/v2/tokens?order=-tokens.updated_at')).order).toBe('-tokens.created_at');
    client.sandbox.switches.obeysOrder = false;
    const { order, times } = await asked('/v2/projects?order=-projects.updated_at');
    expect(order).toBe('-projects.created_at');
    expect(times).not.toEqual([...times].sort().reverse());
  });

  test('that nobody asked for is a switch', async () => {
    const { switches } = client.sandbox;
    const tokens = async (): Promise<number[]> => idsOf(await readAll(client, '/v2/tokens', 100));
    const newest = await tokens();
    switches.order = 'oldest';
    expect([await tokens(), (await client.json('/v2/tokens')).order]).toEqual([
      newest.toReversed(),
      'tokens.created_at',
    ]);
    switches.order = 'byUpdate';
    expect((await client.json('/v2/items')).order).toBe('-items.updated_at');
    expect(await tokens()).toEqual(newest);
    switches.order = 'shuffled';
    expect(await tokens()).not.toEqual(newest);
    expect(await tokens()).toEqual(await tokens());
    expect((await client.json('/v2/tokens')).order).toBeNull();
    switches.order = 'random';
    expect(await tokens()).not.toEqual(await tokens());
  });
});

describe('links', () => {
  test('of one project, as a list and one by one', async () => {
    const { data } = client.sandbox;
    const { project_id: id } = data.all('token')[40] ?? {};
    const own = await readAll(client, `/v2/projects/${id}/tokens`);
    const archived = await readAll(client, `/v2/projects/${id}/tokens?archived_tokens=true`);
    expect(idsOf([...own, ...archived]).sort()).toEqual(
      data
        .tokensOf(Number(id))
        .map((one) => one.id)
        .sort(),
    );
    expect(byId(await readAll(client, `/v2/tokens?project_id=${id}`))).toEqual(byId(own));
    const [first] = [...own, ...archived];
    expect(await client.json(`/v2/projects/${id}/tokens/${first?.id}`)).toEqual(first);
    const other = data.all('project').find((one) => one.id !== id);
    expect(await statusOf(`/v2/projects/${other?.id}/tokens/${first?.id}`)).toBe(404);
  });

  test('can be filtered', async () => {
    const { data } = client.sandbox;
    const token = data.add('token', { name: 'Nobody Else', external_id: 'CONTACT:unique' });
    for (const query of [
      'search=nobody%20else',
      'external_id=CONTACT:unique',
      'accessible_tokens=true&consulted=false',
    ]) {
      expect(idsOf((await client.json(`/v2/tokens?${query}`)).contents)).toContain(token.id);
    }
    data.add('connexion', { token_id: token.id });
    expect(idsOf(await readAll(client, '/v2/tokens?consulted=false'))).not.toContain(token.id);
    data.archive('project', token.project_id);
    expect(idsOf(await readAll(client, '/v2/tokens?accessible_tokens=true'))).not.toContain(token.id);
  });
});

describe('visits', () => {
  test('are cut to a window in seconds, or in milliseconds', async () => {
    const { data, switches } = client.sandbox;
    const at = now + 3600_000;
    const ids = [
      data.add('connexion', {}, at),
      data.add('connexion', {}, at + 900),
      data.add('connexion', {}, at + 1000),
    ].map(({ id }) => id);
    const seconds = at / 1000;
    const visits = async (query: string): Promise<number[]> =>
      idsOf((await client.json(`/v2/connexions?${query}`)).contents).sort((a, b) => a - b);
    expect(await visits(`start_date=${seconds}`)).toEqual(ids);
    expect(await visits(`start_date=${seconds}&end_date=${seconds}`)).toEqual(ids.slice(0, 2));
    expect(await visits(`start_date=${seconds + 1}`)).toEqual(ids.slice(2));
    expect(await visits(`start_date=${at}`)).toEqual([]);
    switches.startDateUnit = 'ms';
    expect(await visits(`start_date=${at}`)).toEqual(ids);
    expect(await visits(`start_date=${at + 1}&end_date=${at + 900}`)).toEqual(ids.slice(1, 2));
  });

  test('can be asked for by link and by project', async () => {
    const { data } = client.sandbox;
    const [one, two] = data.all('token').filter((token) => data.visitsOf(token.id).length > 0);
    const of = (id: number | undefined): number[] => data.visitsOf(Number(id)).map((visit) => visit.id);
    const got = async (path: string): Promise<number[]> => idsOf(await readAll(client, path)).sort((a, b) => a - b);
    expect(await got(`/v2/connexions?tokens=${one?.id}`)).toEqual(of(one?.id));
    const both = [...of(one?.id), ...of(two?.id)].sort((a, b) => a - b);
    expect(await got(`/v2/connexions?tokens=${one?.id},${two?.id}`)).toEqual(both);
    const inProject = data
      .tokensOf(Number(one?.project_id))
      .flatMap((token) => of(token.id))
      .sort((a, b) => a - b);
    expect(await got(`/v2/projects/${one?.project_id}/connexions`)).toEqual(inProject);
    expect(await got(`/v2/projects/${one?.project_id}/connexions?tokens=${one?.id}`)).toEqual(of(one?.id));
    expect(await got(`/v2/connexions?tokens=1`)).toEqual([]);
  });

  test('in detail: rows without ids, whose times add up', async () => {
    const { data } = client.sandbox;
    const visit = data.all('connexion').find((one) => one.most_visited_item_id !== null);
    const projectId = data.get('token', Number(visit?.token_id))?.project_id;
    const path = `/v2/projects/${projectId}/connexions/${visit?.id}`;
    const body = await client.json(path);
    expect(Object.keys(body)).toEqual(['contents']);
    const sum = body.contents.reduce((total, row) => total + Number(row.total_time), 0);
    expect(sum).toBe(visit?.total_time);
    expect(body.contents.every((row) => !('id' in row))).toBe(true);
    expect(await client.json(path)).toEqual(body);
    expect(await statusOf(`/v2/projects/${projectId}/connexions/1`)).toBe(404);
  });

  test.each([
    ['none', []],
    ['token_id', ['token_id']],
    ['token_object', ['token']],
    ['project_object', ['project']],
    ['both', ['token_id', 'project']],
  ] as const)('name their link and project: %s', async (kind, names) => {
    const { data, switches } = client.sandbox;
    switches.visitsName = kind;
    const [row] = (await client.json('/v2/connexions?limit=1')).contents;
    expect(Object.keys(row ?? {}).filter((key) => /^(token|project)(_id)?$/.test(key))).toEqual(names);
    const token = data.get('token', data.get('connexion', Number(row?.id))?.token_id ?? 0);
    if (row?.token_id) expect(row.token_id).toBe(token?.id);
    if (row?.token) expect(row.token).toMatchObject({ id: token?.id });
    if (row?.project) expect(row.project).toMatchObject({ id: token?.project_id });
  });
});

describe('single objects', () => {
  test('the account, with or without the slash', async () => {
    const me = await client.json('/v2/users/me/');
    expect(me).toMatchObject({ email: client.sandbox.username, company: { id: 3 }, rights: expect.any(Array) });
    expect(await client.json('/v2/users/me')).toEqual(me);
  });

  test('a project has its leader, theme and iframes', async () => {
    const { data } = client.sandbox;
    const { id, owner_id: ownerId } = data.all('project')[3] ?? { id: 0 };
    const row = await client.json(`/v2/projects/${id}`);
    expect(row).toMatchObject({ id, leader: { id: ownerId }, theme: { id: expect.any(Number) } });
    expect(Object.keys(row.iframes as Row)).toHaveLength(6);
  });

  test('that were removed are not found, or gone', async () => {
    const { data, switches } = client.sandbox;
    const visit = data.add('connexion');
    const token = data.get('token', visit.token_id);
    const path = `/v2/projects/${token?.project_id}`;
    data.remove('token', visit.token_id);
    const paths = [`${path}/tokens/${token?.id}`, `${path}/connexions/${visit.id}`];
    expect(await Promise.all(paths.map(statusOf))).toEqual([404, 404]);
    switches.removedStatus = 410;
    expect(await Promise.all(paths.map(statusOf))).toEqual([410, 410]);
    data.remove('project', Number(token?.project_id));
    expect(await Promise.all([path, `${path}/tokens`, `${path}/connexions`].map(statusOf))).toEqual([410, 410, 410]);
    expect(await statusOf('/v2/projects/1')).toBe(404);
  });
});

describe('odd rows', () => {
  const first = async (path: string): Promise<Row> => (await client.json(path)).contents[0] as Row;

  test('ids and numbers as strings, in all depths and on both sides', async () => {
    const { switches } = client.sandbox;
    switches.idsAsStrings = true;
    expect(await first('/v2/tokens')).toMatchObject({
      id: expect.any(String),
      project_id: expect.any(String),
      total_time: expect.any(Number),
    });
    Object.assign(switches, { idsAsStrings: false, numbersAsStrings: true });
    expect(await first('/v2/tokens')).toMatchObject({ id: expect.any(Number), total_time: expect.any(String) });
    const [project] = (await client.json('/v3/projects/?expand=data')).data;
    expect(project).toMatchObject({ data: { total_time: expect.any(String) }, id: expect.any(Number) });
  });

  test('first_access_at false, interest null, duration as text', async () => {
    const { data, switches } = client.sandbox;
    data.add('token');
    expect(await first('/v2/tokens')).toMatchObject({ first_access_at: null, interest: 0 });
    const template = '/v2/projects?is_template=true';
    expect(await first(template)).toMatchObject({ duration: expect.any(Number) });
    Object.assign(switches, { firstAccessFalse: true, interestNull: true, durationAsString: true });
    expect(await first('/v2/tokens')).toMatchObject({ first_access_at: false, interest: null });
    expect(await first(template)).toMatchObject({ duration: expect.stringMatching(/^\d+$/) });
  });

  test('unknown fields', async () => {
    client.sandbox.switches.unknownFields = true;
    expect(await first('/v2/users')).toMatchObject({ added_in_2031: { nested: [1, null, { deep: 'é' }] } });
  });

  test.each(lists)('one of the %s without an id', async (table) => {
    client.sandbox.switches.rowWithoutId = true;
    const rows = await readAll(client, `/v2/${table}?${table === 'tokens' ? 'archived_tokens=false' : ''}`);
    expect(rows.filter((row) => !('id' in row))).toHaveLength(1);
    expect(rows.at(-1)).not.toHaveProperty('id');
  });

  test('all show in listable() as well', async () => {
    const { switches, data } = client.sandbox;
    Object.assign(switches, { idsAsStrings: true, unknownFields: true, rowWithoutId: true, visitsName: 'both' });
    expect(await readAll(client, '/v2/connexions?sort=connexions.created_at')).toEqual(data.listable().connexions);
  });
});

test.each([
  ['v2.tokens', '/v2/tokens', 404],
  ['v2.connexions', '/v2/connexions', 410],
  ['v2.users', '/v2/users', 403],
  ['v2.items', '/v2/items', 500],
] as const)('%s can be refused', async (name, path, status) => {
  client.sandbox.switches.refuse = { [name]: status };
  expect(await statusOf(path)).toBe(status);
  expect(await statusOf('/v2/projects')).toBe(200);
  client.sandbox.switches.refuse = {};
  expect(await statusOf(path)).toBe(200);
});
