import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { LeaseLostError } from '../../src/errors.ts';
import type { Lease } from '../../src/store/engine/leases.ts';
import { noCounts, type RunCounts } from '../../src/store/engine/runs.ts';
import { encodePage, upsertSql, writePage } from '../../src/store/mirror/pages.ts';
import type { Row, TableSpec } from '../../src/stream.ts';
import fc from '../helpers/property.ts';
import { DONE, expireLeases, LEADS, lead, type Store, setupStore } from './support.ts';

interface Stored {
  readonly id: string;
  readonly fullname: string | null;
  readonly raw: unknown;
  readonly deleted_at: Date | null;
  readonly text_repaired: boolean;
  readonly run_id: string;
  readonly xmin: string;
}

let store: Store;
let lease: Lease;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.query(
    'truncate tiledesk.leads, tilkee.connexions, sync.checkpoints, sync.runs, sync.quarantine, sync.seen_ids',
  );
  lease = await store.lease();
});

const stored = () => store.query<Stored>('select *, xmin::text from tiledesk.leads order by id');
const only = async (): Promise<Stored> => {
  const rows = await stored();
  if (rows.length !== 1 || rows[0] === undefined) throw new Error(`${rows.length} rows`);
  return rows[0];
};

describe('a row', () => {
  it('is created, updated and left alone, and counted so', async () => {
    expect(await store.save(lease, [lead('a', 1), lead('b', 1)])).toMatchObject({ read: 2, created: 2, updated: 0 });
    const counts = await store.save(lease, [lead('a', 1), lead('b', 2), lead('c', 1)]);
    expect(counts).toMatchObject({ read: 3, created: 1, updated: 1, unchanged: 1, pages: 1 });
    expect((await stored()).map(({ fullname }) => fullname)).toEqual(['version 1', 'version 2', 'version 1']);
  });

  it('that a page holds twice keeps the newer version, whichever came first', async () => {
    await store.save(lease, [lead('a', 2), lead('a', 1), lead('b', 1), lead('b', 2), lead('c', null), lead('c', 3)]);
    expect((await stored()).map(({ fullname }) => fullname)).toEqual(['version 2', 'version 2', 'version 3']);
  });

  it('is not overwritten by an older version', async () => {
    await store.save(lease, [lead('a', 5)]);
    expect(await store.save(lease, [lead('a', 4)])).toMatchObject({ created: 0, updated: 0, unchanged: 1 });
    expect((await only()).fullname).toBe('version 5');
  });

  it('is overwritten by another content of the same time', async () => {
    await store.save(lease, [lead('a', 5)]);
    await store.save(lease, [lead('a', 5, { fullname: 'corrected' })]);
    expect((await only()).fullname).toBe('corrected');
  });

  it.each([
    ['over one with a date', 5, null],
    ['over one without', null, null],
    ['under one with a date', null, 5],
  ])('without a date is written: %s', async (_, first, second) => {
    await store.save(lease, [lead('a', first)]);
    await store.save(lease, [lead('a', second, { fullname: 'second' })]);
    expect((await only()).fullname).toBe('second');
  });

  it('that did not change is not rewritten, nor is its run', async () => {
    await store.save(lease, [lead('a', 1)]);
    const before = await only();
    await expireLeases(store);

    await store.save(await store.lease(), [lead('a', 1)]);

    expect(await only()).toEqual(before);
  });

  it('whose keys changed places did not change', async () => {
    await store.save(lease, [lead('a', 1, { raw: { x: 1, y: { b: 1, a: 2 } } })]);
    const before = await only();
    const counts = await store.save(lease, [lead('a', 1, { raw: { y: { a: 2, b: 1 }, x: 1 } })]);
    expect(counts).toMatchObject({ unchanged: 1 });
    expect(await only()).toEqual(before);
  });

  it('that comes back is undeleted, by the content it had before too', async () => {
    await store.save(lease, [lead('a', 1)]);
    await store.query('update tiledesk.leads set deleted_at = now()');

    expect(await store.save(lease, [lead('a', 1)])).toMatchObject({ updated: 1 });

    expect((await only()).deleted_at).toBeNull();
  });

  it('that the upstream marks as deleted is marked', async () => {
    await store.save(lease, [lead('a', 1)]);
    await store.save(lease, [lead('a', 2, { deleted_at: '2026-02-03T04:05:06.789Z' })]);
    expect((await only()).deleted_at).toEqual(new Date('2026-02-03T04:05:06.789Z'));
  });

  it('of another connection is another row', async () => {
    await store.save(lease, [lead('a', 1)]);
    await store.save(await store.lease({ connectionId: 'tiledesk:other' }), [lead('a', 2)]);
    expect((await stored()).map(({ fullname }) => fullname).sort()).toEqual(['version 1', 'version 2']);
  });

  it('names the run that wrote it', async () => {
    await store.save(lease, [lead('a', 1)]);
    expect((await only()).run_id).toBe(String(lease.runId));
  });
});

