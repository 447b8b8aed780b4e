import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RecordError } from '../../../src/errors.ts';
import { noCounts } from '../../../src/store/engine/runs.ts';
import { encodePage, writePage } from '../../../src/store/mirror/pages.ts';
import type { List, ListPage, WalkState } from '../../../src/stream.ts';
import { walkPages } from '../../../src/sync/walk-pages.ts';
import { type Store, setupStore } from '../../store/support.ts';
import { fetchOptions, fixtures, type Json, NAMES, type Name, plan, setupUpstream, type Upstream } from './support.ts';

/** What every stream promises to the engine, asked of each of them. */
let upstream: Upstream;
let store: Store;
beforeAll(async () => {
  [upstream, store] = await Promise.all([setupUpstream(), setupStore()]);
});
afterAll(() => Promise.all([upstream.close(), store.close()]));

const idOf = (record: unknown): string => String((record as Json)._id);

/** The ids that a list brings, from a state on, for at most so many pages; and where that stopped. */
async function read(list: List, from: WalkState, pages = Number.POSITIVE_INFINITY) {
  const ids: string[] = [];
  let state = from;
  let isEnd = false;
  let left = pages;
  const prepare = (page: ListPage) => page.records.map(idOf);
  const lookUp = async () => new Set<string>();
  for await (const { prepared, step } of walkPages(list, from, { ...fetchOptions(), prepare, lookUp })) {
    ids.push(...prepared);
    state = step.state;
    isEnd = step.end?.kind === 'complete';
    if (--left === 0) break;
  }
  return { ids, state, isEnd };
}

const COMMON = [
  'connection_id',
  'id',
  'raw',
  'content_hash',
  'text_repaired',
  'first_seen_at',
  'synced_at',
  'deleted_at',
  'erased_at',
  'run_id',
];

