import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../src/clock.ts';
import { ConfigError, RateLimitedError } from '../../src/errors.ts';
import type { PrismaClient } from '../../src/generated/prisma/client.ts';
import type { KeptSignIn, TokenVault } from '../../src/sources/tilkee/parts.ts';
import { vaultName } from '../../src/sources/tilkee/sign-in.ts';
import { createDatabase } from '../../src/store/database.ts';
import { createDatabaseVault } from '../../src/store/engine/vault.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { failureOf } from '../http/support.ts';
import { NOBODY, setupTilkee } from '../sources/tilkee/sign-in-support.ts';
import { type Store, setupStore } from './support.ts';

let store: Store;
/** The pool of a second process. */
let other: ReturnType<typeof createDatabase>;
beforeAll(async () => {
  store = await setupStore();
  other = createDatabase({ url: store.url, logger: unheardLogger() });
});
afterAll(async () => {
  await other.close();
  await store.close();
});
beforeEach(() => store.query('truncate sync.secrets'));

const NAME = 'tilkee:example.test:0123456789abcdef';
const KEY = 'a-key-that-is-long-enough-for-a-test';
const SIGN_IN: KeptSignIn = {
  accessToken: 'access-canary',
  refreshToken: 'refresh-canary',
  expiresAt: 2_000_000_000_000,
  obtainedAt: 1_999_999_000_000,
};

const open = (
  prisma: PrismaClient = store.prisma,
  parts: { secretKey?: string; name?: string; lockMs?: number } = {},
): TokenVault => createDatabaseVault<KeptSignIn>(prisma, { name: NAME, secretKey: KEY, ...parts });
const waits = (maxWaitMs = 5000) => ({ signal: new AbortController().signal, maxWaitMs });
const keep = (vault: TokenVault, store: KeptSignIn, options = {}) =>
  vault.exclusive(async () => ({ value: null, store }), { ...waits(), ...options });
const row = async () => {
  const [found] = await store.query<{ payload: Buffer | null; lock_token: string; isLocked: boolean }>(
    `select payload, lock_token::text, coalesce(locked_until > clock_timestamp(), false) as "isLocked" from sync.secrets`,
  );
  if (found === undefined) throw new Error('nothing stored');
  return found;
};
const expireLock = () =>
  store.query(
    `update sync.secrets set locked_until = clock_timestamp() - interval '1 ms' where locked_until is not null`,
  );

/** Work that goes on until told. */
function held() {
  let inside = () => {};
  let finish = () => {};
  const isInside = new Promise<void>((resolve) => {
    inside = resolve;
  });
  const end = new Promise<void>((resolve) => {
    finish = resolve;
  });
  return { inside, finish, isInside, end };
}

describe('the vault', () => {
  it('is empty at first, and keeps what is stored for the next one and for other processes', async () => {
    const vault = open();
    expect(await vault.peek()).toBeNull();
    expect(await vault.exclusive(async (stored) => ({ value: stored, store: SIGN_IN }), waits())).toBeNull();
    expect(await vault.peek()).toEqual(SIGN_IN);
    expect(await open(other.prisma).exclusive(async (stored) => ({ value: stored }), waits())).toEqual(SIGN_IN);
  });

  it('keeps what is there when work stores nothing or fails, and is free again', async () => {
    const vault = open();
    await keep(vault, SIGN_IN);
    await vault.exclusive(async () => ({ value: 1 }), waits());
    const failed = vault.exclusive(() => Promise.reject(new Error('refused')), waits());
    await expect(failed).rejects.toThrow('refused');
    expect(await vault.peek()).toEqual(SIGN_IN);
    expect((await row()).isLocked).toBe(false);
  });

  it('holds a row for each name', async () => {
    await keep(open(), SIGN_IN);
    expect(await open(store.prisma, { name: 'tilkee:other' }).peek()).toBeNull();
  });

  it('lets one at a time inside, whoever asks', async () => {
    let inside = 0;
    let most = 0;
    let count = 0;
    const work = async (stored: KeptSignIn | null) => {
      inside += 1;
      most = Math.max(most, inside);
      await systemClock.sleep(5);
      inside -= 1;
      count += 1;
      return { value: null, store: { ...SIGN_IN, expiresAt: (stored?.expiresAt ?? 0) + 1 } };
    };
    const vaults = [open(), open(other.prisma), open(), open(other.prisma)];
    await Promise.all(vaults.flatMap((vault) => [1, 2, 3].map(() => vault.exclusive(work, waits(20_000)))));
    expect({ most, count }).toEqual({ most: 1, count: 12 });
    expect((await open().peek())?.expiresAt).toBe(12);
  });

  it('can be looked into while somebody is inside', async () => {
    await keep(open(), SIGN_IN);
    const { inside, finish, isInside, end } = held();
    const work = open().exclusive(async () => {
      inside();
      await end;
      return { value: null };
    }, waits());
    await isInside;
    expect(await open(other.prisma).peek()).toEqual(SIGN_IN);
    finish();
    await work;
  });

  describe('while somebody is inside', () => {
    it('is waited for no longer than allowed, and the work is to be put off', async () => {
      const { inside, finish, isInside, end } = held();
      const work = open().exclusive(async () => {
        inside();
        await end;
        return { value: null };
      }, waits());
      await isInside;
      const error = await failureOf(open(other.prisma).exclusive(async () => ({ value: null }), waits(120)));
      expect(error).toBeInstanceOf(RateLimitedError);
      expect(error).toMatchObject({ code: 'sign_in_busy', waitMs: expect.any(Number) });
      finish();
      await work;
    });

    it('is left at once by who is stopped', async () => {
      const { inside, finish, isInside, end } = held();
      const work = open().exclusive(async () => {
        inside();
        await end;
        return { value: null };
      }, waits());
      await isInside;
      const stop = new AbortController();
      const waiting = failureOf(
        open(other.prisma).exclusive(async () => ({ value: null }), { signal: stop.signal, maxWaitMs: 60_000 }),
      );
      setTimeout(() => stop.abort(), 50);
      const error = await waiting;
      expect(error.name).toBe('AbortError');
      finish();
      await work;
    });
  });
});

