import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { secretCanary } from '../../../sandbox/tilkee.ts';
import { ConfigError } from '../../../src/errors.ts';
import type { KeptSignIn, TokenVault } from '../../../src/sources/tilkee/parts.ts';
import { isEnding, tilkeeCredential, vaultName } from '../../../src/sources/tilkee/sign-in.ts';
import { createMemoryVault } from '../../../src/sources/vault.ts';
import { createTestClock, everythingIn, failureOf, type TestClock } from '../../http/support.ts';
import {
  fetchOptions,
  minutes,
  NOBODY,
  type Process,
  type ProcessOptions,
  setupTilkee,
  type TilkeeUpstream,
  vaultWith,
} from './sign-in-support.ts';

let tilkee: TilkeeUpstream;
let clock: TestClock;
let counted: { password: number; refresh: number; code: number; burnt: number };
beforeAll(async () => {
  tilkee = await setupTilkee();
});
beforeEach(() => {
  clock = createTestClock(Date.now());
  counted = { ...tilkee.sandbox.signIns };
});
afterEach(() => {
  tilkee.sandbox.switches.refresh = 'rotate';
  tilkee.sandbox.switches.expiresInSeconds = null;
  tilkee.sandbox.faults.clear();
  tilkee.sandbox.clearLog();
});
afterAll(async () => {
  await tilkee.close();
  expect(tilkee.logged.join('\n')).not.toContain(secretCanary);
});

/** Sign-ins since the test began. */
const signIns = () => {
  const { password, refresh, burnt } = tilkee.sandbox.signIns;
  return {
    password: password - counted.password,
    refresh: refresh - counted.refresh,
    burnt: burnt - counted.burnt,
  };
};
const start = (options: ProcessOptions = {}): Process => tilkee.start({ clock, ...options });
const byRefreshToken = async () => ({ ...NOBODY, refreshToken: await tilkee.issueRefreshToken() });

