import { describe, expect, it } from '@jest/globals';
import type { FaultRule, TilkeeSwitches } from '../../sandbox/tilkee.ts';
import { EQUAL } from '../helpers/compare.ts';
import { compareTilkee, setupTilkee, TILKEE_STREAMS, type TilkeeSetup } from '../helpers/tilkee-mirror.ts';

async function expectEqual(setup: TilkeeSetup) {
  for (const stream of TILKEE_STREAMS) {
    expect({ stream, ...(await compareTilkee(setup, stream)) }).toEqual({ stream, ...EQUAL });
  }
}

const outcomesOf = (results: Awaited<ReturnType<TilkeeSetup['syncAll']>>) => results.map(({ outcome }) => outcome);
const ALL_DONE = TILKEE_STREAMS.map(() => 'succeeded');

const FAULTS: readonly (readonly [string, FaultRule])[] = [
  ['429 with Retry-After in seconds', { kind: '429', retryAfter: 'seconds', retryAfterMs: 1000 }],
  ['429 with Retry-After as a date', { kind: '429', retryAfter: 'date', retryAfterMs: 1000 }],
  ['429 without guidance', { kind: '429', retryAfter: 'none' }],
  ['503 once', { kind: '503' }],
  ['500 twice', { kind: '500', times: 2 }],
  ['a cut answer', { kind: 'cut' }],
  ['a closed connection', { kind: 'reset' }],
  ['a page of HTML with status 200', { kind: 'html-200' }],
  ['broken JSON', { kind: 'garbled-json' }],
  ['an answer that never ends', { kind: 'hang' }],
];

describe.each(FAULTS)('%s', (_, rule) => {
  it('costs no row', async () => {
    const setup = await setupTilkee({
      ...{ projects: 30, items: 30, tokens: 60, visits: 60 },
      env: { TILKEE_PAGE_SIZE: '10', HTTP_TIMEOUT_SECONDS: '1' },
    });
    try {
      const lists = { 'v3.projects': 3, 'v2.tokens': 4, oauth: 1 } as const;
      for (const [list, nth] of Object.entries(lists)) setup.sandbox.faults.push({ ...rule, match: { list, nth } });
      for (const name of ['projects', 'tokens'] as const) {
        expect((await setup.run(name, 'backfill')).outcome).toBe('succeeded');
        expect({ name, ...(await compareTilkee(setup, name)) }).toEqual({ name, ...EQUAL });
      }
    } finally {
      await setup.close();
    }
  });
});

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

describe('rows that come, go and change between the pages', () => {
  it.each(['newest', 'oldest', 'byUpdate', 'shuffled'] as const)('cost no row: %s', async (order) => {
    const setup = await setupTilkee({
      ...{ projects: 60, items: 80, tokens: 160, visits: 200, switches: { order } },
      env: { TILKEE_PAGE_SIZE: '10', TILKEE_VISITS_BY: 'list' },
    });
    try {
      const { data, faults } = setup.sandbox;
      let changes = 0;
      faults.afterAnswer = () => {
        changes += 1;
        if (changes > 60) return;
        data.randomEdits(2);
        if (changes % 3 === 0) data.add('token');
        if (changes % 4 === 0) data.add('connexion');
        const [, , token] = data.all('token');
        if (changes % 5 === 0 && token) data.remove('token', token.id);
        const [, item] = data.all('item');
        if (changes % 7 === 0 && item) data.remove('item', item.id);
      };
      const results = await setup.syncAll('backfill');
      for (const { outcome, error } of results) {
        if (outcome !== 'succeeded')
          expect({ outcome, code: error?.code }).toEqual({ outcome: 'partial', code: 'walk_gave_up' });
      }
      faults.afterAnswer = undefined;

      expect(outcomesOf(await setup.syncAll('backfill'))).toEqual(ALL_DONE);
      expect(outcomesOf(await setup.syncAll('reconcile'))).toEqual(ALL_DONE);

      await expectEqual(setup);
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

const REFRESHES: readonly (readonly [string, Partial<TilkeeSwitches>, { password: number; refresh: number }])[] = [
  ['rotates', { refresh: 'rotate' }, { password: 1, refresh: 1 }],
  ['keeps the refresh token', { refresh: 'keep' }, { password: 1, refresh: 1 }],
  ['does not return one', { refresh: 'omit' }, { password: 1, refresh: 1 }],
  ['fails with 401', { refresh: 'fail401' }, { password: 2, refresh: 0 }],
  ['fails with 400', { refresh: 'fail400' }, { password: 2, refresh: 0 }],
];

describe.each(REFRESHES)('a refresh that %s', (_, switches, signIns) => {
  it.each(['json', 'html', 'text', 'empty'] as const)('goes on after a 401 of V2 (%s)', async (v2Unauthorized) => {
    const setup = await setupTilkee({ switches: { ...switches, v2Unauthorized } });
    try {
      await setup.run('users', 'backfill');
      setup.sandbox.faults.revokeTokens();
      expect((await setup.run('users', 'incremental')).outcome).toBe('succeeded');
      expect(setup.sandbox.signIns).toMatchObject(signIns);
    } finally {
      await setup.close();
    }
  });
});
