import { describe, expect, it } from '@jest/globals';
import { createFixedPages } from '../../../src/sources/tiledesk/fixed-pages.ts';
import type { ListPage, ListQuery } from '../../../src/stream.ts';
import { createStitchWalk } from '../../../src/walks/stitch.ts';
import { fetchOptions } from './support.ts';

interface Server {
  /** Newest first. */
  rows: number[];
  readonly pageSize: number;
  readonly ignoresPage?: boolean;
  requests: number;
  /** Called before each answer. */
  before?: (requests: number) => void;
}

const idOf = (at: number): string => at.toString(16).padStart(24, '0');

/** A list of a server that has pages of one size. */
function pagesOf(server: Server) {
  return createFixedPages(async ({ offset, limit }: ListQuery): Promise<ListPage> => {
    server.requests += 1;
    server.before?.(server.requests);
    const number = server.ignoresPage === true ? 0 : offset / limit;
    const rows = server.rows.slice(number * server.pageSize, (number + 1) * server.pageSize);
    return {
      records: rows,
      entries: rows.map((at) => ({ id: idOf(at), createdAt: at, updatedAt: at })),
      pageSize: server.pageSize,
      total: server.rows.length,
      serverTime: null,
    };
  });
}

const serverOf = (count: number, more: Partial<Server> = {}): Server => {
  return { rows: Array.from({ length: count }, (_, index) => 1_000_000 - index), pageSize: 40, requests: 0, ...more };
};

const ask = (offset: number, limit: number): ListQuery => {
  return { sort: 'created_at', direction: 'desc', offset, limit, wantTotal: true };
};

async function walk(server: Server, pageSize: number): Promise<Set<unknown>> {
  const fetchPage = pagesOf(server);
  const stitch = createStitchWalk({ sort: 'created_at', pageSize });
  const seen = new Set<unknown>();
  for (let state = stitch.start(), turns = 0; turns < 500; turns++) {
    const query = stitch.next(state);
    const page = await fetchPage(query, fetchOptions());
    for (const row of page.records) seen.add(row);
    const step = stitch.accept(state, query, page);
    if (step.end !== null) {
      expect(step.end).toEqual({ kind: 'complete' });
      return seen;
    }
    state = step.state;
  }
  throw new Error('the walk does not end');
}

describe('pages of one size', () => {
  it.each([
    [0, 100],
    [60, 20],
    [78, 39],
    [200, 100],
    [240, 40],
  ])('give the rows of a question from %i, %i of them', async (offset, limit) => {
    const server = serverOf(250);
    const page = await pagesOf(server)(ask(offset, limit), fetchOptions());
    expect(page.records).toEqual(server.rows.slice(offset, offset + limit));
    expect(page).toMatchObject({ pageSize: limit, total: 250 });
  });

  it.each([10, 20, 40, 73, 100])('are walked whole with pages of %i', async (pageSize) => {
    const server = serverOf(333);
    expect([...(await walk(server, pageSize))]).toEqual(expect.arrayContaining(server.rows));
  });

  it.each([10, 40, 100])('are walked whole while rows arrive and vanish, with pages of %i', async (pageSize) => {
    const server = serverOf(333);
    const atFirst = [...server.rows];
    server.before = (requests) => {
      for (let more = 0; more < (requests * 7) % 5; more++) server.rows.unshift((server.rows[0] ?? 0) + 1);
      server.rows.splice(server.rows.length - (requests % 2));
    };
    const seen = await walk(server, pageSize);
    expect(atFirst.filter((row) => server.rows.includes(row) && !seen.has(row))).toEqual([]);
  });

  it('of a server that ignores their number are refused after a few requests', async () => {
    const server = serverOf(250, { ignoresPage: true });
    await expect(walk(server, 100)).rejects.toMatchObject({ code: 'truncated_page' });
    expect(server.requests).toBeLessThan(15);
  });

  it('whose size changes are refused, and read again with the next question', async () => {
    const server = { ...serverOf(250), pageSize: 40 };
    const fetchPage = pagesOf(server);
    await fetchPage(ask(0, 100), fetchOptions());
    server.pageSize = 30;
    await expect(fetchPage(ask(0, 100), fetchOptions())).rejects.toMatchObject({ code: 'page_too_large' });
    expect((await fetchPage(ask(0, 100), fetchOptions())).records).toEqual(server.rows.slice(0, 100));
  });

  it('cost nothing more where the server sends what is asked for', async () => {
    const server = serverOf(250, { pageSize: 50 });
    await pagesOf(server)(ask(100, 50), fetchOptions());
    expect(server.requests).toBe(1);
  });
});
