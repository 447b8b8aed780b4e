import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { Lease } from '../../src/store/engine/leases.ts';
import { readStoredRecords, writeDerived } from '../../src/store/mirror/reproject.ts';
import type { Row, TableSpec } from '../../src/stream.ts';
import { CONNECTION, LEADS, lead, type Store, setupStore } from './support.ts';

let store: Store;
let lease: Lease;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.query('truncate tiledesk.leads, sync.checkpoints, sync.runs');
  lease = await store.lease();
});

const ATTRIBUTED: TableSpec = { ...LEADS, attributed: ['fullname'] };
const target = { connectionId: CONNECTION, table: LEADS };
const stored = () => store.query<Record<string, unknown>>('select *, xmin::text from tiledesk.leads order by id');

/** Writes the rows with what they were read as. */
async function derive(rows: readonly Row[], table: TableSpec = LEADS): Promise<number> {
  const records = await readStoredRecords(store.prisma, { ...target, table }, { after: '', limit: 100 });
  const hashes = new Map(records.map(({ id, content_hash }) => [id, content_hash]));
  return writeDerived(
    store.prisma,
    { ...target, table },
    rows.map((row) => ({ row, contentHash: hashes.get(row.id) ?? '' })),
  );
}

it('writes the rows whose columns differ, and only those', async () => {
  await store.save(lease, [lead('a', 1), lead('b', 1)]);
  const before = await stored();

  expect(await derive([lead('a', 1, { fullname: 'derived', tags: ['x'] }), lead('b', 1)])).toBe(1);

  const after = await stored();
  expect(after[1]).toEqual(before[1]);
  const { run_id, first_seen_at } = before[0] ?? {};
  const raw = { _id: 'a', fullname: 'derived' };
  expect(after[0]).toMatchObject({ fullname: 'derived', tags: ['x'], raw, run_id, first_seen_at });
  expect(after[0]?.content_hash).not.toBe(before[0]?.content_hash);
  expect(Number(after[0]?.synced_at)).toBeGreaterThan(Number(before[0]?.synced_at));
  expect(await derive([lead('a', 1, { fullname: 'derived', tags: ['x'] }), lead('b', 1)])).toBe(0);
});

it('leaves a row alone that a run wrote since it was read', async () => {
  await store.save(lease, [lead('a', 1)]);
  const [record] = await readStoredRecords(store.prisma, target, { after: '', limit: 1 });
  await store.save(lease, [lead('a', 2)]);
  const derived = { row: lead('a', 1, { fullname: 'derived' }), contentHash: record?.content_hash ?? '' };
  expect(await writeDerived(store.prisma, target, [derived])).toBe(0);
  expect(await stored()).toMatchObject([{ fullname: 'version 2' }]);
});

it('keeps a tombstone, unless the record itself says deleted, and never brings a row back', async () => {
  await store.save(lease, [lead('a', 1), lead('b', 1)]);
  await store.query(`update tiledesk.leads set deleted_at = '2026-03-03T00:00:00Z' where id = 'a'`);
  await derive([lead('a', 1, { fullname: 'derived' }), lead('b', 1, { deleted_at: '2026-04-04T00:00:00.000Z' })]);
  expect(await stored()).toMatchObject([
    { fullname: 'derived', deleted_at: new Date('2026-03-03') },
    { deleted_at: new Date('2026-04-04') },
  ]);
});

it('keeps an attributed column of which the record does not tell', async () => {
  await store.save(lease, [lead('a', 1, { raw: {} }), lead('b', 1, { raw: {} })]);
  await derive([lead('a', 1, { fullname: null, status: 50 }), lead('b', 1, { fullname: 'told' })], ATTRIBUTED);
  expect(await stored()).toMatchObject([{ fullname: 'version 1', status: 50 }, { fullname: 'told' }]);
});

it('reads by key, deleted rows included, other connections left out', async () => {
  await store.save(lease, [lead('b', 1), lead('a', 1, { deleted_at: '2026-01-01T00:00:00.000Z' }), lead('c', 1)]);
  await store.save(await store.lease({ connectionId: 'tiledesk:other' }), [lead('d', 1)]);
  const read = async (after: string) =>
    (await readStoredRecords(store.prisma, target, { after, limit: 2 })).map(({ id }) => id);
  expect([await read(''), await read('b'), await read('c')]).toEqual([['a', 'b'], ['c'], []]);
});
