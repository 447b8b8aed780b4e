import { AuthError } from '../errors.ts';
import { REFUSED_FOR_MS, type RefusalStore } from '../stream.ts';

/** A wrong credential is tried once: many servers lock an account after a few failures. */
export interface RefusalGuard {
  /** @throws AuthError while the credential is known to be refused */
  assertUnrefused(): Promise<void>;
  /** Signs in, unless the credential is known to be refused, and remembers a refusal. */
  signIn<T>(work: () => Promise<T>): Promise<T>;
  /** Remembers a refusal that did not come from a sign-in. Returns it. */
  refuse(error: AuthError): Promise<AuthError>;
  /** The next sign-in is tried: a person asked for it. */
  forget(): void;
}

/** `store` null: remembered in this process only. */
export function createRefusalGuard(store: RefusalStore | null): RefusalGuard {
  let refused: { readonly error: AuthError; readonly at: number } | null = null;
  /** A person asked: what other processes remember does not hold for the next try. */
  let isForced = false;

  async function assertUnrefused(): Promise<void> {
    if (refused !== null && performance.now() - refused.at < REFUSED_FOR_MS) throw refused.error;
    if (isForced) return;
    const known = (await store?.find()) ?? null;
    if (known !== null) throw known;
  }

  async function refuse(error: AuthError): Promise<AuthError> {
    refused = { error, at: performance.now() };
    isForced = false;
    await store?.keep(error);
    return error;
  }

  return {
    assertUnrefused,
    refuse,
    async signIn(work) {
      await assertUnrefused();
      try {
        const value = await work();
        refused = null;
        isForced = false;
        await store?.clear();
        return value;
      } catch (error) {
        throw error instanceof AuthError ? await refuse(error) : error;
      }
    },
    forget() {
      refused = null;
      isForced = true;
    },
  };
}
