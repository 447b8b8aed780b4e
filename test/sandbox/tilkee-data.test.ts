import { describe, expect, test } from '@jest/globals';
import {
  createTilkeeSandbox,
  linkCanary,
  secretCanary,
  type TilkeeData,
  type TilkeeKind,
  type TilkeeSandboxOptions,
  visitorCanary,
} from '../../sandbox/tilkee.ts';
import { byId, createTilkeeClient, now, type Row, readAll } from './tilkee-client.ts';

const kinds: readonly TilkeeKind[] = ['project', 'item', 'token', 'connexion', 'user'];

function createData(options: TilkeeSandboxOptions = {}): TilkeeData {
  return createTilkeeSandbox({ now, ...options }).data;
}

describe('determinism', () => {
  test('the same seed gives the same account, also after the same changes; another gives another', () => {
    const [one, two, three] = [4, 4, 5].map((seed) => createTilkeeSandbox({ seed, now }));
    for (const sandbox of [one, two, three]) {
      sandbox?.data.randomEdits(100);
      sandbox?.data.liveChanges(100);
    }
    expect([one?.password, one?.accessKey]).toEqual([two?.password, two?.accessKey]);
    expect(one?.data.listable()).toEqual(two?.data.listable());
    expect(one?.data.listable()).not.toEqual(three?.data.listable());
  });

  test('the sizes are those asked for, small ones included', () => {
    const sizes = (data: TilkeeData): number[] => kinds.map((kind) => data.all(kind).length);
    expect(sizes(createData())).toEqual([120, 200, 600, 1500, 6]);
    const tiny = createData({ projects: 0, items: 0, tokens: 0, visits: 0, users: 0 });
    expect(sizes(tiny)).toEqual([0, 0, 0, 0, 1]);
    tiny.randomEdits(3);
    expect(tiny.add('connexion').id).toBeGreaterThan(0);
    expect(sizes(tiny)).toEqual([1, 0, 1, 1, 1]);
  });
});