describe('a column that the request may tell about instead of the record', () => {
  const VISITS: TableSpec = {
    schema: 'tilkee',
    name: 'connexions',
    columns: { title: 'text', token_id: 'text', project_id: 'text', updated_at: 'timestamptz' },
    attributed: ['token_id', 'project_id'],
  };
  interface Visit extends Stored {
    readonly title: string | null;
    readonly token_id: string | null;
    readonly project_id: string | null;
  }

  const visit = (fields: Partial<Row> = {}): Row => ({
    id: '1',
    title: 'Jane',
    token_id: null,
    project_id: null,
    updated_at: null,
    deleted_at: null,
    raw: { id: 1 },
    ...fields,
  });
  const save = (...rows: Row[]): Promise<RunCounts> =>
    writePage(store.prisma, {
      lease,
      startedAt: new Date(),
      checkpoint: { cursor: null, watermark: null, walkedAt: null, completed: false },
      counts: noCounts(),
      end: null,
      page: encodePage({ table: VISITS, rows, bad: [], replaceWrittenBefore: null }),
    });
  const kept = async (): Promise<Visit | undefined> =>
    (await store.query<Visit>('select *, xmin::text from tilkee.connexions'))[0];

  it('is filled by a later answer that tells, though the record is the same', async () => {
    expect(await save(visit())).toMatchObject({ created: 1 });
    expect(await save(visit({ project_id: '7' }))).toMatchObject({ updated: 1, unchanged: 0 });
    expect(await save(visit({ token_id: '8' }))).toMatchObject({ updated: 1, unchanged: 0 });
    expect(await kept()).toMatchObject({ token_id: '8', project_id: '7' });
  });

  it('stays as it is when a later answer does not tell, and that is no change', async () => {
    await save(visit({ token_id: '8', project_id: '7' }));
    const before = await kept();

    expect(await save(visit())).toMatchObject({ unchanged: 1, updated: 0 });
    expect(await save(visit({ token_id: '8' }))).toMatchObject({ unchanged: 1, updated: 0 });
    expect(await save(visit({ token_id: '8', project_id: '7' }))).toMatchObject({ unchanged: 1, updated: 0 });

    expect(await kept()).toEqual(before);
  });

  it('stays as it is when the record changes and does not tell', async () => {
    await save(visit({ token_id: '8', project_id: '7' }));
    expect(await save(visit({ title: 'John', raw: { id: 1, title: 'John' } }))).toMatchObject({ updated: 1 });
    expect(await kept()).toMatchObject({ title: 'John', token_id: '8', project_id: '7' });
  });

  it('follows an answer that tells otherwise', async () => {
    await save(visit({ token_id: '8', project_id: '7' }));
    expect(await save(visit({ token_id: '9' }))).toMatchObject({ updated: 1 });
    expect(await kept()).toMatchObject({ token_id: '9', project_id: '7' });
  });

  it('is kept when two runs write the row at once, in either order', async () => {
    const lanes = [lease, await store.lease({ pass: 'reconcile' })];
    const rows = Array.from({ length: 50 }, (_, index) => String(index));
    await Promise.all(
      lanes.map((lane, index) =>
        writePage(store.prisma, {
          lease: lane,
          startedAt: new Date(),
          checkpoint: { cursor: null, watermark: null, walkedAt: null, completed: false },
          counts: noCounts(),
          end: null,
          page: encodePage({
            table: VISITS,
            rows: rows.map((id) => visit({ id, ...(index === 0 ? { token_id: '8' } : { project_id: '7' }) })),
            bad: [],
            replaceWrittenBefore: null,
          }),
        }),
      ),
    );
    const { rows: written } = await store.sql.query('select distinct token_id, project_id from tilkee.connexions');
    expect(written).toEqual([{ token_id: '8', project_id: '7' }]);
  });

  it('leaves the statement of tables without any as it is', () => {
    const textOf = (table: TableSpec) =>
      upsertSql(table, '[]', { connectionId: 'any', runId: 1n, replaceWrittenBefore: null }).text;
    expect(textOf({ ...LEADS, attributed: [] })).toBe(textOf(LEADS));
    const columns = Object.keys(LEADS.columns).map((name) => `"${name}" = excluded."${name}"`);
    expect(textOf(LEADS)).toContain(columns.join(', '));
    expect(textOf(LEADS)).toContain(
      'where t.erased_at is null and (t."content_hash" is distinct from excluded."content_hash" or t."deleted_at" is distinct from excluded."deleted_at") and',
    );
  });
});

