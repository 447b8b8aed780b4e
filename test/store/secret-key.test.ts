import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../src/errors.ts';
import { createDatabase } from '../../src/store/database.ts';
import { assertSecretKey, type RekeyOptions, refuseOtherKey, rekey } from '../../src/store/engine/secret-key.ts';
import { createDatabaseVault } from '../../src/store/engine/vault.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { failureOf } from '../http/support.ts';
import { type Store, setupStore } from './support.ts';

const [OLD, NEW, OTHER] = ['the-old-one-4f9a7c', 'the-new-one-0b6e2d', 'a-third-one-9c1d8e'];
let store: Store;
let second: ReturnType<typeof createDatabase>;
beforeAll(async () => {
  store = await setupStore();
  second = createDatabase({ url: store.url, logger: unheardLogger() });
});
afterAll(async () => {
  await second.close();
  await store.close();
});
beforeEach(() => store.query('truncate sync.secrets'));

const waits = () => ({ signal: new AbortController().signal, maxWaitMs: 5000 });
const vault = (name: string, secretKey: string, prisma = store.prisma) =>
  createDatabaseVault<string>(prisma, { name, secretKey });
const keep = (name: string, secretKey: string, value: string) =>
  vault(name, secretKey).exclusive(async () => ({ value: null, store: value }), {
    ...waits(),
    overwriteUnreadable: true,
  });
const change = (options: Partial<RekeyOptions> = {}) =>
  rekey(store.prisma, { oldKey: OLD, newKey: NEW, discards: false, signal: new AbortController().signal, ...options });
const rows = () =>
  store.query<{ name: string; payload: Buffer | null }>('select name, payload from sync.secrets order by name');
const wrongKey = async (work: Promise<unknown>): Promise<string> => {
  const error = await failureOf(work);
  if (!(error instanceof ConfigError)) throw error;
  return error.problems.map(({ variable, message }) => `${variable}: ${message}`).join();
};

describe('the key', () => {
  it('is remembered at the first start, without a secret in the row, and another one is refused from then on', async () => {
    await assertSecretKey(store.prisma, OLD);
    await assertSecretKey(store.prisma, OLD);
    expect(await rows()).toHaveLength(1);
    const message = await wrongKey(assertSecretKey(second.prisma, OTHER));
    expect(message).toContain('LEADMIRROR_SECRET_KEY: is not the key');
    expect(message).toContain('leadmirror rekey');
    expect(message).not.toContain(OTHER);
  });

  it('is found by what was stored before it was remembered; of damaged rows one that opens is enough', async () => {
    await keep('a', OLD, 'x');
    await store.query(`insert into sync.secrets (name, payload) values ('damaged', '\\x01')`);
    expect(await wrongKey(assertSecretKey(store.prisma, OTHER))).toContain('is not the key');
    expect(await rows()).toHaveLength(2);
    await assertSecretKey(store.prisma, OLD);
    expect(await refuseOtherKey(store.prisma, OLD)).toBe('known');
  });

  it('is one of those that start at once', async () => {
    const started = await Promise.allSettled([
      assertSecretKey(store.prisma, OLD),
      assertSecretKey(second.prisma, OTHER),
    ]);
    expect(started.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it('that is wrong overwrites nothing, not even for an account that has a password', async () => {
    await assertSecretKey(store.prisma, OLD);
    await keep('a', OLD, 'x');
    expect(await wrongKey(keep('a', OTHER, 'y'))).toContain('is not the key');
    expect(await wrongKey(keep('b', OTHER, 'y'))).toContain('is not the key');
    expect(await vault('a', OLD).peek()).toBe('x');
    expect((await rows()).map(({ name, payload }) => [name, payload === null])).toContainEqual(['b', true]);
  });
});

describe('rekey', () => {
  it('encrypts everything anew, and a second time changes nothing', async () => {
    await assertSecretKey(store.prisma, OLD);
    for (const name of ['a', 'b', 'c']) await keep(name, OLD, `value of ${name}`);
    expect(await change()).toEqual({ reencrypted: 3, unchanged: 0, discarded: 0 });
    for (const name of ['a', 'b', 'c']) expect(await vault(name, NEW).peek()).toBe(`value of ${name}`);
    await assertSecretKey(store.prisma, NEW);
    expect(await wrongKey(assertSecretKey(store.prisma, OLD))).toContain('is not the key');
    expect(await change()).toEqual({ reencrypted: 0, unchanged: 3, discarded: 0 });
  });

  it('changes nothing when something opens with neither key, and names it; unless that is to be forgotten', async () => {
    await keep('a', OLD, 'x');
    await keep('b', OTHER, 'y');
    const before = await rows();
    const message = await wrongKey(change());
    expect(message).toContain('does not open b in sync.secrets');
    expect(message).toContain('--discard');
    expect(await rows()).toEqual(before);
    expect(await change({ discards: true })).toEqual({ reencrypted: 1, unchanged: 0, discarded: 1 });
    expect([await vault('a', NEW).peek(), await vault('b', NEW).peek()]).toEqual(['x', null]);
  });

  it('without the key so far forgets everything, when asked to', async () => {
    await assertSecretKey(store.prisma, OLD);
    await keep('a', OLD, 'x');
    expect(await change({ oldKey: null, discards: true })).toEqual({ reencrypted: 0, unchanged: 0, discarded: 1 });
    await assertSecretKey(store.prisma, NEW);
    expect(await vault('a', NEW).peek()).toBeNull();
  });

  it('is all or nothing: what ends its session in the middle leaves the old key', async () => {
    await assertSecretKey(store.prisma, OLD);
    for (const name of ['a', 'b']) await keep(name, OLD, name);
    const before = await rows();
    // The last statement fails, as it does when the process or the connection ends before the commit.
    await store.query(`create function sync.fail() returns trigger language plpgsql as $$ begin raise 'stop'; end $$`);
    await store.query('create trigger fail before delete on sync.secrets for each row execute function sync.fail()');
    await expect(change()).rejects.toThrow();
    await store.query('drop function sync.fail cascade');
    expect(await rows()).toEqual(before);
    await assertSecretKey(store.prisma, OLD);
  });

  it('waits for who is signing in, so that nothing that was handed out is lost', async () => {
    await assertSecretKey(store.prisma, OLD);
    await keep('a', OLD, 'before');
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const signingIn = vault('a', OLD, second.prisma).exclusive(async () => {
      await finished;
      return { value: null, store: 'handed out' };
    }, waits());
    while ((await store.query('select 1 from sync.secrets where locked_until is not null')).length === 0);
    let isDone = false;
    const changing = change().finally(() => {
      isDone = true;
    });
    await store.query('select pg_sleep(0.4)');
    expect(isDone).toBe(false);
    finish();
    await signingIn;
    await changing;
    expect(await vault('a', NEW).peek()).toBe('handed out');
  });

  it('ends at once when it is stopped while it waits', async () => {
    await store.query(`insert into sync.secrets (name, locked_until) values ('a', now() + interval '1 minute')`);
    const stop = new AbortController();
    const changing = change({ signal: stop.signal });
    stop.abort();
    await expect(changing).rejects.toMatchObject({ name: 'AbortError' });
  });
});
