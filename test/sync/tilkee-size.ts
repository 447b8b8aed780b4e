import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EQUAL } from '../helpers/compare.ts';
import { compareTilkee, setupTilkee, TILKEE_STREAMS, type TilkeeSetup } from '../helpers/tilkee-mirror.ts';

const HOUR = 3_600_000;

const ALL_DONE = TILKEE_STREAMS.map((name) => ({ stream: `tilkee.${name}`, outcome: 'succeeded', error: null }));

async function expectEqual(setup: TilkeeSetup) {
  for (const stream of TILKEE_STREAMS) {
    expect({ stream, ...(await compareTilkee(setup, stream)) }).toEqual({ stream, ...EQUAL });
  }
}

const ended = (results: Awaited<ReturnType<TilkeeSetup['syncAll']>>) =>
  results.map(({ stream, outcome, error }) => ({ stream, outcome, error }));

const asked = ({ sandbox }: TilkeeSetup) => {
  const counts: Record<string, number> = {};
  for (const { list } of sandbox.log) counts[list] = (counts[list] ?? 0) + 1;
  return counts;
};

const SIZES = { projects: 600, items: 1600, tokens: 4000, visits: 12_000 };

/** An account of this many times `SIZES`: read whole, at rest, with new rows, after edits and removals. */
export function describeScale(scale: number): void {
  /** Real sizes take their time on a small machine. */
  const patienceMs = 60_000 + 200_000 * scale;
  const title = Object.entries(SIZES).map(([kind, count]) => `${count * scale} ${kind}`);

  describe(title.join(', '), () => {
    let setup: TilkeeSetup;
    beforeAll(async () => {
      const sizes = Object.fromEntries(Object.entries(SIZES).map(([kind, count]) => [kind, count * scale]));
      setup = await setupTilkee({ ...sizes, users: 12, now: Date.now() - HOUR, env: { TILKEE_VISITS_BY: 'list' } });
    }, patienceMs);
    afterAll(() => setup.close());

    it(
      'are mirrored whole',
      async () => {
        expect(ended(await setup.syncAll('backfill'))).toEqual(ALL_DONE);
        await expectEqual(setup);
      },
      patienceMs,
    );

    it('cost an idle incremental pass one request per list, and no write', async () => {
      await setup.syncAll('incremental');
      setup.sandbox.clearLog();

      const results = await setup.syncAll('incremental');

      expect(results.map(({ created, updated }) => created + updated)).toEqual([0, 0, 0, 0, 0]);
      const { 'v3.projects': projects, 'v3.items': items, 'v2.tokens': tokens, 'v2.users': users } = asked(setup);
      // Projects and templates are two lists. A day of projects and items may be more than a page.
      expect({ tokens, users }).toEqual({ tokens: 1, users: 1 });
      expect(projects).toBeLessThanOrEqual(4);
      expect(items).toBeLessThanOrEqual(4);
    });

    it(
      'bring their new rows with the incremental pass alone',
      async () => {
        const { data } = setup.sandbox;
        const project = data.add('project');
        data.add('item');
        for (let i = 0; i < 120; i++) data.add('token', { project_id: project.id });
        const token = data.add('token', { project_id: project.id });
        const visits = Array.from({ length: 130 }, () => data.add('connexion', { token_id: token.id }));
        data.add('user');
        setup.sandbox.clearLog();

        expect(ended(await setup.syncAll('incremental'))).toEqual(ALL_DONE);

        for (const stream of TILKEE_STREAMS) {
          expect({ stream, missing: (await compareTilkee(setup, stream)).missing }).toEqual({ stream, missing: [] });
        }
        const grown = data.growVisit(visits[0]?.id ?? 0);
        await setup.run('connexions', 'incremental');
        const [row] = await setup.query<{ total_time: string }>(
          'select total_time from tilkee.connexions where id = $1',
          [String(grown.id)],
        );
        expect(Number(row?.total_time)).toBe(grown.total_time);
        // Two windows of two days of visits, and a handful for the rest.
        expect(setup.sandbox.log.length).toBeLessThan(80 + 50 * scale);
      },
      patienceMs,
    );

    it('leave a link that was archived before a pass has read it to the full sync', async () => {
      const { data } = setup.sandbox;
      const { id } = data.add('token');
      data.archive('token', id);

      await setup.run('tokens', 'incremental');

      expect((await compareTilkee(setup, 'tokens')).missing).toEqual([String(id)]);
    });

    it(
      'are equal again after edits without a time stamp and removals, by the next full sync',
      async () => {
        const { data } = setup.sandbox;
        data.randomEdits(300);
        const some = (kind: 'project' | 'item' | 'token' | 'connexion', count: number) =>
          [...data.collections[kind].docs.values()].filter((_, index) => index % 37 === 5).slice(0, count);
        for (const { id } of some('connexion', 100)) data.remove('connexion', id);
        for (const { id } of some('token', 40)) data.remove('token', id);
        for (const { id } of some('item', 30)) data.remove('item', id);
        for (const { id } of some('project', 2)) data.remove('project', id);
        for (const { id } of some('token', 80).slice(41, 60)) data.archive('token', id);

        const results = await setup.syncAll('reconcile');

        expect(ended(results)).toEqual(ALL_DONE);
        await expectEqual(setup);
        expect(results.map(({ deleted }) => deleted > 0)).toEqual([true, true, true, true, false]);
      },
      patienceMs,
    );
  });
}
