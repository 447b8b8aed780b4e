import { createHash } from 'node:crypto';
import { AuthError, UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import type { RefusalGuard } from '../../http/refusal-guard.ts';
import type { Upstream } from '../../http/upstream.ts';
import { asId, asText, isObject } from '../coerce.ts';
import { createSession, fixedHeader, type HeaderSource, type SignInSession } from '../session.ts';
import type { Vault } from '../vault.ts';
import { isOwnRefusal } from './own-refusal.ts';

export type Credentials =
  | { readonly kind: 'jwt' | 'basic'; readonly email: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string };

/** One credential's way in, shared by all projects that use it: one sign-in serves them all. */
export interface SignIn extends HeaderSource {
  readonly kind: Credentials['kind'];
  /** Id of the signed-in user; null when only the server knows it. */
  userId(): string | null;
  /** Remembers that what it signed in with is refused. Returns the error. */
  refuse(error: AuthError): Promise<AuthError>;
  /** A person asked: see `RefusalGuard.retry`. */
  retryRefused(): void;
}

/** What the vault keeps of a sign-in, so that a restart or another machine needs none of its own. */
export interface KeptSession {
  readonly header: string;
  readonly userId: string | null;
  /** A digest of the password it was got with: another configured password may be wrong, and does not use it. */
  readonly passwordDigest: string;
}

interface SignInParts {
  readonly settings: { readonly baseUrl: string; readonly auth: Credentials };
  readonly upstream: Upstream;
  readonly vault: Vault<KeptSession>;
  readonly guard: RefusalGuard;
}

export function createTiledeskSignIn({ settings, ...parts }: SignInParts): SignIn {
  const { guard } = parts;
  const { auth, baseUrl } = settings;
  const { kind } = auth;
  const shared = { kind, refuse: guard.refuse, retryRefused: guard.retry };
  if (kind === 'token') {
    const message = 'Tiledesk refused the token; put a fresh one into TILEDESK_TOKEN';
    const refused = () => new AuthError('auth_failed', message);
    return { ...shared, ...fixedHeader(auth.token, guard, refused), userId: () => null };
  }
  if (kind === 'basic') {
    const pair = Buffer.from(`${auth.email}:${auth.password}`, 'utf8').toString('base64');
    return { ...shared, ...fixedHeader(`Basic ${pair}`, guard, wrongPassword), userId: () => null };
  }
  const session = signInByPassword({ ...parts, ...auth, baseUrl });
  const { header, renew } = session;
  return { ...shared, header, renew, userId: () => session.current?.userId ?? null };
}

type PasswordParts = Omit<SignInParts, 'settings'> & Readonly<Record<'baseUrl' | 'email' | 'password', string>>;

function signInByPassword({ baseUrl, email, password, ...parts }: PasswordParts): SignInSession<KeptSession> {
  const { upstream, vault, guard } = parts;
  const passwordDigest = createHash('sha256').update(password).digest('hex');
  const request = {
    method: 'POST',
    url: `${baseUrl}/auth/signin`,
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ email, password }),
  } as const;
  return createSession<KeptSession>({
    vault,
    headerOf: ({ header }) => header,
    isUsable: (session) => session.passwordDigest === passwordDigest,
    signIn: (_stored, options) =>
      guard.signIn(async () => {
        const { status, body } = await upstream.request(request, { ...options, lane: 'fast', isOwnRefusal });
        return { ...readSignIn(status, body), passwordDigest };
      }),
    replacesUnreadable: true,
  });
}

/** The token already begins with `JWT` and is sent as it is; it has no expiry (seen in server 2.19). */
function readSignIn(status: number, body: unknown): Omit<KeptSession, 'passwordDigest'> {
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
