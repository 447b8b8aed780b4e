import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { secretCanary } from '../../../sandbox/tilkee.ts';
import { BadParameterError, createTilkeeApi } from '../../../src/sources/tilkee/api.ts';
import { everythingIn, failureOf, json, startServer, type TestServer, text } from '../../http/support.ts';
import { fetchOptions, NOBODY, type ProcessOptions, setupTilkee, type TilkeeUpstream } from './sign-in-support.ts';

let tilkee: TilkeeUpstream;
let server: TestServer;
beforeAll(async () => {
  tilkee = await setupTilkee();
  server = await startServer();
});
afterEach(() => {
  tilkee.sandbox.faults.clear();
  tilkee.sandbox.clearLog();
  Object.assign(tilkee.sandbox.switches, {
    refuse: {},
    v2TakesV3Tokens: true,
    tilkRefRequired: false,
    v2Unauthorized: 'json',
    v3LimitTooLarge: 'cap',
  });
});
afterAll(async () => {
  await tilkee.close();
  await server.close();
  expect(tilkee.logged.join('\n')).not.toContain(secretCanary);
});

const key = () => ({ kind: 'key' as const, accessToken: tilkee.sandbox.accessKey });
const apiOf = (options: ProcessOptions = {}) => tilkee.start(options).api;
const none = () => new URLSearchParams();

/** An account on a server that answers what is told, its sign-in done. */
function scripted(ref = 'tool-2.1') {
  const settings = { ...tilkee.settings, v3Url: `${server.url}/v3`, v2Url: `${server.url}/v2`, ref };
  const signIn = {
    kind: 'oauth' as const,
    header: async () => 'Bearer a',
    renew: async () => 'Bearer b',
    retryRefused() {},
  };
  return createTilkeeApi({ settings, signIn, upstream: tilkee.upstream });
}

describe('a question', () => {
  it('to V3 carries the sign-in and nothing of V2', async () => {
    server.script(json({ data: [] }));
    const query = new URLSearchParams([
      ['expand', 'tags'],
      ['expand', 'owner'],
    ]);
    const { body } = await scripted().get('v3', '/projects/', query, { ...fetchOptions(), actAs: '7' });
    expect(body).toEqual({ data: [] });
    expect(server.requests.at(-1)).toBe('GET /v3/projects/?expand=tags&expand=owner');
    const headers = server.headers.at(-1) ?? {};
    expect(headers).toMatchObject({ authorization: 'Bearer a', accept: 'application/json' });
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['x-tilk-ref']));
    expect(headers.user_id).toBeUndefined();
  });

  it('to V2 says who asks, and as whom', async () => {
    server.script(json({ contents: [] }));
    await scripted().get('v2', '/projects', none(), { ...fetchOptions(), actAs: '7' });
    expect(server.requests.at(-1)).toBe('GET /v2/projects');
    expect(server.headers.at(-1)).toMatchObject({
      authorization: 'Bearer a',
      accept: 'application/json',
      'x-tilk-ref': 'tool-2.1',
      user_id: '7',
    });
    await scripted().get('v2', '/projects', none(), fetchOptions());
    expect(server.headers.at(-1)?.user_id).toBeUndefined();
  });

  it('is counted, and tried as often as asked', async () => {
    let requests = 0;
    server.script(text(503, ''));
    const onRequest = () => {
      requests += 1;
    };
    const options = { ...fetchOptions({ onRequest }), attempts: 1 };
    await expect(scripted().get('v2', '/users', none(), options)).rejects.toThrow('status 503');
    expect(requests).toBe(1);
  });

  it('is answered by both APIs with one sign-in', async () => {
    const api = apiOf();
    expect([api.has('v3'), api.has('v2')]).toEqual([true, true]);
    await api.get('v3', '/projects/', none(), fetchOptions());
    await api.get('v2', '/tokens', none(), fetchOptions());
    expect(tilkee.asked()).toEqual({ oauth: 1, 'v3.projects': 1, 'v2.tokens': 1 });
  });
});

