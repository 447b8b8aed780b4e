import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { secretCanary } from '../../sandbox/tilkee.ts';
import { createTilkeeClient, type TilkeeClient } from './tilkee-client.ts';

let client: TilkeeClient;

beforeEach(async () => {
  client = await createTilkeeClient({ projects: 8, items: 8, tokens: 8, visits: 8 });
});

afterEach(() => client.close());

interface Tokens {
  readonly access_token: string;
  readonly token_type: string;
  readonly expires_in: number;
  readonly refresh_token: string;
}

const authorize = '/v3/oauth/authorize/';
const me = '/v3/users/me/';

const passwordGrant = (): Record<string, string> => {
  const { username, password } = client.sandbox;
  return { grant_type: 'password', username, password };
};

async function tokensOf(response: Response): Promise<Tokens> {
  expect(response.status).toBe(200);
  return (await response.json()) as Tokens;
}

const signIn = async (): Promise<Tokens> => tokensOf(await client.post(authorize, passwordGrant()));
const refresh = (token: string): Promise<Response> =>
  client.post(authorize, { grant_type: 'refresh_token', refresh_token: token });
const statusWith = async (token: string, path = me): Promise<number> =>
  (await client.call(path, { headers: { authorization: `Bearer ${token}` } })).status;

describe('the password grant of V3', () => {
  test.each(['form', 'json'] as const)('takes a %s body and gives a token for twelve hours', async (form) => {
    const tokens = await tokensOf(await client.post(authorize, passwordGrant(), form));
    expect(tokens).toMatchObject({ token_type: 'bearer', expires_in: 43_200 });
    expect(tokens.access_token).toContain(secretCanary);
    expect(tokens.refresh_token).toContain(secretCanary);
    expect(await statusWith(tokens.access_token)).toBe(200);
    expect(client.sandbox.signIns).toEqual({ password: 2, refresh: 0, code: 0, burnt: 0 });
  });

  test('refuses a wrong password', async () => {
    const response = await client.post(authorize, { ...passwordGrant(), password: 'wrong' });
    expect([response.status, await response.json()]).toEqual([401, { detail: 'Incorrect username or password' }]);
    expect(client.sandbox.signIns.password).toBe(1);
  });

  test('names the missing fields, and does not know other grants', async () => {
    const response = await client.post(authorize, { grant_type: 'password', username: 'a' });
    expect(response.status).toBe(422);
    const missing = { loc: ['body', 'password'], msg: 'field required', type: 'value_error.missing' };
    expect(await response.json()).toEqual({ detail: [missing] });
    expect((await client.post(authorize, { grant_type: 'magic' })).status).toBe(400);
  });

  test.each([
    ['form', 'json'],
    ['json', 'form'],
  ] as const)('switched to %s sees nothing in a %s body', async (taken, other) => {
    client.sandbox.switches.oauthBody = taken;
    expect((await client.post(authorize, passwordGrant(), taken)).status).toBe(200);
    expect((await client.post(authorize, passwordGrant(), other)).status).toBe(422);
    const empty = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"cut' };
    expect((await fetch(client.url + authorize, empty)).status).toBe(422);
  });

  test('refuses a wrong client, and none when one is required', async () => {
    const { clientId, clientSecret } = client.sandbox;
    const named = { ...passwordGrant(), client_id: clientId, client_secret: clientSecret };
    expect((await client.post(authorize, named)).status).toBe(200);
    expect((await client.post(authorize, { ...named, client_secret: 'wrong' })).status).toBe(401);
    client.sandbox.switches.clientRequired = true;
    expect((await client.post(authorize, passwordGrant())).status).toBe(401);
    expect((await client.post(authorize, named)).status).toBe(200);
  });
});

describe('the refresh grant', () => {
  test('rotates: the old token is burnt', async () => {
    const first = await signIn();
    const second = await tokensOf(await refresh(first.refresh_token));
    expect(second.refresh_token).not.toBe(first.refresh_token);
    expect(await statusWith(second.access_token)).toBe(200);
    expect((await refresh(first.refresh_token)).status).toBe(401);
    expect((await refresh(second.refresh_token)).status).toBe(200);
    expect((await refresh('unknown')).status).toBe(401);
    expect(client.sandbox.signIns).toEqual({ password: 2, refresh: 2, code: 0, burnt: 1 });
  });

  test('keep and omit: the old token stays good', async () => {
    const { refresh_token: token } = await signIn();
    client.sandbox.switches.refresh = 'keep';
    expect((await tokensOf(await refresh(token))).refresh_token).toBe(token);
    client.sandbox.switches.refresh = 'omit';
    expect(await tokensOf(await refresh(token))).not.toHaveProperty('refresh_token');
    expect((await refresh(token)).status).toBe(200);
    expect(client.sandbox.signIns.burnt).toBe(0);
  });

  test.each([
    ['fail401', 401],
    ['fail400', 400],
  ] as const)('%s', async (kind, status) => {
    const { refresh_token: token } = await signIn();
    client.sandbox.switches.refresh = kind;
    expect((await refresh(token)).status).toBe(status);
    client.sandbox.switches.refresh = 'rotate';
    expect((await refresh(token)).status).toBe(200);
  });
});

