import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  ENDLESS_ACCOUNT,
  type EndlessTiledesk,
  endlessProjectId,
  startEndlessTiledesk,
} from '../helpers/endless-tiledesk.ts';

const project = endlessProjectId(7);
const ROWS = 1_000_000;
let upstream: EndlessTiledesk;
let authorization = '';

beforeAll(async () => {
  const list = { rows: ROWS, spacingMs: 700 };
  upstream = await startEndlessTiledesk({
    project: (id) => (id === project ? { leads: list, requests: list } : undefined),
  });
  const response = await fetch(`${upstream.url}/auth/signin`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ENDLESS_ACCOUNT),
  });
  authorization = ((await response.json()) as { token: string }).token;
});
afterAll(() => upstream.close());

interface Row {
  readonly _id: string;
  readonly createdAt: string;
  readonly note?: string;
  readonly transcript?: string;
}

async function list(
  name: 'leads' | 'requests',
  query: string,
  from = upstream,
): Promise<{ count: number; rows: Row[] }> {
  const url = `${from.url}/${project}/${name}?status=${name === 'leads' ? '100' : 'all&preflight=true'}&${query}`;
  const body = (await (await fetch(url, { headers: { authorization } })).json()) as Record<string, unknown>;
  return { count: body.count as number, rows: body[name] as Row[] };
}

describe('the endless upstream', () => {
  it.each(['leads', 'requests'] as const)(
    'sorts %s the same way by every key, and pages without a gap',
    async (name) => {
      const one = await list(name, 'sort=_id&direction=-1&limit=100&page=3');
      expect(one.count).toBe(ROWS);
      const parts = await Promise.all(
        [6, 7].map((page) => list(name, `sort=updatedAt&direction=-1&limit=50&page=${page}`)),
      );
      expect(parts.flatMap(({ rows }) => rows)).toEqual(one.rows);
      const ids = one.rows.map(({ _id }) => _id);
      expect(ids).toEqual([...ids].sort().reverse());
      expect(new Set(ids).size).toBe(100);
    },
  );

  it('ends where it ends, and begins at the other end when asked', async () => {
    const last = await list('requests', `sort=createdAt&direction=-1&limit=100&page=${ROWS / 100 - 1}`);
    const first = await list('requests', 'sort=createdAt&direction=1&limit=100&page=0');
    expect([...last.rows].reverse()).toEqual(first.rows);
    expect((await list('requests', `sort=createdAt&direction=-1&limit=100&page=${ROWS / 100}`)).rows).toEqual([]);
  });

  it('keeps both ends of a window', async () => {
    const { rows } = await list('requests', 'sort=createdAt&direction=-1&limit=100&page=50');
    const end = new Date(Math.ceil(Date.parse(rows[0]?.createdAt ?? '') / 1000) * 1000).toISOString();
    const [day = '', time = ''] = end.split('T');
    const to = encodeURIComponent(`${day.split('-').reverse().join('/')} ${time.slice(0, 8)}`);
    const window = `filterRangeField=createdAt&timezone=UTC&end_date_time=${to}`;
    const inside = await list('requests', `sort=createdAt&direction=-1&limit=3&page=0&${window}`);
    expect(inside.rows.map(({ createdAt }) => createdAt <= end)).toEqual([true, true, true]);
    // The next younger row lies beyond the end: a second holds at most two.
    expect(inside.rows.some(({ _id }) => _id === rows[0]?._id)).toBe(true);
    expect(inside.count).toBeGreaterThan(ROWS - 5_002);
    expect(inside.count).toBeLessThanOrEqual(ROWS - 4_998);
    const none = await list(
      'requests',
      `sort=createdAt&direction=-1&limit=1&filterRangeField=createdAt&timezone=UTC&end_date_time=${encodeURIComponent('01/01/1970 00:00:00')}`,
    );
    expect(none).toEqual({ count: 0, rows: [] });
  });

  it('fills rows up to a size, each with other words', async () => {
    const filled = { rows: 300, spacingMs: 700, bytesEach: 5_000 };
    const other = await startEndlessTiledesk({ project: () => ({ leads: filled, requests: filled }) });
    try {
      for (const name of ['leads', 'requests'] as const) {
        const { rows } = await list(name, 'sort=_id&direction=-1&limit=100&page=0', other);
        expect(rows.map((row) => JSON.stringify(row).length)).toEqual(rows.map(() => 5_000));
        expect(new Set(rows.map((row) => row.note ?? row.transcript)).size).toBe(100);
      }
    } finally {
      await other.close();
    }
  });

  it('refuses projects that it does not have, and who did not sign in', async () => {
    const answers = [
      await fetch(`${upstream.url}/${endlessProjectId(8)}/leads?status=100`, { headers: { authorization } }),
      await fetch(`${upstream.url}/${project}/leads?status=100`),
    ];
    expect(answers.map(({ status }) => status)).toEqual([400, 401]);
  });
});
