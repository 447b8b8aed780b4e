/** A wrong credential is tried once: by all streams of an account, and by all processes together. */
import { afterEach, expect, it } from '@jest/globals';
import { syncOnce } from '../../src/app/sync-streams.ts';
import type { App } from '../../src/app.ts';
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