describe('a full sync that began after a row was written', () => {
  const replacing = (ms: number) => ({ replaceWrittenBefore: new Date(lease.databaseNow.getTime() + ms) });

  it('may put an older version in its place: a wrong date in the future does not last', async () => {
    await store.save(lease, [lead('a', 1_000_000)]);
    await store.save(lease, [lead('a', 1)], replacing(60_000));
    expect((await only()).fullname).toBe('version 1');
  });

  it('and one that began before may not', async () => {
    await store.save(lease, [lead('a', 5)]);
    await store.save(lease, [lead('a', 1)], replacing(-60_000));
    expect((await only()).fullname).toBe('version 5');
  });
});

describe('text that Postgres cannot store', () => {
  it.each([
    ['a NUL', 'a\0b', 'a\uFFFDb'],
    ['a lone high surrogate', 'a\uD800b', 'a\uFFFDb'],
    ['a lone low surrogate', '\uDC00', '\uFFFD'],
    ['a pair the wrong way round', '\uDC00\uD800', '\uFFFD\uFFFD'],
  ])('is replaced and marked: %s', async (_, text, expected) => {
    const raw = { text, [`key ${text}`]: [{ deep: text }] };
    await store.save(lease, [lead('a', 1, { fullname: text, tags: [text], attributes: raw, raw }), lead('b', 1)]);

    const rows = await store.query<Stored & { tags: string[] }>('select * from tiledesk.leads order by id');
    const repaired = { text: expected, [`key ${expected}`]: [{ deep: expected }] };
    expect(rows[0]).toMatchObject({ fullname: expected, tags: [expected], attributes: repaired, raw: repaired });
    expect(rows.map(({ text_repaired }) => text_repaired)).toEqual([true, false]);
  });

  it.each([
    ['a literal escape of NUL', '\\u0000'],
    ['a literal escape of a surrogate', 'C:\\ud800\\file'],
    ['several backslashes', '\\\\u0000 \\\\\\ud83d'],
    ['a whole pair', '😀 and \u{10FFFF}'],
    ['a replacement character of the sender', 'a\uFFFDb'],
  ])('is not what this is: %s is kept and not marked', async (_, text) => {
    const raw = { text, [text]: text };
    // A neighbour in need of repair sends the whole page the careful way.
    await store.save(lease, [lead('a', 1, { fullname: text, raw }), lead('z', 1, { fullname: '\0' })]);

    expect((await stored())[0]).toMatchObject({ fullname: text, raw, text_repaired: false });
  });

  it('does not count as a change the next time', async () => {
    const rows = [lead('a', 1, { fullname: 'x\0', raw: { text: 'x\0' } })];
    await store.save(lease, rows);
    expect(await store.save(lease, rows)).toMatchObject({ unchanged: 1, updated: 0 });
  });

  it('is replaced in quarantine too, where a record is kept once and opened again', async () => {
    const bad = [{ recordId: null, reason: 'no_id', rawText: '"a\0\uD800"' }];
    expect(await store.save(lease, [], { bad })).toMatchObject({ read: 1, quarantined: 1 });
    await store.query('update sync.quarantine set resolved_at = now()');
    await store.save(lease, [], { bad });

    const rows = await store.query('select raw_text, reason, resolved_at, record_id from sync.quarantine');
    const record_id = expect.stringMatching(/^sha256:[0-9a-f]{32}$/);
    expect(rows).toEqual([{ raw_text: '"a\uFFFD\uFFFD"', reason: 'no_id', resolved_at: null, record_id }]);
  });
});

