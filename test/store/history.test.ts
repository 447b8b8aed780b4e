import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../src/store/engine/leases.ts';
import { ensureTables } from '../../src/store/mirror/custom-tables.ts';
import { ensureHistory, keepHistory, readHistory, stopHistory } from '../../src/store/mirror/history.ts';
import { dropTriggersSql } from '../../src/store/mirror/history-sql.ts';
import { readStoredRecords, writeDerived } from '../../src/store/mirror/reproject.ts';
import type { Row, TableSpec } from '../../src/stream.ts';
import { CONNECTION, LEADS, lead, type Store, setupStore, versionTime } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());

const TRACKED: TableSpec = { ...LEADS, tracked: ['status', 'tags'] };
const STREAM = 'tiledesk.leads';
const on = (table: TableSpec = TRACKED) => ensureHistory(store, [table], [`${table.schema}.${table.name}`]);
const off = () => stopHistory(store, [STREAM]);

type Line = Readonly<Record<string, unknown>>;
const versions = () => store.query<Line>('select * from tiledesk.leads_history order by seq');
const ops = async () => (await versions()).map(({ id, op, status }) => `${id} ${op} ${status}`);

let lease: Lease;
beforeEach(async () => {
  await store.query('truncate tiledesk.leads, sync.checkpoints, sync.runs');
  lease = await store.lease();
});
afterEach(async () => {
  await store.query(`${dropTriggersSql(LEADS, 'history')}
    drop view if exists tiledesk.leads_versions cascade; drop function if exists tiledesk.leads_as_of(timestamptz, text);
    drop table if exists tiledesk.leads_history; drop sequence if exists tiledesk.leads_history_seq; delete from sync.history`);
});

async function triggers(): Promise<number> {
  const rows = await store.query(`select from pg_trigger where tgname like 'history%'`);
  return rows.length;
}

it('nothing exists for a table without history', async () => {
  expect(await triggers()).toBe(0);
  expect(await ensureHistory(store, [TRACKED, LEADS], [])).toEqual([]);
  expect(await ensureHistory(store, [LEADS], [STREAM])).toEqual([]);
  expect(await triggers()).toBe(0);
});

it('a row gets a version when it is created and whenever a tracked column changes, and no other', async () => {
  await on();
  await store.save(lease, [lead('a', 1), lead('b', 1)]);
  await store.save(lease, [lead('a', 2, { status: 50 }), lead('b', 2)]);
  await store.save(lease, [lead('a', 3, { status: 50, fullname: 'other' })]);
  await store.save(lease, [lead('a', 9, { status: 100, tags: ['x'] })]);

  expect(await ops()).toEqual(['a c 100', 'b c 100', 'a u 50', 'a u 100']);
  const last = (await versions()).at(-1);
  expect(last).toMatchObject({ tags: ['x'], run_id: String(lease.runId), deleted_at: null });
  // Seen with version 3, not with version 2: the interval is as small as what was seen allows.
  expect(last).toMatchObject({ changed_after: new Date(versionTime(3)), changed_before: new Date(versionTime(9)) });
});

it('a change that does not move the change time is dated by when it was seen', async () => {
  await on();
  await store.save(lease, [lead('a', 1)]);
  await store.save(lease, [lead('a', 1, { status: 50 })]);
  const [, last] = await versions();
  expect(last?.changed_after).toEqual(new Date(versionTime(1)));
  expect(Math.abs(Number(last?.changed_before) - Number(last?.seen_at))).toBeLessThan(10_000);
});

it('marking as deleted, coming back and mapping anew are told apart', async () => {
  await on();
  await store.save(lease, [lead('a', 1), lead('b', 1)]);
  await store.save(lease, [], { tombstones: { table: LEADS, before: null, ids: ['a'] } });
  await store.save(lease, [lead('a', 2)]);
  const records = await readStoredRecords(
    store.prisma,
    { connectionId: CONNECTION, table: LEADS },
    { after: '', limit: 9 },
  );
  const derived = records.map(({ id, content_hash }) => ({
    row: lead(id, 2, { status: 1 }),
    contentHash: content_hash,
  }));
  await writeDerived(store.prisma, { connectionId: CONNECTION, table: LEADS }, derived);

  expect(await ops()).toEqual(['a c 100', 'b c 100', 'a d 100', 'a r 100', 'a m 1', 'b m 1']);
  const folded = await store.query<Line>(
    'select id, op, status, is_current, seen_to from tiledesk.leads_versions order by id, seq',
  );
  expect(folded.map(({ id, op, status, is_current }) => `${id} ${op} ${status} ${is_current}`)).toEqual([
    'a c 100 false',
    'a d 100 false',
    'a r 1 true',
    'b c 1 true',
  ]);
  expect(folded.filter(({ seen_to }) => seen_to === null)).toHaveLength(2);
});