describe('a 401', () => {
  it.each(['json', 'html', 'text', 'empty'] as const)(
    'is cured by one renewal, whatever V2 writes (%s)',
    async (form) => {
      tilkee.sandbox.switches.v2Unauthorized = form;
      const api = apiOf();
      await api.get('v2', '/tokens', none(), fetchOptions());
      tilkee.sandbox.faults.revokeTokens();
      tilkee.sandbox.clearLog();
      await expect(api.get('v2', '/tokens', none(), fetchOptions())).resolves.toMatchObject({ status: 200 });
      expect(tilkee.asked()).toEqual({ 'v2.tokens': 2, oauth: 1 });
    },
  );

  it('for many questions at once is cured by one renewal', async () => {
    const api = apiOf();
    const ask = () => api.get('v3', '/items/', none(), fetchOptions());
    await ask();
    tilkee.sandbox.faults.revokeTokens();
    tilkee.sandbox.clearLog();
    await Promise.all(Array.from({ length: 10 }, ask));
    expect(tilkee.asked().oauth).toBe(1);
  });

  it('of V2 right after a sign-in says that V2 refuses it, and costs one sign-in however often it is asked', async () => {
    tilkee.sandbox.switches.v2TakesV3Tokens = false;
    const api = apiOf();
    for (let turn = 0; turn < 4; turn += 1) {
      const error = await failureOf(api.get('v2', '/tokens', none(), fetchOptions()));
      // Not an AuthError: the streams of V3 go on.
      expect(error).toMatchObject({ name: 'UpstreamRefusedError', code: 'v2_sign_in_refused' });
      for (const name of ['V2', 'TILKEE_REF', 'TILKEE_ACCESS_TOKEN']) expect(error.message).toContain(name);
    }
    expect(tilkee.asked()).toEqual({ 'v2.tokens': 5, oauth: 2 });
    await expect(api.get('v3', '/projects/', none(), fetchOptions())).resolves.toBeDefined();
  });

  it('of V2 is asked about again when the sign-in is another one', async () => {
    tilkee.sandbox.switches.v2TakesV3Tokens = false;
    const api = apiOf();
    await failureOf(api.get('v2', '/tokens', none(), fetchOptions()));
    tilkee.sandbox.switches.v2TakesV3Tokens = true;
    await expect(api.get('v2', '/tokens', none(), fetchOptions())).resolves.toBeDefined();
    tilkee.sandbox.faults.revokeTokens();
    await expect(api.get('v2', '/tokens', none(), fetchOptions())).resolves.toBeDefined();
  });

  it('of V3 right after a sign-in points at the addresses', async () => {
    server.script(text(401, '{"detail":"Could not validate credentials"}'));
    const error = await failureOf(scripted().get('v3', '/projects/', none(), fetchOptions()));
    expect(error).toMatchObject({ code: 'auth_failed', message: expect.stringContaining('TILKEE_V3_URL') });
  });

  it('with a wrong password is a wrong password', async () => {
    const api = apiOf({ auth: { ...tilkee.password, password: 'wrong' } });
    await expect(api.get('v3', '/items/', none(), fetchOptions())).rejects.toMatchObject({ code: 'auth_failed' });
  });
});

describe('a static key', () => {
  it('opens V2 only, and asks V3 nothing', async () => {
    const api = apiOf({ auth: key() });
    expect([api.has('v3'), api.has('v2')]).toEqual([false, true]);
    await expect(api.get('v2', '/users', none(), fetchOptions())).resolves.toBeDefined();
    const error = await failureOf(api.get('v3', '/projects/', none(), fetchOptions()));
    expect(error).toMatchObject({ code: 'not_permitted', message: expect.stringContaining('TILKEE_ACCESS_TOKEN') });
    expect(tilkee.asked()).toEqual({ 'v2.users': 1 });
  });

  it('that is refused is told as such', async () => {
    const api = apiOf({ auth: { kind: 'key', accessToken: 'canary-of-a-key' } });
    const error = await failureOf(api.get('v2', '/users', none(), fetchOptions()));
    expect(error).toMatchObject({ code: 'auth_failed' });
    for (const name of ['V2', 'TILKEE_REF', 'TILKEE_ACCESS_TOKEN']) expect(error.message).toContain(name);
    expect(everythingIn(error)).not.toContain('canary');
    expect(tilkee.asked()).toEqual({ 'v2.users': 1 });
  });
});

describe('a refusal', () => {
  it('by role names what is not allowed, and does not sign in again', async () => {
    tilkee.sandbox.switches.refuse = { 'v2.users': 403 };
    const error = await failureOf(apiOf().get('v2', '/users', none(), fetchOptions()));
    expect(error).toMatchObject({ name: 'UpstreamRefusedError', code: 'not_permitted', status: 403 });
    expect(error.message).toContain('/users of Tilkee V2');
    expect(tilkee.asked()).toEqual({ oauth: 1, 'v2.users': 1 });
  });

  it.each([
    [404, 'not_found'],
    [410, 'gone'],
    [400, 'refused'],
    [405, 'refused'],
  ])('with %i is %s', async (status, code) => {
    server.script(text(status, '{"status":"canary","body":{"error":{"message":"canary"}}}'));
    const error = await failureOf(scripted().get('v2', '/projects/7', none(), fetchOptions()));
    expect(error).toMatchObject({ name: 'UpstreamRefusedError', code, status });
    expect(everythingIn(error)).not.toContain('canary');
  });

  it('by an answer that is none is a breach of contract', async () => {
    server.script(text(204, ''));
    const error = await failureOf(scripted().get('v2', '/projects', none(), fetchOptions()));
    expect(error).toMatchObject({ name: 'UpstreamContractError', code: 'unexpected_status' });
  });
});

