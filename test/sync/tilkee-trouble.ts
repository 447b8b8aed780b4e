import { describe, expect, it } from '@jest/globals';
import type { FaultRule, TilkeeSwitches } from '../../sandbox/tilkee.ts';
import { EQUAL } from '../helpers/compare.ts';
import { compareTilkee, setupTilkee, TILKEE_STREAMS, type TilkeeSetup } from '../helpers/tilkee-mirror.ts';

export async function expectEqual(setup: TilkeeSetup) {
  for (const stream of TILKEE_STREAMS) {
    expect({ stream, ...(await compareTilkee(setup, stream)) }).toEqual({ stream, ...EQUAL });
  }
}

const outcomesOf = (results: Awaited<ReturnType<TilkeeSetup['syncAll']>>) => results.map(({ outcome }) => outcome);
const ALL_DONE = TILKEE_STREAMS.map(() => 'succeeded');

export const FAULTS: readonly (readonly [string, FaultRule])[] = [
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

export function describeFaults(cases: typeof FAULTS): void {
  describe.each(cases)('%s', (_, rule) => {
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
}

export const ORDERS = ['newest', 'oldest', 'byUpdate', 'shuffled'] as const;

export function describeOrders(orders: readonly (typeof ORDERS)[number][]): void {
  describe('rows that come, go and change between the pages', () => {
    it.each(orders)('cost no row: %s', async (order) => {
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
}

const REFRESHES: readonly (readonly [string, Partial<TilkeeSwitches>, { password: number; refresh: number }])[] = [
  ['rotates', { refresh: 'rotate' }, { password: 1, refresh: 1 }],
  ['keeps the refresh token', { refresh: 'keep' }, { password: 1, refresh: 1 }],
  ['does not return one', { refresh: 'omit' }, { password: 1, refresh: 1 }],
  ['fails with 401', { refresh: 'fail401' }, { password: 2, refresh: 0 }],
  ['fails with 400', { refresh: 'fail400' }, { password: 2, refresh: 0 }],
];

const ANSWERS = ['json', 'html', 'text', 'empty'] as const;

/** Each way of refreshing, with each answer of V2 to an ended session. */
export const REFRESH_CASES = REFRESHES.flatMap(([name, switches, signIns]) =>
  ANSWERS.map((v2Unauthorized) => ({ name, v2Unauthorized, switches, signIns })),
);

export function describeRefreshes(cases: readonly (typeof REFRESH_CASES)[number][]): void {
  it.each(cases)(
    'a refresh that $name goes on after a 401 of V2 ($v2Unauthorized)',
    async ({ v2Unauthorized, switches, signIns }) => {
      const setup = await setupTilkee({ switches: { ...switches, v2Unauthorized } });
      try {
        await setup.run('users', 'backfill');
        setup.sandbox.faults.revokeTokens();
        expect((await setup.run('users', 'incremental')).outcome).toBe('succeeded');
        expect(setup.sandbox.signIns).toMatchObject(signIns);
      } finally {
        await setup.close();
      }
    },
  );
}