describe('a sign-in', () => {
  it('is made once, for as long as it is good', async () => {
    const { signIn, vault } = start();
    const header = await signIn.header(fetchOptions());
    expect(header).toBe(`Bearer ${(await vault.peek())?.accessToken}`);
    clock.advance(minutes(12 * 60 - 6));
    expect(await signIn.header(fetchOptions())).toBe(header);
    expect(signIns()).toEqual({ password: 1, refresh: 0, burnt: 0 });
  });

  it('is refreshed when less than five minutes are left', async () => {
    const { signIn, vault } = start();
    const header = await signIn.header(fetchOptions());
    clock.advance(minutes(12 * 60 - 5) + 2000);
    const fresh = await signIn.header(fetchOptions());
    expect(fresh).not.toBe(header);
    expect(fresh).toBe(`Bearer ${(await vault.peek())?.accessToken}`);
    expect(signIns()).toEqual({ password: 1, refresh: 1, burnt: 0 });
  });

  it('that lives shorter than ten minutes is refreshed when half of its life is over', async () => {
    tilkee.sandbox.switches.expiresInSeconds = 240;
    const { signIn } = start();
    await signIn.header(fetchOptions());
    clock.advance(minutes(1.9));
    await signIn.header(fetchOptions());
    expect(signIns().refresh).toBe(0);
    clock.advance(minutes(0.2));
    await signIn.header(fetchOptions());
    expect(signIns()).toEqual({ password: 1, refresh: 1, burnt: 0 });
  });

  it('by refresh token needs no password, and goes on with the tokens it is handed', async () => {
    const { signIn } = start({ auth: await byRefreshToken() });
    for (let turn = 1; turn <= 3; turn += 1) {
      await signIn.header(fetchOptions());
      expect(signIns()).toEqual({ password: 0, refresh: turn, burnt: 0 });
      clock.advance(minutes(12 * 60));
    }
  });

  it('goes on with the old refresh token where the server hands out none', async () => {
    tilkee.sandbox.switches.refresh = 'omit';
    const { signIn } = start({ auth: await byRefreshToken() });
    await signIn.header(fetchOptions());
    clock.advance(minutes(12 * 60));
    await signIn.header(fetchOptions());
    expect(signIns()).toEqual({ password: 0, refresh: 2, burnt: 0 });
  });

  it('is taken from the vault when another process made it', async () => {
    const auth = await byRefreshToken();
    const vault = createMemoryVault<KeptSignIn>();
    const header = await start({ auth, vault }).signIn.header(fetchOptions());
    expect(await start({ auth, vault }).signIn.header(fetchOptions())).toBe(header);
    expect(signIns()).toEqual({ password: 0, refresh: 1, burnt: 0 });
  });

  it('from the vault that is about to end is refreshed, and never with the configured token that was used up', async () => {
    const auth = await byRefreshToken();
    const vault = createMemoryVault<KeptSignIn>();
    await start({ auth, vault }).signIn.header(fetchOptions());
    clock.advance(minutes(12 * 60 - 4));
    await start({ auth, vault }).signIn.header(fetchOptions());
    expect(signIns()).toEqual({ password: 0, refresh: 2, burnt: 0 });
  });

  it('tries the configured refresh token when that of the vault is refused: a fresh one was put there', async () => {
    const vault = await vaultWith({ accessToken: 'old', refreshToken: 'ended', expiresAt: clock.now() });
    const { signIn } = start({ auth: await byRefreshToken(), vault });
    await signIn.header(fetchOptions());
    expect(signIns()).toEqual({ password: 0, refresh: 1, burnt: 0 });
    expect(tilkee.asked().oauth).toBe(3);
  });

  it('keeps what it got although the vault cannot', async () => {
    const broken: TokenVault = {
      peek: async () => null,
      async exclusive(work) {
        await work(null);
        throw new Error('the database is away');
      },
    };
    const { signIn } = start({ auth: await byRefreshToken(), vault: broken });
    await expect(signIn.header(fetchOptions())).rejects.toThrow('the database is away');
    await expect(signIn.header(fetchOptions())).resolves.toMatch(/^Bearer /);
    clock.advance(minutes(12 * 60));
    await failureOf(signIn.header(fetchOptions()));
    expect(signIns()).toEqual({ password: 0, refresh: 2, burnt: 0 });
  });
});

describe('many callers at once', () => {
  it('cause one sign-in', async () => {
    const { signIn } = start();
    const headers = await Promise.all(Array.from({ length: 12 }, () => signIn.header(fetchOptions())));
    expect(new Set(headers).size).toBe(1);
    expect(signIns()).toEqual({ password: 1, refresh: 0, burnt: 0 });
  });

  it('of two processes cause one refresh', async () => {
    const auth = await byRefreshToken();
    const vault = createMemoryVault<KeptSignIn>();
    const processes = [start({ auth, vault }), start({ auth, vault })];
    const headers = await Promise.all(
      Array.from({ length: 12 }, (_, index) => processes[index % 2]?.signIn.header(fetchOptions())),
    );
    expect(new Set(headers).size).toBe(1);
    expect(signIns()).toEqual({ password: 0, refresh: 1, burnt: 0 });
  });

  it('whose token was refused cause one renewal', async () => {
    const { signIn } = start();
    const stale = await signIn.header(fetchOptions());
    const headers = await Promise.all(Array.from({ length: 12 }, () => signIn.renew(stale, fetchOptions())));
    expect(new Set(headers).size).toBe(1);
    expect(headers[0]).not.toBe(stale);
    expect(signIns()).toEqual({ password: 1, refresh: 1, burnt: 0 });
  });

  it('do not wait for one another’s stop: who was stopped leaves, the others get their header', async () => {
    tilkee.sandbox.faults.push({ kind: 'slow', delayMs: 300, match: { list: 'oauth' } });
    const { signIn } = start();
    const stop = new AbortController();
    const stopped = failureOf(signIn.header(fetchOptions({ signal: stop.signal })));
    const other = signIn.header(fetchOptions());
    await delay(100);
    stop.abort();
    expect((await stopped).name).toBe('AbortError');
    await expect(other).resolves.toMatch(/^Bearer /);
    expect(signIns().password).toBe(1);
  });
});