it('two lanes that write the same rows in opposite order do not block each other for ever', async () => {
  const lanes = [lease, await store.lease({ pass: 'reconcile' })];
  const ids = Array.from({ length: 200 }, (_, index) => `row ${String(index).padStart(3, '0')}`);
  for (let round = 0; round < 30; round++) {
    await Promise.all(
      lanes.map((lane, index) => {
        const rows = ids.map((id) => lead(id, round, { raw: { round, lane: index } }));
        return store.save(lane, index === 0 ? rows : rows.reverse());
      }),
    );
  }
  expect((await stored()).map(({ raw }) => (raw as { round: number }).round)).toEqual(ids.map(() => 29));
});

describe('page, checkpoint and run line', () => {
  const state = async () => ({
    rows: await stored(),
    checkpoint: await store.query(
      'select cursor, watermark, lease_until, completed_at, updated_at from sync.checkpoints',
    ),
    runs: await store.query('select * from sync.runs'),
    quarantine: await store.query('select * from sync.quarantine'),
  });
  const checkpoint = {
    cursor: { at: 2 },
    watermark: { all: '2026-01-01T00:00:00.000Z' },
    walkedAt: null,
    completed: true,
  };
  const bad = [{ recordId: 'x', reason: 'no_id', rawText: '{}' }];

  it('are written together', async () => {
    const counts = await store.save(lease, [lead('a', 1)], { checkpoint, end: DONE, bad });

    const { rows, checkpoint: kept, runs, quarantine } = await state();
    expect([rows.length, runs.length, quarantine.length]).toEqual([1, 1, 1]);
    expect(kept).toEqual([
      {
        cursor: { at: 2 },
        watermark: checkpoint.watermark,
        lease_until: null,
        completed_at: expect.any(Date),
        updated_at: expect.any(Date),
      },
    ]);
    expect(runs[0]).toMatchObject({
      id: String(lease.runId),
      outcome: 'succeeded',
      created: 1,
      read: 2,
      quarantined: 1,
    });
    expect(counts).toMatchObject({ created: 1, read: 2, quarantined: 1 });
  });

  it.each([
    [
      'the run line',
      'alter table sync.runs add constraint broken check (pages < 0)',
      'alter table sync.runs drop constraint broken',
    ],
    [
      'the quarantine',
      'alter table sync.quarantine add constraint broken check (reason is null)',
      'alter table sync.quarantine drop constraint broken',
    ],
    [
      'the last row',
      "alter table tiledesk.leads add constraint broken check (id <> 'z')",
      'alter table tiledesk.leads drop constraint broken',
    ],
  ])('are kept together or not at all: %s fails', async (_, breaking, mending) => {
    await store.query(breaking);
    const before = await state();

    await expect(store.save(lease, [lead('a', 1), lead('z', 1)], { checkpoint, bad })).rejects.toThrow();

    expect(await state()).toEqual(before);
    await store.query(mending);
    await store.save(lease, [lead('a', 1), lead('z', 1)], { checkpoint, bad });
    expect((await stored()).length).toBe(2);
  });

  it('are refused to a run whose lease was taken over, and nothing of its page is kept', async () => {
    await expireLeases(store);
    const successor = await store.lease();
    const before = await state();

    await expect(store.save(lease, [lead('a', 1)], { checkpoint, bad })).rejects.toThrow(LeaseLostError);

    expect(await state()).toEqual(before);
    expect(await store.save(successor, [lead('a', 1)])).toMatchObject({ created: 1 });
  });

  it('are refused to a run that has ended', async () => {
    await store.save(lease, [lead('a', 1)], { end: DONE });
    await expect(store.save(lease, [lead('b', 1)])).rejects.toThrow(LeaseLostError);
    expect((await stored()).map(({ id }) => id)).toEqual(['a']);
  });

  it('belong to one transaction', async () => {
    const met = { list: 'all', ids: ['a', 'b'] };
    const counts = await store.save(lease, [lead('a', 1), lead('b', 1)], { checkpoint, seen: met });

    expect(counts).toMatchObject({ pages: 1, read: 2, created: 2, updated: 0, unchanged: 0 });
    const tables = ['tiledesk.leads', 'sync.checkpoints', 'sync.runs', 'sync.seen_ids'];
    const texts = tables.map((table) => `select '${table}' as name, xmin::text from ${table}`);
    const versions = await store.query<{ name: string; xmin: string }>(texts.join(' union all '));
    expect(versions.map(({ name }) => name).sort()).toEqual(
      ['sync.checkpoints', 'sync.runs', 'sync.seen_ids', 'sync.seen_ids', 'tiledesk.leads', 'tiledesk.leads'].sort(),
    );
    expect(new Set(versions.map(({ xmin }) => xmin)).size).toBe(1);
    expect((await state()).runs[0]).toMatchObject({ outcome: null, pages: 1, read: 2, created: 2, unchanged: 0 });
  });

  it.each([
    ['the rows', 'tiledesk.leads', "id <> 'z'"],
    ['the checkpoint', 'sync.checkpoints', 'cursor is null'],
    ['the run line', 'sync.runs', 'pages < 0'],
    ['the ids that were met', 'sync.seen_ids', "id <> 'z'"],
  ])('are kept together or not at all, in one statement too: %s fails', async (_, table, check) => {
    await store.query(`alter table ${table} add constraint broken check (${check}) not valid`);
    const before = await state();
    const met = { list: 'all', ids: ['a', 'z'] };

    await expect(store.save(lease, [lead('a', 1), lead('z', 1)], { checkpoint, seen: met })).rejects.toThrow();

    expect(await state()).toEqual(before);
    expect(await store.query('select from sync.seen_ids')).toEqual([]);
    await store.query(`alter table ${table} drop constraint broken`);
    await store.save(lease, [lead('a', 1), lead('z', 1)], { checkpoint, seen: met });
    expect((await stored()).length).toBe(2);
  });

  it('leave no trace in one statement either when the lease was taken over', async () => {
    await expireLeases(store);
    await store.lease();
    const before = await state();
    const met = { list: 'all', ids: ['a'] };

    await expect(store.save(lease, [lead('a', 1)], { checkpoint, seen: met })).rejects.toThrow(LeaseLostError);

    expect(await state()).toEqual(before);
    expect(await store.query('select from sync.seen_ids')).toEqual([]);
  });

  it('close what waits in quarantine', async () => {
    await store.save(lease, [lead('a', 1)], { bad: [{ recordId: 'b', reason: 'refused', rawText: '{}' }] });
    expect((await state()).quarantine).toMatchObject([{ record_id: 'b', resolved_at: null }]);

    expect(await store.save(lease, [lead('b', 1)])).toMatchObject({ created: 1 });

    expect((await state()).quarantine).toMatchObject([{ record_id: 'b', resolved_at: expect.any(Date) }]);
  });

  it('keep a record open of which the same page holds a version that cannot be stored, once, with the last reason', async () => {
    const bad = ['no_date', 'unmappable'].map((reason) => ({ recordId: 'a', reason, rawText: '{}' }));
    await store.save(lease, [lead('a', 1), lead('b', 1)], { bad });
    const open = [{ record_id: 'a', reason: 'unmappable', resolved_at: null }];
    expect((await state()).quarantine).toMatchObject(open);
    expect(await store.save(lease, [lead('a', 2)], { bad: bad.slice(1) })).toMatchObject({ updated: 1 });
    expect((await state()).quarantine).toMatchObject(open);
  });

  it('count tombstones, and a run that only marks rows has a line of its own', async () => {
    await store.save(lease, [], { end: DONE });
    const again = await store.lease();
    await store.save(again, [lead('a', 1), lead('b', 1)]);
    const third = await store.lease({ pass: 'reconcile' });
    await store.save(third, [], { end: DONE });
    const fourth = await store.lease({ pass: 'reconcile' });
    const tombstones = { table: LEADS, before: null, ids: ['a', 'none'] };
    const counts = await store.save(fourth, [], { end: DONE, tombstones });
    expect(counts).toMatchObject({ deleted: 1, created: 0 });
    const runs = await store.query(
      "select outcome, deleted, idle_runs from sync.runs where pass = 'reconcile' order by id",
    );
    expect(runs).toEqual([
      { outcome: 'succeeded', deleted: 0, idle_runs: 0 },
      { outcome: 'succeeded', deleted: 1, idle_runs: 0 },
    ]);
  });

  it('have no run line while nothing was found on the first page', async () => {
    await store.save(lease, [lead('a', 1)], { end: DONE });
    const again = await store.lease({ pass: 'reconcile' });
    const counts = await store.save(again, [lead('a', 1)]);
    expect(counts).toMatchObject({ unchanged: 1, pages: 1 });
    expect((await state()).runs.length).toBe(1);
    await store.save(again, [lead('a', 1)], { counts });
    expect((await state()).runs).toMatchObject([{ created: 1 }, { pages: 2, unchanged: 2, created: 0 }]);
  });

  it('gather the newest change of a walk, whatever run goes on with it, and begin anew with the next', async () => {
    const at = (day: number) => new Date(Date.UTC(2026, 0, day));
    const save = (cursor: unknown, newestChange: Date | null) =>
      store.save(lease, [], {
        checkpoint: { cursor, watermark: null, walkedAt: null, completed: false, newestChange },
      });
    const kept = async () =>
      (await store.query<{ newest_change: Date | null }>('select newest_change from sync.checkpoints'))[0]
        ?.newest_change;
    await save({ at: 1 }, at(3));
    await save({ at: 2 }, at(5));
    await save({ at: 3 }, null);
    await save(null, at(4));
    expect(await kept()).toEqual(at(5));
    await save({ at: 1 }, at(2));
    expect(await kept()).toEqual(at(2));
  });

  it('leave a watermark alone that they do not bring', async () => {
    await store.save(lease, [], { checkpoint });
    await store.save(lease, [], { checkpoint: { cursor: null, watermark: null, walkedAt: null, completed: false } });
    expect((await state()).checkpoint[0]).toMatchObject({ cursor: null, watermark: checkpoint.watermark });
  });
});

