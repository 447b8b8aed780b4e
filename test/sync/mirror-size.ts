import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { RequestLogEntry } from '../../sandbox/tiledesk.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { type MirrorSetup, STREAMS, setupMirror } from '../helpers/mirror.ts';

const HOUR = 3_600_000;

const listRequests = (log: readonly RequestLogEntry[]) =>
  log.filter(({ list }) => STREAMS.some((name) => name === list)).map(({ list }) => list);

export async function expectEqual({ database, sandbox }: MirrorSetup) {
  for (const stream of STREAMS) {
    expect({ stream, ...(await compareMirror(database.url, sandbox, stream)) }).toEqual({ stream, ...EQUAL });
  }
}

/** Real sizes take their time on a small machine. */
const PATIENCE_MS = 240_000;

/** An account of this size: read whole, read again unchanged, and after edits. */
export function describeSize({ leads, requests }: { readonly leads: number; readonly requests: number }): void {
  describe(`${leads} leads and ${requests} requests`, () => {
    let setup: MirrorSetup;
    beforeAll(async () => {
      setup = await setupMirror({ leads, requests, now: Date.now() - HOUR });
    }, PATIENCE_MS);
    afterAll(() => setup.close());

    it(
      'are mirrored whole: every row, every field',
      async () => {
        const results = await setup.syncAll();

        expect(results.map(({ outcome, error }) => ({ outcome, error }))).toEqual(
          STREAMS.map(() => ({ outcome: 'succeeded', error: null })),
        );
        const statuses = new Set([...setup.sandbox.data.requests.values()].map(({ status }) => status));
        expect([...statuses].sort((a, b) => a - b)).toEqual([50, 100, 150, 200, 1000]);
        await expectEqual(setup);
      },
      PATIENCE_MS,
    );

    it(
      'are read again with one request per list and without a write',
      async () => {
        setup.sandbox.clearLog();

        const results = await setup.syncAll();

        expect(results.map(({ created, updated }) => created + updated)).toEqual([0, 0, 0, 0]);
        expect(listRequests(setup.sandbox.log)).toEqual([...STREAMS]);
        expect(results.map(({ requests }) => requests)).toEqual([1, 1, 1, 1]);
      },
      PATIENCE_MS,
    );

    it(
      'are equal again after 500 random edits upstream and one incremental sync',
      async () => {
        setup.sandbox.data.randomEdits(500);

        const results = await setup.syncAll();

        expect(results.map(({ outcome }) => outcome)).toEqual(STREAMS.map(() => 'succeeded'));
        await expectEqual(setup);
      },
      PATIENCE_MS,
    );
  });
}