describe.each(NAMES)('tiledesk.%s', (name: Name) => {
  const listable = () => upstream.sandbox.data.listable()[name].map(idOf).sort();

  it('names its table, whose columns are those of the database, with their types', async () => {
    const { table, name: streamName } = upstream.reach().stream(name);
    expect([streamName, `${table.schema}.${table.name}`]).toEqual([`tiledesk.${name}`, `tiledesk.${name}`]);
    const columns = await store.query<{ name: string; type: string }>(
      `select attname as name, regexp_replace(format_type(atttypid, null), 'timestamp with time zone', 'timestamptz') as type
       from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped`,
      [streamName],
    );
    const typed = columns.filter(({ name: column }) => !COMMON.includes(column));
    expect(Object.fromEntries(typed.map((column) => [column.name, column.type]))).toEqual(table.columns);
    expect(columns.length - typed.length).toBe(COMMON.length);
  });

  it('names its key: connection and id', async () => {
    const rows = await store.query<{ key: string }>(
      `select pg_get_constraintdef(oid) as key from pg_constraint where conrelid = $1::regclass and contype = 'p'`,
      [`tiledesk.${name}`],
    );
    expect(rows).toEqual([{ key: 'PRIMARY KEY (connection_id, id)' }]);
  });

  // Of messages a reconcile only marks those of deleted conversations.
  const passes = ['backfill', 'incremental', ...(name === 'messages' ? [] : (['reconcile'] as const))] as const;
  it.each(passes)('brings every object in a %s', async (pass) => {
    const { lists } = await plan(upstream.reach().stream(name), pass, {}, upstream.sandbox);
    const ids = new Set<string>();
    for (const list of lists) {
      const { ids: found, isEnd } = await read(list, list.walk.start());
      expect(isEnd).toBe(true);
      for (const id of found) ids.add(id);
    }
    expect([...ids].sort()).toEqual(listable());
  });

  it.each(['backfill', 'incremental'] as const)(
    'stopped after any page of a %s and resumed from the stored state, brings every object too',
    async (pass) => {
      const { lists } = await plan(upstream.reach().stream(name), pass, {}, upstream.sandbox);
      expect(new Set(lists.map(({ id }) => id)).size).toBe(lists.length);
      for (let stop = 1; stop <= 9; stop += 2) {
        const ids = new Set<string>();
        for (const list of lists) {
          const before = await read(list, list.walk.start(), stop);
          const stored = JSON.parse(JSON.stringify(before.state)) as WalkState;
          const after = before.isEnd ? { ids: [], isEnd: true } : await read(list, list.walk.resume(stored));
          expect(after.isEnd).toBe(true);
          for (const id of [...before.ids, ...after.ids]) ids.add(id);
        }
        expect([...ids].sort()).toEqual(listable());
      }
    },
  );

  it('maps a record to the same row each time, changes nothing in it, and keeps as raw what is stored of it', () => {
    const stream = upstream.reach({ storeVisitorPii: true }).stream(name);
    for (const record of fixtures(name)) {
      const before = structuredClone(record);
      const row = stream.mapRecord(stream.redactRecord(record));
      expect(stream.mapRecord(stream.redactRecord(record))).toEqual(row);
      expect(record).toEqual(before);
      // Of an activity, all but the copies of what it is about.
      expect(row.raw).toEqual(name === 'activities' ? stream.redactRecord(record) : before);
    }
  });

  it('maps its captured records to exactly its columns', () => {
    const stream = upstream.reach().stream(name);
    expect(fixtures(name).length).toBeGreaterThan(0);
    const expected = ['id', 'deleted_at', 'raw', ...Object.keys(stream.table.columns)].sort();
    for (const record of fixtures(name)) {
      const row = stream.mapRecord(stream.redactRecord(record));
      expect(Object.keys(row).sort()).toEqual(expected);
      expect(row).toMatchObject({ id: record._id, created_at: record.createdAt, updated_at: record.updatedAt });
    }
  });

  it('has its captured records written, read back equal, and a second time unchanged', async () => {
    const stream = upstream.reach().stream(name);
    const rows = fixtures(name).map((record) => stream.mapRecord(stream.redactRecord(record)));
    const ids = new Set(rows.map(({ id }) => id));
    const lease = await store.lease({ stream: stream.name });
    const write = () =>
      writePage(store.prisma, {
        lease,
        startedAt: new Date(),
        page: encodePage({ table: stream.table, rows, bad: [], replaceWrittenBefore: null }),
        checkpoint: { cursor: null, watermark: null, walkedAt: null, completed: false },
        counts: noCounts(),
        end: null,
      });

    expect(await write()).toMatchObject({ created: ids.size });
    expect(await write()).toMatchObject({ created: 0, updated: 0, unchanged: ids.size });

    const stored = await store.query<Json>(`select * from ${stream.name}`);
    expect(stored).toHaveLength(ids.size);
    for (const row of stored) {
      const versions = rows.filter(({ id }) => id === row.id);
      const newest = versions.reduce((one, other) => (String(other.updated_at) > String(one.updated_at) ? other : one));
      for (const [column, type] of Object.entries(stream.table.columns)) {
        expect({ [column]: asWritten(row[column], type) }).toEqual({ [column]: newest[column] });
      }
    }
  });

  it.each([
    ['nothing', null],
    ['a word', 'lead'],
    ['a list', []],
    ['an object without an id', { fullname: 'x' }],
    ['an empty id', { _id: '' }],
    ['an id that is no id', { _id: true }],
    ['an id that is an object without one', { _id: { $oid: '5f' } }],
  ])('sets %s aside', (_, record) => {
    const stream = upstream.reach().stream(name);
    expect(() => stream.mapRecord(stream.redactRecord(record))).toThrow(RecordError);
  });
});

/** The driver's form of a column back to the one in a row. */
function asWritten(value: unknown, type: string): unknown {
  if (value instanceof Date) return value.toISOString();
  return type === 'bigint' && typeof value === 'string' ? Number(value) : value;
}