describe('a holder that was killed', () => {
  it('keeps nobody out for longer than its lock', async () => {
    await keep(open(), SIGN_IN);
    const startedAt = performance.now();
    // As a killed process leaves it: the lock taken, not given back, not renewed.
    await store.query(
      "update sync.secrets set lock_token = lock_token + 1, locked_until = clock_timestamp() + interval '400 ms'",
    );
    expect(await open().exclusive(async (stored) => ({ value: stored }), waits())).toEqual(SIGN_IN);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(399);
  });

  it('is not taken for one that is only slow', async () => {
    const { inside, finish, isInside, end } = held();
    const slow = open(store.prisma, { lockMs: 1_500 }).exclusive(async () => {
      inside();
      await end;
      return { value: null, store: SIGN_IN };
    }, waits());
    await isInside;
    const next = open(other.prisma).exclusive(async (stored) => ({ value: stored }), waits());
    setTimeout(finish, 2_500);
    expect(await next).toEqual(SIGN_IN);
    await slow;
  });

  it('locks for about a minute, by the clock of the database', async () => {
    const [found] = await open().exclusive(
      async () => ({
        value: await store.query<{ seconds: number }>(
          'select extract(epoch from locked_until - clock_timestamp())::float8 as seconds from sync.secrets',
        ),
      }),
      waits(),
    );
    expect(found?.seconds).toBeGreaterThan(50);
    expect(found?.seconds).toBeLessThanOrEqual(60);
  });
});

describe('who slept past the lock', () => {
  const NEWER: KeptSignIn = { ...SIGN_IN, accessToken: 'newer', refreshToken: 'newer-refresh' };

  it('does not overwrite what the successor has stored', async () => {
    const value = await open().exclusive(async () => {
      await expireLock();
      await keep(open(other.prisma), NEWER);
      return { value: 'late', store: SIGN_IN };
    }, waits());
    expect(value).toBe('late');
    expect(await open().peek()).toEqual(NEWER);
    expect((await row()).isLocked).toBe(false);
  });

  it('stores after all what would be lost: when the successor has stored nothing, once that one is out', async () => {
    await keep(open(), NEWER);
    const { inside, finish, isInside, end } = held();
    let successor: Promise<unknown> = Promise.resolve();
    await open().exclusive(async () => {
      await expireLock();
      successor = open(other.prisma).exclusive(async () => {
        inside();
        await end;
        return { value: null };
      }, waits());
      await isInside;
      setTimeout(finish, 100);
      return { value: null, store: SIGN_IN };
    }, waits());
    await successor;
    expect(await open().peek()).toEqual(SIGN_IN);
  });

  it('does not give back the lock of the successor', async () => {
    const { inside, finish, isInside, end } = held();
    let successor: Promise<unknown> = Promise.resolve();
    const late = open().exclusive(async () => {
      await expireLock();
      successor = open(other.prisma).exclusive(async () => {
        inside();
        await end;
        return { value: null };
      }, waits());
      await isInside;
      throw new Error('refused');
    }, waits());
    await expect(late).rejects.toThrow('refused');
    expect((await row()).isLocked).toBe(true);
    finish();
    await successor;
  });
});

