import { AuthError } from '../errors.ts';
import { REFUSED_FOR_MS, type RefusalStore } from '../stream.ts';

export type RefusalGuard = ReturnType<typeof createRefusalGuard>;

/**
 * A wrong credential is tried once: many servers lock an account after a few failures. `store` null: remembered in this
 * process only.
 */
export function createRefusalGuard(store: RefusalStore | null) {
  let refused: { readonly error: AuthError; readonly at: number } | null = null;
  let isAsked = false;
  /** True once this process has the one try of a person's run; streams side by side share it. */
  let isGranted: Promise<boolean> | null = null;

  /** @throws AuthError while the credential is known to be refused */
  async function assertUnrefused(): Promise<void> {
    if (refused !== null && performance.now() - refused.at < REFUSED_FOR_MS) throw refused.error;
    if (isAsked && store !== null) {
      isGranted ??= store.takeRetry();
      if (await isGranted) return;
      isGranted = null;
    }
    const known = (await store?.find()) ?? null;
    if (known !== null) throw known;
  }

  function clear(): void {
    refused = null;
    isAsked = false;
    isGranted = null;
  }

  /** Remembers a refusal that did not come from a sign-in. Returns it. */
  async function refuse(error: AuthError): Promise<AuthError> {
    clear();
    refused = { error, at: performance.now() };
    await store?.keep(error);
    return error;
  }

  async function accept(): Promise<void> {
    clear();
    await store?.clear();
  }

  return {
    assertUnrefused,
    refuse,
    accept,
    /** Signs in, unless the credential is known to be refused, and remembers a refusal. */
    async signIn<T>(work: () => Promise<T>): Promise<T> {
      await assertUnrefused();
      try {
        const value = await work();
        await accept();
        return value;
      } catch (error) {
        throw error instanceof AuthError ? await refuse(error) : error;
      }
    },
    /** A person asked: the next sign-in is tried, once for one configured credential, whichever process was asked. */
    retry() {
      refused = null;
      isAsked = true;
    },
  };
}
