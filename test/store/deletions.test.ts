import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  acceptDeletions,
  readAcceptance,
  readBlockedDeletions,
  takeAcceptance,
} from '../../src/store/engine/deletions.ts';
import { endRun, noCounts, type RunEnd } from '../../src/store/engine/runs.ts';
import type { Pass } from '../../src/stream.ts';
import { CONNECTION, DONE, type Store, setupStore } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(() => store.query('truncate sync.streams, sync.checkpoints, sync.runs'));

const KEY = { connectionId: CONNECTION, stream: 'tiledesk.leads' };

const braked = (code = 'deletion_brake'): RunEnd => ({
  ...DONE,
  outcome: code === 'suddenly_empty' ? 'failed' : 'partial',
  error: { code, message: '7 of 9 rows were not there any more' },
});

async function run(pass: Pass, end: RunEnd) {
  await endRun(store.prisma, await store.lease({ pass }), new Date(), noCounts(), end);
}

const accepted = () =>
  store.query<{ at: Date | null }>('select deletions_accepted_at as at from sync.streams where stream = $1', [
    KEY.stream,
  ]);

describe('the brake', () => {
  it('that never held leaves nothing to accept, and nothing is written', async () => {
    await run('reconcile', DONE);
    expect(await readBlockedDeletions(store.prisma, KEY)).toBeNull();
    expect(await acceptDeletions(store.prisma, KEY)).toBeNull();
    expect(await accepted()).toEqual([]);
  });

  it.each([
    ['a full sync that was braked', 'reconcile', 'deletion_brake'],
    ['a list that was suddenly empty', 'incremental', 'suddenly_empty'],
  ] as const)('holds after %s, whatever other pass succeeded since', async (_, pass, code) => {
    await run(pass, braked(code));
    await run(pass === 'reconcile' ? 'incremental' : 'backfill', DONE);
    expect(await readBlockedDeletions(store.prisma, KEY)).toMatchObject({
      code,
      message: expect.stringContaining('7 of 9'),
    });
  });

  it('does not hold any more after a later run of the same pass succeeded, and holds for no other stream', async () => {
    await run('reconcile', braked());
    expect(await readBlockedDeletions(store.prisma, { ...KEY, stream: 'tiledesk.requests' })).toBeNull();
    await run('reconcile', { ...DONE, outcome: 'failed', error: { code: 'network', message: 'away' } });
    expect(await readBlockedDeletions(store.prisma, KEY)).not.toBeNull();
    await run('reconcile', DONE);
    expect(await readBlockedDeletions(store.prisma, KEY)).toBeNull();
  });

  it('for an empty list does not hold any more after a complete full sync', async () => {
    await run('incremental', braked('suddenly_empty'));
    await store.query(
      `insert into sync.checkpoints (connection_id, stream, pass, completed_at) values ($1, $2, 'reconcile', now() + interval '1 ms')`,
      [CONNECTION, KEY.stream],
    );
    expect(await readBlockedDeletions(store.prisma, KEY)).toBeNull();
  });
});

describe('an acceptance', () => {
  beforeEach(() => run('reconcile', braked()));

  it('says what is accepted and until when, and is taken once', async () => {
    const given = await acceptDeletions(store.prisma, KEY);
    expect(given).toMatchObject({ code: 'deletion_brake', since: expect.any(Date) });
    const hours = ((given?.validUntil.getTime() ?? 0) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(23.9);
    expect(hours).toBeLessThanOrEqual(24);

    expect(await takeAcceptance(store.prisma, { ...KEY, stream: 'tiledesk.requests' })).toBe(false);
    expect(await readAcceptance(store.prisma, KEY)).not.toBeNull();
    expect(await takeAcceptance(store.prisma, KEY)).toBe(true);
    expect(await readAcceptance(store.prisma, KEY)).toBeNull();
    expect(await takeAcceptance(store.prisma, KEY)).toBe(false);
    expect(await accepted()).toEqual([{ at: null }]);
  });

  it('is taken by one of many that ask at once', async () => {
    await acceptDeletions(store.prisma, KEY);
    const taken = await Promise.all(Array.from({ length: 8 }, () => takeAcceptance(store.prisma, KEY)));
    expect(taken.filter(Boolean)).toHaveLength(1);
  });

  it('that is older than a day is gone, and counts for nothing', async () => {
    await acceptDeletions(store.prisma, KEY);
    await store.query(`update sync.streams set deletions_accepted_at = now() - interval '24 hours 1 second'`);
    expect(await readAcceptance(store.prisma, KEY)).toBeNull();
    expect(await takeAcceptance(store.prisma, KEY)).toBe(false);
    expect(await accepted()).toEqual([{ at: null }]);
  });

  it('of some deletions is none of an empty list, until that is accepted too', async () => {
    await acceptDeletions(store.prisma, KEY);
    expect(await readAcceptance(store.prisma, KEY)).not.toBe('suddenly_empty');
    await run('reconcile', braked('suddenly_empty'));
    expect(await readAcceptance(store.prisma, KEY)).not.toBe('suddenly_empty');
    await acceptDeletions(store.prisma, KEY);
    expect(await readAcceptance(store.prisma, KEY)).toBe('suddenly_empty');
    expect(await readAcceptance(store.prisma, KEY)).not.toBeNull();
  });

  it('that was never given is not there', async () => {
    expect(await takeAcceptance(store.prisma, KEY)).toBe(false);
  });
});
