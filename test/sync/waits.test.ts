/** Waits of an account: a wrong credential is tried once, a server's wait is obeyed, shown and lifted, our own ends when a person asks. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { syncOnce } from '../../src/app/sync-streams.ts';
import type { App } from '../../src/app.ts';
import { CIRCUIT_FAILURES } from '../../src/http/budget.ts';
import { parseRetryAfter } from '../../src/http/retry-after.ts';
import { describeDay, summarizeDay } from '../../src/ops/day-strip.ts';
import { nextTries } from '../../src/ops/read-status.ts';
import { createDatabaseBudget } from '../../src/store/engine/budgets.ts';
import { endManualWaits, liftServerPause, whyItWaits } from '../../src/store/engine/control.ts';
import { readPauses } from '../../src/store/reports/budget-status.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import { setupMirror } from '../helpers/mirror.ts';
import { setupTilkee } from '../helpers/tilkee-mirror.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});
const { signal } = new AbortController();

const runAll = (app: App) =>
  Promise.all(
    app.connections.flatMap((connection) =>
      connection.streams.map((stream) =>
        app.runPass({ connection, stream, pass: 'backfill', signal, maxWaitMs: 1000, leaseWaitMs: 0 }),
      ),
    ),
  );

const codes = (results: readonly { readonly error: { readonly code: string } | null }[]) =>
  new Set(results.map(({ error }) => error?.code));

it('a wrong Tilkee password is sent once by one sync of five streams, and once by streams side by side', async () => {
  const setup = await setupTilkee({ env: { TILKEE_PASSWORD: 'wrong-and-refused' } });
  opened.push(setup);
  const signIns = () => setup.sandbox.log.filter(({ method }) => method === 'POST').length;

  expect(codes(await syncOnce(setup.app, { signal }))).toEqual(new Set(['auth_failed']));
  expect(signIns()).toBe(1);

  setup.sandbox.clearLog();
  const other = await setup.createApp({ TILKEE_PASSWORD: 'wrong-and-refused' });
  expect(codes(await runAll(other))).toEqual(new Set(['auth_failed']));
  // The other process knows it from the database.
  expect(signIns()).toBe(0);
  await other.close();

  const third = await setup.createApp({ TILKEE_PASSWORD: 'another-and-refused-too' });
  await runAll(third);
  expect(signIns()).toBe(1);
  await third.close();

  // By hand it is tried once more, although nothing changed.
  setup.sandbox.clearLog();
  const fourth = await setup.createApp({ TILKEE_PASSWORD: 'another-and-refused-too' });
  await syncOnce(fourth, { signal });
  expect(signIns()).toBe(1);
  await fourth.close();

  // And then no more, however often a person or cron asks.
  setup.sandbox.clearLog();
  for (const _ of [1, 2]) {
    const next = await setup.createApp({ TILKEE_PASSWORD: 'another-and-refused-too' });
    const reports = await syncOnce(next, { signal });
    expect(reports[0]?.error?.message).toMatch(
      /It was not sent again: the next try is at \d\d:\d\d UTC.*leadmirror check/,
    );
    await next.close();
  }
  expect(setup.sandbox.log).toEqual([]);

  setup.sandbox.clearLog();
  const right = await setup.createApp({ TILKEE_PASSWORD: setup.sandbox.password });
  expect(new Set((await runAll(right)).map(({ outcome }) => outcome))).toEqual(new Set(['succeeded']));
  await right.close();
});

it.each([
  ['password', { TILEDESK_PASSWORD: 'wrong-and-refused' }],
  ['Basic password', { TILEDESK_PASSWORD: 'wrong-and-refused', TILEDESK_AUTH: 'basic' }],
])('a wrong Tiledesk %s is sent once', async (_, env) => {
  const setup = await setupMirror({ leads: 10, requests: 10 }, env);
  opened.push(setup);
  expect(codes(await syncOnce(setup.app, { signal }))).toEqual(new Set(['auth_failed']));
  expect(setup.sandbox.log.length).toBe(1);
  expect(codes(await runAll(setup.app))).toEqual(new Set(['auth_failed']));
  expect(setup.sandbox.log.length).toBe(1);
});

it('nothing of a refused secret is stored', async () => {
  const setup = await setupTilkee({ env: { TILKEE_PASSWORD: 'wrong-and-refused' } });
  opened.push(setup);
  await syncOnce(setup.app, { signal });
  const [row] = await setup.query<{ text: string; refused_digest: string }>(
    'select to_jsonb(b)::text as text, refused_digest from sync.budgets b',
  );
  expect(row?.refused_digest).toMatch(/^[\w-]{43}$/);
  expect(row?.text).not.toContain('wrong-and-refused');
});

describe('a wait that the server asked for', () => {
  it.each(['100000000000000000000', '1e20', '31536000', '15, 7200'])(
    '"%s" is an hour at most, shown with its end, and lifted by resume',
    async (header) => {
      const setup = await setupMirror({ leads: 10, requests: 10 });
      opened.push(setup);
      const { prisma } = setup.app.database;
      const key = { connectionId: setup.app.connections[0]?.id ?? '', stream: 'tiledesk.leads' };
      await setup.run('leads', 'backfill');
      const [credential] = setup.app.connections.map((connection) => connection.credential);
      const waitMs = parseRetryAfter(header, Date.now()) ?? 0;
      await createDatabaseBudget(prisma, credential ?? '', 200).block(waitMs, 'Retry-After on 429');

      const pauses = await readPauses(prisma);
      const until = pauses.get(key.connectionId);
      expect((until?.getTime() ?? 0) - Date.now()).toBeLessThanOrEqual(3_600_000);
      const [line] = (await readStatus(prisma)).filter(({ stream }) => stream === key.stream);
      expect(line).toMatchObject({
        state: 'blocked',
        reason: expect.stringMatching(/asks to wait .*next try \d\d:\d\d UTC.*leadmirror resume/),
      });
      const tick = () => [{ pass: 'incremental', at: new Date() }] as const;
      const [next] = nextTries(tick, { pauses, polls: new Map() })(key, Date.now());
      expect(next?.at).toEqual(until);
      expect(await whyItWaits(prisma, key)).toContain('leadmirror resume');

      // A run by hand does not overrule the server.
      await endManualWaits(prisma, key);
      expect(await setup.run('leads', 'incremental', { maxWaitMs: 0 })).toMatchObject({ outcome: 'postponed' });

      expect(await liftServerPause(prisma, key)).toEqual(until);
      expect(await setup.run('leads', 'incremental', { maxWaitMs: 0 })).toMatchObject({ outcome: 'succeeded' });
    },
  );
});

it('a run by hand probes an open circuit at once', async () => {
  const setup = await setupMirror({ leads: 10, requests: 10 });
  opened.push(setup);
  await setup.run('leads', 'backfill');
  const [connection] = setup.app.connections;
  const budget = createDatabaseBudget(setup.app.database.prisma, connection?.credential ?? '', 200);
  for (let failures = 0; failures < CIRCUIT_FAILURES; failures++) await budget.circuit.failed('503');
  // Longer than any command waits.
  await setup.app.database.prisma.$executeRaw`update sync.budgets set wake_at = now() + interval '1 hour'`;
  expect(await setup.run('leads', 'incremental', { maxWaitMs: 0 })).toMatchObject({ outcome: 'postponed' });
  const outcomes = (await syncOnce(setup.app, { signal })).map(({ outcome }) => outcome);
  expect(new Set(outcomes)).toEqual(new Set(['succeeded']));
});

it('a sync by hand does not overrule a wait that the server asked for', async () => {
  const setup = await setupMirror({ leads: 10, requests: 10 });
  opened.push(setup);
  await setup.run('leads', 'backfill');
  const [connection] = setup.app.connections;
  await createDatabaseBudget(setup.app.database.prisma, connection?.credential ?? '', 200).block(3_600_000, '429');
  setup.sandbox.clearLog();
  const outcomes = (await syncOnce(setup.app, { signal })).map(({ outcome }) => outcome);
  expect(new Set(outcomes)).toEqual(new Set(['postponed']));
  expect(setup.sandbox.log).toEqual([]);
});

it('the day of a stream says nothing of a time that its slots do not tell', () => {
  const slots = Array.from({ length: 48 }, () => 'none' as const);
  const day = { ...summarizeDay([]), runs: 2, partial: 2, slots };
  expect(describeDay(day)).toBe('Last 24 hours: 2 runs, 2 partial; 0 rows changed');
  expect(describeDay({ ...day, slots: [...slots.slice(1), 'failed' as const] })).toContain(
    '2 partial (last within half an hour)',
  );
});
