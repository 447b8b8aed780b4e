import type { IncomingMessage } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { secretCanary } from '../../../sandbox/tilkee.ts';
import {
  authorizeUrl,
  type GrantParts,
  grantByCode,
  grantByPassword,
  grantByRefreshToken,
} from '../../../src/sources/tilkee/oauth.ts';
import {
  createTestClock,
  everythingIn,
  failureOf,
  json,
  startServer,
  type TestServer,
  text,
} from '../../http/support.ts';
import { fetchOptions, NOBODY, setupTilkee, type TilkeeUpstream } from './sign-in-support.ts';

let tilkee: TilkeeUpstream;
let server: TestServer;
beforeAll(async () => {
  tilkee = await setupTilkee();
  server = await startServer();
});
afterEach(() => {
  tilkee.sandbox.switches.oauthBody = 'any';
  tilkee.sandbox.switches.clientRequired = false;
  tilkee.sandbox.switches.refresh = 'rotate';
});
afterAll(async () => {
  await tilkee.close();
  await server.close();
});

const NOW = Date.UTC(2026, 0, 1);
/** By the sandbox unless told. */
const parts = (changed: Partial<GrantParts> = {}): GrantParts => ({
  settings: tilkee.settings,
  auth: tilkee.password,
  upstream: tilkee.upstream,
  clock: createTestClock(NOW),
  ...changed,
});
/** By a server that answers what is told. */
const scripted = (changed: Partial<GrantParts['settings']> = {}, auth = tilkee.password): GrantParts =>
  parts({ settings: { authUrl: server.url, authBody: 'form', scope: null, ...changed }, auth });

const TOKENS = { access_token: 'a', token_type: 'bearer', expires_in: 43_200, refresh_token: 'r' };

/** What the server was sent, as text. */
function answerAndKeep(value: unknown): { bodies: Promise<string> } {
  let keep = (_: string) => {};
  const bodies = new Promise<string>((resolve) => {
    keep = resolve;
  });
  server.script((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      keep(Buffer.concat(chunks).toString());
      json(value)(request, response);
    });
  });
  return { bodies };
}

describe.each(['form', 'json'] as const)('a grant written as %s', (authBody) => {
  const settings = () => ({ ...tilkee.settings, authBody });

  it('by password', async () => {
    tilkee.sandbox.switches.oauthBody = authBody;
    const kept = await grantByPassword(parts({ settings: settings() }), fetchOptions());
    expect(kept).toEqual({
      accessToken: expect.any(String),
      refreshToken: expect.any(String),
      obtainedAt: NOW,
      expiresAt: NOW + 12 * 3_600_000,
    });
  });

  it('by refresh token', async () => {
    const token = await tilkee.issueRefreshToken();
    tilkee.sandbox.switches.oauthBody = authBody;
    const kept = await grantByRefreshToken(parts({ settings: settings() }), token, fetchOptions());
    expect(kept.refreshToken).not.toBe(token);
    expect(kept.accessToken).not.toBe('');
  });

  it('by the code of the browser', async () => {
    tilkee.sandbox.switches.oauthBody = authBody;
    const redirectUri = 'http://127.0.0.1:8765/callback';
    const code = tilkee.sandbox.issueCode(redirectUri);
    const auth = { ...NOBODY, ...tilkee.client };
    const kept = await grantByCode(parts({ settings: settings(), auth }), { code, redirectUri }, fetchOptions());
    expect(kept.refreshToken).toEqual(expect.any(String));
  });

  it.each(['honoured', 'ignored', 'refused'] as const)(
    'by the code and its verifier, where PKCE is %s',
    async (pkce) => {
      Object.assign(tilkee.sandbox.switches, { oauthBody: authBody, pkce });
      const [redirectUri, verifier] = ['http://127.0.0.1:8765/callback', 'a-verifier-of-this-sign-in'];
      const query = new URL(
        authorizeUrl(
          { appUrl: new URL(tilkee.url).origin },
          { clientId: tilkee.sandbox.clientId, redirectUri, state: 's', verifier },
        ),
      );
      const { headers } = await fetch(query, { redirect: 'manual' });
      const code = new URL(headers.get('location') ?? '').searchParams.get('code') ?? '';
      const auth = { ...NOBODY, ...tilkee.client };
      const exchange = (given: string) =>
        grantByCode(parts({ settings: settings(), auth }), { code, redirectUri, verifier: given }, fetchOptions());
      if (pkce === 'honoured') await expect(exchange('another')).rejects.toMatchObject({ code: 'auth_failed' });
      else expect((await exchange(verifier)).refreshToken).toEqual(expect.any(String));
      const again = await fetch(query, { redirect: 'manual' });
      const fresh = new URL(again.headers.get('location') ?? '').searchParams.get('code') ?? '';
      const kept = await grantByCode(
        parts({ settings: settings(), auth }),
        { code: fresh, redirectUri, verifier },
        fetchOptions(),
      );
      expect(kept.refreshToken).toEqual(expect.any(String));
    },
  );
});