describe('the history hangs together', () => {
  const data = createData();
  const tokens = data.all('token');

  test('links belong to projects, visits to links, and nothing is older than what it belongs to', () => {
    const early = [
      ...tokens.filter((token) => !(token.created_at >= Number(data.get('project', token.project_id)?.created_at))),
      ...data
        .all('connexion')
        .filter((visit) => !(visit.created_at >= Number(data.get('token', visit.token_id)?.created_at))),
    ];
    expect(early).toEqual([]);
    expect(Math.max(...data.all('connexion').map((visit) => visit.created_at))).toBeLessThanOrEqual(now);
    const placed = data.all('project').flatMap((project) => project.item_ids);
    expect(placed.every((id) => data.get('item', id) !== undefined)).toBe(true);
  });

  test('the totals of a link and of a project are the sums of their visits', () => {
    const { tokens: rows, projectsV2, projectsV3 } = data.listable();
    const sum = (ids: readonly number[]): number =>
      ids.flatMap((id) => data.visitsOf(id)).reduce((total, visit) => total + visit.total_time, 0);
    const shown = (row: Row): unknown => [row.id, row.total_time];
    expect(rows.map(shown)).toEqual(tokens.map(({ id }) => [id, sum([id])]));
    expect(rows.map((row) => row.nb_connections)).toEqual(tokens.map(({ id }) => data.visitsOf(id).length));
    const ofProjects = data.all('project').map(({ id }) => [id, sum(data.tokensOf(id).map((token) => token.id))]);
    expect(projectsV2.map(shown)).toEqual(ofProjects);
    expect(projectsV3.map((row) => [row.id, (row.data as Row).total_time])).toEqual(ofProjects);
  });

  test.each(['project', 'item', 'token', 'connexion'] as const)('some %ss share a creation time', (kind) => {
    const times = data.all(kind).map((doc) => doc.created_at);
    expect(new Set(times).size).toBeLessThan(times.length);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  test('V2 writes Paris time: both offsets appear, and the instants are those of V3', () => {
    const { itemsV2, itemsV3 } = data.listable();
    const times = itemsV2.map((row) => String(row.created_at));
    expect(times.every((time) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0[12]:00$/.test(time))).toBe(true);
    expect(new Set(times.map((time) => time.slice(-6)))).toEqual(new Set(['+01:00', '+02:00']));
    const instants = (rows: readonly Row[]): number[] => rows.map((row) => Date.parse(String(row.created_at)));
    expect(instants(itemsV2)).toEqual(instants(itemsV3));
  });

  test.each([
    ['2026-03-29T00:59:59.999Z', '2026-03-29T01:59:59.999+01:00'],
    ['2026-03-29T01:00:00.000Z', '2026-03-29T03:00:00.000+02:00'],
    ['2026-10-25T00:59:59.999Z', '2026-10-25T02:59:59.999+02:00'],
    ['2026-10-25T01:00:00.000Z', '2026-10-25T02:00:00.000+01:00'],
  ])('%s is %s there', (utc, paris) => {
    const tiny = createData({ projects: 0, items: 0, tokens: 0, visits: 0 });
    tiny.add('item', {}, Date.parse(utc));
    expect(tiny.listable().itemsV2[0]?.created_at).toBe(paris);
  });
});

describe('changes', () => {
  const stampsOf = (data: TilkeeData): string[] =>
    kinds.flatMap((kind) => data.all(kind).map(({ id, created_at: at }) => `${kind} ${id} ${at}`));

  test('random edits change the content of rows that exist and no creation time', () => {
    const data = createData({ projects: 10, items: 10, tokens: 10, visits: 20 });
    const stamps = stampsOf(data);
    for (let round = 0; round < 60; round++) {
      const before = JSON.stringify(data.listable());
      data.randomEdits(1);
      expect(JSON.stringify(data.listable())).not.toBe(before);
    }
    expect(stampsOf(data)).toEqual(stamps);
  });

  test('touching a project, an item or a user moves updated_at; links and visits have none', () => {
    const data = createData();
    const [project, item, user] = [data.add('project'), data.add('item'), data.add('user')];
    expect(data.touch('project', project.id, { name: 'New' }).updated_at).toBeGreaterThan(project.updated_at);
    expect(data.touch('item', item.id).updated_at).toBeGreaterThan(item.updated_at);
    expect(data.touch('user', user.id, {}, now + 1e9).updated_at).toBe(now + 1e9);
    const token = data.add('token');
    expect(data.touch('token', token.id, { name: 'New' })).toEqual({ ...token, name: 'New' });
    expect(data.archive('token', token.id).archived_at).toBeGreaterThan(token.created_at);
    expect(data.touch('token', token.id, { archived_at: null }).archived_at).toBeNull();
    expect(() => data.touch('project', 1)).toThrow('The sandbox has no project 1');
  });

  test('a visit grows until it ends, and its link and project with it', () => {
    const data = createData();
    const { id: projectId } = data.add('project');
    const token = data.add('token', { project_id: projectId });
    const visit = data.add('connexion', { token_id: token.id });
    const grown = data.growVisit(visit.id);
    expect(grown.total_time).toBeGreaterThan(visit.total_time);
    expect(grown.created_at).toBe(visit.created_at);
    expect(data.tokenStats(token.id).total_time).toBe(grown.total_time);
    expect(data.projectStats(projectId)).toMatchObject({
      total_time: grown.total_time,
      visits: 1,
      links: 1,
      readLinks: 1,
    });
    const ended = data.touch('connexion', visit.id, { is_open: false });
    expect(data.growVisit(visit.id)).toEqual(ended);
  });

  test('removing takes along what hangs on the object', () => {
    const data = createData();
    const project = data.add('project', { item_ids: [data.add('item').id] });
    const token = data.add('token', { project_id: project.id });
    const visit = data.add('connexion', { token_id: token.id });
    expect(data.remove('item', project.item_ids[0] ?? 0)).toBe(true);
    expect(data.get('project', project.id)).toMatchObject({ item_ids: [], updated_at: project.updated_at });
    expect(data.remove('connexion', visit.id)).toBe(true);
    expect(data.tokenStats(token.id).visits).toBe(0);
    expect(data.remove('project', project.id)).toBe(true);
    expect([data.get('token', token.id), data.remove('project', project.id)]).toEqual([undefined, false]);
    expect(data.wasRemoved('token', token.id)).toBe(true);
  });
});

test('some links were made for the leads that are given: by one of their ids, or by name', () => {
  const leads = Array.from({ length: 20 }, (_, place) => ({
    id: `id-${place}`,
    lead_id: `lead-${place}`,
    ...(place % 2 === 0 && { fullname: `Full Name ${place}` }),
  }));
  const tokens = createData({ leads }).all('token');
  const linked = tokens.filter((token) => token.lead !== null);
  expect(linked.length).toBeGreaterThan(100);
  expect(linked.length).toBeLessThan(500);
  for (const token of linked) {
    const lead = leads.find((one) => one.id === token.lead);
    const isNamed = token.external_id === null && token.name === lead?.fullname;
    expect(isNamed || [lead?.id, lead?.lead_id].includes(token.external_id ?? '')).toBe(true);
  }
  expect(linked.some((token) => token.external_id === null)).toBe(true);
  expect(JSON.stringify(createData({ leads }).listable().tokens)).not.toContain('"lead"');
});

describe('private values can be searched for', () => {
  const secretKeys = /token$|^support_chat|^payment|^password_hint|^api_key$/;
  const linkKeys = /^(link|url|preview|preview_new|preview_url|token_url|iframe|s3_url|content_url|thumbnail.*url)$/;

  /** Every value under a key, with the keys of the way there. */
  function* leaves(value: unknown, path: readonly string[] = []): Generator<[readonly string[], string]> {
    if (typeof value === 'string') yield [path, value];
    if (typeof value !== 'object' || value === null) return;
    for (const [key, one] of Object.entries(value)) yield* leaves(one, Array.isArray(value) ? path : [...path, key]);
  }

  function expectedCanary(path: readonly string[]): string | undefined {
    const last = path.at(-1) ?? '';
    if (path.includes('iframes') || path.includes('iframe')) return linkCanary;
    if (path.includes('images') && last.endsWith('url')) return linkCanary;
    if (last === 'ip' || last === 'user_agent') return visitorCanary;
    if (last === 'token_url' || linkKeys.test(last)) return linkCanary;
    return secretKeys.test(last) ? secretCanary : undefined;
  }

  test('on V2: secrets, links and visitors hold canaries, and nothing else does', async () => {
    const client = await createTilkeeClient();
    try {
      const { data, switches } = client.sandbox;
      switches.visitsName = 'token_object';
      const { projectsV2, itemsV2, tokens, connexions, users } = data.listable();
      const project = await client.json(`/v2/projects/${data.all('project')[0]?.id}`);
      const me = await client.json('/v2/users/me/');
      const seen = new Set<string>();
      const wrong: string[] = [];
      for (const [path, text] of leaves([projectsV2, itemsV2, tokens, connexions, users, project, me])) {
        const canary = expectedCanary(path);
        const isRight = canary === undefined ? !text.includes('canary') : text.includes(canary);
        if (!isRight) wrong.push(`${path.join('.')}: ${text}`);
        if (canary !== undefined) seen.add(path.at(-1) ?? '');
      }
      const names =
        'referral_token convert_token support_chat_token support_chat_id payment_hint link preview_url preview_new';
      const more = 'preview token_url iframe stats_escape url s3_url content_url thumbnail_url ip user_agent api_key';
      expect([...seen]).toEqual(expect.arrayContaining(`${names} ${more}`.split(' ')));
    } finally {
      await client.close();
    }
  });

  test('on V3: iframes and images when asked for; in what a mirror asks for, only the address of an item', async () => {
    const client = await createTilkeeClient();
    try {
      const { projectsV3, itemsV3 } = client.sandbox.data.listable();
      const withoutAddress = itemsV3.map(({ url, ...item }) => item);
      expect(itemsV3.every(({ url }) => String(url).includes(linkCanary))).toBe(true);
      expect(JSON.stringify([projectsV3, withoutAddress]).includes('canary')).toBe(false);
      const projects = await client.json('/v3/projects/?expand=iframe');
      expect(JSON.stringify(projects)).toContain(`${linkCanary}iframe`);
      expect(JSON.stringify(await client.json('/v3/items/?expand=images&limit=50'))).toContain(linkCanary);
    } finally {
      await client.close();
    }
  });

  test('credentials hold the canary for secrets', () => {
    const { password, clientSecret, accessKey } = createTilkeeSandbox({ projects: 0, items: 0, tokens: 0, visits: 0 });
    for (const text of [password, clientSecret, accessKey]) expect(text).toContain(secretCanary);
  });
});

test('after many changes each list still equals listable()', async () => {
  const client = await createTilkeeClient({ seed: 9 });
  const { data, switches } = client.sandbox;
  Object.assign(switches, { tokensListHoldsArchived: true, v3ProjectsHoldTemplates: true });
  try {
    for (let round = 0; round < 4; round++) {
      data.liveChanges(150);
      data.randomEdits(50);
      for (const kind of kinds.slice(0, 4)) data.remove(kind, data.all(kind)[7 + round]?.id ?? 0);
      const { projectsV3, itemsV3, tokens, connexions, users } = data.listable();
      const projects = await readAll(client, '/v3/projects/?expand=owner&expand=tags&expand=data', 50);
      expect(byId(projects)).toEqual(byId([...projectsV3]));
      expect(byId(await readAll(client, '/v3/items/?expand=owner&expand=tags', 50))).toEqual(byId([...itemsV3]));
      expect(byId(await readAll(client, '/v2/tokens', 50))).toEqual(byId([...tokens]));
      expect(byId(await readAll(client, '/v2/connexions', 100))).toEqual(byId([...connexions]));
      expect(byId(await readAll(client, '/v2/users', 50))).toEqual(byId([...users]));
    }
  } finally {
    await client.close();
  }
});

test('live changes go on until they are stopped', async () => {
  const client = await createTilkeeClient({ projects: 5, items: 5, tokens: 5, visits: 5 });
  const { data } = client.sandbox;
  try {
    const before = data.changes;
    client.sandbox.startLive({ changesPerSecond: 500 });
    while (data.changes < before + 20) await client.json('/v2/users');
    client.sandbox.stopLive();
    const stopped = data.changes;
    await client.json('/v2/users');
    expect(data.changes).toBe(stopped);
  } finally {
    await client.close();
  }
});
