import { expect, it } from '@jest/globals';
import { createSession } from '../../src/sources/session.ts';
import { createMemoryVault } from '../../src/sources/vault.ts';

const options = { signal: new AbortController().signal, maxWaitMs: 1000, onRequest: () => {} };

/** The process of an account whose sign-in brings these tokens one after the other, the last one for ever. */
function start(...tokens: readonly string[]) {
  let signIns = 0;
  const session = createSession<string>({
    vault: createMemoryVault(),
    headerOf: (token) => token,
    isUsable: () => true,
    signIn: async () => tokens[Math.min(signIns++, tokens.length - 1)] ?? '',
    replacesUnreadable: true,
  });
  return { session, count: () => signIns };
}

it('signs in once for a refused token that the sign-in brings again, however late others ask', async () => {
  const { session, count } = start('same');
  const stale = await session.header(options);
  expect(await Promise.all(['a', 'b', 'c'].map(() => session.renew(stale, options)))).toEqual(['same', 'same', 'same']);
  for (const _ of [1, 2, 3]) {
    expect(await session.renew(stale, options)).toBe('same');
    expect(await session.header(options)).toBe('same');
  }
  expect(count()).toBe(2);
});

it('signs in anew when another token is refused', async () => {
  const { session, count } = start('one', 'two', 'three');
  const one = await session.header(options);
  const two = await session.renew(one, options);
  expect([two, await session.renew(two, options)]).toEqual(['two', 'three']);
  expect(count()).toBe(3);
});
