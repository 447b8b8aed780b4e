import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ensureFeed, keepFeed, readChanges } from '../../src/store/mirror/feed.ts';
import type { TableSpec } from '../../src/stream.ts';
import { LEADS, lead, type Store, setupStore } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
  await ensureFeed(store, [LEADS], ['tiledesk.leads']);
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.query(
    'truncate tiledesk.leads, sync.checkpoints, sync.runs, sync.consumers; delete from sync.changes; update sync.feed set dropped_seq = null',
  );
});

const read = (options: { consumer?: string; limit?: number; behind?: string; ack?: string | null } = {}) =>
  readChanges(store.prisma, { consumer: 'copy', limit: 1000, ...options });
const register = (consumer = 'copy') => read({ consumer, ack: null });
const short = async (options = {}) =>
  (await read(options)).map(({ id, op, changed }) => [id, op, ...changed].join(' '));

it('has a line for each row that was created, changed, deleted or came back, with the names of what changed', async () => {
  await register();
  const lease = await store.lease();
  await store.save(lease, [lead('a', 1), lead('b', 1)]);
  await store.save(lease, [lead('a', 2, { status: 50 }), lead('b', 1)]);
  await store.save(lease, [], { tombstones: { table: LEADS, before: null, ids: ['b'] } });
  await store.save(lease, [lead('b', 3)]);
  expect(await short()).toEqual(['a c', 'b c', 'a u fullname status updated_at', 'b d', 'b r fullname updated_at']);
});

it('reads again what was not acknowledged, and goes on behind what was; an acknowledgement never goes back', async () => {
  await register();
  const lease = await store.lease();
  await store.save(lease, [lead('a', 1), lead('b', 1), lead('c', 1)]);
  const [first, second] = await read({ limit: 2 });
  expect(await short({ limit: 1 })).toEqual(['a c']);
  expect(await short({ behind: first?.cursor ?? '' })).toEqual(['b c', 'c c']);
  expect(await short({ ack: second?.cursor ?? '' })).toEqual(['c c']);
  expect(await short({ ack: first?.cursor ?? '' })).toEqual(['c c']);
});

it('a new consumer reads from its registration on; one that is not registered is refused', async () => {
  await expect(read()).rejects.toMatchObject({ code: 'consumer_unknown' });
  const lease = await store.lease();
  await store.save(lease, [lead('a', 1)]);
  expect(await register()).toEqual([]);
  await store.save(lease, [lead('b', 1)]);
  expect(await short()).toEqual(['b c']);
});

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: store.url });
  await client.connect();
  return client;
}

describe('a transaction that commits late', () => {
  it('is not passed over, as a reader by number would', async () => {
    await register();
    await store.query(
      `insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id) select 'x', id, '{}', '', 1 from unnest(array['slow', 'fast']) id`,
    );
    const [last] = await read({ limit: 1000 }).then((all) => all.slice(-1));
    await read({ ack: last?.cursor ?? '' });
    const naive = async (behind: string) =>
      (
        await store.query<{ id: string; seq: string }>('select id, seq from sync.changes where seq > $1 order by seq', [
          behind,
        ])
      ).map(({ id, seq }) => ({ id, seq }));
    const start = last?.cursor ?? '';

    const slow = await connect();
    await slow.query(`begin; update tiledesk.leads set status = 1 where id = 'slow'`);
    await store.query(`update tiledesk.leads set status = 1 where id = 'fast'`);
    const seen = await naive(start);
    expect(seen.map(({ id }) => id)).toEqual(['fast']);
    expect(await short()).toEqual([]);
    await slow.query('commit');
    await slow.end();

    expect(await naive(seen.at(-1)?.seq ?? '')).toEqual([]);
    expect(await short()).toEqual(['slow u status', 'fast u status']);
  });

  it('none of twenty writers with pauses is missed, and each row’s changes come in their order', async () => {
    await register();
    await store.query(
      `insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id, status) select 'x', n::text, '{}', '', 1, 0 from generate_series(1, 30) n`,
    );
    const last = (await read()).at(-1);
    await read({ ack: last?.cursor ?? '' });
    let writing = 20;
    const rounds = 25;
    const writers = Array.from({ length: writing }, async (_, writer) => {
      const client = await connect();
      for (let round = 0; round < rounds; round++) {
        // Each adds one to three rows, in one order, so that no two wait for each other.
        const ids = [writer % 10, 10 + ((writer + round) % 10), 20 + ((writer * round) % 10)]
          .map((n) => String(n + 1))
          .sort();
        await client.query('begin');
        for (const id of ids) await client.query(`update tiledesk.leads set status = status + 1 where id = $1`, [id]);
        if ((writer + round) % 3 === 0) await delay((writer * 7 + round) % 15);
        await client.query((writer + round) % 11 === 0 ? 'rollback' : 'commit');
      }
      await client.end();
      writing -= 1;
    });
    const seen = new Map<string, number>();
    const cursors: string[] = [];
    for (;;) {
      const isLast = writing === 0;
      const lines = await read({ limit: 40 });
      for (const { id, cursor } of lines) {
        seen.set(id, (seen.get(id) ?? 0) + 1);
        cursors.push(cursor);
      }
      const end = lines.at(-1);
      if (end !== undefined) await read({ ack: end.cursor, limit: 0 });
      if (isLast && end === undefined) break;
      if (end === undefined) await delay(5);
    }
    await Promise.all(writers);
    const rows = await store.query<{ id: string; status: number }>('select id, status from tiledesk.leads order by id');
    expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(rows.map(({ id, status }) => [id, status])));
    expect(new Set(cursors).size).toBe(cursors.length);
    expect(cursors).toEqual(cursors.toSorted((one, other) => Number(one) - Number(other)));
    expect(cursors.length).toBeGreaterThan(1000);
  });
});

it('a consumer that is behind what is kept is told so, and never passed over', async () => {
  await register('slow');
  await register('quick');
  const lease = await store.lease();
  await store.save(lease, [lead('a', 1), lead('b', 1)]);
  const [first] = await read({ consumer: 'quick' });
  await store.query(`update sync.changes set seen_at = now() - interval '40 days' where id = 'a'`);
  await keepFeed(store);
  await expect(read({ consumer: 'slow' })).rejects.toMatchObject({ code: 'consumer_behind' });
  expect(await short({ consumer: 'quick', ack: first?.cursor ?? '' })).toEqual(['b c']);
});

it('streams are switched on and off by the list; without one they stay as they are', async () => {
  const requests: TableSpec = {
    schema: 'tiledesk',
    name: 'requests',
    columns: { status: 'integer', created_at: 'timestamptz', updated_at: 'timestamptz' },
  };
  const triggers = async () =>
    (
      await store.query<{ name: string }>(
        `select tgrelid::regclass::text as name from pg_trigger where tgname = 'feed_insert' order by 1`,
      )
    ).map(({ name }) => name);
  await ensureFeed(store, [LEADS, requests], ['tiledesk.leads', 'tiledesk.requests']);
  await ensureFeed(store, [LEADS, requests], null);
  expect(await triggers()).toEqual(['tiledesk.leads', 'tiledesk.requests']);
  await ensureFeed(store, [LEADS, requests], []);
  expect(await triggers()).toEqual([]);
  expect(await store.query('select * from sync.feed')).toEqual([]);
  await ensureFeed(store, [LEADS], ['tiledesk.leads']);
  expect(await triggers()).toEqual(['tiledesk.leads']);
});
