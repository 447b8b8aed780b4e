import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { acquireLease, releaseLease, renewLease } from '../../src/store/engine/leases.ts';
import { endRun, noCounts } from '../../src/store/engine/runs.ts';
import { CONNECTION, DONE, expireLeases, lead, type Store, setupStore } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(() => store.query('truncate tiledesk.leads, sync.checkpoints, sync.runs'));

const KEY = { connectionId: CONNECTION, stream: 'tiledesk.leads', pass: 'incremental' } as const;
const runs = () =>
  store.query<{ id: string; outcome: string | null; error_code: string | null; ended_at: Date | null }>(
    'select id::text, outcome, error_code, ended_at from sync.runs order by id',
  );

describe('a lease', () => {
  it('is held by one at a time, and free again when given back', async () => {
    const lease = await store.lease();
    expect(await acquireLease(store.prisma, KEY)).toBeNull();

    await releaseLease(store.prisma, lease);

    const next = await store.lease();
    expect(next.token).toBe(lease.token + 1n);
    expect(next.runId).toBeGreaterThan(lease.runId);
  });

  it('goes to one of many that ask at once', async () => {
    const leases = await Promise.all(Array.from({ length: 8 }, () => acquireLease(store.prisma, KEY)));
    expect(leases.filter((lease) => lease !== null)).toHaveLength(1);
  });

  it('that has expired goes to one of many that ask at once', async () => {
    const lease = await store.lease();
    await expireLeases(store);
    const taken = (await Promise.all(Array.from({ length: 8 }, () => acquireLease(store.prisma, KEY)))).filter(
      (one) => one !== null,
    );
    expect(taken.map(({ token }) => token)).toEqual([lease.token + 1n]);
  });

  it('belongs to one pass of one stream of one connection', async () => {
    await store.lease();
    const others = [{ pass: 'backfill' as const }, { stream: 'tiledesk.requests' }, { connectionId: 'tiledesk:other' }];
    for (const other of others) expect(await acquireLease(store.prisma, { ...KEY, ...other })).not.toBeNull();
  });

  it('brings the stored progress', async () => {
    const checkpoint = {
      cursor: { at: 7 },
      watermark: { all: '2026-01-01T00:00:00.000Z' },
      walkedAt: { all: '2026-01-02T00:00:00.000Z' },
      completed: true,
    };
    await store.save(await store.lease(), [], { checkpoint, end: DONE });
    const { cursor, watermark, walkedAt } = checkpoint;
    expect((await store.lease()).checkpoint).toEqual({
      cursor,
      watermark,
      walkedAt,
      completedAt: expect.any(Date),
      startedAt: expect.any(Date),
    });
  });

  it('tells the database’s time of the moment it was taken', async () => {
    const before = await store.query<{ now: Date }>('select clock_timestamp() as now');
    const lease = await store.lease();
    const after = await store.query<{ now: Date }>('select clock_timestamp() as now');
    expect(lease.databaseNow.getTime()).toBeGreaterThanOrEqual(before[0]?.now.getTime() ?? Number.NaN);
    expect(lease.databaseNow.getTime()).toBeLessThanOrEqual(after[0]?.now.getTime() ?? Number.NaN);
  });

  it('is renewed by the database’s clock as long as nobody took it', async () => {
    const lease = await store.lease();
    await expireLeases(store);
    expect(await renewLease(store.prisma, lease)).toEqual({ isPaused: false, isConfigured: true });
    expect(await acquireLease(store.prisma, KEY)).toBeNull();

    await expireLeases(store);
    const successor = await store.lease();
    expect(await renewLease(store.prisma, lease)).toBeNull();
    expect(await renewLease(store.prisma, successor)).not.toBeNull();
  });

  it('that was lost is not given back by its former holder', async () => {
    const lease = await store.lease();
    await expireLeases(store);
    await store.lease();
    await releaseLease(store.prisma, lease);
    expect(await acquireLease(store.prisma, KEY)).toBeNull();
  });

  it('is not taken while a page is being written under it, however long that takes', async () => {
    const lease = await store.lease();
    await expireLeases(store);
    await store.sql.query('begin');
    // The page has locked its checkpoint when it meets this row.
    await store.sql.query(
      `insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id) values ($1, 'a', '{}', '', 1)`,
      [CONNECTION],
    );
    const saving = store.save(lease, [lead('a', 1)]);
    // A second session looks whether the page waits.
    const other = await setupWatcher(store.url);
    await other.untilWaiting();
    const taking = acquireLease(store.prisma, KEY);
    await store.sql.query('rollback');

    expect(await saving).toMatchObject({ created: 1 });
    expect(await taking).toBeNull();
    await other.close();
  });
});

async function setupWatcher(url: string) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return {
    async untilWaiting() {
      const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      while ((await client.query(waiting)).rowCount === 0);
    },
    close: () => client.end(),
  };
}

describe('a run that is taken over', () => {
  it('is closed also when it gave its lease back and could not write how it ended', async () => {
    const lease = await store.lease();
    await store.save(lease, [lead('a', 1)]);
    await releaseLease(store.prisma, lease);

    await store.lease();

    expect((await runs()).map(({ outcome }: { outcome: string | null }) => outcome)).toEqual(['cancelled']);
  });

  it('is closed together with older ones, whose takers died before they came to it', async () => {
    const first = await store.lease();
    await store.save(first, [lead('a', 1)]);
    await expireLeases(store);
    const second = await store.lease();
    await store.save(second, [lead('b', 1)]);
    // As the second would have left it, killed right after it took the lease.
    await store.sql.query('update sync.runs set outcome = null, ended_at = null, error_code = null where id = $1', [
      String(first.runId),
    ]);
    await expireLeases(store);

    await store.lease();

    expect((await runs()).map(({ outcome }: { outcome: string | null }) => outcome)).toEqual([
      'cancelled',
      'cancelled',
    ]);
  });

  it('is closed as cancelled, its lease lost, and cannot write its line any more', async () => {
    const lease = await store.lease();
    await store.save(lease, [lead('a', 1)]);
    expect(await runs()).toEqual([{ id: String(lease.runId), outcome: null, error_code: null, ended_at: null }]);
    await expireLeases(store);

    await store.lease();

    const closed = {
      id: String(lease.runId),
      outcome: 'cancelled',
      error_code: 'lease_lost',
      ended_at: expect.any(Date),
    };
    expect(await runs()).toEqual([closed]);
    await endRun(store.prisma, lease, new Date(), { ...noCounts(), created: 9 }, DONE);
    expect(await runs()).toEqual([closed]);
  });

  it('is not closed again when it had ended before', async () => {
    const lease = await store.lease();
    await store.save(lease, [lead('a', 1)], { end: DONE });
    await store.lease();
    expect((await runs()).map(({ outcome }) => outcome)).toEqual(['succeeded']);
  });
});
