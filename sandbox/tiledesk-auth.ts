/** Who is calling: sign-in, tokens, Basic, and the refusals in the order in which the server's middlewares speak. */
import { createHmac } from 'node:crypto';
import type { Random } from './random.ts';
import { type Answer, type Call, json, unauthorized } from './serve.ts';
import type { Account, ProjectUser, Team } from './tiledesk-documents.ts';

const rolesUpwards = ['guest', 'user', 'teammate', 'agent', 'supervisor', 'admin', 'owner'] as const;
export type Role = (typeof rolesUpwards)[number];

const rankOf = (role: string): number => rolesUpwards.indexOf(role as Role);

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export class Gatekeeper {
  readonly #team: Team;
  readonly #random: Random;
  readonly #secret: string;
  #tokens = new Map<string, Account>();

  constructor(team: Team, random: Random) {
    this.#team = team;
    this.#random = random;
    this.#secret = random.hex(32);
  }

  revokeTokens(): void {
    this.#tokens = new Map();
  }

  signIn(call: Call): Answer {
    const { email, password } = readCredentials(call);
    const errors = [
      ...(/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(email ?? '') ? [] : [invalid('email', email)]),
      ...(password ? [] : [invalid('password', password)]),
    ];
    if (errors.length > 0) return json({ errors }, 422);
    const account = this.#accountOf(email ?? '');
    if (!account) return json({ success: false, msg: 'Authentication failed. User not found.' }, 401);
    if (account.password !== password) {
      return json({ success: false, msg: 'Authentication failed. Wrong password.' }, 401);
    }
    const user = this.#team.users.get(account.userId);
    const shown = { _id: account.userId, email: account.email, firstname: user?.firstname, lastname: user?.lastname };
    return json({
      success: true,
      token: `JWT ${this.#createToken(account)}`,
      user: { ...shown, emailverified: false, ...(account.isSuperAdmin && { role: 'admin' }) },
    });
  }

  /** The caller, or the refusal. */
  authenticate(call: Call): Account | Answer {
    const header = call.headers.authorization ?? '';
    const [, scheme = '', credentials = ''] = /^\s*(\S+)\s+(\S+)/.exec(header) ?? [];
    const token =
      scheme.toLowerCase() === 'jwt' ? credentials : (call.query.get('secret_token') ?? '').replace(/^JWT /, '');
    const account = scheme.toLowerCase() === 'basic' ? this.#fromBasic(credentials) : this.#tokens.get(token);
    if (!account) return unauthorized;
    // The token reader is lenient, the check after it is not: exactly two words (seen in server 2.19).
    if (header.split(' ').length !== 2) return json({ success: false, msg: 'Unauthorized.' }, 403);
    return account;
  }

  roleOf(account: Account): string | undefined {
    return this.#memberOf(account)?.role;
  }

  /** Undefined when the caller may pass. The platform's super-administrator skips this check. */
  refuse(account: Account, needed: Role): Answer | undefined {
    if (account.isSuperAdmin) return undefined;
    const role = this.roleOf(account);
    if (role === undefined) return json({ success: false, msg: 'you dont belong to the project.' }, 403);
    if (rankOf(role) < rankOf(needed)) {
      return json({ success: false, msg: 'you dont have the required role.' }, 403);
    }
    return undefined;
  }

  #memberOf(account: Account): ProjectUser | undefined {
    return this.#team.projectUsers.find(
      (one) => one.id_user === account.userId && !one.trashed && one.status === 'active',
    );
  }

  #accountOf(email: string): Account | undefined {
    const account = this.#team.accounts.find((one) => one.email === email.toLowerCase());
    return account && this.#team.users.get(account.userId)?.status === 100 ? account : undefined;
  }

  #fromBasic(credentials: string): Account | undefined {
    const text = Buffer.from(credentials, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    if (colon < 0) return undefined;
    const account = this.#accountOf(text.slice(0, colon));
    return account?.password === text.slice(colon + 1) ? account : undefined;
  }

  /** No `exp`: a token lasts until it is revoked (seen in server 2.19). */
  #createToken(account: Account): string {
    const issuer = 'https://tiledesk.com';
    const claims = {
      _id: account.userId,
      email: account.email,
      iat: Math.floor(Date.now() / 1000),
      aud: issuer,
      iss: issuer,
    };
    const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ ...claims, sub: 'user', jti: this.#random.uuid() })}`;
    const token = `${text}.${createHmac('sha256', this.#secret).update(text).digest('base64url')}`;
    this.#tokens.set(token, account);
    return token;
  }
}

function invalid(param: string, value: unknown): Record<string, unknown> {
  return { ...(value !== undefined && { value }), msg: 'Invalid value', param, location: 'body' };
}

/** JSON and form bodies are both accepted, by content type. */
export function readBody(call: Call): Record<string, unknown> {
  const type = call.headers['content-type'] ?? '';
  if (type.includes('application/x-www-form-urlencoded')) return Object.fromEntries(new URLSearchParams(call.body));
  if (!type.includes('json') || call.body === '') return {};
  const value: unknown = JSON.parse(call.body);
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function readCredentials(call: Call): { email: string | undefined; password: string | undefined } {
  const body = readBody(call);
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  return { email: text(body.email), password: text(body.password) };
}
