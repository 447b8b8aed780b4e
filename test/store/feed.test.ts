import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { PrismaClient } from '../../src/generated/prisma/client.ts';
import { createDatabase } from '../../src/store/database.ts';
import { ensureFeed, keepFeed, readChanges } from '../../src/store/mirror/feed.ts';
import type { TableSpec } from '../../src/stream.ts';
import { createTestDatabase, databaseUrl } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { runFeedLoad } from './feed-load.ts';
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

it('has a line for each row that was created, changed, deleted, came back or was removed, with the names of what changed', async () => {
  await register();
  const lease = await store.lease();
  await store.save(lease, [lead('a', 1), lead('b', 1)]);
  await store.save(lease, [lead('a', 2, { status: 50 }), lead('b', 1)]);
  await store.save(lease, [], { tombstones: { table: LEADS, before: null, ids: ['b'] } });
  await store.save(lease, [lead('b', 3)]);
  await store.query(`delete from tiledesk.leads where id in ('a', 'b')`);
  const before = ['a c', 'b c', 'a u fullname status updated_at', 'b d', 'b r fullname updated_at'];
  expect(await short()).toEqual([...before, 'a e', 'b e']);
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
    // The query of docs/changes.md names its session.
    const [holder] = [...readFileSync('docs/changes.md', 'utf8').matchAll(/```sql\n(select pid[\s\S]+?);\n```/g)];
    const [own] = (await slow.query('select pg_backend_pid() as pid')).rows;
    expect(await store.query(holder?.[1] ?? '')).toMatchObject([own]);
    await slow.query('commit');
    await slow.end();

    expect(await naive(seen.at(-1)?.seq ?? '')).toEqual([]);
    expect(await short()).toEqual(['slow u status', 'fast u status']);
  });

  it('none of twenty writers with pauses is missed, and each row’s changes come in their order', async () => {
    const result = await runFeedLoad({ url: store.url, changes: 20_000, killEveryMs: 300 });
    expect(result).toMatchObject({ missed: 0, outOfOrder: 0 });
    expect(result.committed).toBeGreaterThanOrEqual(20_000);
    // The load is one in which a reader by number misses some.
    expect(result.missedByNumber).toBeGreaterThan(0);
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

it('a consumer of before is told in a database that was restored or copied; it goes on where nothing was lost', async () => {
  const origin = await createTestDatabase();
  const backup = `${new URL(origin.url).pathname.slice(1)}_backup`;
  const open = async <T>(url: string, work: (prisma: PrismaClient) => Promise<T>): Promise<T> => {
    const { prisma, close } = createDatabase({ url, logger: unheardLogger() });
    return work(prisma).finally(close);
  };
  const copy = { consumer: 'copy', limit: 10 };
  const insert = (id: string) =>
    `insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id) values ('x', '${id}', '{}', '', 1)`;
  await open(origin.url, async (prisma) => {
    await ensureFeed({ prisma, url: origin.url }, [LEADS], ['tiledesk.leads']);
    await readChanges(prisma, { ...copy, ack: null });
    await prisma.$executeRawUnsafe(insert('before'));
  });
  await store.query(`create database ${backup} template ${new URL(origin.url).pathname.slice(1)}`);
  const last = await open(origin.url, async (prisma) => {
    await prisma.$executeRawUnsafe(insert('lost'));
    return (await readChanges(prisma, copy)).at(-1)?.cursor ?? '';
  });
  await open(databaseUrl(origin.url, backup), async (prisma) => {
    await prisma.$executeRawUnsafe(insert('after'));
    const restored = { code: 'consumer_restored' };
    await expect(readChanges(prisma, copy)).rejects.toMatchObject(restored);
    await expect(readChanges(prisma, { ...copy, ack: last })).rejects.toMatchObject(restored);
    await prisma.$executeRaw`update sync.consumers set home = sync.feed_home()`;
    expect(await readChanges(prisma, copy)).toMatchObject([{ id: 'before' }, { id: 'after', cursor: last }]);

    await prisma.$executeRaw`delete from sync.consumers`;
    await readChanges(prisma, { ...copy, ack: null });
    const ahead = String(Number(last) + 1);
    await expect(readChanges(prisma, { ...copy, behind: ahead })).rejects.toMatchObject(restored);
    await expect(readChanges(prisma, { ...copy, ack: ahead })).rejects.toMatchObject(restored);
  });
  await store.query(`drop database ${backup}`);
  await origin.drop();
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
