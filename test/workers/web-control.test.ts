import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createQueues, type Queues } from '../../workers/queues.ts';
import { createWebControl } from '../../workers/web-control.ts';
import { findClosedPort } from '../helpers/closed-port.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { ACCOUNT, addFreshStream, addRun, clear, pause } from '../ops/support.ts';
import { type Store, setupStore } from '../store/support.ts';

const STREAM = 'tiledesk.departments';
const key = { connectionId: ACCOUNT, stream: STREAM };

let store: Store;
let queues: Queues;
let control: ReturnType<typeof createWebControl>['control'];
beforeAll(async () => {
  store = await setupStore();
  const urls = [`redis://127.0.0.1:${await findClosedPort()}`];
  queues = await createQueues({
    config: { redis: { urls } } as Parameters<typeof createQueues>[0]['config'],
    ...{ databaseUrl: store.url, logger: unheardLogger(), retriesConnecting: true },
  });
  ({ control } = createWebControl({ database: store } as never, queues));
});
afterAll(async () => {
  await queues.disconnect();
  await queues.close();
  await store.close();
});
beforeEach(async () => {
  await clear(store);
  await addFreshStream(store, STREAM);
});

const facts = async () =>
  (
    await store.query<Record<string, unknown>>(
      'select paused_at, resync_asked_at, deletions_accepted_at from sync.streams',
    )
  )[0];

describe('the buttons while Redis is away', () => {
  it('a run is refused within seconds, with what to do', async () => {
    const message = `Nothing was asked for: try again when it answers, or run it without the queue: leadmirror sync ${STREAM} --pass reconcile --connection ${ACCOUNT}`;
    await expect(control.trigger(key, { pass: 'reconcile' })).rejects.toMatchObject({
      code: 'queue_unavailable',
      message: expect.stringContaining(message),
    });
  });

  it('what is done in the database is done, and the rest is said', async () => {
    await pause(store, STREAM);
    expect(await control.resume(key)).toMatch(/is resumed\. The queue cannot be reached: .* leadmirror sync tiledesk/);
    expect(await facts()).toMatchObject({ paused_at: null });
    expect(await control.resync(key)).toMatch(/read again from zero.* The queue cannot be reached: .* --pass backfill/);
    expect(await facts()).toMatchObject({ resync_asked_at: expect.any(Date) });
  });
});

describe('a run that a person asks for', () => {
  const asked = async () => {
    const add = async () => ({});
    const there = { ping: async () => {}, lanes: { fast: { add }, bulk: { add } } } as unknown as Queues;
    return createWebControl({ database: store } as never, there).control.trigger(key, { pass: 'incremental' });
  };

  it('begins at once', async () => {
    expect(await asked()).toBe(`A run of ${STREAM} asked for; it begins as soon as a worker is free.`);
  });

  it('says why it waits, until when, and what ends that', async () => {
    await store.query("update sync.streams set credential = 'account'");
    await store.query(
      `insert into sync.budgets (credential, base_spacing_ms, spacing_ms, blocked_until, blocked_reason)
       values ('account', 307, 307, now() + interval '1 hour', 'Retry-After on 429')`,
    );
    expect(await asked()).toMatch(
      new RegExp(
        `asked for; but it waits\\. The server asked to wait until 2\\S+Z \\(Retry-After on 429\\): .* after: leadmirror resume ${STREAM} --connection ${ACCOUNT}$`,
      ),
    );
  });
});

describe('a paused stream', () => {
  it('gets no run', async () => {
    await pause(store, STREAM);
    await expect(control.trigger(key, { pass: 'incremental' })).rejects.toMatchObject({
      code: 'stream_paused',
      message: `${STREAM} is paused, so nothing was asked for. Resume it first: leadmirror resume ${STREAM} --connection ${ACCOUNT}`,
    });
  });

  it('has its deletions accepted, for when it is resumed', async () => {
    await addRun(store, STREAM, 'reconcile', 3, 'partial', { code: 'deletion_brake', message: '40 of 90 rows' });
    await pause(store, STREAM);
    expect(await control['accept-deletions'](key)).toMatch(/^Accepted, but .* is paused: after its resume/);
    expect(await facts()).toMatchObject({ deletions_accepted_at: expect.any(Date) });
  });
});
