import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { basic, type Client, createClient, ids } from './client.ts';

let client: Client;

beforeAll(async () => {
  client = await createClient();
});

afterAll(() => client.close());

interface SignIn {
  readonly token: string;
  readonly user: { readonly _id: string };
}

async function signIn(init: RequestInit): Promise<Response> {
  return fetch(`${client.url}/auth/signin`, { method: 'POST', ...init });
}

const asJson = (body: unknown): RequestInit => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

async function freshToken(): Promise<string> {
  const { email, password } = client.sandbox;
  return ((await (await signIn(asJson({ email, password }))).json()) as SignIn).token;
}

async function refusal(authorization: string | undefined, path = '/leads'): Promise<[number, string]> {
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const response = await fetch(`${client.url}/v3/${client.sandbox.projectId}${path}`, { headers });
  return [response.status, await response.text()];
}

function accountOf(role: string | null): string {
  const account = client.sandbox.accounts.find((one) => one.role === role && !one.isSuperAdmin);
  if (!account) throw new Error(`no account with role ${role}`);
  return basic(account.email, account.password);
}

describe('sign-in', () => {
  test.each([
    ['JSON', (email: string, password: string) => asJson({ email, password })],
    ['a form', (email: string, password: string) => ({ body: new URLSearchParams({ email, password }) })],
    ['another case of the mail', (email: string, password: string) => asJson({ email: email.toUpperCase(), password })],
  ])('accepts %s and gives a token that starts with JWT', async (_name, body) => {
    const response = await signIn(body(client.sandbox.email, client.sandbox.password));
    expect(response.status).toBe(200);
    const { token, user } = (await response.json()) as SignIn;
    expect(token).toMatch(/^JWT eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
    expect((await refusal(token))[0]).toBe(200);
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ iss: 'https://tiledesk.com', aud: 'https://tiledesk.com', sub: 'user' });
    expect(claims).not.toHaveProperty('exp');
    expect(await client.json(`/project_users/users/${user._id}`)).toMatchObject([{ role: 'owner', id_user: user }]);
  });

  test.each([
    [422, { email: 'nobody', password: 'x' }, { errors: [{ msg: 'Invalid value', param: 'email', location: 'body' }] }],
    [422, { email: 'a@example.com' }, { errors: [{ msg: 'Invalid value', param: 'password', location: 'body' }] }],
    [401, { email: 'a@example.com', password: 'x' }, { success: false, msg: 'Authentication failed. User not found.' }],
    [
      401,
      { email: 'owner@example.com', password: 'x' },
      { success: false, msg: 'Authentication failed. Wrong password.' },
    ],
  ])('refuses with %i %j', async (status, body, expected) => {
    const response = await signIn(asJson(body));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject(expected);
  });
});