describe('any sequence of pages', () => {
  /** The content follows from id and version, as with an upstream whose every change moves the time. */
  const version = fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd'), version: fc.integer({ min: 1, max: 6 }) });
  const toRow = ({ id, version: n }: { id: string; version: number }): Row =>
    lead(id, n, { deleted_at: n % 3 === 0 ? '2026-05-05T00:00:00.000Z' : null, raw: { id, n } });
  const final = async () => (await stored()).map(({ id, raw, deleted_at }) => ({ id, raw, deleted_at }));

  it('ends in the newest version of each row, replayed and reordered as one likes', async () => {
    const pages = fc.array(fc.array(version, { maxLength: 6 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(pages, fc.infiniteStream(fc.nat()), async (sequence, random) => {
        const newest = new Map<string, { id: string; version: number }>();
        for (const one of sequence.flat()) {
          if ((newest.get(one.id)?.version ?? 0) < one.version) newest.set(one.id, one);
        }
        const expected = [...newest.values()].map(toRow).map(({ id, raw, deleted_at }) => ({
          id,
          raw,
          deleted_at: deleted_at === null ? null : new Date(deleted_at),
        }));
        const shuffled = [...sequence, ...sequence.filter((_, index) => index % 2 === 0)]
          .map((page) => ({ page, at: random.next().value ?? 0 }))
          .sort((one, other) => one.at - other.at)
          .map(({ page }) => page);
        for (const order of [sequence, shuffled]) {
          await store.query('truncate tiledesk.leads');
          for (const page of order) await store.save(lease, page.map(toRow));
          expect(await final()).toEqual(expected.sort((one, other) => (one.id < other.id ? -1 : 1)));
        }
      }),
      { numRuns: 25 },
    );
  });
});