describe('a stop', () => {
  it('does not cut a refresh that is out: what it brings is kept', async () => {
    const auth = await byRefreshToken();
    tilkee.sandbox.faults.push({ kind: 'slow', delayMs: 400, match: { list: 'oauth' } });
    const { signIn, vault } = start({ auth });
    const stop = new AbortController();
    const header = signIn.header(
      fetchOptions({ signal: stop.signal, onRequest: () => setTimeout(() => stop.abort(), 50) }),
    );
    await header.catch(() => {});
    expect((await vault.peek())?.refreshToken).toEqual(expect.any(String));
    expect(signIns()).toEqual({ password: 0, refresh: 1, burnt: 0 });
  });

  it('ends the waiting for another process at once', async () => {
    const never: TokenVault = {
      peek: async () => null,
      exclusive: (_, { signal }) =>
        new Promise((__, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        }),
    };
    const { signIn } = start({ vault: never });
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    expect((await failureOf(signIn.header(fetchOptions({ signal: stop.signal })))).name).toBe('AbortError');
  });

  it('before anything began asks nothing', async () => {
    const { signIn } = start();
    const signal = AbortSignal.abort();
    expect((await failureOf(signIn.header(fetchOptions({ signal })))).name).toBe('AbortError');
    expect(tilkee.asked().oauth).toBeUndefined();
  });

  it('of one caller does not stop who comes after', async () => {
    const { signIn } = start();
    const stop = new AbortController();
    const first = failureOf(signIn.header(fetchOptions({ signal: stop.signal })));
    stop.abort();
    const second = signIn.header(fetchOptions());
    await first;
    await expect(second).resolves.toMatch(/^Bearer /);
  });
});

describe('a refused token', () => {
  it('is not taken from the vault again', async () => {
    const vault = createMemoryVault<KeptSignIn>();
    const { signIn } = start({ vault });
    const stale = await signIn.header(fetchOptions());
    const fresh = await start({ vault }).signIn.renew(stale, fetchOptions());
    expect(fresh).not.toBe(stale);
    expect(signIns()).toEqual({ password: 1, refresh: 1, burnt: 0 });
  });

  it('is replaced by what another process has left, without a request', async () => {
    const vault = createMemoryVault<KeptSignIn>();
    const [one, other] = [start({ vault }), start({ vault })];
    const stale = await one.signIn.header(fetchOptions());
    await other.signIn.header(fetchOptions());
    const fresh = await one.signIn.renew(stale, fetchOptions());
    expect(await other.signIn.renew(stale, fetchOptions())).toBe(fresh);
    expect(signIns()).toEqual({ password: 1, refresh: 1, burnt: 0 });
  });

  it('that was refused late does no harm to the session of today', async () => {
    const { signIn } = start();
    const stale = await signIn.header(fetchOptions());
    const fresh = await signIn.renew(stale, fetchOptions());
    expect(await signIn.renew(stale, fetchOptions())).toBe(fresh);
    expect(await signIn.header(fetchOptions())).toBe(fresh);
    expect(signIns()).toEqual({ password: 1, refresh: 1, burnt: 0 });
  });
});