describe('what is sent', () => {
  it('names the client where there is one, and the scope where one is set', async () => {
    const { bodies } = answerAndKeep(TOKENS);
    await grantByPassword(scripted({ scope: 'all' }, { ...tilkee.password, ...tilkee.client }), fetchOptions());
    expect(Object.fromEntries(new URLSearchParams(await bodies))).toEqual({
      grant_type: 'password',
      username: tilkee.sandbox.username,
      password: tilkee.sandbox.password,
      scope: 'all',
      client_id: tilkee.sandbox.clientId,
      client_secret: tilkee.sandbox.clientSecret,
    });
    expect(server.requests.at(-1)).toBe('POST /oauth/authorize/');
    expect(server.headers.at(-1)).toMatchObject({ 'content-type': 'application/x-www-form-urlencoded' });
  });

  it('names neither otherwise', async () => {
    const { bodies } = answerAndKeep(TOKENS);
    await grantByRefreshToken(scripted({ authBody: 'json' }, NOBODY), 'r', fetchOptions());
    expect(JSON.parse(await bodies)).toEqual({ grant_type: 'refresh_token', refresh_token: 'r' });
    expect(server.headers.at(-1)).toMatchObject({ 'content-type': 'application/json' });
  });

  it('survives signs that mean something in a form', async () => {
    const { bodies } = answerAndKeep(TOKENS);
    const password = 'a&b=c+d%20é"\\';
    await grantByPassword(scripted({}, { ...tilkee.password, password }), fetchOptions());
    expect(new URLSearchParams(await bodies).get('password')).toBe(password);
  });
});

describe('what is answered', () => {
  const grant = (answer: Record<string, unknown>) => {
    server.script(json(answer));
    return grantByRefreshToken(scripted(), 'old', fetchOptions());
  };

  it.each([
    ['a number', 7200, 7_200_000],
    ['a fraction', 7200.75, 7_200_750],
    ['a text', '7200', 7_200_000],
    ['nothing', undefined, 3_600_000],
    ['null', null, 3_600_000],
    ['zero', 0, 3_600_000],
    ['less than zero', -5, 3_600_000],
    ['a word', 'soon', 3_600_000],
  ])('lives as long as it says: %s', async (_, expires_in, lifeMs) => {
    expect((await grant({ ...TOKENS, expires_in })).expiresAt).toBe(NOW + lifeMs);
  });

  it('is kept with the new refresh token, or with the old one where there is no new', async () => {
    expect((await grant(TOKENS)).refreshToken).toBe('r');
    for (const refresh_token of [undefined, null, '']) {
      expect((await grant({ ...TOKENS, refresh_token })).refreshToken).toBe('old');
    }
  });

  it('may have no refresh token at all after a password', async () => {
    server.script(json({ access_token: 'a' }));
    expect(await grantByPassword(scripted(), fetchOptions())).toMatchObject({ accessToken: 'a', refreshToken: null });
  });

  it.each([[{}], [[]], [null], [{ access_token: null }], [{ access_token: '' }]])(
    'without a token (%j) points at the address',
    async (answer) => {
      server.script(json(answer));
      const error = await failureOf(grantByPassword(scripted(), fetchOptions()));
      expect(error).toMatchObject({
        name: 'UpstreamContractError',
        message: expect.stringContaining('TILKEE_AUTH_URL'),
      });
    },
  );

  it('as “not there” points at the address too', async () => {
    server.script(text(404, '{"detail":"Not Found"}'));
    const error = await failureOf(grantByPassword(scripted(), fetchOptions()));
    expect(error).toMatchObject({ code: 'wrong_base_url', message: expect.stringContaining('TILKEE_AUTH_URL') });
  });

  it('as trouble is tried again', async () => {
    server.script(text(503, ''), json(TOKENS));
    await expect(grantByPassword(scripted(), fetchOptions())).resolves.toMatchObject({ accessToken: 'a' });
  });
});

