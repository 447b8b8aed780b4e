import { expect, it } from '@jest/globals';
import { fragmentsOf } from '../../src/ops/fragments.ts';
import type { StatusDocument, StreamFacts } from '../../src/ops/status-document.ts';
import { selectConnections } from '../../src/ops/view/overview.ts';

const ACCOUNTS = 300;

/** Accounts that share one budget, and how often it was asked whose each stream is. */
function createStatus() {
  let asked = 0;
  const ids = Array.from({ length: ACCOUNTS }, (_, index) => `tiledesk:${index}`);
  const streams = ids.map((id) => ({
    get connection_id() {
      asked++;
      return id;
    },
    ...{ stream: 'tiledesk.leads', state: 'fresh', reason: 'as it should be', rows: 1, next_runs: [], running: null },
    ...{ next_step: { text: 'Nothing to do.', command: null }, last_24h: { runs: 0, slots: [] }, proof_at: null },
    ...{ since: null, as_of: null, deletions: null, notice: null, paused_at: null },
  })) as unknown as StreamFacts[];
  const status = {
    ...{ version: 1, generated_at: new Date(), streams, queue: null, processes: [], runs: [] },
    summary: { streams: ACCOUNTS, worst: 'fresh', by_state: { fresh: ACCOUNTS } },
    connections: ids.map((id) => ({ id, source: 'tiledesk', state: 'fresh', credential: 'shared' })),
    budgets: [
      { credential: 'shared', connections: ids, used_per_minute: 1, allowed_per_minute: 2, blocked_until: null },
    ],
  } as unknown as StatusDocument;
  return { status, asked: () => asked };
}

it('a look goes through the streams a few times, not once for each account', () => {
  const { status, asked } = createStatus();
  const parts = fragmentsOf(status, { canChange: false, canCancel: false });
  for (const { render } of parts) render();
  const { pages } = selectConnections(status, { q: '', state: null, page: 1 });
  expect(pages).toBe(ACCOUNTS / 25);
  expect(parts).toHaveLength(4 + 3 * ACCOUNTS);
  expect(asked()).toBeLessThan(20 * ACCOUNTS);
  // Nor does every account’s gauge name all that share its budget.
  expect(Math.max(...parts.map(({ facts }) => facts.length))).toBeLessThan(1_000);
});