describe('a refused refresh', () => {
  it('is not followed by a try with what another process has replaced', async () => {
    const kept = { accessToken: 'a', refreshToken: await tilkee.issueRefreshToken(), expiresAt: clock.now() };
    const vault = await vaultWith(kept);
    const early = start({ auth: NOBODY, vault, clock: createTestClock(clock.now() + minutes(120)) });
    const stale = await early.signIn.header(fetchOptions());
    await start({ auth: NOBODY, vault }).signIn.renew(stale, fetchOptions());
    tilkee.sandbox.faults.revokeTokens();
    tilkee.sandbox.switches.refresh = 'fail401';
    const fresh = `Bearer ${(await vault.peek())?.accessToken}`;
    await expect(early.signIn.renew(stale, fetchOptions())).resolves.toBe(fresh);
    await expect(early.signIn.renew(fresh, fetchOptions())).rejects.toMatchObject({ code: 'auth_failed' });
    expect(signIns()).toEqual({ password: 0, refresh: 2, burnt: 0 });
  });

  it.each(['fail401', 'fail400'] as const)('falls back to the password (%s)', async (refresh) => {
    const { signIn } = start();
    const stale = await signIn.header(fetchOptions());
    tilkee.sandbox.switches.refresh = refresh;
    expect(await signIn.renew(stale, fetchOptions())).not.toBe(stale);
    expect(signIns().password).toBe(2);
    expect(tilkee.logged.join('\n')).toContain('refused a refresh token');
  });

  it('says what to do where there is no password', async () => {
    const { signIn } = start({ auth: { ...NOBODY, refreshToken: 'ended' } });
    const error = await failureOf(signIn.header(fetchOptions()));
    expect(error).toMatchObject({ name: 'AuthError', code: 'auth_failed' });
    expect(error.message).toMatch(/`leadmirror tilkee login`.*TILKEE_REFRESH_TOKEN/);
  });

  it('says what to do where both are refused', async () => {
    const auth = { ...tilkee.password, password: 'canary-of-a-wrong-one', refreshToken: 'ended-canary' };
    const error = await failureOf(start({ auth }).signIn.header(fetchOptions()));
    expect(error.message).toContain('TILKEE_PASSWORD');
    expect(everythingIn(error)).not.toContain('canary');
  });

  it('is not the end when a sign-in by the browser was left in the vault meanwhile', async () => {
    const fresh: KeptSignIn = { accessToken: 'fresh', refreshToken: 'r', expiresAt: clock.now() + minutes(600) };
    let isLeft = false;
    const vault: TokenVault = {
      peek: async () => (isLeft ? fresh : null),
      async exclusive(work) {
        isLeft = true;
        return (await work(null)).value;
      },
    };
    const { signIn } = start({ auth: { ...NOBODY, refreshToken: 'ended' }, vault });
    expect(await signIn.header(fetchOptions())).toBe('Bearer fresh');
  });

  it('is tried again the next time: the person may have signed in', async () => {
    const vault = createMemoryVault<KeptSignIn>();
    const { signIn } = start({ auth: { ...NOBODY, ...tilkee.client }, vault });
    const error = await failureOf(signIn.header(fetchOptions()));
    expect(error).toMatchObject({ code: 'auth_failed', message: expect.stringContaining('`leadmirror tilkee login`') });
    const kept = { accessToken: 'a', refreshToken: await tilkee.issueRefreshToken(), expiresAt: clock.now() };
    await vault.exclusive(async () => ({ value: null, store: kept }), fetchOptions());
    await expect(signIn.header(fetchOptions())).resolves.toMatch(/^Bearer /);
  });
});

describe('trouble', () => {
  it('with the server is not taken for a refusal: the password is not tried', async () => {
    const { signIn } = start();
    const stale = await signIn.header(fetchOptions());
    tilkee.sandbox.faults.push({ kind: '500', match: { list: 'oauth' }, times: 3 });
    await expect(signIn.renew(stale, fetchOptions())).rejects.toMatchObject({ name: 'TransientError' });
    await expect(signIn.renew(stale, fetchOptions())).resolves.not.toBe(stale);
    expect(signIns()).toEqual({ password: 1, refresh: 1, burnt: 0 });
  });
});