describe('the code flow', () => {
  const redirectUri = 'http://127.0.0.1:1/callback?from=tilkee';
  const exchange = (code: string, fields: Record<string, string> = {}): Promise<Response> => {
    const { clientId, clientSecret } = client.sandbox;
    const body = { grant_type: 'authorization_code', client_id: clientId, client_secret: clientSecret, code };
    return client.post('/v3/oauth/token/', { ...body, ...fields });
  };

  test('sends the browser back with code and state', async () => {
    const query = {
      response_type: 'code',
      client_id: client.sandbox.clientId,
      redirect_uri: redirectUri,
      state: 's 1',
    };
    const response = await client.call(`${authorize}?${new URLSearchParams(query)}`);
    expect(response.status).toBe(302);
    const location = new URL(String(response.headers.get('location')));
    expect(location.pathname).toBe('/callback');
    expect(location.searchParams.get('from')).toBe('tilkee');
    expect(location.searchParams.get('state')).toBe('s 1');
    const tokens = await tokensOf(await exchange(String(location.searchParams.get('code'))));
    expect(await statusWith(tokens.access_token)).toBe(200);
    expect(client.sandbox.signIns.code).toBe(1);
  });

  test('refuses an unknown client and a question without its parts', async () => {
    const query = new URLSearchParams({ response_type: 'code', client_id: 'other', redirect_uri: redirectUri });
    expect((await client.call(`${authorize}?${query}`)).status).toBe(401);
    query.delete('redirect_uri');
    expect((await client.call(`${authorize}?${query}`)).status).toBe(422);
  });

  test('a code is good once, for its client and its address', async () => {
    const code = client.sandbox.issueCode(redirectUri);
    expect((await exchange(code, { client_secret: 'wrong' })).status).toBe(401);
    expect((await exchange(code, { redirect_uri: redirectUri })).status).toBe(200);
    expect((await exchange(code)).status).toBe(400);
    const other = client.sandbox.issueCode(redirectUri);
    expect((await exchange(other, { redirect_uri: 'http://elsewhere.example.com/' })).status).toBe(400);
    const incomplete = await client.post('/v3/oauth/token/', { grant_type: 'authorization_code', code });
    expect(incomplete.status).toBe(422);
  });
});

describe("V2's own login", () => {
  test.each(['form', 'json'] as const)('takes %s; its token opens V2 only', async (form) => {
    const tokens = await tokensOf(await client.post('/oauth/token/', passwordGrant(), form));
    expect(tokens).toMatchObject({ token_type: 'bearer', expires_in: 7200, scope: 'all' });
    expect(await statusWith(tokens.access_token, '/v2/users/me')).toBe(200);
    expect(await statusWith(tokens.access_token)).toBe(401);
  });

  test('refreshes its own tokens and not those of V3, and has an error key', async () => {
    const v3 = await signIn();
    const v2 = await tokensOf(await client.post('/oauth/token', passwordGrant(), 'json'));
    const grant = { grant_type: 'refresh_token' };
    expect((await client.post('/oauth/token/', { ...grant, refresh_token: v2.refresh_token })).status).toBe(200);
    const refused = await client.post('/oauth/token/', { ...grant, refresh_token: v3.refresh_token });
    expect([refused.status, await refused.json()]).toEqual([401, expect.objectContaining({ error: 'invalid_grant' })]);
    expect((await client.post('/oauth/token/', {})).status).toBe(400);
  });
});

describe('access', () => {
  test('a V3 token opens both, unless switched off', async () => {
    expect(await statusWith(client.token)).toBe(200);
    expect(await statusWith(client.token, '/v2/users/me/')).toBe(200);
    client.sandbox.switches.v2TakesV3Tokens = false;
    expect(await statusWith(client.token, '/v2/users/me/')).toBe(401);
  });

  test('the static key opens V2 only', async () => {
    expect(await statusWith(client.sandbox.accessKey, '/v2/tokens')).toBe(200);
    expect(await statusWith(client.sandbox.accessKey, '/v3/projects/')).toBe(401);
  });

  test('tokens that were given out can be made to expire, refresh tokens and the key stay good', async () => {
    const tokens = await signIn();
    client.sandbox.faults.revokeTokens();
    expect(await statusWith(tokens.access_token)).toBe(401);
    expect(await statusWith(tokens.access_token, '/v2/tokens')).toBe(401);
    expect(await statusWith(client.sandbox.accessKey, '/v2/tokens')).toBe(200);
    const fresh = await tokensOf(await refresh(tokens.refresh_token));
    expect(await statusWith(fresh.access_token)).toBe(200);
    client.sandbox.faults.revokeTokens();
    expect(await statusWith(fresh.access_token)).toBe(401);
  });

  test('the life of a token is a switch', async () => {
    client.sandbox.switches.expiresInSeconds = 0;
    const spent = await signIn();
    expect([spent.expires_in, await statusWith(spent.access_token)]).toEqual([0, 401]);
    client.sandbox.switches.expiresInSeconds = 1800.5;
    expect((await signIn()).expires_in).toBe(1800.5);
  });

  test('V3 refuses with a detail', async () => {
    const response = await fetch(client.url + me);
    expect([response.status, await response.json()]).toEqual([401, { detail: 'Could not validate credentials' }]);
  });

  test.each([
    ['json', /^\{"status":"unauthorized"/],
    ['html', /^<html>/],
    ['text', /^HTTP Token/],
    ['empty', /^$/],
  ] as const)('V2 refuses with %s', async (kind, body) => {
    client.sandbox.switches.v2Unauthorized = kind;
    const response = await fetch(`${client.v2Url}/tokens`);
    expect(response.status).toBe(401);
    expect(await response.text()).toMatch(body);
  });

  test('x-tilk-ref is needed on V2 when so switched', async () => {
    client.sandbox.switches.tilkRefRequired = true;
    expect((await client.call('/v2/tokens')).status).toBe(403);
    expect((await client.call('/v2/tokens', { headers: { 'x-tilk-ref': 'tool-1' } })).status).toBe(200);
    expect((await client.call(me)).status).toBe(200);
  });
});