describe('what is stored', () => {
  it('cannot be read in the table, nor does the same text look the same twice', async () => {
    await keep(open(), SIGN_IN);
    const first = (await row()).payload;
    await keep(open(), SIGN_IN);
    const second = (await row()).payload;
    expect(first?.equals(second ?? Buffer.alloc(0))).toBe(false);
    const [dump] = await store.query<{ text: string }>('select secrets::text as text from sync.secrets');
    const haystack = [String(first), String(second), first?.toString('base64'), dump?.text].join('\n');
    for (const secret of ['access-canary', 'refresh-canary', KEY, 'accessToken'])
      expect(haystack).not.toContain(secret);
    expect(Buffer.concat([first ?? Buffer.alloc(0)]).includes('canary')).toBe(false);
  });

  const unreadable: readonly [string, () => Promise<TokenVault>][] = [
    ['another key', async () => open(store.prisma, { secretKey: 'another-key-that-is-long-enough-too' })],
    [
      'one changed bit at the end',
      async () => {
        await store.query(
          'update sync.secrets set payload = set_bit(payload, length(payload) * 8 - 1, 1 - get_bit(payload, length(payload) * 8 - 1))',
        );
        return open();
      },
    ],
    [
      'one changed bit in the nonce',
      async () => {
        await store.query('update sync.secrets set payload = set_bit(payload, 140, 1 - get_bit(payload, 140))');
        return open();
      },
    ],
    [
      'an end that is missing',
      async () => {
        await store.query('update sync.secrets set payload = substring(payload from 1 for 20)');
        return open();
      },
    ],
    [
      'another version',
      async () => {
        await store.query('update sync.secrets set payload = set_byte(payload, 0, 9)');
        return open();
      },
    ],
    [
      'the row of another account',
      async () => {
        await store.query("insert into sync.secrets select 'tilkee:other', payload, null, 0, now() from sync.secrets");
        return open(store.prisma, { name: 'tilkee:other' });
      },
    ],
  ];

  it.each(unreadable)('does not open with %s, and says what to do', async (_, spoil) => {
    await keep(open(), SIGN_IN);
    const vault = await spoil();
    for (const attempt of [vault.peek(), vault.exclusive(async () => ({ value: null, store: SIGN_IN }), waits())]) {
      const error = await failureOf(attempt);
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toMatch(/^LEADMIRROR_SECRET_KEY: .*`leadmirror tilkee login`/);
      expect(error.message).not.toContain('canary');
    }
    expect(await failureOf(vault.peek())).toBeInstanceOf(ConfigError);
    expect(await store.query('select from sync.secrets where locked_until > clock_timestamp()')).toEqual([]);
  });

  it.each(unreadable)('with %s is overwritten by who asks for it', async (_, spoil) => {
    await keep(open(), SIGN_IN);
    const vault = await spoil();
    await vault.exclusive(
      async (stored) => {
        expect(stored).toBeNull();
        return { value: null, store: SIGN_IN };
      },
      { ...waits(), overwriteUnreadable: true },
    );
    expect(await vault.peek()).toEqual(SIGN_IN);
  });
});

it('two sign-ins side by side refresh fifty times and never use a refresh token twice', async () => {
  const tilkee = await setupTilkee();
  try {
    const auth = { ...NOBODY, refreshToken: await tilkee.issueRefreshToken() };
    const name = vaultName({ ...tilkee.settings, auth });
    const signIns = [store.prisma, other.prisma].map(
      (prisma) => tilkee.start({ auth, vault: open(prisma, { name }) }).signIn,
    );
    const options = { ...waits(20_000), onRequest: () => {} };
    let headers = await Promise.all(signIns.map((signIn) => signIn.header(options)));
    const seen = new Set(headers);
    for (let round = 1; round <= 50; round += 1) {
      tilkee.sandbox.faults.revokeTokens();
      // Twice each: callers inside one process, and two processes.
      const renewed = [0, 1, 0, 1].map((index) => signIns[index]?.renew(headers[index] ?? '', options));
      headers = (await Promise.all(renewed)).slice(0, 2).map((header) => header ?? '');
      for (const header of headers) seen.add(header);
    }
    expect(tilkee.sandbox.signIns).toMatchObject({ password: 0, refresh: 51, burnt: 0 });
    expect(seen.size).toBe(51);
  } finally {
    await tilkee.close();
  }
});
