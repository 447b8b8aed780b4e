/** Who is calling: sign-in, tokens, Basic, and the refusals in the order in which the server's middlewares speak. */
import { createHmac } from 'node:crypto';
import { type Answer, type Call, json, readBody, unauthorized } from './answer.ts';
import type { Random } from './random.ts';
import type { SandboxAccount, Team } from './tiledesk-team.ts';

const rolesUpwards = ['guest', 'user', 'teammate', 'agent', 'supervisor', 'admin', 'owner'];

export type Need = 'guest' | 'agent' | 'admin' | 'owner' | 'account' | null;

const anonymous: SandboxAccount = { email: '', password: '', userId: '', role: null, isSuperAdmin: false };
const failed = (msg: string, status: number): Answer => json({ success: false, msg }, status);
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export type Gatekeeper = ReturnType<typeof createGatekeeper>;

export function createGatekeeper(team: Team, random: Random) {
  const secret = random.hex(32);
  const tokens = new Map<string, SandboxAccount>();

  function signIn(call: Call): Answer {
    const { email, password } = readBody(call);
    const errors = [
      ...(/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(String(email)) ? [] : [invalid('email', email)]),
      ...(password ? [] : [invalid('password', password)]),
    ];
    if (errors.length > 0) return json({ errors }, 422);
    const account = accountOf(String(email));
    if (!account) return failed('Authentication failed. User not found.', 401);
    if (account.password !== password) return failed('Authentication failed. Wrong password.', 401);
    const { firstname, lastname } = team.users.get(account.userId) ?? {};
    const user = { _id: account.userId, email: account.email, firstname, lastname, emailverified: false };
    const token = `JWT ${createToken(account)}`;
    return json({ success: true, token, user: { ...user, ...(account.isSuperAdmin && { role: 'admin' }) } });
  }

  /** The caller, or the refusal. The platform's super-administrator needs no role. */
  function admit(call: Call, need: Need): SandboxAccount | Answer {
    if (need === null) return anonymous;
    const header = call.headers.authorization ?? '';
    const [, scheme = '', credentials = ''] = /^\s*(\S+)\s+(\S+)/.exec(header) ?? [];
    const isToken = scheme.toLowerCase() === 'jwt';
    const token = isToken ? credentials : (call.query.get('secret_token') ?? '').replace(/^JWT /, '');
    const account = scheme.toLowerCase() === 'basic' ? fromBasic(credentials) : tokens.get(token);
    if (!account) return unauthorized;
    // The token reader is lenient, the check after it is not: exactly two parts (seen in server 2.19).
    if (header.split(' ').length !== 2) return failed('Unauthorized.', 403);
    if (need === 'account' || account.isSuperAdmin) return account;
    const role = roleOf(account);
    if (role === undefined) return failed('you dont belong to the project.', 403);
    const isEnough = rolesUpwards.indexOf(role) >= rolesUpwards.indexOf(need);
    return isEnough ? account : failed('you dont have the required role.', 403);
  }

  function roleOf({ userId }: SandboxAccount): string | undefined {
    const isActive = ({ trashed, status }: { trashed: boolean; status?: unknown }) => !trashed && status === 'active';
    return team.projectUsers.find((one) => one.id_user === userId && isActive(one))?.role;
  }

  function accountOf(email: string): SandboxAccount | undefined {
    const account = team.accounts.find((one) => one.email === email.toLowerCase());
    return account && team.users.get(account.userId)?.status === 100 ? account : undefined;
  }

  function fromBasic(credentials: string): SandboxAccount | undefined {
    const [, email = '', password] = /^([^:]*):(.*)$/s.exec(Buffer.from(credentials, 'base64').toString('utf8')) ?? [];
    const account = accountOf(email);
    return account?.password === password ? account : undefined;
  }

  /** No `exp`: a token lasts until it is revoked (seen in server 2.19). */
  function createToken(account: SandboxAccount): string {
    const [aud, iat] = ['https://tiledesk.com', Math.floor(Date.now() / 1000)];
    const claims = { _id: account.userId, email: account.email, iat, aud, iss: aud, sub: 'user' };
    const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ ...claims, jti: random.uuid() })}`;
    const token = `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
    tokens.set(token, account);
    return token;
  }

  return { revokeTokens: () => tokens.clear(), signIn, admit, roleOf };
}

const invalid = (param: string, value: unknown) => ({ value, msg: 'Invalid value', param, location: 'body' });
