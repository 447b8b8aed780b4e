import { createHash } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { AuthError, ConfigError } from '../../errors.ts';
import type { RefusalGuard } from '../../http/refusal-guard.ts';
import type { Upstream } from '../../http/upstream.ts';
import type { Logger } from '../../logger.ts';
import type { FetchOptions } from '../../stream.ts';
import { shared } from '../shared-work.ts';
import { grantByPassword, grantByRefreshToken, type OauthAuth } from './oauth.ts';
import type { TilkeeSettings } from './parts.ts';
import type { KeptSignIn, TokenVault } from './vault.ts';

/**
 * One account's way in, shared by everything in this process that uses the account, and through the vault by all processes.
 *
 *   session still good -> vault's tokens -> vault's refresh token -> the configured refresh token -> the password
 *
 * A refresh token may work only once. So a grant runs inside `vault.exclusive`, and whoever gets inside first looks whether somebody else has left
 * a fresh sign-in there.
 */
export interface TilkeeSignIn {
  readonly kind: 'oauth' | 'key';
  /** The Authorization header; signs in when that was not done yet, or when the sign-in is about to expire. */
  header(options: FetchOptions): Promise<string>;
  /**
   * Another header after `stale` was refused. Many callers at once cause one sign-in.
   * @throws AuthError when there is none to be had
   */
  renew(stale: string, options: FetchOptions): Promise<string>;
  /** The next sign-in is tried although the last one was refused: a person asked for it. */
  forgetRefusal(): void;
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
  return {
    kind: 'key',
    forgetRefusal: guard.forget,
    async header() {
      await guard.assertUnrefused();
      return `Bearer ${accessToken}`;
    },
    async renew() {
      const refused = new AuthError(
        'auth_failed',
        'Tilkee V2 refuses this key; put a valid one into TILKEE_ACCESS_TOKEN (the developer area of the web app has it), and check TILKEE_REF',
      );
      throw await guard.refuse(refused);
    },
  };
}

function oauthSignIn(parts: TilkeeSignInParts, auth: OauthAuth): TilkeeSignIn {
  const { settings, upstream, vault, clock, logger, guard } = parts;
  const grant = { settings, auth, upstream, clock };
  const hasPassword = auth.username !== null && auth.password !== null;
  let session: KeptSignIn | null = null;
  /** The access token that Tilkee refused last, wherever it comes from. */
  let refused: string | null = null;
  /** Refresh tokens that Tilkee refused to this process; each is tried once. */
  const refusedTokens = new Set<string>();
  let lastRefusal: AuthError | null = null;
  /** What a grant brought and the vault could not keep, and what the vault held then. */
  let unkept: { readonly fresh: KeptSignIn; readonly over: KeptSignIn | null } | null = null;

  const isGood = (one: KeptSignIn | null): one is KeptSignIn =>
    one !== null && one.accessToken !== refused && !isEnding(one, clock.now());

  /** What is kept; whoever has a password does not need what cannot be opened. */
  const peek = () =>
    vault.peek().catch((error: unknown) => {
      if (hasPassword && error instanceof ConfigError) return null;
      throw error;
    });

  async function enter(options: FetchOptions): Promise<KeptSignIn> {
    const kept = await peek();
    if (isGood(kept)) return kept;
    const found = await vault.exclusive(
      async (stored) => {
        if (isGood(stored)) return { value: stored };
        const fresh = await signInAnew(stored, options);
        // At once, so that a vault that cannot keep it does not lose it for this process too.
        session = fresh;
        unkept = { fresh, over: stored };
        return { value: fresh, store: fresh };
      },
      { signal: options.signal, maxWaitMs: options.maxWaitMs, overwriteUnreadable: hasPassword },
    );
    unkept = null;
    return found;
  }

  async function signInAnew(stored: KeptSignIn | null, options: FetchOptions): Promise<KeptSignIn> {
    const ways = refreshTokens(stored).filter((token) => !refusedTokens.has(token));
    for (const [index, token] of ways.entries()) {
      const isLast = index === ways.length - 1 && !hasPassword;
      try {
        return await grantByRefreshToken(grant, token, options);
      } catch (error) {
        if (!(error instanceof AuthError)) throw error;
        // Somebody whose turn had been given to us, because they slept too long in it, may have used the token up.
        const left = await peek();
        if (left?.accessToken !== stored?.accessToken && isGood(left)) return left;
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

  /** In the order of trying. This process's own goes first only where the vault could not keep it, and while nobody has left another one there since. */
  function refreshTokens(stored: KeptSignIn | null): readonly string[] {
    const own = unkept !== null && unkept.over?.accessToken === stored?.accessToken ? unkept.fresh.refreshToken : null;
    return [...new Set([own, stored?.refreshToken ?? null, auth.refreshToken])].filter((token) => token !== null);
  }

  const enterOnce = shared(enter);

  async function goodSession(options: FetchOptions): Promise<KeptSignIn> {
    if (!isGood(session)) session = await enterOnce(options);
    return session;
  }

  return {
    kind: 'oauth',
    forgetRefusal() {
      refusedTokens.clear();
      guard.forget();
    },
    header: async (options) => headerOf(await goodSession(options)),
    async renew(stale, options) {
      // Somebody else signed in since: their session has not been refused yet.
      if (session === null || headerOf(session) === stale) refused = stale.slice(SCHEME.length);
      const fresh = headerOf(await goodSession(options));
      // A sign-in that was under way already may have brought the refused one back from the vault.
      return fresh === stale ? headerOf(await goodSession(options)) : fresh;
    },
  };
}

/**
 * The name under which an account's sign-in is kept; no secret. Accounts that only a browser sign-in tells apart are told apart by their connection, so that
 * two of them with one client id never take each other's place.
 */
export function vaultName(settings: Pick<TilkeeSettings, 'id' | 'auth' | 'authUrl'>): string {
  return nameOf(settings.authUrl, settings);
}

/** Server and account in one word that holds no secret: connections with the same one share budget and sign-in. */
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

const SCHEME = 'Bearer ';

const headerOf = ({ accessToken }: KeptSignIn): string => `${SCHEME}${accessToken}`;

const EARLY_MS = 5 * 60_000;

/** Less than five minutes left; for a token that lives less than ten, less than half of its life. */
export function isEnding({ expiresAt, obtainedAt }: KeptSignIn, now: number): boolean {
  const life = obtainedAt === undefined ? Number.POSITIVE_INFINITY : expiresAt - obtainedAt;
  return expiresAt - now < Math.min(EARLY_MS, life / 2);
}
