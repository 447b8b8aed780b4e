import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isLoopback } from '../../loopback.ts';
import type { OpsParts } from '../parts.ts';
import { Failures } from './failures.ts';
import { hostName, isFromOurPage } from './origin.ts';
import { type EndedSessions, isSameSecret, SESSION_HOURS, Sessions } from './sessions.ts';

/**
 * Who may do what.
 *
 * Without a token: all who reach the page under a loopback name may read; changes are refused. The name is checked so
 * that a page on the internet whose name suddenly points at 127.0.0.1 (DNS rebinding) reads nothing.
 *
 * With a token: only the probes, the sign-in page and its style are open. Everything else wants the token as a bearer, or
 * the session of a person who signed in with it. What changes something must come from this page, or from no browser.
 */
export type Gate = ReturnType<typeof createGate>;

/** Open to all: these show nothing of the mirror's accounts. */
const OPEN = /^\/(healthz|readyz|sign-in|favicon\.ico|assets\/[\w.-]+)$/;
const COOKIE = 'leadmirror_session';
const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** `readToken` reads everything, and changes nothing. */
export function createGate(
  server: FastifyInstance,
  { token, readToken = null, host }: Pick<OpsParts, 'readToken' | 'host'> & { readonly token: string | null },
  ended: EndedSessions,
) {
  const sessions = token === null ? null : new Sessions(token, ended);
  const failures = new Failures();

  const gate = {
    canChange: token !== null,
    /** Compares, counts failures. `waitSeconds`: too many of them came from this address. */
    tryToken(request: FastifyRequest, given: string): 'right' | 'wrong' | { readonly waitSeconds: number } {
      // First: wrong ones from the same address, such as that of a proxy, never hold up the right one.
      if (token !== null && isSameSecret(given, token)) return 'right';
      const waitSeconds = failures.waitSeconds(request.ip, given);
      if (waitSeconds > 0) return { waitSeconds };
      failures.note(request.ip, given);
      request.log.warn({ address: request.ip }, 'a wrong OPS_TOKEN was given');
      return 'wrong';
    },
    signIn(request: FastifyRequest, reply: FastifyReply): void {
      if (sessions !== null) setCookie(request, reply, sessions.begin(), SESSION_HOURS * 3600);
    },
    async signOut(request: FastifyRequest, reply: FastifyReply): Promise<void> {
      const cookie = sessionOf(request);
      // First, so that this browser loses it also while the database, which ends it everywhere, is away.
      setCookie(request, reply, '', 0);
      if (cookie !== null) await sessions?.end(cookie);
    },
    async isSignedIn(request: FastifyRequest): Promise<boolean> {
      const cookie = sessionOf(request);
      return cookie !== null && (await sessions?.isOpen(cookie)) === true;
    },
  };

  server.addHook('onRequest', async (request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    if (token === null && !isKnownHost(request, host)) return refuse(request, reply, 'wrong_host');
    const changes = !READS.has(request.method);
    const isOurs = changes ? isFromOurPage(request.headers) : null;
    if (isOurs === false) return refuse(request, reply, 'wrong_origin');
    if (OPEN.test(path)) return;
    if (token === null) {
      return changes || /^\/queues(\/|$)/.test(path) ? refuse(request, reply, 'read_only') : undefined;
    }
    const given = bearerOf(request);
    if (given !== null && readToken !== null && isSameSecret(given, readToken)) {
      return changes ? refuse(request, reply, 'read_only_token') : undefined;
    }
    if (given !== null) {
      const result = gate.tryToken(request, given);
      if (result === 'right') return;
      if (result === 'wrong') return refuse(request, reply, 'wrong_token');
      reply.header('retry-after', result.waitSeconds);
      return refuse(request, reply, 'too_many_failures', tooMany(result.waitSeconds));
    }
    // A browser sends a cookie without the person's doing: it has to state where the request comes from.
    if ((await gate.isSignedIn(request)) && (!changes || isOurs === true)) return;
    if (wantsHtml(request) && request.method === 'GET') return reply.redirect('/sign-in', 303);
    return refuse(request, reply, 'token_needed');
  });
  return gate;
}

const REFUSALS = {
  wrong_host: [403, 'Without OPS_TOKEN the page answers only under a loopback name such as http://localhost.'],
  wrong_origin: [403, 'A request that changes something has to come from the status page itself.'],
  read_only: [403, 'The page is read-only: set OPS_TOKEN to a secret of your own and restart leadmirror.'],
  read_only_token: [403, 'OPS_READ_TOKEN only reads: send the OPS_TOKEN to change something.'],
  wrong_token: [401, 'That is not the OPS_TOKEN of this process.'],
  token_needed: [401, 'Send the OPS_TOKEN: authorization: Bearer <token>; or sign in at /sign-in.'],
  too_many_failures: [429, 'Too many wrong tokens from this address; try again in {seconds} s.'],
} as const;

export const tooMany = (seconds: number): string => REFUSALS.too_many_failures[1].replace('{seconds}', String(seconds));

function isKnownHost(request: FastifyRequest, host: string | undefined): boolean {
  const name = hostName(request.headers.host);
  return isLoopback(name) || name.endsWith('.localhost') || (host !== undefined && name === host.toLowerCase());
}

function refuse(request: FastifyRequest, reply: FastifyReply, code: keyof typeof REFUSALS, text?: string) {
  const [status, sentence] = REFUSALS[code];
  const message = text ?? sentence;
  if (status === 401) reply.header('www-authenticate', 'Bearer realm="leadmirror"');
  reply.code(status);
  return wantsHtml(request)
    ? reply.type('text/plain; charset=utf-8').send(`${message}\n`)
    : reply.send({ error: { code, message } });
}

export const wantsHtml = (request: FastifyRequest): boolean => (request.headers.accept ?? '').includes('text/html');

/** Null without an authorization header; one of another scheme is a wrong token. */
function bearerOf(request: FastifyRequest): string | null {
  const { authorization } = request.headers;
  if (authorization === undefined) return null;
  return /^bearer +(.+)$/i.exec(authorization)?.[1] ?? '';
}

function sessionOf(request: FastifyRequest): string | null {
  const parts = (request.headers.cookie ?? '').split(';').map((part) => part.trim());
  const found = parts.find((part) => part.startsWith(`${COOKIE}=`));
  return found?.slice(COOKIE.length + 1) || null;
}

function setCookie(request: FastifyRequest, reply: FastifyReply, value: string, maxAgeSeconds: number): void {
  // Behind a proxy that ends TLS. Who sends this header without one only makes their own cookie stricter.
  const isSecure = request.headers['x-forwarded-proto'] === 'https';
  const flags = `Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`;
  reply.header('set-cookie', `${COOKIE}=${value}; ${flags}`);
}