it('the first look gives each row one version, and again only where it missed a change while it was off', async () => {
  await store.save(
    lease,
    Array.from({ length: 2500 }, (_, n) => lead(`n${String(n).padStart(4, '0')}`, 1)),
  );
  await on();
  expect(await store.query(`select op, count(*)::int from tiledesk.leads_history group by 1`)).toEqual([
    { op: 'f', count: 2500 },
  ]);
  expect(await on()).toEqual([]);

  expect(await off()).toEqual([STREAM]);
  expect(await triggers()).toBe(0);
  await store.save(lease, [lead('n0001', 2, { status: 50 }), lead('n0002', 2)]);
  const before = Date.now();
  await on();
  const [last] = (await versions()).slice(2500);
  expect(await versions()).toHaveLength(2501);
  expect(last).toMatchObject({ id: 'n0001', op: 'f', status: 50, changed_after: new Date(versionTime(1)) });
  const [status] = await readHistory(store.prisma);
  expect(status).toMatchObject({ stream: STREAM, columns: ['status', 'tags'], off_since: null });
  expect(Number(status?.on_since)).toBeGreaterThanOrEqual(before - 1000);
});

it('a first look that was cut off goes on where it stopped', async () => {
  await store.save(lease, [lead('a', 1), lead('b', 1), lead('c', 1)]);
  await on();
  await store.query(`delete from tiledesk.leads_history where id <> 'b'`);
  await store.prisma.syncHistory.update({
    where: { stream: STREAM },
    data: { first_look_ended_at: null, first_look_connection: CONNECTION, first_look_id: 'a' },
  });
  expect(await on()).toEqual([STREAM]);
  expect(await ops()).toEqual(['b f 100', 'c f 100']);
});

it('a column that is tracked later has no value in earlier versions, and one in a version of now', async () => {
  await on();
  await store.save(lease, [lead('a', 1)]);
  await on({ ...TRACKED, tracked: ['status', 'tags', 'fullname'] });
  expect((await versions()).map(({ op, fullname }) => [op, fullname])).toEqual([
    ['c', null],
    ['f', 'version 1'],
  ]);
  const [{ rows }] = [await store.sql.query('select fullname from tiledesk.leads_as_of(now())')];
  expect(rows).toEqual([{ fullname: 'version 1' }]);
});

it('columns that are tracked in another order, or no longer, keep the values of earlier versions', async () => {
  await on();
  await store.save(lease, [lead('a', 1, { tags: ['new'] })]);
  await on({ ...TRACKED, tracked: ['fullname', 'status'] });
  await store.save(lease, [lead('a', 2, { tags: ['x'] })]);
  await store.save(lease, [lead('a', 3, { status: 50 })]);
  expect((await versions()).map(({ op, status, tags }) => [op, status, tags])).toEqual([
    ['c', 100, ['new']],
    ['f', 100, null],
    ['u', 100, null],
    ['u', 50, null],
  ]);
  const [row] = await store.query<Line>('select * from tiledesk.leads_versions where is_current');
  expect(row).toMatchObject({ id: 'a', status: 50, fullname: 'version 3' });
  expect(row).not.toHaveProperty('tags');
});

it('switched on by several processes at once while pages are written, no change is missed', async () => {
  const ids = Array.from({ length: 300 }, (_, n) => `n${String(n).padStart(3, '0')}`);
  await store.save(
    lease,
    ids.map((id) => lead(id, 1)),
  );
  let isDone = false;
  const writer = (async () => {
    for (let round = 2; !isDone || round < 6; round++)
      await store.save(
        lease,
        ids.map((id) => lead(id, round, { status: round })),
      );
  })();
  await Promise.all([on(), on(), on()]).finally(() => {
    isDone = true;
  });
  await writer;
  expect(await foldProblems()).toEqual([]);
});

