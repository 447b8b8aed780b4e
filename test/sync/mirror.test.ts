import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { type MirrorSetup, STREAMS, setupMirror } from '../helpers/mirror.ts';
import { describeSize, expectEqual } from './mirror-size.ts';

const HOUR = 3_600_000;

describeSize({ leads: 400, requests: 1_000 });

const SHORT_PAGES = { TILEDESK_PAGE_SIZE: '25' };

describe.each([
  ['an old server, without date windows', { serverVersion: 'old' as const }],
  ['a server that does not join lead statuses', { joinedLeadStatuses: false }],
])('%s', (_, options) => {
  let setup: MirrorSetup;
  beforeAll(async () => {
    setup = await setupMirror({ ...options, leads: 180, requests: 230, now: Date.now() - HOUR }, SHORT_PAGES);
  });
  afterAll(() => setup.close());

  it('is mirrored whole, and again after edits', async () => {
    await setup.syncAll();
    await expectEqual(setup);
    setup.sandbox.data.randomEdits(100);
    await setup.syncAll();
    await expectEqual(setup);
  });
});

describe('trouble upstream', () => {
  it.each([
    ['429 with Retry-After in seconds', { kind: '429' as const, retryAfter: 'seconds' as const, retryAfterMs: 1000 }],
    ['429 with Retry-After as a date', { kind: '429' as const, retryAfter: 'date' as const, retryAfterMs: 1000 }],
    ['a burst of 503', { kind: '503' as const, times: 2 }],
    ['a cut answer', { kind: 'cut' as const }],
    ['a page of HTML with status 200', { kind: 'html-200' as const }],
    ['an expired token', { kind: '401-text' as const }],
    ['a closed connection', { kind: 'reset' as const }],
  ])('%s costs no row', async (_, rule) => {
    const setup = await setupMirror({ leads: 90, requests: 140, now: Date.now() - HOUR }, SHORT_PAGES);
    try {
      setup.sandbox.faults.push(
        { ...rule, match: { list: 'requests', nth: 4 } },
        { ...rule, match: { list: 'leads', nth: 3 } },
      );

      const results = await setup.syncAll();

      expect(results.map(({ outcome }) => outcome)).toEqual(STREAMS.map(() => 'succeeded'));
      await expectEqual(setup);
    } finally {
      await setup.close();
    }
  });

  it('longer than the caller may wait postpones the run, and the next one goes on from the checkpoint', async () => {
    const setup = await setupMirror({ leads: 50, requests: 240, now: Date.now() - HOUR }, SHORT_PAGES);
    try {
      setup.sandbox.faults.push({ kind: '429', retryAfterMs: 2000, match: { list: 'requests', nth: 8 } });

      const first = await setup.run('requests', 'backfill', { maxWaitMs: 500 });
      expect(first).toMatchObject({ outcome: 'postponed', error: { code: 'rate_limited' } });
      expect(first.retryInMs).toBeGreaterThan(500);
      expect(first.read).toBeGreaterThan(0);

      const second = await setup.run('requests', 'backfill');
      expect(second.outcome).toBe('succeeded');
      expect(first.read + second.read).toBeLessThan(240 * 1.3);
      expect(await compareMirror(setup.database.url, setup.sandbox, 'requests')).toEqual(EQUAL);
    } finally {
      await setup.close();
    }
  });
});

describe('a list that changes while it is read', () => {
  it('is equal after the backfill and one incremental pass, whatever moved meanwhile', async () => {
    const setup = await setupMirror({ leads: 230, requests: 380 }, SHORT_PAGES);
    try {
      let pages = 0;
      setup.sandbox.faults.shuffleTies = true;
      setup.sandbox.faults.afterAnswer = ({ list }) => {
        if (list !== 'leads' && list !== 'requests') return;
        pages += 1;
        if (pages < 60) setup.sandbox.data.randomEdits(5);
      };
      await setup.syncAll();
      setup.sandbox.faults.afterAnswer = undefined;

      await setup.syncAll();

      await expectEqual(setup);
    } finally {
      await setup.close();
    }
  });
});

describe('a server that stops filtering by date in the middle of a first full read', () => {
  it('is found out, probed again, and read by id from the beginning', async () => {
    const setup = await setupMirror({ leads: 50, requests: 900, serverVersion: 'old', now: Date.now() - HOUR });
    try {
      const { prisma } = setup.app.database;
      const connectionId = setup.app.connections[0]?.id ?? '';
      // As it was remembered before the server changed, with a walk half done.
      const cursor = {
        version: 3,
        list: 'all',
        kind: 'keyset.created_at',
        walk: { phase: 'windows', toMs: Date.now() - 60 * 24 * HOUR, inner: null, size: 100, unconfirmed: 0 },
      };
      await prisma.$executeRaw`update sync.streams set capabilities = '{"createdAtWindows": true}'
        where connection_id = ${connectionId} and stream = 'tiledesk.requests'`;
      await prisma.$executeRaw`insert into sync.checkpoints (connection_id, stream, pass, cursor, started_at)
        values (${connectionId}, 'tiledesk.requests', 'backfill', ${JSON.stringify(cursor)}::jsonb, now())`;

      const first = await setup.run('requests', 'backfill');
      expect(first).toMatchObject({ outcome: 'failed', error: { code: 'window_ignored' } });

      const second = await setup.run('requests', 'backfill');
      expect(second.outcome).toBe('succeeded');
      expect(await compareMirror(setup.database.url, setup.sandbox, 'requests')).toEqual(EQUAL);
    } finally {
      await setup.close();
    }
  });
});