describe('a vault that does not open', () => {
  const unreadable = () => {
    const inner = createMemoryVault<KeptSignIn>();
    const refuse = async (): Promise<never> => {
      throw new ConfigError([{ variable: 'LEADMIRROR_SECRET_KEY', message: 'does not open it' }]);
    };
    let isReplaced = false;
    const vault: TokenVault = {
      peek: () => (isReplaced ? inner.peek() : refuse()),
      async exclusive(work, options) {
        if (!isReplaced && !options.overwriteUnreadable) return refuse();
        const value = await inner.exclusive(work, options);
        isReplaced = true;
        return value;
      },
    };
    return vault;
  };

  it('is overwritten by who has a password', async () => {
    const vault = unreadable();
    const header = await start({ vault }).signIn.header(fetchOptions());
    expect(`Bearer ${(await vault.peek())?.accessToken}`).toBe(header);
  });

  it('stops who has none: the only good token may be in there', async () => {
    const { signIn } = start({ auth: await byRefreshToken(), vault: unreadable() });
    const error = await failureOf(signIn.header(fetchOptions()));
    expect(error.message).toContain('LEADMIRROR_SECRET_KEY');
    expect(signIns()).toEqual({ password: 0, refresh: 0, burnt: 0 });
  });
});

describe('a static key', () => {
  it('is sent as it is, and cannot be renewed', async () => {
    const { signIn } = start({ auth: { kind: 'key', accessToken: 'canary-key' } });
    expect(signIn.kind).toBe('key');
    expect(await signIn.header(fetchOptions())).toBe('Bearer canary-key');
    const error = await failureOf(signIn.renew('Bearer canary-key', fetchOptions()));
    expect(error).toMatchObject({ code: 'auth_failed' });
    for (const name of ['V2', 'TILKEE_ACCESS_TOKEN', 'TILKEE_REF']) expect(error.message).toContain(name);
    expect(everythingIn(error)).not.toContain('canary');
    expect(tilkee.asked()).toEqual({});
  });
});

it('a token is about to end in its last five minutes, or in the second half of a short life', () => {
  const now = 1_000_000_000;
  const ends = (leftMs: number, lifeMs?: number) =>
    isEnding(
      {
        accessToken: 'a',
        refreshToken: null,
        expiresAt: now + leftMs,
        ...(lifeMs === undefined ? {} : { obtainedAt: now + leftMs - lifeMs }),
      },
      now,
    );
  expect([ends(minutes(5)), ends(minutes(5) - 1)]).toEqual([false, true]);
  expect([ends(minutes(5), minutes(720)), ends(minutes(5) - 1, minutes(720))]).toEqual([false, true]);
  expect([ends(minutes(1), minutes(2)), ends(minutes(1) - 1, minutes(2))]).toEqual([false, true]);
  expect(ends(0)).toBe(true);
});

describe('the name in the vault and of the budget', () => {
  const nameOf = (auth: ProcessOptions['auth'], id = 'tilkee:default') => {
    const settings = { ...tilkee.settings, id, ...(auth === undefined ? {} : { auth }) };
    return [vaultName(settings), tilkeeCredential(settings)];
  };
  const host = () => new URL(tilkee.url).host;

  it('tells server and account, and no secret', () => {
    for (const name of nameOf(tilkee.password)) {
      expect(name).toMatch(new RegExp(`^tilkee:${host()}:[0-9a-f]{16}$`));
    }
    const others = [NOBODY, { ...NOBODY, refreshToken: 'r' }, { ...NOBODY, ...tilkee.client }];
    const names = [tilkee.password, ...others, { kind: 'key' as const, accessToken: 'k' }].map(
      (auth) => nameOf(auth)[0],
    );
    expect(new Set(names).size).toBe(5);
  });

  it('is the same for one user name in several connections, however it is written', () => {
    const shouted = { ...tilkee.password, username: tilkee.sandbox.username.toUpperCase(), password: 'another' };
    expect(nameOf(shouted, 'tilkee:second')).toEqual(nameOf(tilkee.password));
  });

  it('tells two browser sign-ins with one client id apart', () => {
    const auth = { ...NOBODY, ...tilkee.client };
    expect(nameOf(auth, 'tilkee:second')).not.toEqual(nameOf(auth));
  });
});
