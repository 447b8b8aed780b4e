import { AuthError, UpstreamContractError, UpstreamRefusedError } from '../../errors.ts';
import type { RequestOptions, Upstream, UpstreamResponse } from '../../http/upstream.ts';
import type { AccountFacts, FetchOptions } from '../../stream.ts';
import { asText, isObject } from '../coerce.ts';
import { membershipsIn, nameIn } from './own-projects.ts';
import { isOwnRefusal, isRefusalObject } from './own-refusal.ts';
import type { SignIn } from './sign-in.ts';

export type TiledeskApi = ReturnType<typeof createTiledeskApi>;

type SendOptions = FetchOptions & Pick<RequestOptions, 'isOwnRefusal'>;

interface TiledeskApiParts {
  readonly baseUrl: string;
  readonly projectId: string;
  readonly allowCustomRole: boolean;
  readonly signIn: SignIn;
  readonly upstream: Upstream;
}

const FULL_ROLES = ['owner', 'admin'];

/** Requests to one Tiledesk project, with its refusals read (seen in server 2.19). */
export function createTiledeskApi(parts: TiledeskApiParts) {
  const { baseUrl, projectId, signIn, upstream, allowCustomRole } = parts;

  async function send(url: string, options: SendOptions): Promise<UpstreamResponse> {
    const header = await signIn.header(options);
    const response = await sendWith(header, url, options);
    if (!isCredentialRefusal(response)) return response;
    const again = await sendWith(await signIn.renew(header, options), url, options);
    if (isCredentialRefusal(again)) throw await signIn.refuse(refusedAfterSignIn());
    return again;
  }

  function sendWith(authorization: string, url: string, options: SendOptions): Promise<UpstreamResponse> {
    return upstream.request(
      { method: 'GET', url, headers: { authorization, accept: 'application/json' } },
      { isOwnRefusal, ...options },
    );
  }

  /** GET below the project; the answer is 200 with JSON. */
  async function get(path: string, query: URLSearchParams, options: FetchOptions): Promise<UpstreamResponse> {
    const search = query.size > 0 ? `?${query}` : '';
    const response = await send(`${baseUrl}/${projectId}/${path}${search}`, options);
    if (response.status !== 200) throw refusal(response, projectId);
    return response;
  }

  async function fetchRole(options: FetchOptions): Promise<{ role: string | null; projectName: string | null }> {
    await signIn.header(options);
    const userId = signIn.userId();
    if (userId !== null) {
      const { body } = await get(`project_users/users/${encodeURIComponent(userId)}`, new URLSearchParams(), options);
      const member = Array.isArray(body) ? body[0] : null;
      return { role: isObject(member) ? asText(member.role) : null, projectName: null };
    }
    // Basic and ready-made tokens do not contain the user: look the project up among the caller's own.
    const response = await send(`${baseUrl}/projects`, options);
    if (response.status !== 200) throw refusal(response, projectId);
    const membership = membershipsIn(response.body)?.find(({ id }) => id === projectId);
    return { role: membership?.role ?? null, projectName: membership?.name ?? null };
  }

  return {
    get,
    /** Is the object there? Null: the server gave no reliable answer (a gateway's 404, a 500). */
    async exists(path: string, options: FetchOptions): Promise<boolean | null> {
      const isOwn = (response: UpstreamResponse) => response.status === 404 || isOwnRefusal(response);
      const response = await send(`${baseUrl}/${projectId}/${path}`, { ...options, isOwnRefusal: isOwn });
      if (response.status === 200) return isObject(response.body) ? true : null;
      // Not the framework's own 404, a page of HTML (seen in server 2.19), nor a gateway's.
      if (response.status === 404) return isRefusalObject(response.body) ? false : null;
      throw refusal(response, projectId);
    },
    /** Is this account owner or admin of the project? A lesser role gets fewer requests without an error. */
    async verify(options: FetchOptions): Promise<AccountFacts> {
      const { role, projectName } = await fetchRole(options);
      if (role === null) throw notMember(projectId);
      if (!FULL_ROLES.includes(role) && !allowCustomRole) {
        throw new AuthError(
          'auth_role',
          `the account is ${role} in project ${projectId} and would see only a part of its requests; use one that is owner or admin`,
        );
      }
      return { summary: `role ${role}`, name: projectName };
    },
    /** The project's own name; null: the server does not return it. */
    async fetchName(options: FetchOptions): Promise<string | null> {
      // A refusal here decides nothing about the account, so it is neither repeated nor remembered.
      const url = `${baseUrl}/projects/${projectId}`;
      const { status, body } = await sendWith(await signIn.header(options), url, { ...options, attempts: 1 });
      return status === 200 ? nameIn(body) : null;
    },
  };
}

/** Wrong, expired or missing credentials are a 401 in plain text; a JSON 401 is the IP filter or a ban. */
function isCredentialRefusal(response: UpstreamResponse): boolean {
  return response.status === 401 && !isObject(response.body);
}

function refusal({ status, body }: UpstreamResponse, projectId: string): Error {
  const refused = (code: string, message: string) => new UpstreamRefusedError(code, message, { status });
  const text = (field: string) => (isObject(body) ? (asText(body[field]) ?? '') : '');
  if (status === 401) return isObject(body) ? new AuthError('auth_refused', FILTERED) : refusedAfterSignIn();
  if (status === 403 && text('msg').includes('belong')) return notMember(projectId);
  if (status === 403) {
    const message = `the account's role in project ${projectId} is too low; use one that is owner or admin`;
    return new AuthError('auth_role', message);
  }
  // A prefix that the server does not know is taken for a project id: `Invalid project id: v1`.
  const isPrefix = text('error').startsWith('Invalid project id') && !text('error').includes(projectId);
  if (status === 400 && isPrefix) {
    return refused(
      'wrong_base_url',
      'the server takes the last part of TILEDESK_BASE_URL for a project; a self-hosted server usually has no /v1, /v2 or /v3',
    );
  }
  if (status === 400) {
    return refused(
      'project_not_found',
      `the server knows no project ${projectId}; check TILEDESK_PROJECT_ID (the id in the address of the dashboard)`,
    );
  }
  if (status === 404) {
    return refused(
      'wrong_base_url',
      'the server does not know this address; check TILEDESK_BASE_URL (hosted: https://api.tiledesk.com/v3, self-hosted: often no prefix)',
    );
  }
  if (status < 200 || status > 299) return refused('refused', `the server refused the request with status ${status}`);
  return new UpstreamContractError('unexpected_status', `the server answered with status ${status} where 200 is due`);
}

const FILTERED =
  'the project refuses this machine or account (IP filter or ban); an owner has to allow it in the project settings';

const refusedAfterSignIn = () =>
  new AuthError('auth_failed', 'Tiledesk refused the credentials after a fresh sign-in too');

const notMember = (projectId: string) =>
  new AuthError(
    'auth_not_member',
    `the account is not a member of project ${projectId}; check TILEDESK_PROJECT_ID, or invite the account as admin`,
  );
