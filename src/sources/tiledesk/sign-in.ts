import { AuthError, UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import type { Upstream } from '../../http/upstream.ts';
import type { FetchOptions } from '../../stream.ts';
import { asId, asText, isObject } from '../coerce.ts';

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
}

interface Session {
  readonly header: string;
  readonly userId: string | null;
}

export function createSignIn(parts: { baseUrl: string; credentials: Credentials; upstream: Upstream }): SignIn {
  const { baseUrl, credentials, upstream } = parts;
  let session: Session | null = null;
  let pending: Promise<Session> | null = null;

  if (credentials.kind === 'token') session = { header: credentials.token, userId: null };
  if (credentials.kind === 'basic') {
    const pair = Buffer.from(`${credentials.email}:${credentials.password}`, 'utf8').toString('base64');
    session = { header: `Basic ${pair}`, userId: null };
  }

  async function enter(options: FetchOptions): Promise<Session> {
    if (credentials.kind === 'token') throw new Error('a token cannot sign in');
    const response = await upstream.request(
      {
        method: 'POST',
        url: `${baseUrl}/auth/signin`,
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify({ email: credentials.email, password: credentials.password }),
      },
      { ...options, lane: 'fast' },
    );
    return readSession(response.status, response.body);
  }

  function signIn(options: FetchOptions): Promise<Session> {
    pending ??= enter(options)
      .then((fresh) => {
        session = fresh;
        return fresh;
      })
      .finally(() => {
        pending = null;
      });
    return pending;
  }

  return {
    kind: credentials.kind,
    userId: () => session?.userId ?? null,
    header: async (options) => (session ?? (await signIn(options))).header,
    async renew(stale, options) {
      if (credentials.kind === 'token') {
        throw new AuthError('auth_failed', 'Tiledesk refused the token; put a fresh one into TILEDESK_TOKEN');
      }
      if (credentials.kind === 'basic') throw wrongPassword();
      // Somebody else signed in since: their session has not been refused yet.
      if (session !== null && session.header !== stale) return session.header;
      session = null;
      return (await signIn(options)).header;
    },
  };
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
