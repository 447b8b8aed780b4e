import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RunCancelledError } from '../../src/errors.ts';
import { cancelRuns, pauseStream, resumeStream, resyncStream } from '../../src/store/engine/control.ts';
import { acquireLease, renewLease } from '../../src/store/engine/leases.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import { CONNECTION, DONE, expireLeases, lead, type Store, setupStore } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());

const KEY = { connectionId: CONNECTION, stream: 'tiledesk.leads' };
beforeEach(async () => {
  await store.query('truncate tiledesk.leads, sync.checkpoints, sync.runs, sync.streams');
  await registerStreams(store.prisma, [{ ...KEY, freshWithinSeconds: 900 }], { retires: 'always' });
});

const CURSOR = { cursor: { at: 1 }, watermark: null, walkedAt: null, completed: false };
const COMPLETE = { checkpoint: { ...CURSOR, cursor: null, completed: true }, end: DONE };
const backfill = () => store.lease({ pass: 'backfill' });
const runs = () =>
  store.query<{ id: string; outcome: string | null; error_code: string | null; pages: number }>(
    'select id::text, outcome, error_code, pages from sync.runs order by id',
  );
const statusOf = async () => (await readStatus(store.prisma))[0];

describe('a run that let others have their turn', () => {
  it('goes on with whoever takes the lease next, as itself', async () => {
    const lease = await backfill();
    await store.save(lease, [lead('a', 1)], { checkpoint: CURSOR, yields: true });
    const next = await backfill();
    expect(next).toMatchObject({ runId: lease.runId, token: lease.token + 1n, isContinued: true });
    expect(next.checkpoint.startedAt).toEqual(lease.checkpoint.startedAt);
    // Only once: after that it is a run like any other, and taken over when its process vanishes.
    await expireLeases(store);
    const other = await backfill();
    expect(other).toMatchObject({ isContinued: false });
    expect(await runs()).toMatchObject([{ id: String(lease.runId), outcome: 'cancelled', error_code: 'lease_lost' }]);
  });

  it('is not taken for one that an older program ran after it', async () => {
    const lease = await backfill();
    await store.save(lease, [lead('a', 1)], { checkpoint: CURSOR, yields: true });
    await store.query(`update sync.checkpoints set run_id = nextval(pg_get_serial_sequence('sync.runs', 'id'))`);
    expect(await backfill()).toMatchObject({ isContinued: false });
  });

  it('keeps its stream syncing for an hour; then the read is not finished', async () => {
    await store.save(await backfill(), [lead('a', 1)], { checkpoint: CURSOR, yields: true });
    expect(await statusOf()).toMatchObject({ state: 'syncing', running_pass: null });
    await store.query(`update sync.checkpoints set updated_at = now() - interval '61 min'`);
    expect((await statusOf())?.state).not.toBe('syncing');
  });

  it('is closed by a pause, which it would not come to hear of', async () => {
    await store.save(await backfill(), [lead('a', 1)], { checkpoint: CURSOR, yields: true });
    expect(await pauseStream(store.prisma, KEY)).toMatchObject({ wasPaused: false, running: [] });
    expect(await runs()).toMatchObject([{ outcome: 'cancelled', error_code: 'paused', pages: 1 }]);
  });
});

describe('a paused stream', () => {
  it('is not begun, and who holds its lease learns of it', async () => {
    const lease = await backfill();
    expect(await pauseStream(store.prisma, KEY)).toMatchObject({ running: ['backfill'] });
    expect(await renewLease(store.prisma, lease)).toEqual({ isPaused: true, isConfigured: true });
    await expect(store.lease()).rejects.toThrow(RunCancelledError);
    await resumeStream(store.prisma, KEY);
    expect(await acquireLease(store.prisma, { ...KEY, pass: 'incremental' })).not.toBeNull();
  });
});

describe('cancel', () => {
  it('takes the right to write from a holder who slept past its lease, and says that it was not heard of', async () => {
    const lease = await backfill();
    await expireLeases(store);
    expect(await cancelRuns(store.prisma, KEY, null)).toMatchObject([{ pass: 'backfill', isAlive: false }]);
    await expect(store.save(lease, [lead('a', 1)])).rejects.toThrow('taken over');
    expect(await runs()).toMatchObject([{ id: String(lease.runId), error_code: 'cancelled_by_person' }]);
    expect((await backfill()).runId).not.toBe(lease.runId);
  });

  it('waits for a page that is being written, which counts', async () => {
    const lease = await backfill();
    await Promise.all([store.save(lease, [lead('a', 1)]).catch(() => {}), cancelRuns(store.prisma, KEY, 'backfill')]);
    const rows = await store.query('select 1 from tiledesk.leads');
    expect((await runs())[0]).toMatchObject({ outcome: 'cancelled', pages: rows.length });
  });
});

describe('resync', () => {
  it('takes the right to write from a holder who slept past its lease', async () => {
    const lease = await backfill();
    await store.save(lease, [lead('a', 1)], { checkpoint: CURSOR });
    await expireLeases(store);
    await resyncStream(store.prisma, KEY);
    await expect(store.save(lease, [lead('b', 1)], { checkpoint: CURSOR })).rejects.toThrow('taken over');
    expect((await backfill()).checkpoint.cursor).toBeNull();
  });

  it('withdraws what was proven until it is done, and says who asked and since when', async () => {
    await store.save(await backfill(), [lead('a', 1)], COMPLETE);
    expect((await statusOf())?.as_of).toBeInstanceOf(Date);
    await resyncStream(store.prisma, KEY);
    expect(await statusOf()).toMatchObject({
      ...{ state: 'partial', as_of: null, since: expect.any(Date) },
      reason: 'a full re-read (resync), asked for by a person, is not finished',
    });
    const lease = await backfill();
    expect(await statusOf()).toMatchObject({
      ...{ state: 'syncing', reason: 'a full re-read (resync), asked for by a person, is under way' },
    });
    await store.save(lease, [lead('a', 1)], COMPLETE);
    expect((await statusOf())?.as_of).toBeInstanceOf(Date);
  });

  it('of a stream that was never read whole is a first full read still', async () => {
    await store.save(await backfill(), [lead('a', 1)], { checkpoint: CURSOR });
    expect(await resyncStream(store.prisma, KEY)).toMatchObject({ wasComplete: false, ended: [{ pass: 'backfill' }] });
    expect((await statusOf())?.reason).not.toContain('resync');
  });
});
