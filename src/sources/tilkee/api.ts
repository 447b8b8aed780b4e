import { AuthError, UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import type { RequestOptions, Upstream, UpstreamResponse } from '../../http/upstream.ts';
import type { AccountFacts, FetchOptions } from '../../stream.ts';
import { asBoolean, asInteger, asText, isObject } from '../coerce.ts';
import type { TilkeeApi, TilkeeApiName, TilkeeGetOptions, TilkeeSettings } from './parts.ts';
import type { TilkeeSignIn } from './sign-in.ts';

interface TilkeeApiParts {
  readonly settings: Pick<TilkeeSettings, 'auth' | 'v3Url' | 'v2Url' | 'ref'>;
  readonly signIn: TilkeeSignIn;
  readonly upstream: Upstream;
}

export type TilkeeAccountApi = ReturnType<typeof createTilkeeApi>;

interface BadParameter {
  readonly name: string;
  /** What the server allows at most (or at least), where it reports that. */
  readonly limit: number | null;
}

/** A 422 with what the server reports about the question. Its text is not kept, only names and numbers. */
export class BadParameterError extends UpstreamRefusedError {
  readonly parameters: readonly BadParameter[];

  constructor(message: string, parameters: readonly BadParameter[]) {
    super('bad_parameter', message, { status: 422 });
    this.parameters = parameters;
  }
}

export function createTilkeeApi({ settings, signIn, upstream }: TilkeeApiParts) {
  const baseUrl = { v3: settings.v3Url, v2: settings.v2Url };
  /** The header that an API refused though it was fresh: no further sign-in for its sake. */
  const refusedFresh: Record<TilkeeApiName, string | null> = { v3: null, v2: null };
  const has = (api: TilkeeApiName) => api === 'v2' || signIn.kind === 'oauth';

  async function get(api: TilkeeApiName, path: string, query: URLSearchParams, options: TilkeeGetOptions) {
    if (!has(api)) throw keyOpensV2Only();
    const url = `${baseUrl[api]}${path}${query.size > 0 ? `?${query}` : ''}`;
    const response = await send(api, url, options);
    if (response.status !== 200) throw refusal(response, { api, path, query, signIn });
    return response;
  }

  async function send(api: TilkeeApiName, url: string, options: TilkeeGetOptions): Promise<UpstreamResponse> {
    const header = await signIn.header(options);
    const isOwn = (response: UpstreamResponse) => isOwnRefusal(api, response);
    // Any 401 asks for a fresh sign-in: V2 may write it in many forms. The second has to be in Tilkee's own.
    const isOwnAtFirst = (response: UpstreamResponse) =>
      (response.status === 401 && signIn.kind === 'oauth') || isOwn(response);
    const response = await sendWith(header, api, url, { ...options, isOwnRefusal: isOwnAtFirst });
    if (response.status !== 401) refusedFresh[api] = null;
    if (response.status !== 401 || header === refusedFresh[api]) return response;
    const fresh = await signIn.renew(header, options);
    const again = await sendWith(fresh, api, url, { ...options, isOwnRefusal: isOwn });
    refusedFresh[api] = again.status === 401 ? fresh : null;
    return again;
  }

  function sendWith(
    authorization: string,
    api: TilkeeApiName,
    url: string,
    options: TilkeeGetOptions & Pick<RequestOptions, 'isOwnRefusal'>,
  ) {
    const headers: Record<string, string> = { authorization, accept: 'application/json' };
    if (api === 'v2') headers['x-tilk-ref'] = settings.ref;
    // With an underscore, as every public client writes it.
    if (api === 'v2' && options.actAs !== undefined) headers.user_id = options.actAs;
    return upstream.request({ method: 'GET', url, headers }, options);
  }

  /** The account as one API sees it. A base address without this is a wrong one. */
  async function fetchMe(api: TilkeeApiName, options: FetchOptions): Promise<Readonly<Record<string, unknown>>> {
    const variable = api === 'v3' ? 'TILKEE_V3_URL' : 'TILKEE_V2_URL';
    try {
      const { body } = await get(api, '/users/me/', new URLSearchParams(), options);
      if (isObject(body)) return body;
    } catch (error) {
      if (!(error instanceof UpstreamRefusedError) || error.status !== 404) throw error;
      const message = `${nameOf[api]} does not know /users/me/; check ${variable}`;
      throw new UpstreamRefusedError('wrong_base_url', message, { status: 404, cause: error });
    }
    const message = `${nameOf[api]} did not describe the account; check ${variable}`;
    throw new UpstreamContractError('unexpected_shape', message);
  }

  const api: TilkeeApi = { has, get };
  return {
    ...api,
    /** Asks for the account itself: the sign-in works, on V3 where the account has it. */
    async openAccount(options: FetchOptions): Promise<AccountFacts> {
      if (has('v3')) {
        await fetchMe('v3', options);
        return { summary: 'V3 sign-in' };
      }
      return { summary: `V2 key${companyWide(await fetchMe('v2', options))}` };
    },
    /** Sends one request: may the account use this API? Returns a human-readable line. @throws what `get` throws */
    async check(api: TilkeeApiName, options: FetchOptions): Promise<string> {
      if (!has(api)) return 'closed to this account: TILKEE_ACCESS_TOKEN opens V2 only';
      return `open${companyWide(await fetchMe(api, options))}`;
    },
  };
}

/**
 * V3 writes `{"detail": …}` (documented), V2 `{"status": …, "body": {…}}`, a code of OAuth as `{"error": …}`, or the
 * text of its check of keys (public clients). A problem document (`title`, `type`) or the error of a framework
 * (`timestamp`, `path`, `message`) is not Tilkee's.
 */
export function isOwnRefusal(api: TilkeeApiName, { status, body }: Pick<UpstreamResponse, 'status' | 'body'>): boolean {
  if (!isObject(body)) return api === 'v2' && status === 401 && /^HTTP \w+: Access denied/.test(asText(body) ?? '');
  if (api === 'v2' && typeof body.status === 'string' && isObject(body.body)) return true;
  const isPlain = Object.keys(body).every((name) => PLAIN_FIELDS.includes(name));
  if (typeof body.detail === 'string' || Array.isArray(body.detail)) return isPlain;
  return api === 'v2' && isPlain && OAUTH_CODE.test(asText(body.error) ?? '');
}

const PLAIN_FIELDS = ['detail', 'error', 'error_description'];

/** A code such as `invalid_grant` (RFC 6749, 5.2); gateways write a sentence. */
const OAUTH_CODE = /^[a-z]+(_[a-z]+)*$/;

const nameOf: Readonly<Record<TilkeeApiName, string>> = { v3: 'Tilkee V3', v2: 'Tilkee V2' };

/** V2 only: the owner of the company sees more than their own. What `level_id` counts is not published. */
function companyWide({ is_owner }: Readonly<Record<string, unknown>>): string {
  const isOwner = asBoolean(is_owner);
  return isOwner === null ? '' : `, company-wide: ${isOwner ? 'yes' : 'no'}`;
}

function keyOpensV2Only(): UpstreamRefusedError {
  return new UpstreamRefusedError(
    'not_permitted',
    'TILKEE_ACCESS_TOKEN opens V2 only; for V3 set TILKEE_USERNAME and TILKEE_PASSWORD instead, or run `leadmirror tilkee login`',
    { status: 403 },
  );
}

interface Asked {
  readonly api: TilkeeApiName;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly signIn: TilkeeSignIn;
}

function refusal({ status, body }: UpstreamResponse, asked: Asked): Error {
  const { api, path } = asked;
  const what = `${path} of ${nameOf[api]}`;
  const refused = (code: string, message: string) => new UpstreamRefusedError(code, message, { status });
  if (status === 401) return stillRefused(asked);
  // Of one thing, not of the account: its other streams go on.
  if (status === 403) {
    const advice = 'use an account that may see it, or leave this stream out (TILKEE_STREAMS)';
    return refused('not_permitted', `the account's role does not allow ${what}; ${advice}`);
  }
  if (status === 404) return refused('not_found', `${what} is not there`);
  if (status === 410) return refused('gone', `${what} was deleted`);
  if (status === 422) return badParameter(body, asked);
  if (status < 200 || status > 299) return refused('refused', `${nameOf[api]} refused ${path} with status ${status}`);
  const message = `${nameOf[api]} answered ${path} with status ${status} where 200 is due`;
  return new UpstreamContractError('unexpected_status', message);
}

/** V2 may refuse a sign-in that V3 takes: then only the streams of V2 stand still. */
function stillRefused({ api, signIn }: Asked): Error {
  if (api === 'v3') {
    return new AuthError(
      'auth_failed',
      'Tilkee V3 refuses the sign-in right after it was made; check that TILKEE_V3_URL and TILKEE_AUTH_URL are of the same environment (TILKEE_ENV)',
    );
  }
  const message =
    'Tilkee V2 refuses this sign-in, fresh as it is; check TILKEE_REF (ask Tilkee which value your account needs), or set a V2 key as TILKEE_ACCESS_TOKEN';
  if (signIn.kind === 'key') return new AuthError('auth_failed', message);
  return new UpstreamRefusedError('v2_sign_in_refused', message, { status: 401 });
}

function badParameter(body: unknown, { api, path, query }: Asked): BadParameterError {
  const parameters = readParameters(body);
  // Only names that were asked with are repeated: the rest of the answer is foreign text.
  const ours = parameters.filter(({ name }) => query.has(name));
  const named = ours.map(({ name, limit }) => (limit === null ? name : `${name} (limit ${limit})`)).join(', ');
  const which = named === '' ? 'a parameter' : named;
  return new BadParameterError(`${nameOf[api]} does not accept ${which} of ${path}`, parameters);
}

/** `{detail: [{loc: ["query", "limit"], msg, type, ctx: {limit_value}}]}` (FastAPI); indexes of lists are numbers. */
function readParameters(body: unknown): readonly BadParameter[] {
  const detail = isObject(body) && Array.isArray(body.detail) ? body.detail : [];
  return detail.filter(isObject).flatMap(({ loc, msg, ctx }) => {
    const names = Array.isArray(loc) ? loc.filter((step) => typeof step === 'string' && IDENTIFIER.test(step)) : [];
    const name = names.at(-1);
    if (name === undefined) return [];
    const limit = isObject(ctx) ? asInteger(ctx.limit_value) : null;
    return [{ name, limit: limit ?? lastNumber(asText(msg) ?? '') }];
  });
}

const IDENTIFIER = /^[A-Za-z_][\w.-]{0,39}$/;

const lastNumber = (text: string): number | null => asInteger(text.match(/\d+/g)?.at(-1));
