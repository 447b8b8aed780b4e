import { createHash } from 'node:crypto';
/** Who may call: the logins of both APIs, and what their tokens open. A token of V3 opens both APIs, one of V2 only V2. */
import type { Random } from './random.ts';
import { type Answer, type Call, json } from './serve.ts';
import { secretCanary } from './tilkee-documents.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';

export type Api = 'v2' | 'v3';

export interface TilkeeCredentials {
  readonly username: string;
  readonly password: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly accessKey: string;
}

/** Successful logins by grant, both APIs together; `burnt`: how often a refresh token came that had been replaced. */
export interface SignIns {
  password: number;
  refresh: number;
  code: number;
  burnt: number;
}

interface AccessToken {
  readonly api: Api;
  readonly expiresAt: number;
}

const defaultLifeSeconds: Readonly<Record<Api, number>> = { v3: 43_200, v2: 7200 };

/** A refused login: the status, and why. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

class MissingFields extends Error {
  readonly fields: readonly string[];

  constructor(fields: readonly string[]) {
    super(`missing ${fields.join()}`);
    this.fields = fields;
  }
}

type Body = Readonly<Record<string, string | undefined>>;

export class TilkeeGatekeeper {
  readonly signIns: SignIns = { password: 0, refresh: 0, code: 0, burnt: 0 };
  readonly #credentials: TilkeeCredentials;
  readonly #switches: TilkeeSwitches;
  readonly #random: Random;
  #accessTokens = new Map<string, AccessToken>();
  readonly #refreshTokens = new Map<string, Api>();
  readonly #burnt = new Set<string>();
  readonly #codes = new Map<string, { readonly redirectUri: string; readonly challenge: string | null }>();

  constructor(credentials: TilkeeCredentials, switches: TilkeeSwitches, random: Random) {
    this.#credentials = credentials;
    this.#switches = switches;
    this.#random = random;
  }

  expireTokens(): void {
    this.#accessTokens = new Map();
  }

  issueCode(redirectUri: string, challenge: string | null = null): string {
    const code = this.#secret('code');
    this.#codes.set(code, { redirectUri, challenge });
    return code;
  }

  /** Undefined when the caller may pass. */
  refuse(call: Call, api: Api): Answer | undefined {
    const [, token = ''] = /^Bearer\s+(\S+)$/i.exec(call.headers.authorization ?? '') ?? [];
    return this.#opens(token, api) ? undefined : this.unauthorized(api);
  }

  unauthorized(api: Api): Answer {
    if (api === 'v3') return { ...json({ detail: 'Could not validate credentials' }, 401), headers: bearer };
    switch (this.#switches.v2Unauthorized) {
      case 'json':
        return json({ status: 'unauthorized', body: { error: { message: 'The access token is invalid' } } }, 401);
      case 'html':
        return { status: 401, body: '<html><body><h1>Unauthorized</h1></body></html>', type: 'html' };
      case 'text':
        return { status: 401, body: 'HTTP Token: Access denied.\n', type: 'text' };
      case 'empty':
        return { status: 401, body: '', type: 'text' };
      default:
        throw new Error(`Unknown switch ${this.#switches.v2Unauthorized satisfies never}`);
    }
  }

  /** POST /v3/oauth/authorize/ */
  authorize(call: Call): Answer {
    return this.#v3Answer(() => {
      const body = this.#readBody(call);
      this.#checkClient(body, this.#switches.clientRequired);
      return this.#grant(body, 'v3');
    });
  }

  /** GET /v3/oauth/authorize/: what the browser is told once somebody has signed in there. */
  redirectWithCode(call: Call): Answer {
    return this.#v3Answer(() => {
      const query = Object.fromEntries(call.query);
      need(query, ['response_type', 'client_id', 'redirect_uri']);
      if (query.response_type !== 'code') throw new Refusal(400, 'Unsupported response type');
      if (query.client_id !== this.#credentials.clientId) throw new Refusal(401, 'Unknown client');
      const location = new URL(query.redirect_uri ?? '');
      const challenge = query.code_challenge ?? null;
      if (challenge !== null && query.code_challenge_method !== 'S256') throw new Refusal(400, 'S256 is needed');
      location.searchParams.set('code', this.issueCode(query.redirect_uri ?? '', challenge));
      if (query.state !== undefined) location.searchParams.set('state', query.state);
      return { status: 302, body: '', type: 'text', headers: { Location: location.href } };
    });
  }

  /** POST /v3/oauth/token/ */
  exchangeCode(call: Call): Answer {
    return this.#v3Answer(() => {
      const body = this.#readBody(call);
      need(body, ['grant_type', 'client_id', 'client_secret', 'code']);
      if (body.grant_type !== 'authorization_code') throw new Refusal(400, 'Unsupported grant type');
      this.#checkClient(body, true);
      const { pkce } = this.#switches;
      if (pkce === 'refused' && body.code_verifier !== undefined) throw new Refusal(422, 'Extra field code_verifier');
      const issued = this.#codes.get(body.code ?? '');
      this.#codes.delete(body.code ?? '');
      if (issued === undefined) throw new Refusal(400, 'Unknown or used code');
      const { redirectUri, challenge } = issued;
      const verified = createHash('sha256')
        .update(body.code_verifier ?? '')
        .digest('base64url');
      if (pkce === 'honoured' && challenge !== null && verified !== challenge) throw new Refusal(400, 'Wrong verifier');
      if (body.redirect_uri !== undefined && body.redirect_uri !== redirectUri) {
        throw new Refusal(400, 'redirect_uri differs from the one of the code');
      }
      this.signIns.code++;
      return this.#tokens('v3');
    });
  }

  /** POST /oauth/token/ on V2's host: its older login. */
  signInOnV2(call: Call): Answer {
    try {
      const body = parseBody(call);
      this.#checkClient(body, false);
      return this.#grant(body, 'v2');
    } catch (error) {
      if (error instanceof Refusal)
        return json({ error: 'invalid_grant', error_description: error.message }, error.status);
      if (error instanceof MissingFields) return json({ error: 'invalid_request' }, 400);
      throw error;
    }
  }

  #opens(token: string, api: Api): boolean {
    if (token === this.#credentials.accessKey) return api === 'v2';
    const known = this.#accessTokens.get(token);
    if (!known || known.expiresAt <= Date.now()) return false;
    return known.api === api || (known.api === 'v3' && this.#switches.v2TakesV3Tokens);
  }

  #v3Answer(act: () => Answer): Answer {
    try {
      return act();
    } catch (error) {
      if (error instanceof Refusal) return json({ detail: error.message }, error.status);
      if (error instanceof MissingFields) return missing(error.fields);
      throw error;
    }
  }

  #grant(body: Body, api: Api): Answer {
    need(body, ['grant_type']);
    if (body.grant_type === 'refresh_token') return this.#refresh(body, api);
    if (body.grant_type !== 'password') throw new Refusal(400, 'Unsupported grant type');
    need(body, ['username', 'password']);
    const { username, password } = this.#credentials;
    if (body.username !== username || body.password !== password) {
      throw new Refusal(401, 'Incorrect username or password');
    }
    this.signIns.password++;
    return this.#tokens(api);
  }

  #refresh(body: Body, api: Api): Answer {
    need(body, ['refresh_token']);
    const token = body.refresh_token ?? '';
    const { refresh } = this.#switches;
    if (this.#burnt.has(token)) this.signIns.burnt++;
    if (refresh === 'fail401') throw new Refusal(401, 'The refresh token has expired');
    if (refresh === 'fail400') throw new Refusal(400, 'The refresh token has expired');
    if (this.#refreshTokens.get(token) !== api) throw new Refusal(401, 'Unknown refresh token');
    this.signIns.refresh++;
    if (refresh === 'keep') return this.#tokens(api, token);
    if (refresh === 'omit') return this.#tokens(api, null);
    this.#refreshTokens.delete(token);
    this.#burnt.add(token);
    return this.#tokens(api);
  }

  /** With the given refresh token, a new one, or none. */
  #tokens(api: Api, given?: string | null): Answer {
    const seconds = this.#switches.expiresInSeconds ?? defaultLifeSeconds[api];
    const token = this.#secret('access');
    this.#accessTokens.set(token, { api, expiresAt: Date.now() + seconds * 1000 });
    const refresh = given === undefined ? this.#secret('refresh') : given;
    if (refresh !== null) this.#refreshTokens.set(refresh, api);
    return json({
      access_token: token,
      token_type: 'bearer',
      expires_in: seconds,
      ...(refresh !== null && { refresh_token: refresh }),
      ...(api === 'v2' && { scope: 'all' }),
    });
  }

  /** A client that is named must be right, also where none is needed. */
  #checkClient({ client_id: id, client_secret: secret }: Body, isNeeded: boolean): void {
    if (id === undefined && secret === undefined && !isNeeded) return;
    const { clientId, clientSecret } = this.#credentials;
    if (id !== clientId || secret !== clientSecret) throw new Refusal(401, 'Unknown client or wrong secret');
  }

  #secret(kind: string): string {
    return `${secretCanary}${kind}-${this.#random.hex(32)}`;
  }

  #readBody(call: Call): Body {
    const { oauthBody } = this.#switches;
    const isRead = oauthBody === 'any' || oauthBody === formOf(call);
    // As the server's language does: of a body in the other form nothing is seen.
    return isRead ? parseBody(call) : {};
  }
}

const bearer = { 'WWW-Authenticate': 'Bearer' };

function need(body: Body, fields: readonly string[]): void {
  const absent = fields.filter((field) => !body[field]);
  if (absent.length > 0) throw new MissingFields(absent);
}

function missing(fields: readonly string[]): Answer {
  const detail = fields.map((field) => ({ loc: ['body', field], msg: 'field required', type: 'value_error.missing' }));
  return json({ detail }, 422);
}

function formOf(call: Call): 'form' | 'json' | undefined {
  const type = call.headers['content-type'] ?? '';
  if (type.includes('application/x-www-form-urlencoded')) return 'form';
  return type.includes('json') ? 'json' : undefined;
}

function parseBody(call: Call): Body {
  const form = formOf(call);
  if (form === 'form') return Object.fromEntries(new URLSearchParams(call.body));
  if (form !== 'json') return {};
  try {
    const value: unknown = JSON.parse(call.body);
    const fields = Object.entries(typeof value === 'object' && value !== null ? value : {});
    return Object.fromEntries(fields.filter(([, field]) => field !== null).map(([key, field]) => [key, String(field)]));
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
