import { afterEach, describe, expect, it } from '@jest/globals';
import { readPagedArray } from '../../../src/sources/tiledesk/paged-array.ts';
import { fetchOptions, type Json, setupUpstream, type Upstream } from './support.ts';

let upstream: Upstream | null = null;
afterEach(async () => {
  await upstream?.close();
  upstream = null;
});

/** A project with so many tags, and a reader of them. */
async function setup(count: number) {
  upstream = await setupUpstream({ leads: 0, requests: 0 });
  const { sandbox, reach, asked } = upstream;
  const { tags } = sandbox.data.team;
  const sample = tags[0] as Json;
  const add = (number: number) => {
    const at = new Date(Date.UTC(2026, 0, 1) + number).toISOString();
    const _id = `7${String(number).padStart(23, '0')}`;
    tags.push({ ...sample, _id, tag: `tag ${number}`, createdAt: at, updatedAt: at });
  };
  tags.splice(0);
  for (let number = 1; number <= count; number++) add(number);
  const { api } = reach();
  await api.verify(fetchOptions());
  sandbox.clearLog();
  const read = async () => (await readPagedArray(api, 'tags', fetchOptions())).records.map((tag) => (tag as Json)._id);
  const stored = () => tags.map(({ _id }) => _id).sort();
  return { sandbox, tags, add, read, stored, requests: () => asked().tags ?? 0 };
}

describe('a list in pages of the server’s own size, without a count', () => {
  it.each([
    [0, 1],
    [1, 2],
    [39, 2],
    [40, 2],
    [41, 6],
    [95, 8],
  ])('of %s rows is read whole with %s requests', async (count, requests) => {
    const list = await setup(count);
    const read = await list.read();
    expect([...read].sort()).toEqual(list.stored());
    expect(list.requests()).toBe(requests);
  });

  it('holds every row that stays, wherever rows are removed and added between two pages', async () => {
    for (let strike = 1; strike <= 5; strike++) {
      const list = await setup(120);
      const before = list.stored();
      list.sandbox.faults.afterAnswer = ({ list: name, nth }) => {
        if (name !== 'tags' || nth !== strike) return;
        list.tags.splice(100, 3);
        list.add(1000 + strike);
      };
      const read = new Set(await list.read());
      const stays = before.filter((id) => list.stored().includes(id));
      expect(stays.filter((id) => !read.has(id))).toEqual([]);
      await upstream?.close();
      upstream = null;
    }
  });

  it('that does not keep still is given up for now, and nothing is claimed', async () => {
    const list = await setup(120);
    list.sandbox.faults.afterAnswer = ({ list: name, nth }) => {
      if (name === 'tags' && nth % 4 === 1) list.tags.splice(100, 1);
    };
    await expect(list.read()).rejects.toMatchObject({ code: 'upstream_garbled' });
    expect(list.requests()).toBe(20);
  });

  it('from a server that ignores the page number is refused, not asked for ever', async () => {
    const list = await setup(10);
    list.sandbox.faults.beforeAnswer = ({ query }) => query.delete('page');
    await expect(list.read()).rejects.toMatchObject({ code: 'endless_list' });
    expect(list.requests()).toBe(2);
  });
});