describe('refusals', () => {
  const notMember = JSON.stringify({ success: false, msg: 'you dont belong to the project.' });
  const lowRole = JSON.stringify({ success: false, msg: 'you dont have the required role.' });
  const badHeader = JSON.stringify({ success: false, msg: 'Unauthorized.' });

  test.each([
    ['no credentials', () => undefined, 401, 'Unauthorized'],
    ['a wrong password', () => basic(client.sandbox.email, 'wrong'), 401, 'Unauthorized'],
    ['a malformed header', () => 'Basic', 401, 'Unauthorized'],
    ['a token of nobody', () => 'JWT eyJ.eyJ.x', 401, 'Unauthorized'],
    ['a blocked user', () => basic('blocked@example.com', client.sandbox.password), 401, 'Unauthorized'],
    ['somebody who is not a member', () => accountOf(null), 403, notMember],
    ['a removed member', () => basic('left@example.com', client.sandbox.password), 403, notMember],
    ['a role too low', () => accountOf('teammate'), 403, lowRole],
  ])('%s', async (_name, authorization, status, body) => {
    expect(await refusal(authorization())).toEqual([status, body]);
  });

  test('of a good token in a bad header', async () => {
    const token = await freshToken();
    expect(await refusal(`JWT ${token}`)).toEqual([401, 'Unauthorized']);
    expect(await refusal(token.replace('JWT', 'Bearer'))).toEqual([401, 'Unauthorized']);
    expect(await refusal(`${token} more`)).toEqual([403, badHeader]);
    expect(await refusal(undefined, `/leads?secret_token=${encodeURIComponent(token)}`)).toEqual([403, badHeader]);
  });

  test('name the Basic realm and are not JSON', async () => {
    const response = await fetch(`${client.url}/${client.sandbox.projectId}/requests`);
    expect(response.headers.get('www-authenticate')).toBe('Basic realm="Users"');
    expect(response.headers.get('content-type')).toContain('text/plain');
    expect(await response.text()).toBe('Unauthorized');
  });

  test.each([
    ['/v3/nope/leads', { error: 'Invalid project id: nope' }],
    ['/v4/leads', { error: 'Invalid project id: v4' }],
    [`/v3/${'0'.repeat(24)}/leads`, { error: `Project not found with id: ${'0'.repeat(24)}` }],
    ['/twelve-chars/requests', { error: 'Project not found with id: twelve-chars' }],
  ])('%s is a 400 before any credentials are asked for', async (path, body) => {
    const response = await fetch(client.url + path);
    expect([response.status, await response.json()]).toEqual([400, body]);
  });

  test('by the IP filter are JSON and come before the credentials', async () => {
    const { faults } = client.sandbox;
    faults.ipFilter = 'deny';
    expect(await refusal(undefined)).toEqual([401, '{"err":"error project deny ip filter"}']);
    faults.ipFilter = 'filter';
    expect(await refusal(undefined)).toEqual([401, '{"err":"error project ip filter"}']);
    faults.clear();
    expect(await refusal(undefined)).toEqual([401, 'Unauthorized']);
  });

  test('an unknown path is the HTML page of the framework', async () => {
    const response = await fetch(`${client.url}/v2/${client.sandbox.projectId}/nothing`);
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toContain('text/html');
    expect(await response.text()).toContain(`<pre>Cannot GET /${client.sandbox.projectId}/nothing</pre>`);
  });

  test('revoked tokens are refused with text, a new sign-in helps', async () => {
    const token = await freshToken();
    expect((await refusal(token))[0]).toBe(200);
    client.sandbox.faults.revokeTokens();
    expect(await refusal(token)).toEqual([401, 'Unauthorized']);
    expect((await refusal(await freshToken()))[0]).toBe(200);
  });
});

describe('8: what a role sees of the requests', () => {
  const all = '/requests?status=all&preflight=true&no_populate=true&limit=0';
  const seenBy = async (authorization: string): Promise<string[]> => {
    const [status, body] = await refusal(authorization, all);
    expect(status).toBe(200);
    return ids((JSON.parse(body) as { requests: Record<string, unknown>[] }).requests).sort();
  };

  test('an admin sees everything', async () => {
    expect(await seenBy(accountOf('admin'))).toEqual([...client.sandbox.data.requests.keys()].sort());
  });

  test('an agent sees its own and those it was eligible for, without an error', async () => {
    const { accounts, data } = client.sandbox;
    const agent = accounts.find((one) => one.role === 'agent');
    const own = [...data.requests.values()].filter((row) => {
      const agents = (row.snapshot as { agents?: { id_user: string }[] } | undefined)?.agents ?? [];
      return row.participants.includes(agent?.userId ?? '') || agents.some((one) => one.id_user === agent?.userId);
    });
    expect(own.length).toBeGreaterThan(0);
    expect(own.length).toBeLessThan(data.requests.size);
    expect(await seenBy(accountOf('agent'))).toEqual(ids(own).sort());
    expect((await refusal(accountOf('agent'), '/leads'))[0]).toBe(200);
  });

  test('a supervisor sees only those it takes part in', async () => {
    expect(await seenBy(accountOf('supervisor'))).toEqual([]);
  });

  test('the platform administrator gets a 500', async () => {
    const admin = basic('admin@tiledesk.com', client.sandbox.password);
    expect(await refusal(admin, '/requests')).toEqual([500, '{"err":"error"}']);
    expect((await refusal(admin, '/leads'))[0]).toBe(200);
  });

  test('the role of the main account is an option', async () => {
    const other = await createClient({ role: 'agent' });
    try {
      const [member] = (await (await other.call('/../../projects')).json()) as { role: string }[];
      expect(member?.role).toBe('agent');
      expect((await other.list('requests', all.slice(10))).count).toBeLessThan(other.sandbox.data.requests.size);
    } finally {
      await other.close();
    }
  });
});

test('departments in their public form need no credentials and show status 1 only', async () => {
  const [status, body] = await refusal(undefined, '/departments');
  expect(status).toBe(200);
  const shown = (JSON.parse(body) as { status: number }[]).map((one) => one.status);
  const every = (await client.json('/departments/allstatus')) as { status: number }[];
  expect(new Set(shown)).toEqual(new Set([1]));
  expect(new Set(every.map((one) => one.status))).toEqual(new Set([0, 1]));
  expect((await refusal(undefined, '/departments/allstatus'))[0]).toBe(401);
});
