import { createHash } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { AuthError } from '../../errors.ts';
import type { RefusalGuard } from '../../http/refusal-guard.ts';
import type { Upstream } from '../../http/upstream.ts';
import type { Logger } from '../../logger.ts';
import type { FetchOptions } from '../../stream.ts';
import { createSession, fixedHeader, type HeaderSource, type SignInSession } from '../session.ts';
import { grantByPassword, grantByRefreshToken, type OauthAuth } from './oauth.ts';
import type { KeptSignIn, TilkeeSettings, TokenVault } from './parts.ts';

/**
 * One account's way in, shared by everything in this process that uses the account, and through the vault by all.
 *
 *   session still good -> vault's tokens -> vault's refresh token -> the configured refresh token -> the password
 *
 * A refresh token may work only once. So a grant runs inside `vault.exclusive`, and the first process inside looks
 * whether another process has left a fresh sign-in there.
 */
export interface TilkeeSignIn extends HeaderSource {
  readonly kind: 'oauth' | 'key';
  /** A person asked: see `RefusalGuard.retry`. */
  retryRefused(): void;
}

interface TilkeeSignInParts {
  readonly settings: Pick<TilkeeSettings, 'id' | 'auth' | 'authUrl' | 'authBody' | 'scope'>;
  readonly upstream: Upstream;
  readonly vault: TokenVault;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly guard: RefusalGuard;
}

export function createTilkeeSignIn(parts: TilkeeSignInParts): TilkeeSignIn {
  const { auth } = parts.settings;
  return auth.kind === 'key' ? keySignIn(auth.accessToken, parts.guard) : oauthSignIn(parts, auth);
}

function keySignIn(accessToken: string, guard: RefusalGuard): TilkeeSignIn {
  const message =
    'Tilkee V2 refuses this key; put a valid one into TILKEE_ACCESS_TOKEN (the developer area of the web app has it), and check TILKEE_REF';
  const refused = () => new AuthError('auth_failed', message);
  return { kind: 'key', ...fixedHeader(`Bearer ${accessToken}`, guard, refused), retryRefused: guard.retry };
}

function oauthSignIn(parts: TilkeeSignInParts, auth: OauthAuth): TilkeeSignIn {
  const { settings, upstream, vault, clock, logger, guard } = parts;
  const grant = { settings, auth, upstream, clock };
  const hasPassword = auth.username !== null && auth.password !== null;
  /** Refresh tokens that Tilkee refused to this process; each is tried once. */
  const refusedTokens = new Set<string>();
  let lastRefusal: AuthError | null = null;
  /** The result of the last grant, which the vault may not have kept, and the vault's content then. */
  let granted: { readonly fresh: KeptSignIn; readonly over: KeptSignIn | null } | null = null;

  async function signInAnew(stored: KeptSignIn | null, options: FetchOptions): Promise<KeptSignIn> {
    const ways = refreshTokens(stored).filter((token) => !refusedTokens.has(token));
    for (const [index, token] of ways.entries()) {
      const isLast = index === ways.length - 1 && !hasPassword;
      try {
        return await grantByRefreshToken(grant, token, options);
      } catch (error) {
        if (!(error instanceof AuthError)) throw error;
        // A process whose turn was given to us, because it slept too long in it, may have used the token up.
        const left = await session.peek();
        if (left?.accessToken !== stored?.accessToken && session.isGood(left)) return left;
        refusedTokens.add(token);
        lastRefusal = error;
        if (isLast) throw error;
        logger.warn({ connection: settings.id }, 'Tilkee refused a refresh token; trying the next way in');
      }
    }
    if (hasPassword) return guard.signIn(() => grantByPassword(grant, options));
    if (lastRefusal !== null) throw lastRefusal;
    throw new AuthError(
      'auth_failed',
      'there is no Tilkee sign-in to go on with; run `leadmirror tilkee login`, or set TILKEE_USERNAME and TILKEE_PASSWORD, or TILKEE_REFRESH_TOKEN',
    );
  }

  /** In the order of trying. This process's own goes first only where the vault's content is still the same. */
  function refreshTokens(stored: KeptSignIn | null): readonly string[] {
    const isUnkept = granted !== null && granted.over?.accessToken === stored?.accessToken;
    const own = isUnkept ? (granted?.fresh.refreshToken ?? null) : null;
    return [...new Set([own, stored?.refreshToken ?? null, auth.refreshToken])].filter((token) => token !== null);
  }

  const session: SignInSession<KeptSignIn> = createSession<KeptSignIn>({
    vault,
    headerOf: ({ accessToken }) => `Bearer ${accessToken}`,
    isUsable: (one) => !isEnding(one, clock.now()),
    async signIn(stored, options) {
      const fresh = await signInAnew(stored, options);
      granted = { fresh, over: stored };
      return fresh;
    },
    replacesUnreadable: hasPassword,
  });
  return {
    kind: 'oauth',
    header: session.header,
    renew: session.renew,
    retryRefused() {
      refusedTokens.clear();
      guard.retry();
    },
  };
}

/** No secret. Accounts that differ only by a browser sign-in are distinguished by their connection. */
export function vaultName(settings: Pick<TilkeeSettings, 'id' | 'auth' | 'authUrl'>): string {
  return nameOf(settings.authUrl, settings);
}

/** Server and account in one name without a secret: connections with the same name share budget and sign-in. */
export function tilkeeCredential(settings: Pick<TilkeeSettings, 'id' | 'auth' | 'v3Url'>): string {
  return nameOf(settings.v3Url, settings);
}

function nameOf(url: string, { id, auth }: Pick<TilkeeSettings, 'id' | 'auth'>): string {
  const digest = createHash('sha256').update(accountOf(id, auth)).digest('hex').slice(0, 16);
  return `tilkee:${new URL(url).host}:${digest}`;
}

function accountOf(connectionId: string, auth: TilkeeSettings['auth']): string {
  if (auth.kind === 'key') return `key ${auth.accessToken}`;
  if (auth.username !== null) return `user ${auth.username.toLowerCase()}`;
  if (auth.clientId !== null) return `client ${auth.clientId} ${connectionId}`;
  return `refresh token ${auth.refreshToken ?? ''}`;
}

const EARLY_MS = 5 * 60_000;

/** Less than five minutes left; for a token that lives less than ten, less than half of its life. */
export function isEnding({ expiresAt, obtainedAt }: KeptSignIn, now: number): boolean {
  const life = obtainedAt === undefined ? Number.POSITIVE_INFINITY : expiresAt - obtainedAt;
  return expiresAt - now < Math.min(EARLY_MS, life / 2);
}
