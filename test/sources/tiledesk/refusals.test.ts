import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Credentials } from '../../../src/sources/tiledesk/sign-in.ts';
import { type Account, fetchOptions, setupUpstream, type Upstream } from './support.ts';

let upstream: Upstream;
beforeAll(async () => {
  upstream = await setupUpstream();
});
afterAll(() => upstream.close());
beforeEach(() => {
  upstream.sandbox.faults.clear();
  upstream.sandbox.clearLog();
});

type Kind = 'jwt' | 'basic';
const as = (kind: Kind, email: string, password = upstream.sandbox.password): Credentials => ({
  kind,
  email,
  password,
});
const open = (account: Account) => upstream.reach(account).connection.open(fetchOptions());
const leads = (account: Account = {}) => {
  const { api } = upstream.reach(account);
  return () => api.get('leads', new URLSearchParams({ limit: '1' }), fetchOptions());
};

describe.each<Kind>(['jwt', 'basic'])('an account by %s', (kind) => {
  it('that is owner is let in, and says so without a name', async () => {
    const { summary } = await open({ auth: as(kind, upstream.sandbox.email) });
    expect(summary).toMatch(/role owner$/);
    expect(summary).not.toContain(upstream.sandbox.email);
  });

  it('may write its address in any case', async () => {
    await expect(open({ auth: as(kind, upstream.sandbox.email.toUpperCase()) })).resolves.toBeDefined();
  });

  it('that is admin is let in', async () => {
    await expect(open({ auth: as(kind, 'admin-member@example.com') })).resolves.toMatchObject({
      summary: expect.stringMatching(/role admin$/),
    });
  });

  it.each([
    ['a wrong password', 'owner@example.com', 'wrong', 'auth_failed'],
    ['an unknown address', 'nobody@example.com', undefined, 'auth_failed'],
    ['no address at all', 'not an address', undefined, 'auth_failed'],
    ['an account that was blocked', 'blocked@example.com', undefined, 'auth_failed'],
    ['no member of the project', 'outsider@example.com', undefined, 'auth_not_member'],
    ['a member who left', 'left@example.com', undefined, 'auth_not_member'],
    ['an agent', 'agent1@example.com', undefined, 'auth_role'],
    ['a supervisor', 'supervisor@example.com', undefined, 'auth_role'],
    ['a teammate', 'teammate@example.com', undefined, 'auth_role'],
  ])('is refused with the cause: %s', async (_, email, password, code) => {
    await expect(open({ auth: as(kind, email, password) })).rejects.toMatchObject({ name: 'AuthError', code });
  });

  it('that is the platform’s own administrator is refused, because the server cannot list requests for it', async () => {
    await expect(open({ auth: as(kind, 'admin@tiledesk.com') })).rejects.toMatchObject({ name: 'AuthError' });
  });

  it('with a lesser role is let in where that was asked for', async () => {
    const account = { auth: as(kind, 'agent1@example.com'), allowCustomRole: true };
    await expect(open(account)).resolves.toMatchObject({ summary: expect.stringMatching(/role agent$/) });
  });

  it.each(['filter', 'deny', 'ban'] as const)(
    'is refused by the project’s %s, and does not sign in again',
    async (switched) => {
      const ask = leads({ auth: as(kind, upstream.sandbox.email) });
      await ask();
      upstream.sandbox.clearLog();
      upstream.sandbox.faults.ipFilter = switched;

      await expect(ask()).rejects.toMatchObject({ name: 'AuthError', code: 'auth_refused' });

      expect(upstream.asked()).toEqual({ leads: 1 });
    },
  );

  it('is told of a project that is not there', async () => {
    const ask = leads({ auth: as(kind, upstream.sandbox.email), projectId: 'f'.repeat(24) });
    await expect(ask()).rejects.toMatchObject({ name: 'UpstreamRefusedError', code: 'project_not_found' });
  });

  it('is told of a project id that is none', async () => {
    const ask = leads({ auth: as(kind, upstream.sandbox.email), projectId: 'xyz' });
    await expect(ask()).rejects.toMatchObject({ code: 'project_not_found' });
  });

  it.each(['/v9', '/api', '/v3/v3'])('is told of a prefix that the server does not know: %s', async (prefix) => {
    const account = { auth: as(kind, upstream.sandbox.email), baseUrl: `${upstream.url}${prefix}` };
    await expect(open(account)).rejects.toMatchObject({ name: 'UpstreamRefusedError', code: 'wrong_base_url' });
  });

  it.each(['/v1', '/v2', '/v3', ''])('is let in by a prefix that the server knows: “%s”', async (prefix) => {
    const account = { auth: as(kind, upstream.sandbox.email), baseUrl: `${upstream.url}${prefix}` };
    await expect(open(account)).resolves.toBeDefined();
  });
});

it('a path that is not there points at the base address', async () => {
  const { api } = upstream.reach();
  await expect(api.get('nothing', new URLSearchParams(), fetchOptions())).rejects.toMatchObject({
    code: 'wrong_base_url',
    status: 404,
  });
});

it('a role too low for a list is told as such, not as a wrong password', async () => {
  const ask = leads({ auth: as('jwt', 'teammate@example.com') });
  await expect(ask()).rejects.toMatchObject({ name: 'AuthError', code: 'auth_role' });
});