/** Rows whose last version is another than the row, and versions that repeat the one before. */
function foldProblems(): Promise<Line[]> {
  return store.query<Line>(`
    select 'row' as what, r.id from tiledesk.leads r
    left join lateral (select * from tiledesk.leads_history h where h.connection_id = r.connection_id and h.id = r.id order by seq desc limit 1) h on true
    where h.id is null or (h.status, h.tags, h.deleted_at) is distinct from (r.status, r.tags, r.deleted_at)
    union all
    select 'gone', h.id from (select distinct on (connection_id, id) * from tiledesk.leads_history order by connection_id, id, seq desc) h
    where h.deleted_at is null and not exists (select from tiledesk.leads r where r.connection_id = h.connection_id and r.id = h.id)
    union all
    select 'repeated', id from (select *, lag(row(status, tags, deleted_at)) over w as before, lag(op) over w as op_before
      from tiledesk.leads_history window w as (partition by connection_id, id order by seq)) v
    where op_before is not null and before is not distinct from row(status, tags, deleted_at)`);
}

describe('random writers', () => {
  /** A generator of its own, so that a failure can be repeated. */
  function randomOf(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((state / 2_147_483_648) * below);
    };
  }

  it.each([1, 2, 3])('leave versions that fold to the rows, and the rows of every moment (seed %i)', async (seed) => {
    await on();
    const random = randomOf(seed);
    const other = await store.lease({ pass: 'reconcile' });
    const snapshots: { at: Date; rows: Line[] }[] = [];
    let version = 1;
    const page = (): Row[] => {
      const ids = [...new Set(Array.from({ length: 1 + random(8) }, () => `n${random(12)}`))];
      return ids.map((id) =>
        lead(id, version + random(3), {
          status: [50, 100, 1000][random(3)],
          tags: random(2) === 0 ? null : [`t${random(3)}`],
        }),
      );
    };
    const steps = [
      () => store.save(lease, page()),
      () => store.save(other, page(), { replaceWrittenBefore: new Date() }),
      () =>
        store.save(other, [], {
          tombstones: { table: LEADS, before: null, ids: [`n${random(12)}`, `n${random(12)}`] },
        }),
      () => Promise.all([store.save(lease, page()), store.save(other, page())]),
      async () => {
        const target = { connectionId: CONNECTION, table: LEADS };
        const records = await readStoredRecords(store.prisma, target, { after: `n${random(9)}`, limit: 3 });
        await writeDerived(
          store.prisma,
          target,
          records.map(({ id, content_hash }) => ({
            row: lead(id, 1, { status: random(5), updated_at: null }),
            contentHash: content_hash,
          })),
        );
      },
      () => store.query(`update tiledesk.leads set status = ${random(9)} where id = 'n${random(12)}'`),
      () => store.query(`delete from tiledesk.leads where id in ('n${random(12)}', 'n${random(12)}')`),
    ];
    for (let step = 0; step < 60; step++) {
      version += 1;
      await steps[random(steps.length)]?.();
      const [now] = await store.query<{ at: Date; text: string }>(
        'select clock_timestamp() as at, clock_timestamp()::text as text',
      );
      const rows = await store.query<Line>(
        'select id, status, tags from tiledesk.leads where deleted_at is null order by id',
      );
      snapshots.push({ at: now?.text as unknown as Date, rows });
    }
    expect(await foldProblems()).toEqual([]);
    for (const { at, rows } of snapshots) {
      expect(await store.query('select id, status, tags from tiledesk.leads_as_of($1) order by id', [at])).toEqual(
        rows,
      );
    }
  });
});

