/** Who may call: the logins of both APIs, and what their tokens open. A token of V3 opens V2, too. */
import { createHash } from 'node:crypto';
import { type Answer, type Call, json, readBody } from './answer.ts';
import type { Random } from './random.ts';
import { type Api, failure, Refusal } from './tilkee-route.ts';
import { secretCanary } from './tilkee-rows.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';

interface TilkeeCredentials {
  readonly username: string;
  readonly password: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly accessKey: string;
}

const defaultLifeSeconds: Readonly<Record<Api, number>> = { v3: 43_200, v2: 7200 };

const refused = (api: Api, status: number, message: string): Refusal =>
  new Refusal(
    json(api === 'v3' ? { detail: message } : { error: 'invalid_grant', error_description: message }, status),
  );

type Body = Readonly<Record<string, string>>;

export type TilkeeGatekeeper = ReturnType<typeof createGatekeeper>;

export function createGatekeeper(credentials: TilkeeCredentials, switches: TilkeeSwitches, random: Random) {
  /** Successful logins by grant, both APIs together; `burnt`: how often a refresh token came that had been replaced. */
  const signIns = { password: 0, refresh: 0, code: 0, burnt: 0 };
  const accessTokens = new Map<string, { readonly api: Api; readonly expiresAt: number }>();
  const refreshTokens = new Map<string, Api>();
  const burntTokens = new Set<string>();
  const codes = new Map<string, { readonly redirectUri: string; readonly challenge: string | undefined }>();
  const secret = (kind: string): string => `${secretCanary}${kind}-${random.hex(32)}`;

  function issueCode(redirectUri: string, challenge?: string): string {
    const code = secret('code');
    codes.set(code, { redirectUri, challenge });
    return code;
  }

  function refuse(call: Call, api: Api): Answer | undefined {
    const [, token = ''] = /^Bearer\s+(\S+)$/i.exec(call.headers.authorization ?? '') ?? [];
    if (!opens(token, api)) return unauthorized(api);
    const isUnnamed = api === 'v2' && !call.headers['x-tilk-ref'];
    return isUnnamed && switches.tilkRefRequired ? failure('v2', 403) : undefined;
  }

  function unauthorized(api: Api): Answer {
    if (api === 'v3') {
      const headers = { 'WWW-Authenticate': 'Bearer' };
      return { ...json({ detail: 'Could not validate credentials' }, 401), headers };
    }
    const error = { message: 'The access token is invalid' };
    const forms: Record<TilkeeSwitches['v2Unauthorized'], Answer> = {
      json: json({ status: 'unauthorized', body: { error } }, 401),
      html: { status: 401, body: '<html><body><h1>Unauthorized</h1></body></html>', type: 'html' },
      text: { status: 401, body: 'HTTP Token: Access denied.\n', type: 'text' },
      empty: { status: 401, body: '', type: 'text' },
    };
    return forms[switches.v2Unauthorized];
  }

  /** POST /v3/oauth/authorize/, and POST /oauth/token/ on V2's host: its older login. */
  function signIn(call: Call, api: Api): Answer {
    const body = readFields(call, api);
    checkClient(body, api, api === 'v3' && switches.clientRequired);
    need(body, 'grant_type', api);
    if (body.grant_type === 'refresh_token') return renew(body, api);
    if (body.grant_type !== 'password') throw refused(api, 400, 'Unsupported grant type');
    need(body, 'username password', api);
    const { username, password } = credentials;
    const isRight = body.username === username && body.password === password;
    if (!isRight) throw refused(api, 401, 'Incorrect username or password');
    signIns.password++;
    return answerTokens(api);
  }

  /** GET /v3/oauth/authorize/: what the browser gets after the sign-in there. */
  function redirectWithCode(call: Call): Answer {
    const query = Object.fromEntries(call.query);
    need(query, 'response_type client_id redirect_uri', 'v3');
    const { redirect_uri: redirectUri = '', code_challenge: challenge, state } = query;
    if (query.response_type !== 'code') throw refused('v3', 400, 'Unsupported response type');
    if (query.client_id !== credentials.clientId) throw refused('v3', 401, 'Unknown client');
    const isSha = challenge === undefined || query.code_challenge_method === 'S256';
    if (!isSha) throw refused('v3', 400, 'S256 is needed');
    const location = new URL(redirectUri);
    location.searchParams.set('code', issueCode(redirectUri, challenge));
    if (state !== undefined) location.searchParams.set('state', state);
    return { status: 302, body: '', type: 'text', headers: { Location: location.href } };
  }

  function exchangeCode(call: Call): Answer {
    const body = readFields(call, 'v3');
    need(body, 'grant_type client_id client_secret code', 'v3');
    if (body.grant_type !== 'authorization_code') throw refused('v3', 400, 'Unsupported grant type');
    checkClient(body, 'v3', true);
    const { code = '', code_verifier: verifier, redirect_uri: redirectUri } = body;
    const { pkce } = switches;
    if (pkce === 'refused' && verifier !== undefined) throw refused('v3', 422, 'Extra field code_verifier');
    const issued = codes.get(code);
    codes.delete(code);
    if (issued === undefined) throw refused('v3', 400, 'Unknown or used code');
    const sha = createHash('sha256')
      .update(verifier ?? '')
      .digest('base64url');
    const isVerified = pkce !== 'honoured' || issued.challenge === undefined || issued.challenge === sha;
    if (!isVerified) throw refused('v3', 400, 'Wrong verifier');
    if (redirectUri !== undefined && redirectUri !== issued.redirectUri) {
      throw refused('v3', 400, 'redirect_uri differs from the one of the code');
    }
    signIns.code++;
    return answerTokens('v3');
  }

  function opens(token: string, api: Api): boolean {
    if (token === credentials.accessKey) return api === 'v2';
    const known = accessTokens.get(token);
    if (!known || known.expiresAt <= Date.now()) return false;
    return known.api === api || (known.api === 'v3' && switches.v2TakesV3Tokens);
  }

  function renew(body: Body, api: Api): Answer {
    need(body, 'refresh_token', api);
    const { refresh_token: token = '' } = body;
    const { refresh } = switches;
    if (burntTokens.has(token)) signIns.burnt++;
    const expired = 'The refresh token has expired';
    if (refresh === 'fail401' || refresh === 'fail400') throw refused(api, Number(refresh.slice(4)), expired);
    if (refreshTokens.get(token) !== api) throw refused(api, 401, 'Unknown refresh token');
    signIns.refresh++;
    if (refresh === 'keep') return answerTokens(api, token);
    if (refresh === 'omit') return answerTokens(api, null);
    refreshTokens.delete(token);
    burntTokens.add(token);
    return answerTokens(api);
  }

  function answerTokens(api: Api, given?: string | null): Answer {
    const seconds = switches.expiresInSeconds ?? defaultLifeSeconds[api];
    const token = secret('access');
    accessTokens.set(token, { api, expiresAt: Date.now() + seconds * 1000 });
    const refresh = given === undefined ? secret('refresh') : given;
    if (refresh !== null) refreshTokens.set(refresh, api);
    return json({
      access_token: token,
      token_type: 'bearer',
      expires_in: seconds,
      ...(refresh !== null && { refresh_token: refresh }),
      ...(api === 'v2' && { scope: 'all' }),
    });
  }

  /** A client that is named must be right, also where none is needed. */
  function checkClient({ client_id: id, client_secret: secret }: Body, api: Api, isNeeded: boolean): void {
    if (id === undefined && secret === undefined && !isNeeded) return;
    const { clientId, clientSecret } = credentials;
    if (id !== clientId || secret !== clientSecret) throw refused(api, 401, 'Unknown client or wrong secret');
  }

  /** As the server's language does: of a body in another form than the one that is read nothing is seen. */
  function readFields(call: Call, api: Api): Body {
    const type = call.headers['content-type'] ?? '';
    const form = type.includes('application/x-www-form-urlencoded') ? 'form' : 'json';
    const { oauthBody } = switches;
    if (api === 'v3' && oauthBody !== 'any' && oauthBody !== form) return {};
    try {
      const fields = Object.entries(readBody(call)).filter(([, field]) => field !== null);
      return Object.fromEntries(fields.map(([key, field]) => [key, String(field)]));
    } catch {
      return {};
    }
  }

  return {
    signIns,
    /** Access tokens only, as if their time were over: refresh tokens and the key stay good. */
    revokeTokens: () => accessTokens.clear(),
    issueCode,
    refuse,
    unauthorized,
    signIn,
    redirectWithCode,
    exchangeCode,
  };
}

/** @throws Refusal that names the missing ones of the fields */
function need(body: Body, names: string, api: Api): void {
  const absent = names.split(' ').filter((name) => !body[name]);
  if (absent.length === 0) return;
  if (api === 'v2') throw new Refusal(json({ error: 'invalid_request' }, 400));
  const detail = absent.map((name) => ({ loc: ['body', name], msg: 'field required', type: 'value_error.missing' }));
  throw new Refusal(json({ detail }, 422));
}