describe('a refusal', () => {
  const SECRET = 'canary-of-a-password';
  const echo = JSON.stringify({ detail: `wrong: ${SECRET}`, error: SECRET });
  const auth = { ...NOBODY, clientId: 'client', username: SECRET, password: SECRET, clientSecret: SECRET };
  const grants = {
    password: () => grantByPassword(scripted({}, auth), fetchOptions()),
    'refresh token': () => grantByRefreshToken(scripted({}, auth), SECRET, fetchOptions()),
    code: () => grantByCode(scripted({}, auth), { code: SECRET, redirectUri: 'http://127.0.0.1/' }, fetchOptions()),
  };

  it.each([
    ['password', ['TILKEE_USERNAME', 'TILKEE_PASSWORD', 'TILKEE_CLIENT_ID']],
    ['refresh token', ['`leadmirror tilkee login`', 'TILKEE_REFRESH_TOKEN', 'TILKEE_CLIENT_ID']],
    ['code', ['`leadmirror tilkee login`', 'TILKEE_CLIENT_SECRET', 'redirect URI']],
  ] as const)('of a %s says what to check, and repeats nothing', async (grant, names) => {
    for (const status of [400, 401, 403, 422]) {
      server.script(text(status, echo));
      const error = await failureOf(grants[grant]());
      expect(error).toMatchObject({ name: 'AuthError', code: 'auth_failed' });
      for (const name of [grant, ...names]) expect(error.message).toContain(name);
      expect(everythingIn(error)).not.toContain(SECRET);
    }
  });

  it.each([
    ['a wrong client', () => ({ ...tilkee.password, clientId: 'x', clientSecret: 'y' })],
    ['a wrong password', () => ({ ...tilkee.password, password: 'wrong' })],
  ])('by the simulated server: %s', async (_, wrong) => {
    const error = await failureOf(grantByPassword(parts({ auth: wrong() }), fetchOptions()));
    expect(error).toMatchObject({ code: 'auth_failed' });
    expect(everythingIn(error)).not.toContain(secretCanary);
  });

  it('of a body in the other form says which setting that is', async () => {
    tilkee.sandbox.switches.oauthBody = 'json';
    const error = await failureOf(grantByPassword(parts(), fetchOptions()));
    expect(error.message).toContain('TILKEE_AUTH_BODY');
  });
});

it('the browser’s address asks for everything, at the web app', () => {
  const redirectUri = 'http://127.0.0.1:8765/callback?a=b';
  const address = new URL(
    authorizeUrl(
      { appUrl: 'https://app.example.test' },
      { clientId: 'me & you', redirectUri, state: 's t', verifier: 'v' },
    ),
  );
  expect(`${address.origin}${address.pathname}`).toBe('https://app.example.test/v3/oauth/authorize/');
  expect(Object.fromEntries(address.searchParams)).toEqual({
    response_type: 'code',
    client_id: 'me & you',
    redirect_uri: redirectUri,
    state: 's t',
    scope: 'all',
    // RFC 7636: the verifier itself stays here.
    code_challenge: 'TJRIXgwhrmxBzh3-e2v6zupato5AokdvUCCOUm9QYIA',
    code_challenge_method: 'S256',
  });
});
