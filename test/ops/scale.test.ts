import { expect, it } from '@jest/globals';
import { versionOf } from '../../src/ops/live.ts';
import type { StatusDocument, StreamFacts } from '../../src/ops/status-document.ts';
import { overview } from '../../src/ops/view/overview.ts';

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
    ...{ next_step: { text: 'Nothing to do.', command: null }, last_24h: { runs: 0, slots: [] }, verified_at: null },
    ...{ since: null, as_of: null, deletions: null, notice: null, paused_at: null, interval_seconds: null },
  })) as unknown as StreamFacts[];
  const status = {
    ...{ version: 1, generated_at: new Date(), streams, queue: null, processes: [], runs: [] },
    erasures: { total: 0, unfinished: 0, days: [], problem: null },
    summary: { streams: ACCOUNTS, worst: 'fresh', by_state: { fresh: ACCOUNTS } },
    connections: ids.map((id) => ({ id, label: null, source: 'tiledesk', state: 'fresh', credential: 'shared' })),
    budgets: [
      { credential: 'shared', connections: ids, used_per_minute: 1, allowed_per_minute: 2, blocked_until: null },
    ],
  } as unknown as StatusDocument;
  return { status, asked: () => asked };
}

it('a look goes through the streams a few times, not once for each account', () => {
  const { status, asked } = createStatus();
  const all = { q: '', state: null, page: 1, order: 'state' };
  const page = overview(status, all, { nowMs: Date.now(), canChange: false }).text;
  expect(page.match(/<tr class="account /g)).toHaveLength(200);
  expect(page).toContain('href="/?page=2"');
  expect(versionOf(status)).toMatch(/^[\w-]{16}$/);
  expect(asked()).toBeLessThan(20 * ACCOUNTS);
  // An account is a short line.
  expect(page.length / 200).toBeLessThan(1_000);
});
