import { createHash } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { AuthError, UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import type { RequestOptions, Upstream } from '../../http/upstream.ts';
import { asNumber, asText, isObject } from '../coerce.ts';
import { isOwnRefusal } from './api.ts';
import type { KeptSignIn, TilkeeAuth, TilkeeSettings } from './parts.ts';

/**
 * The ways into a Tilkee account. Password and refresh token go to the *authorize* address, the code of the browser to
 * the *token* address (published connector files of 2022; not tried on a live server).
 *
 * A refusal is reported by its status only: the text of the answer may repeat what was sent.
 */

export type OauthAuth = Extract<TilkeeAuth, { kind: 'oauth' }>;

export interface GrantParts {
  readonly settings: Pick<TilkeeSettings, 'authUrl' | 'authBody' | 'scope'>;
  readonly auth: OauthAuth;
  readonly upstream: Upstream;
  readonly clock: Clock;
}

/** @throws AuthError (`auth_failed`) when Tilkee refuses, and what the http layer throws */
export function grantByPassword(parts: GrantParts, options: RequestOptions): Promise<KeptSignIn> {
  const { username, password } = parts.auth;
  if (username === null || password === null) throw new Error('no user name and password to sign in with');
  const fields = { grant_type: 'password', username, password, scope: parts.settings.scope };
  return ask(parts, { path: '/oauth/authorize/', options, refused: REFUSED.password }, fields);
}

/**
 * The server may end the old refresh token: what this returns must be kept, or the account is locked out.
 * @throws AuthError (`auth_failed`) when Tilkee refuses, and what the http layer throws
 */
export async function grantByRefreshToken(
  parts: GrantParts,
  refreshToken: string,
  options: RequestOptions,
): Promise<KeptSignIn> {
  const fields = { grant_type: 'refresh_token', refresh_token: refreshToken, scope: parts.settings.scope };
  const fresh = await ask(parts, { path: '/oauth/authorize/', options, refused: REFUSED.refreshToken }, fields);
  return { ...fresh, refreshToken: fresh.refreshToken ?? refreshToken };
}

/**
 * With a verifier (PKCE, RFC 7636), the code is of no use to others who see it. A server that finds an unknown field
 * (422) is asked again without. @throws as the other grants
 */
export function grantByCode(
  parts: GrantParts,
  { code, redirectUri, verifier }: { readonly code: string; readonly redirectUri: string; readonly verifier?: string },
  options: RequestOptions,
): Promise<KeptSignIn> {
  const fields = { grant_type: 'authorization_code', code, redirect_uri: redirectUri };
  const question = { path: '/oauth/token/', options, refused: REFUSED.code };
  const without = () => ask(parts, question, fields);
  if (verifier === undefined) return without();
  return ask(parts, { ...question, onUnknownField: without }, { ...fields, code_verifier: verifier });
}

/** Where a person signs in with the browser; the web app's host, which is not the one that the grants go to. */
export function authorizeUrl(
  settings: Pick<TilkeeSettings, 'appUrl'>,
  asked: Readonly<Record<'clientId' | 'redirectUri' | 'state' | 'verifier', string>>,
): string {
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: asked.clientId,
    redirect_uri: asked.redirectUri,
    state: asked.state,
    scope: 'all',
    code_challenge: createHash('sha256').update(asked.verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  return `${settings.appUrl}/v3/oauth/authorize/?${query}`;
}

const REFUSED = {
  password:
    'Tilkee refused the user name or password; check TILKEE_USERNAME and TILKEE_PASSWORD (and TILKEE_CLIENT_ID and TILKEE_CLIENT_SECRET where they are set)',
  refreshToken:
    'Tilkee refused the refresh token; run `leadmirror tilkee login`, or set a fresh TILKEE_REFRESH_TOKEN (and check TILKEE_CLIENT_ID and TILKEE_CLIENT_SECRET where they are set)',
  code: 'Tilkee refused the code of the browser; it works once and for a short time: run `leadmirror tilkee login` again (and check TILKEE_CLIENT_ID, TILKEE_CLIENT_SECRET, and that the redirect URI is the one registered with Tilkee)',
} as const;

/** Statuses by which servers of this kind refuse a grant; which of them Tilkee uses is not published. */
const REFUSALS: readonly number[] = [400, 401, 403, 422];

/** Where the answer does not contain a token's lifetime: asked for anew early rather than used too long. */
const UNTOLD_LIFE_SECONDS = 3600;

interface Question {
  readonly path: string;
  readonly options: RequestOptions;
  readonly refused: string;
  readonly onUnknownField?: () => Promise<KeptSignIn>;
}

async function ask(
  { settings, auth, upstream, clock }: GrantParts,
  { path, options, refused, onUnknownField }: Question,
  fields: Readonly<Record<string, string | null>>,
): Promise<KeptSignIn> {
  const all = Object.entries({ ...fields, client_id: auth.clientId, client_secret: auth.clientSecret });
  const given = all.filter((field): field is [string, string] => field[1] !== null);
  const isForm = settings.authBody === 'form';
  // Of the try that was answered: the time of the answer's way is never taken for life.
  let askedAt = clock.now();
  const onRequest = () => {
    askedAt = clock.now();
    options.onRequest?.();
  };
  const { status, body } = await upstream.request(
    {
      method: 'POST',
      url: `${settings.authUrl}${path}`,
      headers: {
        accept: 'application/json',
        'content-type': `application/${isForm ? 'x-www-form-urlencoded' : 'json'}`,
      },
      body: isForm ? new URLSearchParams(given).toString() : JSON.stringify(Object.fromEntries(given)),
    },
    { ...options, lane: 'fast', onRequest, isOwnRefusal: (refusal) => isOwnRefusal('v2', refusal) },
  );
  if (status === 422 && onUnknownField !== undefined) return onUnknownField();
  if (REFUSALS.includes(status)) throw new AuthError('auth_failed', `${refused}${hint(status)}`);
  if (status < 200 || status > 299) {
    const message = `the sign-in address answered with status ${status}; check TILKEE_AUTH_URL`;
    throw new UpstreamRefusedError('wrong_base_url', message, { status });
  }
  return readSignIn(body, askedAt);
}

/** The statuses that a server also sends when it could not read the question. */
function hint(status: number): string {
  return status === 400 || status === 422 ? '; if all of that is right, try the other TILKEE_AUTH_BODY' : '';
}

function readSignIn(body: unknown, askedAt: number): KeptSignIn {
  const answer = isObject(body) ? body : {};
  const accessToken = asText(answer.access_token);
  if (accessToken === null || accessToken === '') {
    const message = 'the sign-in answer holds no access token; check TILKEE_AUTH_URL';
    throw new UpstreamContractError('unexpected_shape', message);
  }
  const lifetime = asNumber(answer.expires_in);
  const seconds = lifetime !== null && lifetime > 0 ? lifetime : UNTOLD_LIFE_SECONDS;
  return {
    accessToken,
    refreshToken: asText(answer.refresh_token) || null,
    obtainedAt: askedAt,
    expiresAt: Math.floor(askedAt + seconds * 1000),
  };
}