it('no message repeats a password, a token or an address', async () => {
  const auth = as('jwt', 'outsider@example.com');
  const error = await open({ auth }).catch((thrown: Error) => thrown);
  expect(error).toBeInstanceOf(Error);
  for (const secret of [upstream.sandbox.password, 'outsider@example.com', 'JWT']) {
    expect(String((error as Error).message)).not.toContain(secret);
  }
});

describe('a token that is refused', () => {
  it('is renewed by one sign-in, and the question is asked again', async () => {
    const ask = leads();
    await ask();
    upstream.sandbox.faults.revokeTokens();
    upstream.sandbox.clearLog();

    await expect(ask()).resolves.toMatchObject({ status: 200 });
    expect(upstream.asked()).toEqual({ leads: 2, signin: 1 });

    await ask();
    expect(upstream.asked()).toEqual({ leads: 3, signin: 1 });
  });

  it('twice in a row is final: no second sign-in', async () => {
    const ask = leads();
    await ask();
    upstream.sandbox.clearLog();
    upstream.sandbox.faults.push({ kind: '401-text', match: { list: 'leads' }, times: Infinity });

    await expect(ask()).rejects.toMatchObject({ name: 'AuthError', code: 'auth_failed' });

    expect(upstream.asked()).toEqual({ leads: 2, signin: 1 });
  });

  it('for many questions at once is renewed by one sign-in', async () => {
    const ask = leads();
    await ask();
    upstream.sandbox.faults.revokeTokens();
    upstream.sandbox.clearLog();

    const answers = await Promise.all(Array.from({ length: 12 }, ask));

    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(upstream.asked().signin).toBe(1);
  });

  it('at the very beginning of many questions is got by one sign-in', async () => {
    const ask = leads();
    await Promise.all(Array.from({ length: 12 }, ask));
    expect(upstream.asked()).toEqual({ leads: 12, signin: 1 });
  });

  it('that belongs to nobody’s password cannot be renewed, and says what to do', async () => {
    const ask = leads({ auth: { kind: 'token', token: 'JWT a.b.c' } });
    await expect(ask()).rejects.toMatchObject({
      code: 'auth_failed',
      message: expect.stringContaining('TILEDESK_TOKEN'),
    });
    expect(upstream.asked()).toEqual({ leads: 1 });
  });

  it('that is ready-made is sent as it is, and knows its role from the list of projects', async () => {
    const response = await fetch(`${upstream.url}/auth/signin`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: upstream.sandbox.email, password: upstream.sandbox.password }),
    });
    const { token } = (await response.json()) as { token: string };
    upstream.sandbox.clearLog();
    await expect(open({ auth: { kind: 'token', token } })).resolves.toMatchObject({
      summary: expect.stringContaining('owner'),
    });
    expect(upstream.asked()).toEqual({ projects: 1 });
  });

  it('after a failed sign-in is asked for anew the next time', async () => {
    upstream.sandbox.faults.push({ kind: '500', match: { list: 'signin' }, times: 3 });
    const ask = leads();
    await expect(ask()).rejects.toMatchObject({ name: 'TransientError' });
    await expect(ask()).resolves.toMatchObject({ status: 200 });
  });

  it('by basic is a wrong password at once', async () => {
    const ask = leads({ auth: as('basic', upstream.sandbox.email, 'wrong') });
    await expect(ask()).rejects.toMatchObject({ code: 'auth_failed' });
    expect(upstream.asked()).toEqual({ leads: 1 });
  });
});

describe("the project's own name", () => {
  const project = () => upstream.sandbox.data.team.project;
  afterEach(() => void Object.assign(project(), { name: 'Made-up Shop' }));

  it.each(['basic', 'jwt'] as const)('is seen at the sign-in where that reads the projects: %s', async (kind) => {
    const { name } = await open({ auth: as(kind, upstream.sandbox.email) });
    expect(name).toBe(kind === 'basic' ? 'Made-up Shop' : null);
  });

  it('comes with one request else, on one line, no longer than a label', async () => {
    const { connection } = upstream.reach();
    await connection.open(fetchOptions());
    upstream.sandbox.clearLog();
    const name = () => connection.fetchName?.(fetchOptions());
    expect(await name()).toBe('Made-up Shop');
    expect(upstream.asked()).toEqual({ project: 1 });
    Object.assign(project(), { name: ' One\n\u0000two\u001b[31m \ud800' });
    expect(await name()).toBe('One two [31m');
    Object.assign(project(), { name: '😀'.repeat(100) });
    expect(await name()).toBe('😀'.repeat(80));
    Object.assign(project(), { name: ' \n' });
    expect(await name()).toBeNull();
  });

  it('that is refused is refused alone: the account goes on', async () => {
    upstream.sandbox.faults.push({ kind: '401-text', match: { list: 'project' }, times: Infinity });
    const { connection, api } = upstream.reach();
    expect(await connection.fetchName?.(fetchOptions())).toBeNull();
    expect(upstream.asked()).toEqual({ signin: 1, project: 1 });
    await expect(api.get('leads', new URLSearchParams({ limit: '1' }), fetchOptions())).resolves.toMatchObject({
      status: 200,
    });
  });
});
