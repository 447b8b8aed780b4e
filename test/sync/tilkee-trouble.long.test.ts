import { describe, expect, it } from '@jest/globals';
import type { FaultRule } from '../../sandbox/tilkee.ts';
import { EQUAL } from '../helpers/compare.ts';
import { shareCases } from '../helpers/share.ts';
import { compareTilkee, setupTilkee, TILKEE_STREAMS } from '../helpers/tilkee-mirror.ts';
import {
  describeFaults,
  describeOrders,
  describeRefreshes,
  expectEqual,
  FAULTS,
  ORDERS,
  REFRESH_CASES,
} from './tilkee-trouble.ts';

describeFaults(shareCases(FAULTS, 6).others);
describeOrders(shareCases(ORDERS, 4).others);
describeRefreshes(shareCases(REFRESH_CASES, 5).others);

describe('503 for good', () => {
  it('postpones the run, keeps what was read, and the next run goes on from there', async () => {
    const setup = await setupTilkee({ tokens: 300, env: { TILKEE_PAGE_SIZE: '20', RETRY_ATTEMPTS: '2' } });
    try {
      await setup.run('projects', 'backfill');
      setup.sandbox.faults.push({
        kind: '503',
        times: Number.POSITIVE_INFINITY,
        match: ({ list, nth }) => list === 'v2.tokens' && nth > 6,
      });
      const first = await setup.run('tokens', 'backfill');
      expect(first).toMatchObject({ outcome: 'postponed', error: { code: 'rate_limited' } });
      expect(first.read).toBeGreaterThan(60);
      setup.sandbox.faults.clear();

      const second = await setup.run('tokens', 'backfill');

      expect(second.outcome).toBe('succeeded');
      expect(first.pages + second.pages).toBeLessThan(300 / 19 + 300 / 190 + 5);
      expect(await compareTilkee(setup, 'tokens')).toEqual(EQUAL);
    } finally {
      await setup.close();
    }
  });
});

describe('an order that changes with every question', () => {
  it('is never called complete while rows are missing', async () => {
    const setup = await setupTilkee({ switches: { order: 'random' }, env: { TILKEE_PAGE_SIZE: '10' } });
    try {
      const { outcome, error } = await setup.run('tokens', 'backfill');
      if (outcome === 'succeeded') expect(await compareTilkee(setup, 'tokens')).toEqual(EQUAL);
      else expect({ outcome, code: error?.code }).toEqual({ outcome: 'partial', code: 'walk_gave_up' });
    } finally {
      await setup.close();
    }
  });
});

describe('a last page that is cut short in both walks, and says that nothing follows', () => {
  it('makes no deletions of the rows that it leaves out', async () => {
    const setup = await setupTilkee({ items: 31, projects: 5, env: { TILKEE_PAGE_SIZE: '10' } });
    try {
      await setup.run('items', 'backfill');
      const { faults } = setup.sandbox;
      const isLast = (query: URLSearchParams) => query.get('skip') === '27';
      const match: FaultRule['match'] = ({ list, query }) => list === 'v3.items' && isLast(query);
      faults.push({ kind: 'truncated-page', match, times: Number.POSITIVE_INFINITY });

      const result = await setup.run('items', 'reconcile');

      expect(result).toMatchObject({ outcome: 'succeeded', deleted: 0 });
      expect(await compareTilkee(setup, 'items')).toEqual(EQUAL);
    } finally {
      await setup.close();
    }
  });
});

describe('rows without an id', () => {
  it('are set aside, the others are written, and nothing is called deleted for want of an id', async () => {
    const setup = await setupTilkee({ switches: { rowWithoutId: true }, env: { TILKEE_PAGE_SIZE: '20' } });
    try {
      const results = await setup.syncAll('backfill');
      expect(results.map(({ outcome, error }) => [outcome, error?.code])).toEqual(
        TILKEE_STREAMS.map(() => ['partial', 'quarantined']),
      );
      await expectEqual(setup);
      const [aside] = await setup.query<{ count: number }>(
        `select count(distinct stream)::int as count from sync.quarantine where reason = 'no_id'`,
      );
      expect(aside?.count).toBe(TILKEE_STREAMS.length);
    } finally {
      await setup.close();
    }
  });
});

describe('a first full read that meets mostly vanished rows later', () => {
  it('is stopped by the brake: nothing is marked, and it says so', async () => {
    const setup = await setupTilkee({ items: 80 });
    try {
      await setup.run('items', 'backfill');
      for (const { id } of setup.sandbox.data.all('item').slice(10, 50)) setup.sandbox.data.remove('item', id);

      const result = await setup.run('items', 'reconcile');

      expect(result).toMatchObject({ outcome: 'partial', deleted: 0, error: { code: 'deletion_brake' } });
      expect(await setup.query('select 1 from tilkee.items where deleted_at is not null')).toEqual([]);
    } finally {
      await setup.close();
    }
  });

  it('an object that comes back is alive again', async () => {
    const setup = await setupTilkee();
    try {
      await setup.run('items', 'backfill');
      await setup.query(`update tilkee.items set deleted_at = now() where id = (select min(id) from tilkee.items)`);
      const { outcome, updated } = await setup.run('items', 'reconcile');
      expect({ outcome, updated }).toEqual({ outcome: 'succeeded', updated: 1 });
      expect(await compareTilkee(setup, 'items')).toEqual(EQUAL);
    } finally {
      await setup.close();
    }
  });
});
