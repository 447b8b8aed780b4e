import { createHash } from 'node:crypto';
import { AuthError, ConfigError, UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import type { RefusalGuard } from '../../http/refusal-guard.ts';
import type { Upstream } from '../../http/upstream.ts';
import type { FetchOptions } from '../../stream.ts';
import { asId, asText, isObject } from '../coerce.ts';
import { shared } from '../shared-work.ts';
import type { Vault } from '../vault.ts';
import { isOwnRefusal } from './own-refusal.ts';

/** How an account proves who it is. */
export type Credentials =
  | { readonly kind: 'jwt' | 'basic'; readonly email: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string };

/** One credential's way in, shared by all projects that use it: one sign-in serves them all. */
export interface SignIn {
  readonly kind: Credentials['kind'];
  /** The Authorization header; signs in when that was not done yet. */
  header(options: FetchOptions): Promise<string>;
  /**
   * A fresh header after `stale` was refused. Many callers at once cause one sign-in.
   * @throws AuthError when there is nothing fresh to be had
   */
  renew(stale: string, options: FetchOptions): Promise<string>;
  /** Id of the signed-in user; null when only the server knows it. */
  userId(): string | null;
  /** Remembers that what it signed in with is refused. Returns the error. */
  refuse(error: AuthError): Promise<AuthError>;
  /** The next sign-in is tried although the last one was refused: a person asked for it. */
  forgetRefusal(): void;
}

interface Session {
  readonly header: string;
  readonly userId: string | null;
}

/** What the vault keeps of a sign-in, so that a restart or another machine needs none of its own. */
export interface KeptSession extends Session {
  /** Of the password that it was got with: with another one in the configuration it is not used, since that one may be wrong. */
  readonly passwordDigest: string;
}

interface SignInParts {
  readonly baseUrl: string;
  readonly credentials: Credentials;
  readonly upstream: Upstream;
  readonly vault: Vault<KeptSession>;
  readonly guard: RefusalGuard;
}

export function createSignIn({ credentials, ...parts }: SignInParts): SignIn {
  const { guard } = parts;
  if (credentials.kind === 'token') {
    const message = 'Tiledesk refused the token; put a fresh one into TILEDESK_TOKEN';
    return fixedSignIn('token', credentials.token, { guard, refused: () => new AuthError('auth_failed', message) });
  }
  const { email, password } = credentials;
  if (credentials.kind === 'jwt') return sessionSignIn({ ...parts, email, password });
  const pair = Buffer.from(`${email}:${password}`, 'utf8').toString('base64');
  return fixedSignIn('basic', `Basic ${pair}`, { guard, refused: wrongPassword });
}

function fixedSignIn(
  kind: SignIn['kind'],
  header: string,
  { guard, refused }: { readonly guard: RefusalGuard; readonly refused: () => AuthError },
): SignIn {
  return {
    kind,
    userId: () => null,
    async header() {
      await guard.assertUnrefused();
      return header;
    },
    async renew() {
      throw await guard.refuse(refused());
    },
    refuse: guard.refuse,
    forgetRefusal: guard.forget,
  };
}

type SessionParts = Omit<SignInParts, 'credentials'> & { readonly email: string; readonly password: string };

/** This process's session, else the vault's, else a sign-in. Inside the vault whoever comes second finds what the first one has left there. */
function sessionSignIn({ baseUrl, upstream, vault, guard, email, password }: SessionParts): SignIn {
  const passwordDigest = createHash('sha256').update(password).digest('hex');
  let session: KeptSession | null = null;
  /** The header that Tiledesk refused last, wherever it comes from. */
  let refused: string | null = null;

  const isGood = (one: KeptSession | null): one is KeptSession =>
    one !== null && one.header !== refused && one.passwordDigest === passwordDigest;

  async function signIn(options: FetchOptions): Promise<KeptSession> {
    const response = await upstream.request(
      {
        method: 'POST',
        url: `${baseUrl}/auth/signin`,
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify({ email, password }),
      },
      { ...options, lane: 'fast', isOwnRefusal },
    );
    return { ...readSession(response.status, response.body), passwordDigest };
  }

  async function enter(options: FetchOptions): Promise<KeptSession> {
    const kept = await peek(vault);
    if (isGood(kept)) return kept;
    return vault.exclusive(
      async (stored) => {
        if (isGood(stored)) return { value: stored };
        const fresh = await guard.signIn(() => signIn(options));
        // Two sign-ins within a second may bring the very same token.
        refused = null;
        // At once, so that a vault that cannot keep it does not lose it for this process too.
        session = fresh;
        return { value: fresh, store: fresh };
      },
      { signal: options.signal, maxWaitMs: options.maxWaitMs, overwriteUnreadable: true },
    );
  }

  const enterOnce = shared(enter);

  async function goodSession(options: FetchOptions): Promise<KeptSession> {
    if (!isGood(session)) session = await enterOnce(options);
    return session;
  }

  return {
    kind: 'jwt',
    userId: () => session?.userId ?? null,
    refuse: guard.refuse,
    forgetRefusal: guard.forget,
    header: async (options) => (await goodSession(options)).header,
    async renew(stale, options) {
      // Somebody else signed in since: their session has not been refused yet.
      if (session === null || session.header === stale) refused = stale;
      const { header } = await goodSession(options);
      // A sign-in that was under way already may have brought the refused one back from the vault.
      return header === stale ? (await goodSession(options)).header : header;
    },
  };
}

/** What is kept; with a password nobody needs what cannot be opened. */
async function peek(vault: Vault<KeptSession>): Promise<KeptSession | null> {
  try {
    return await vault.peek();
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

/** The token already begins with the word `JWT` and is sent as it is; it has no expiry (seen in server 2.19). */
function readSession(status: number, body: unknown): Session {
  if (status === 401 || status === 422 || status === 403) throw wrongPassword();
  if (status !== 200) {
    throw new UpstreamRefusedError(
      'wrong_base_url',
      `the sign-in address answered with status ${status}; check TILEDESK_BASE_URL (hosted: https://api.tiledesk.com/v3, self-hosted: often no prefix)`,
      { status },
    );
  }
  const token = isObject(body) ? asText(body.token) : null;
  if (token === null || !isObject(body)) {
    throw new UpstreamContractError('unexpected_shape', 'the sign-in answer holds no token; check TILEDESK_BASE_URL');
  }
  const user = isObject(body.user) ? body.user : {};
  if (user.role === 'admin') {
    throw new AuthError(
      'auth_role',
      "this is the platform's super-administrator, for whom the server cannot list requests; use an account that is owner or admin of the project",
    );
  }
  return { header: token, userId: asId(user) };
}

function wrongPassword(): AuthError {
  return new AuthError(
    'auth_failed',
    'Tiledesk refused the e-mail address or password; check TILEDESK_EMAIL and TILEDESK_PASSWORD',
  );
}