describe('a 422', () => {
  const refusedWith = async (detail: unknown, query = new URLSearchParams({ limit: '500' })) => {
    server.script(text(422, JSON.stringify({ detail })));
    const error = await failureOf(scripted().get('v3', '/projects/', query, fetchOptions()));
    expect(error).toBeInstanceOf(BadParameterError);
    expect(error).toMatchObject({ name: 'BadParameterError', code: 'bad_parameter', status: 422 });
    expect(everythingIn(error)).not.toContain('canary');
    return error as BadParameterError;
  };

  it.each([
    ['ctx', { loc: ['query', 'limit'], msg: 'canary', type: 't', ctx: { limit_value: 100 } }, 100],
    ['the words', { loc: ['query', 'limit'], msg: 'canary: from 1 to 50', type: 't' }, 50],
    ['neither', { loc: ['query', 'limit'], msg: 'canary', type: 't' }, null],
    ['no words', { loc: ['query', 'limit'] }, null],
    ['a place in a list', { loc: ['query', 'limit', 0], msg: 'at most 20' }, 20],
  ])('tells parameter and limit: from %s', async (_, entry, limit) => {
    const error = await refusedWith([entry]);
    expect(error.parameters).toEqual([{ name: 'limit', limit }]);
    expect(error.message).toContain(limit === null ? 'limit of /projects/' : `limit (limit ${limit})`);
  });

  it('may name several', async () => {
    const { parameters } = await refusedWith([
      { loc: ['query', 'limit'], msg: 'at most 20' },
      { loc: ['query', 'expand', 1], msg: 'not one of those' },
    ]);
    expect(parameters).toEqual([
      { name: 'limit', limit: 20 },
      { name: 'expand', limit: null },
    ]);
  });

  it.each([['canary'], [[]], [[null, 7, { loc: 'limit' }, { loc: [1, 2] }, { loc: ['not a name; canary'] }]]])(
    'of another shape names none: %j',
    async (detail) => {
      expect((await refusedWith(detail)).parameters).toEqual([]);
    },
  );

  it('repeats no name that was not asked with', async () => {
    const error = await refusedWith([{ loc: ['query', 'somebody'], msg: '' }]);
    expect(error.parameters).toEqual([{ name: 'somebody', limit: null }]);
    expect(error.message).not.toContain('somebody');
  });

  it('comes from the simulated server like that', async () => {
    tilkee.sandbox.switches.v3LimitTooLarge = '422';
    const query = new URLSearchParams({ limit: '1000' });
    const error = await failureOf(apiOf().get('v3', '/projects/', query, fetchOptions()));
    expect(error).toMatchObject({ parameters: [{ name: 'limit', limit: tilkee.sandbox.switches.v3MaxLimit }] });
  });
});

describe('the account', () => {
  it('is opened on V3, and described without anybody’s name', async () => {
    expect(await apiOf().openAccount(fetchOptions())).toEqual({ summary: 'V3 sign-in' });
    expect(tilkee.asked()).toEqual({ oauth: 1, 'v3.me': 1 });
  });

  it('of a key is opened on V2, and tells whether it sees the whole company', async () => {
    expect((await apiOf({ auth: key() }).openAccount(fetchOptions())).summary).toMatch(
      /^V2 key(, company-wide: (yes|no))?$/,
    );
    expect(tilkee.asked()).toEqual({ 'v2.me': 1 });
  });

  it.each([
    [{ id: 1, is_owner: true }, 'open, company-wide: yes'],
    [{ id: 1, is_owner: false }, 'open, company-wide: no'],
    [{ id: 1 }, 'open'],
  ])('knocks at V2: %j', async (me, line) => {
    server.script(json(me));
    expect(await scripted().check('v2', fetchOptions())).toBe(line);
    expect(server.requests.at(-1)).toBe('GET /v2/users/me/');
  });

  it('knocks at V3', async () => {
    expect(await apiOf().check('v3', fetchOptions())).toBe('open');
    expect(await apiOf({ auth: key() }).check('v3', fetchOptions())).toContain('V2 only');
  });

  it('that V2 does not let in says so', async () => {
    tilkee.sandbox.switches.v2TakesV3Tokens = false;
    await expect(apiOf().check('v2', fetchOptions())).rejects.toMatchObject({ code: 'v2_sign_in_refused' });
  });

  it.each(['v3', 'v2'] as const)('behind a wrong address points at it: %s', async (api) => {
    const variable = `TILKEE_${api.toUpperCase()}_URL`;
    server.script(text(404, '{"detail":"Not Found"}'));
    const missing = await failureOf(scripted().check(api, fetchOptions()));
    expect(missing).toMatchObject({ code: 'wrong_base_url', message: expect.stringContaining(variable) });
    server.script(json([]));
    const odd = await failureOf(scripted().check(api, fetchOptions()));
    expect(odd).toMatchObject({ name: 'UpstreamContractError', message: expect.stringContaining(variable) });
  });

  it('without a sign-in says what to do', async () => {
    const error = await failureOf(apiOf({ auth: NOBODY }).openAccount(fetchOptions()));
    expect(error.message).toContain('`leadmirror tilkee login`');
  });
});