it('as of a moment by the upstream’s clock: what is now known to have been so then', async () => {
  await on();
  await store.save(lease, [lead('a', 10), lead('b', 20)]);
  await store.save(lease, [lead('a', 60, { status: 50 })]);
  const at = (seconds: number) =>
    store.query('select id, status from tiledesk.leads_as_of($1, $2) order by id', [versionTime(seconds), 'upstream']);
  expect(await at(9)).toEqual([]);
  expect(await at(15)).toEqual([{ id: 'a', status: 100 }]);
  expect(await at(59)).toEqual([
    { id: 'a', status: 100 },
    { id: 'b', status: 100 },
  ]);
  expect(await at(60)).toEqual([
    { id: 'a', status: 50 },
    { id: 'b', status: 100 },
  ]);
});

it('months are kept in partitions: made ahead, dropped when old, and a row without one is not lost', async () => {
  await on();
  await store.query(`create table tiledesk.leads_history_20200101 partition of tiledesk.leads_history for values from ('2020-01-01') to ('2020-02-01');
    insert into tiledesk.leads_history (connection_id, id, op, changed_before, seen_at, run_id)
      values ('x', 'old', 'c', now(), '2020-01-15', 1), ('x', 'older', 'c', now(), '2019-01-15', 1)`);
  const partitions = async () =>
    (
      await store.query<{ name: string }>(
        `select relid::regclass::text as name from pg_partition_tree('tiledesk.leads_history') where isleaf order by 1`,
      )
    ).length;
  expect(await partitions()).toBe(5);
  await keepHistory(store, 25);
  expect(await partitions()).toBe(4);
  expect(await versions()).toEqual([]);
  await store.query(`drop table tiledesk.leads_history_${new Date().toISOString().slice(0, 7).replace('-', '')}01`);
  await store.save(lease, [lead('a', 1)]);
  await keepHistory(store, 25);
  expect(await ops()).toEqual(['a c 100']);
});

it('a table of a custom source has the same', async () => {
  const tickets: TableSpec = {
    schema: 'desk',
    name: 'tickets',
    columns: { subject: 'text', priority: 'integer', created_at: 'timestamptz', updated_at: 'timestamptz' },
    tracked: ['priority'],
  };
  await ensureTables(store.url, [tickets]);
  await on(tickets);
  await store.query(
    `insert into desk.tickets (connection_id, id, raw, content_hash, run_id, priority) values ('desk:a', '1', '{}', '1', 1, 3)`,
  );
  await store.query(`update desk.tickets set priority = 4, content_hash = '2'`);
  await store.query(`update desk.tickets set subject = 'x', content_hash = '3'`);
  expect(await store.query('select op, priority, is_current from desk.tickets_versions order by seq')).toEqual([
    { op: 'c', priority: 3, is_current: false },
    { op: 'u', priority: 4, is_current: true },
  ]);
  expect(await store.query('select priority from desk.tickets_as_of(now())')).toEqual([{ priority: 4 }]);
});

it('a stream that has another name now begins anew, and what it had under the old one stays', async () => {
  const old: TableSpec = {
    schema: 'desk',
    name: 'cases',
    columns: { priority: 'integer', created_at: 'timestamptz', updated_at: 'timestamptz' },
    tracked: ['priority'],
  };
  const write = (name: string, priority: number) =>
    store.query(
      `insert into desk.${name} (connection_id, id, raw, content_hash, run_id, priority) values ('desk:a', '1', '{}', '${priority}', 1, ${priority})
       on conflict (connection_id, id) do update set priority = excluded.priority, content_hash = excluded.content_hash`,
    );
  const renamed = { ...old, name: 'incidents' };
  await ensureTables(store.url, [old, renamed]);
  await on(old);
  await write('cases', 1);
  await on(renamed);
  await write('incidents', 2);
  // A start of a version that knows the new name only.
  expect(await ensureHistory(store, [renamed], ['desk.incidents'])).toEqual([]);
  await keepHistory(store, 25);
  expect(await store.query('select priority from desk.cases_versions')).toEqual([{ priority: 1 }]);
  expect(await store.query('select op, priority from desk.incidents_versions')).toEqual([{ op: 'c', priority: 2 }]);
  expect(await stopHistory(store, ['desk.cases'])).toEqual(['desk.cases']);
  await write('cases', 3);
  expect(await store.query('select priority from desk.cases_as_of(now())')).toEqual([{ priority: 1 }]);
});
